//! `hearth prefetch --plan`: what would be brought next, why, and what it waits for.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::desk::{Answer, Desk, finish};
use super::find::short;
use super::table::{Column, table};
use super::when::{ago, span};
use crate::daemon::lock::Lock;
use crate::daemon::prefetch::choose::choose;
use crate::daemon::prefetch::memory::Memory;
use crate::daemon::report::{PrefetchReport, Report};
use crate::engine::Engine;
use crate::outcome::Failure;
use crate::policy::LocalTime;
use crate::prefetch::{Planned, gather, host};
use crate::units::ByteSize;

/// What would be brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Plan {
    /// Whether a daemon runs, whose own plan this is: it knows of running pipelines, too.
    daemon: bool,
    /// Whether anything is brought ahead at all.
    enabled: bool,
    /// How it stands.
    #[serde(flatten)]
    stands: PrefetchReport,
    /// The time of the look, in seconds since the epoch.
    at: u64,
}

/// Runs the command and returns its exit code: 0, or 2 if store or engine cannot be used. `clocks` are the time on the
/// host's wall, and when its calendar month began.
pub async fn run<E: Engine>(
    json: bool,
    desk: &Desk<'_, E>,
    clocks: (LocalTime, Duration),
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let answer = match plan(desk, clocks).await {
        Ok(plan) => Answer::new(json, &plan, || text(&plan)),
        Err(failure) => Err(failure),
    };
    finish(answer, out, err)
}

async fn plan<E: Engine>(desk: &Desk<'_, E>, clocks: (LocalTime, Duration)) -> Result<Plan, Failure> {
    let (now, enabled) = (desk.now(), desk.settings.prefetch.enabled);
    let at = now.wall.as_secs();
    let of_daemon = desk.place.filter(|place| Lock::is_held(place)).and_then(Report::read);
    if let Some(report) = of_daemon {
        return Ok(Plan { daemon: true, enabled, stands: report.prefetch, at });
    }
    let (store, _) = desk.store()?;
    let mut stands = PrefetchReport { month_bytes: store.ahead_bytes(clocks.1), ..PrefetchReport::default() };
    if enabled {
        let seen = desk.look(&store).await?;
        let gathered = gather(&store, &seen.sight, desk.settings, clocks.0, seen.now());
        let host = host(&store, desk.settings, &now, clocks, |lease| (desk.here.lives)(lease));
        stands.polled = gathered.looked_up.len() as u64;
        stands.next = choose(&gathered.absent, &Memory::default(), |_| host, seen.now()).queue;
    }
    Ok(Plan { daemon: false, enabled, stands, at })
}

fn text(plan: &Plan) -> String {
    let Plan { daemon, enabled, stands, at } = plan;
    if !enabled {
        return "nothing is brought ahead: [prefetch] enabled is off\n".to_owned();
    }
    let mut text = String::new();
    if let Some(now) = &stands.now {
        let (name, since) = (short(&now.name), ago(*at as f64, now.since as f64));
        text.push_str(&format!("comes now: {name} ({}: {}), begun {since}\n", now.source, now.why));
    }
    if stands.next.is_empty() {
        text.push_str("nothing more is expected that is not here\n");
    } else {
        let columns = [
            Column::Name("IMAGE"),
            Column::Left("BY"),
            Column::Right("SIZE"),
            Column::Right("PULL"),
            Column::Right("SAVES"),
            Column::Left("WAITS FOR"),
        ];
        let rows: Vec<Vec<String>> = stands.next.iter().map(|planned| row(planned, *at)).collect();
        text.push_str(&table(&columns, &rows));
        for planned in &stands.next {
            text.push_str(&format!("{}: {}\n", short(&planned.name), planned.why));
        }
    }
    if !daemon {
        text.push_str(
            "no daemon runs (hearth daemon), so none of it comes; what running pipelines want is known to one only\n",
        );
    }
    text
}

fn row(planned: &Planned, at: u64) -> Vec<String> {
    let waits = match (&planned.waits, planned.until) {
        (None, _) => "-".to_owned(),
        (Some(waits), Some(until)) if until > at => format!("{waits} ({})", span((until - at) as f64)),
        (Some(waits), _) => waits.clone(),
    };
    vec![
        short(&planned.name),
        planned.source.clone(),
        planned.bytes.map_or_else(|| "?".to_owned(), |bytes| ByteSize(bytes).to_string()),
        span(planned.seconds),
        span(planned.saves),
        waits,
    ]
}
