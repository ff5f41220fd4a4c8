//! Tables for people, and the verdicts on all bounds.

use std::process::ExitCode;

/// The width of a bar that reaches its bound.
const FULL: usize = 20;

/// A table: columns are as wide as their widest cell, the first is set left, all others right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table with its head.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints the table under a title.
    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}");
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::from(" ");
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                let text_last = column > 0 && column + 1 == columns;
                let cell =
                    if column == 0 || text_last { format!("{cell}{pad}") } else { format!("{pad}{cell}") };
                line.push_str(&format!(" {cell} "));
            }
            println!("{}", line.trim_end());
            if number == 0 {
                println!("  {}", "-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
            }
        }
    }
}

/// Which side of its bound a measure shall be on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
}

impl Bound {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtMost(bound) => measured <= bound,
            Self::AtLeast(bound) => measured >= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::AtLeast(bound) => format!(">= {bound}"),
        }
    }

    fn value(self) -> f64 {
        match self {
            Self::AtMost(bound) | Self::AtLeast(bound) => bound,
        }
    }
}

/// All bounds and whether they were kept.
#[derive(Default)]
pub(crate) struct Verdicts {
    kept: usize,
    missed: Vec<String>,
}

impl Verdicts {
    /// Judges a measure; the name says what of what was measured. Returns the cells bar, bound and verdict.
    pub(crate) fn judge(&mut self, name: &str, measured: f64, unit: &str, bound: Bound) -> [String; 3] {
        let verdict = if bound.holds(measured) {
            self.kept += 1;
            "ok"
        } else {
            self.missed.push(format!("{name}: {} {unit}, to be {}", trimmed(measured), bound.text()));
            "MISSED"
        };
        [bar(measured, bound.value()), bound.text(), verdict.to_owned()]
    }

    /// Returns the bounds that were missed, one sentence each.
    pub(crate) fn missed(&self) -> &[String] {
        &self.missed
    }

    /// Prints the summary and returns the exit code.
    pub(crate) fn conclude(&self) -> ExitCode {
        println!("\n{} bounds kept, {} missed", self.kept, self.missed.len());
        for missed in &self.missed {
            println!("  MISSED {missed}");
        }
        if self.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Draws a measure against its bound, which is where the bar has its mark.
fn bar(measured: f64, bound: f64) -> String {
    const WIDTH: usize = FULL + FULL / 2;
    let share = (measured / bound * FULL as f64).round().clamp(0.0, WIDTH as f64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bar's width")]
    let filled = share as usize;
    let cell = |at: usize| match (at < filled, at == FULL) {
        (_, true) => '|',
        (true, _) => '#',
        (false, _) => '.',
    };
    (0..=WIDTH).map(cell).collect()
}

/// Writes a number with at most two digits behind the point.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns the cells that stand where nothing is judged.
pub(crate) fn unjudged() -> [String; 3] {
    [String::new(), String::new(), String::new()]
}
