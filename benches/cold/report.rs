//! What was measured: as a table, as Markdown, as a document; and what has to hold.

use serde_json::{Value, json};

use crate::Result;
use crate::args::{Args, Case};
use crate::run::Told;
use crate::shelf;
use crate::table::{Bound, Table, Verdicts, unjudged};

/// How many times the floor's seconds a warm host may take.
const MOST_OF_FLOOR: f64 = 1.1;
/// How much of the waiting for images the scan shall hide, in percent, the first job's own image left out.
const LEAST_HIDDEN: f64 = 60.0;
/// How many bytes more than the layers have come with them: manifests, heads, and git's own.
const ALLOWANCE: f64 = 1.02;

/// All cases, as they went.
pub(crate) struct Story<'a> {
    /// The cases; the floor is the first.
    pub told: &'a [Told],
    args: &'a Args,
}

impl<'a> Story<'a> {
    /// Tells of those cases.
    pub(crate) fn new(told: &'a [Told], args: &'a Args) -> Self {
        Self { told, args }
    }

    fn of(&self, case: Case) -> Option<&Told> {
        self.told.iter().find(|told| told.case == case)
    }

    /// Fails where the measure is none: what should come over the link was on the host.
    pub(crate) fn check(&self) -> Result<()> {
        let (all, _) = shelf::weight(self.args.scale);
        match self.of(Case::None) {
            Some(none) if none.bytes < all => {
                Err(format!("{} bytes came over the link; the images have {all}: some were here", none.bytes)
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// Prints the table, for people and for Markdown.
    pub(crate) fn print(&self) {
        let head = self.head();
        let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
        let mut markdown = format!("| {} |\n|---{}|\n", head.join(" | "), "|--:".repeat(head.len() - 1));
        for told in self.told {
            let cells = self.row(told);
            markdown.push_str(&format!("| {} |\n", cells.join(" | ")));
            table.row(cells);
        }
        table.print(&self.title());
        println!("\n  FROM: what the build waited for images. MB: what came over the link meanwhile.");
        println!("  before: how long the daemon brought images before the pipeline began.");
        println!("\n{markdown}");
    }

    /// Says what is measured.
    pub(crate) fn title(&self) -> String {
        let (all, _) = shelf::weight(self.args.scale);
        format!(
            "Seconds to each job's first script line, and to the pipeline's end ({:.0} MB of images over {} Mbit/s)",
            all as f64 / 1e6,
            self.args.mbit
        )
    }

    fn head(&self) -> Vec<String> {
        let jobs = self.told.iter().take(1).flat_map(|told| &told.jobs).map(|job| job.name.to_owned());
        let last = ["FROM", "pipeline", "over the floor", "MB", "before"].map(str::to_owned);
        ["host".to_owned()].into_iter().chain(jobs).chain(last).collect()
    }

    fn row(&self, told: &Told) -> Vec<String> {
        let jobs = told.jobs.iter().map(|job| format!("{:.1}", job.first_line.as_secs_f64()));
        let over = told.took.as_secs_f64() - self.told[0].took.as_secs_f64();
        let last = [
            format!("{:.1}", told.waited_in_scripts()),
            format!("{:.1}", told.took.as_secs_f64()),
            if told.case == Case::Floor { "-".to_owned() } else { format!("{over:+.1}") },
            format!("{:.1}", told.bytes as f64 / 1e6),
            told.before.map_or_else(|| "-".to_owned(), |before| format!("{:.1}", before.as_secs_f64())),
        ];
        [format!("{}: {}", told.case.title(), told.case.words())]
            .into_iter()
            .chain(jobs)
            .chain(last)
            .collect()
    }

    /// Judges what has to hold.
    pub(crate) fn judge(&self, verdicts: &mut Verdicts) {
        let mut table = Table::new(&["what", "measured", "0 .. bound", "bound", ""]);
        let Some(floor) = self.of(Case::Floor) else { return };
        for told in &self.told[1..] {
            let name = format!("{}: first script lines / the floor's", told.case.title());
            let ratio = format!("{:.2} times", told.first_lines() / floor.first_lines());
            table.row([name, ratio].into_iter().chain(unjudged()));
        }
        let mut row = |name: &str, measured: f64, unit: &str, bound: Bound| {
            let judged = verdicts.judge(name, measured, unit, bound);
            table.row([name.to_owned(), format!("{measured:.2} {unit}")].into_iter().chain(judged));
        };
        for all_is_here in [Case::List, Case::Warm].into_iter().filter_map(|case| self.of(case)) {
            let ratio = all_is_here.took.as_secs_f64() / floor.took.as_secs_f64();
            let name = format!("{}: the pipeline / the floor's", all_is_here.case.title());
            row(&name, ratio, "times", Bound::AtMost(MOST_OF_FLOOR));
        }
        if let (Some(none), Some(scan)) = (self.of(Case::None), self.of(Case::Scan)) {
            row(
                "FROM scan: waiting that it hides",
                hidden(floor, none, scan),
                "%",
                Bound::AtLeast(LEAST_HIDDEN),
            );
            let most = (none.bytes as f64 * ALLOWANCE / 1e5).round() / 10.0;
            row("FROM scan: what it and the jobs fetch", scan.bytes as f64 / 1e6, "MB", Bound::AtMost(most));
        }
        table.print("What has to hold");
    }

    /// Returns all of it as a document.
    pub(crate) fn document(&self) -> Value {
        let cases = self.told.iter().map(|told| {
            let jobs: Vec<Value> = told
                .jobs
                .iter()
                .map(|job| {
                    let fetched: Vec<[f64; 2]> =
                        job.fetched.iter().map(|(from, to)| [from.as_secs_f64(), to.as_secs_f64()]).collect();
                    json!({
                        "name": job.name,
                        "began": job.began.as_secs_f64(),
                        "first_line": job.first_line.as_secs_f64(),
                        "script_ended": job.script_ended.as_secs_f64(),
                        "fetched": fetched,
                        "seconds": job.took.as_secs_f64(),
                    })
                })
                .collect();
            let value = json!({
                "jobs": jobs,
                "seconds": told.took.as_secs_f64(),
                "bytes": told.bytes,
                "before": told.before.map(|before| before.as_secs_f64()),
            });
            (told.case.name().to_owned(), value)
        });
        json!({"scale": self.args.scale, "mbit": self.args.mbit, "cases": Value::Object(cases.collect())})
    }
}

/// Returns how much of the waiting for images that are not the first job's own is hidden, in percent: what comes after
/// the first job's first script line, less what it takes where nothing is pulled.
fn hidden(floor: &Told, none: &Told, scan: &Told) -> f64 {
    let waits = |told: &Told| told.after_first_line() - floor.after_first_line();
    100.0 * (1.0 - waits(scan) / waits(none))
}
