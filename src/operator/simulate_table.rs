//! How the figures of `hearth simulate` are shown to people.

use std::fmt::Write;

use super::simulate::{BudgetReport, Report, Row};
use crate::units::ByteSize;

/// Returns the table with a line on what it means at each budget.
pub(super) fn table(report: &Report) -> String {
    let mut text = format!(
        "{} jobs of {} images in {:.0} days; the images in use take {}\n",
        report.jobs,
        report.tags,
        report.days,
        ByteSize(report.working_set_bytes)
    );
    if let Some(seconds) = report.recorded_seconds {
        let _ = writeln!(text, "as it was, they waited {} for images", span(seconds));
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    if let Some(poll) = report.poll_seconds {
        let _ = writeln!(text, "moved tags are looked for every {} and pulled ahead of jobs", span(poll));
    }
    if report.prefetch {
        text.push_str("images are brought back by schedule and history while no job runs\n");
    }
    if !report.listed.is_empty() {
        let _ = writeln!(text, "{} listed images are brought before the first job", report.listed.len());
    }
    let ahead = report.poll_seconds.is_some() || report.prefetch || !report.listed.is_empty();
    for budget in &report.budgets {
        section(&mut text, budget, ahead);
    }
    if !ahead {
        overall(&mut text, report);
    }
    text
}

fn section(text: &mut String, budget: &BudgetReport, brings: bool) {
    let (ahead, used) = if brings { ("      ahead", "   used") } else { ("", "") };
    let _ = writeln!(
        text,
        "\nbudget {} ({:.0} % of what is in use)",
        ByteSize(budget.bytes),
        budget.share * 100.0
    );
    let head = format!(
        "  {:14}{:>10}{:>9}{:>9}{:>10}{:>10}{:>9}",
        "rule", "waited", "to lru", "warm", "pulled", "written", "evicted"
    );
    let _ = writeln!(text, "{head}{ahead}{used}");
    if brings {
        row(text, &Row { rule: "lru, unaided".to_owned(), ..budget.baseline.clone() }, budget, brings);
    }
    budget.rules.iter().for_each(|rule| row(text, rule, budget, brings));
    if !brings {
        row(text, &budget.clairvoyant, budget, brings);
        let bound = budget.bound_seconds;
        let _ = writeln!(text, "  {:14}{:>10}{:>9}", "no rule below", span(bound), change(bound, budget));
    }
    if let Some(best) = budget.rules.iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds)) {
        let saved = budget.baseline.seconds - best.seconds;
        let hours = if saved >= 1.0 {
            format!("{} less than lru", span(saved))
        } else {
            "no less than lru".to_owned()
        };
        let _ = writeln!(text, "  least waiting: {}, {hours}", best.rule);
    }
}

fn row(text: &mut String, row: &Row, budget: &BudgetReport, brings: bool) {
    let _ = write!(
        text,
        "  {:14}{:>10}{:>9}{:>7.1} %{:>10}{:>10}{:>9}",
        row.rule,
        span(row.seconds),
        change(row.seconds, budget),
        row.warm * 100.0,
        ByteSize(row.pulled_bytes).to_string(),
        ByteSize(row.written_bytes).to_string(),
        row.evictions
    );
    if brings {
        let used = row.prefetched_used.map_or("-".to_owned(), |used| format!("{:.0} %", used * 100.0));
        let _ = write!(text, "{:>11}{used:>7}", ByteSize(row.prefetched_bytes).to_string());
    }
    text.push('\n');
}

/// Says how far each rule comes from least recently used to knowing the future, over all budgets.
fn overall(text: &mut String, report: &Report) {
    let sum = |of: &dyn Fn(&BudgetReport) -> f64| report.budgets.iter().map(of).sum::<f64>();
    let lru = sum(&|budget| budget.baseline.seconds);
    let gap = lru - sum(&|budget| budget.clairvoyant.seconds);
    if gap < 1.0 {
        text.push_str("\nat these budgets hardly anything depends on the rule\n");
        return;
    }
    text.push_str("\nof the way from lru to knowing the future, over all budgets:\n");
    let rules = report.budgets.first().map_or(0, |budget| budget.rules.len());
    for rule in 0..rules {
        let seconds = sum(&|budget| budget.rules[rule].seconds);
        let _ = writeln!(
            text,
            "  {:14}{:>5.1} %",
            report.budgets[0].rules[rule].rule,
            (lru - seconds) / gap * 100.0
        );
    }
}

fn change(seconds: f64, budget: &BudgetReport) -> String {
    let lru = budget.baseline.seconds;
    if lru <= 0.0 { "-".to_owned() } else { format!("{:+.1} %", (seconds / lru - 1.0) * 100.0) }
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s >= 36_000.0 => format!("{:.1} h", s / 3600.0),
        s if s >= 3600.0 => format!("{:.2} h", s / 3600.0),
        s if s >= 60.0 => format!("{:.0} min", s / 60.0),
        s => format!("{s:.0} s"),
    }
}
