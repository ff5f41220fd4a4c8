//! How `hearth status` is told to people.

use std::time::Duration;

use super::find::short;
use super::images_table::many;
use super::status::{LeaseState, PinState, Status, Week};
use super::when::{Date, ago, span};
use crate::daemon::report::{Done, PrefetchReport, Report};
use crate::units::ByteSize;

/// How many names of a job's images are shown.
const SHOWN: usize = 4;

/// Returns the lines.
pub(super) fn text(status: &Status) -> String {
    let now = status.at as f64;
    let mut text = format!("engine   {}\nstore    {}\n", engine(status), store(status));
    if let Some(marks) = &status.marks {
        text.push_str(&marks.lines());
    }
    let count = status.images.map_or_else(String::new, |images| format!("{}; ", many(images)));
    text.push_str(&format!("rule     {count}ranked by {}\n", status.rule));
    text.push_str(&format!("daemon   {}\n", daemon(status, now)));
    let last = status.daemon.last.as_ref();
    last.into_iter().flat_map(|last| of_daemon(last, status.daemon.runs, now)).for_each(|line| {
        text.push_str(&format!("         {line}\n"));
    });
    text.push_str(&format!("jobs     {}\n", week(&status.week)));
    status.leases.iter().for_each(|lease| text.push_str(&format!("lease    {}\n", of_lease(lease, now))));
    status.pins.iter().for_each(|pin| text.push_str(&format!("pin      {}\n", of_pin(pin))));
    if !status.pin_patterns.is_empty() {
        text.push_str(&format!("pins     {} (by the settings)\n", status.pin_patterns.join(", ")));
    }
    if let Some(plan) = &status.plan {
        text.push_str(&plan.lines());
    }
    status.problems.iter().for_each(|problem| text.push_str(&format!("problem: {problem}\n")));
    text
}

fn engine(status: &Status) -> String {
    let engine = &status.engine;
    match (&engine.version, &engine.api) {
        (Some(version), Some(api)) => format!("{version}, API {api}, at {}", engine.endpoint),
        _ => format!("does not answer at {}", engine.endpoint),
    }
}

fn store(status: &Status) -> String {
    let store = &status.store;
    let Some(file) = &store.file else { return "none: neither [store] dir nor HOME is set".to_owned() };
    match (store.works, store.bytes) {
        (true, Some(bytes)) => format!("{}, {}, knows {} names", file.display(), ByteSize(bytes), store.tags),
        (true, None) => format!("{}, knows {} names", file.display(), store.tags),
        (false, Some(_)) => format!("{} cannot be used", file.display()),
        (false, None) => format!("{} is not there yet: no job has run here", file.display()),
    }
}

fn daemon(status: &Status, now: f64) -> String {
    match (status.daemon.runs, &status.daemon.last) {
        (true, Some(last)) => format!("runs as process {} since {}", last.pid, ago(now, last.since as f64)),
        (true, None) => "runs".to_owned(),
        (false, Some(last)) => {
            let heard = last.last_round.as_ref().map_or(last.since, |round| round.at);
            format!(
                "does not run; the last one was heard {} (systemctl start hearth)",
                ago(now, heard as f64)
            )
        }
        (false, None) => "does not run (hearth daemon); jobs run without it, only colder".to_owned(),
    }
}

fn of_daemon(last: &Report, runs: bool, now: f64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(round) = &last.last_round {
        let took = span(round.seconds);
        let (when, done) = (ago(now, round.at as f64), done(&round.done));
        lines.push(format!("last round {when}, took {took}: {done}"));
        lines.extend(round.problems.iter().cloned());
    }
    if last.total != Done::default() {
        lines.push(format!("in all: {}", done(&last.total)));
    }
    lines.extend(
        last.clock.as_ref().filter(|_| runs).map(|clock| format!("nothing goes for its age: {clock}")),
    );
    lines.extend(ahead(&last.prefetch, runs, now));
    lines
        .extend(last.last_error.as_ref().map(|said| format!("{}: {}", ago(now, said.at as f64), said.words)));
    lines
}

/// What is brought ahead, in a few lines.
fn ahead(prefetch: &PrefetchReport, runs: bool, now: f64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(coming) = prefetch.now.as_ref().filter(|_| runs) {
        let (name, since) = (short(&coming.name), ago(now, coming.since as f64));
        lines.push(format!("fetches {name} ahead ({}: {}), begun {since}", coming.source, coming.why));
    }
    if !prefetch.next.is_empty() {
        let next = prefetch.next.first().and_then(|next| next.waits.clone());
        let waits = next.map(|waits| format!(", the first waits: {waits}")).unwrap_or_default();
        lines.push(format!("{} to fetch ahead{waits} (hearth prefetch --plan)", many(prefetch.next.len())));
    }
    if let Some(last) = &prefetch.last {
        lines.push(format!("{}: {}", ago(now, last.at as f64), last.words));
    }
    if prefetch.month_bytes > 0 {
        lines.push(format!("{} were fetched ahead this month", ByteSize(prefetch.month_bytes)));
    }
    if !prefetch.jobs_only.is_empty() {
        lines.push(format!("{} of its tags in use only jobs can read", prefetch.jobs_only.len()));
    }
    lines
}

fn done(done: &Done) -> String {
    if *done == Done::default() {
        return "nothing was to be done".to_owned();
    }
    let mut parts = Vec::new();
    let mut part = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{number} {what}{}", if number == 1 { "" } else { "s" }));
        }
    };
    part(done.images, "image");
    part(done.containers, "container");
    part(done.networks, "network");
    part(done.volumes, "volume");
    let freed =
        if done.freed_bytes > 0 { format!("; {} freed", ByteSize(done.freed_bytes)) } else { String::new() };
    if parts.is_empty() {
        freed.trim_start_matches("; ").to_owned()
    } else {
        format!("removed {}{freed}", parts.join(", "))
    }
}

fn week(week: &Week) -> String {
    match week.warm_ratio {
        Some(ratio) => format!(
            "{} in the last week, {:.0} % of them warm; the others waited {} for images",
            week.jobs,
            ratio * 100.0,
            span(week.waited_seconds)
        ),
        None => "none in the last week".to_owned(),
    }
}

fn of_lease(lease: &LeaseState, now: f64) -> String {
    let shown: Vec<&str> = lease.images.iter().map(String::as_str).take(SHOWN).collect();
    let more = lease.images.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}, {}: {}{more}", lease.job, ago(now, lease.since as f64), shown.join(", "))
}

fn of_pin(pin: &PinState) -> String {
    let until = pin.until.map(|until| format!(" until {}", Date(Duration::from_secs(until))));
    let reason = if pin.reason.is_empty() { String::new() } else { format!(": {}", pin.reason) };
    format!("{}{}{reason}", pin.name, until.unwrap_or_default())
}
