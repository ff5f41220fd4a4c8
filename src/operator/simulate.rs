//! `hearth simulate`: what a rule and a budget would have cost, on this host's own jobs or on a trace of others.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::simulate_args::{Budget, SimulateArgs};
use super::simulate_table::table;
use crate::host;
use crate::outcome::Failure;
use crate::policy::simulate::bound::{Problem, ROUNDS};
use crate::policy::simulate::clairvoyant::Future;
use crate::policy::simulate::grid::side_by_side;
use crate::policy::simulate::{Ahead, Outcome, Policy, Setup, Trace, replay};
use crate::policy::{Cost, Score};
use crate::record::History;

/// The exit code where the history or the trace is missing or wrong.
const WRONG: u8 = 2;
/// The exit code where the output could not be written.
const UNWRITTEN: u8 = 1;
/// Bytes of a trace, packed or not, beyond which it is not read: some forty years of jobs.
const LONGEST: u64 = 256 << 20;

/// What the command is given from around it.
pub struct Around<'a> {
    /// Reads what this host has on record; asked only where no trace is named.
    pub history: &'a dyn Fn() -> Result<History, Failure>,
    /// Is told how many replays of how many are done.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
}

/// The figures of one trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What readers have to know to judge the figures, a sentence each.
    pub notes: Vec<String>,
    /// Seconds that these jobs really waited for images, by this host's own record; `None` for a trace.
    pub recorded_seconds: Option<f64>,
    /// How many jobs were replayed.
    pub jobs: u64,
    /// How many tags they used.
    pub tags: u64,
    /// Days from the first to the last.
    pub days: f64,
    /// Bytes on disk of the distinct layers of the version of every tag that a job used last.
    pub working_set_bytes: u64,
    /// Seconds between two looks for moved tags; `None` without.
    pub poll_seconds: Option<f64>,
    /// Whether images are brought back by schedule and history.
    #[serde(default)]
    pub prefetch: bool,
    /// The tags on the list of what to bring ahead.
    #[serde(default)]
    pub listed: Vec<String>,
    /// One entry a budget.
    pub budgets: Vec<BudgetReport>,
}

/// The figures of one budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetReport {
    /// Bytes that images may take.
    pub bytes: u64,
    /// Their share of the working set.
    pub share: f64,
    /// Least recently used without polling: what the others are measured by.
    pub baseline: Row,
    /// One row a rule.
    pub rules: Vec<Row>,
    /// One who knows the future, without polling.
    pub clairvoyant: Row,
    /// Seconds below which no order of evictions comes without polling.
    pub bound_seconds: f64,
}

/// The figures of one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The rule.
    pub rule: String,
    /// Seconds that jobs waited for pulls.
    pub seconds: f64,
    /// Share of the jobs whose image was there.
    pub warm: f64,
    /// Compressed bytes from registries.
    pub pulled_bytes: u64,
    /// Bytes written to the disk.
    pub written_bytes: u64,
    /// Compressed bytes pulled ahead of jobs.
    pub prefetched_bytes: u64,
    /// Share of those that a job used before they went; `None` if there were none.
    pub prefetched_used: Option<f64>,
    /// Images that went.
    pub evictions: u64,
}

impl Row {
    fn new(rule: impl ToString, outcome: Outcome) -> Self {
        let ahead = outcome.prefetched_bytes;
        Self {
            rule: rule.to_string(),
            seconds: outcome.seconds,
            warm: outcome.warm as f64 / outcome.jobs.max(1) as f64,
            pulled_bytes: outcome.pulled_bytes,
            written_bytes: outcome.written_bytes,
            prefetched_bytes: ahead,
            prefetched_used: (ahead > 0).then(|| outcome.prefetched_used_bytes as f64 / ahead as f64),
            evictions: outcome.evictions,
        }
    }
}

/// Runs the command and returns its exit code: 0, or 2 with what is wrong on `err`.
pub fn run(args: &SimulateArgs, around: &Around<'_>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let report = match read(args, around).and_then(|history| simulate(args, &history, around.progress)) {
        Ok(report) => report,
        Err(failure) => return if writeln!(err, "{failure}").is_ok() { WRONG } else { UNWRITTEN },
    };
    let text = if args.json {
        serde_json::to_string_pretty(&report).map_err(io::Error::from)
    } else {
        Ok(table(&report))
    };
    match text.and_then(|text| writeln!(out, "{}", text.trim_end())) {
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(_) => UNWRITTEN,
    }
}

fn read(args: &SimulateArgs, around: &Around<'_>) -> Result<History, Failure> {
    let history = match &args.trace {
        Some(path) => History { trace: read_trace(path)?, waited: Vec::new(), notes: Vec::new() },
        None => (around.history)()?,
    };
    let start = history.trace.start();
    let (from, to) = (
        args.from.map_or(f64::NEG_INFINITY, |span| start + span.0),
        args.to.map_or(f64::INFINITY, |span| start + span.0),
    );
    let trace = history.trace.window(from, to);
    if trace.jobs().next().is_none() {
        return Err(Failure::system("there is no job between --from and --to"));
    }
    let waited = history.waited.into_iter().filter(|(at, _)| (from..to).contains(at)).collect();
    Ok(History { trace, waited, ..history })
}

fn read_trace(path: &Path) -> Result<Trace, Failure> {
    let bytes = unpacked(path, host::read_bounded(path, LONGEST, "the trace")?)?;
    Trace::parse(&String::from_utf8_lossy(&bytes)).map_err(|complaints| {
        let complaints = complaints.to_string().replace('\n', "\n  ");
        Failure::system(format!("the trace {} is not valid\n  {complaints}", path.display()))
    })
}

/// Unpacks what is gzipped, whatever the file is called.
fn unpacked(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    let failed = |reason: String| {
        Failure::system(format!("the trace {} cannot be unpacked: {reason}", path.display()))
    };
    let packed = flate2::read::MultiGzDecoder::new(bytes.as_slice());
    packed.take(LONGEST + 1).read_to_end(&mut plain).map_err(|error| failed(error.to_string()))?;
    if plain.len() as u64 > LONGEST {
        return Err(failed(format!("it is larger than {} MiB", LONGEST >> 20)));
    }
    Ok(plain)
}

/// One piece of work: a rule, or what stands beside the rules.
#[derive(Debug, Clone, Copy)]
enum Piece<'a> {
    Replay(Setup<'a>),
    Bound(u64),
}

/// Finds the listed tags in the trace.
fn listed(names: &[String], trace: &Trace) -> Result<Vec<usize>, Failure> {
    let place = |name: &String| trace.tags.iter().position(|tag| tag == name);
    let find = |name: &String| {
        place(name).ok_or_else(|| Failure::system(format!("--list: no job uses {name:?} in this history")))
    };
    names.iter().map(find).collect()
}

fn simulate(
    args: &SimulateArgs,
    history: &History,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Report, Failure> {
    let trace = &history.trace;
    let (future, problem) = (Future::new(trace), Problem::new(trace, Cost::default()));
    let (working_set, poll) = (trace.working_set(), args.poll.map(|span| span.0));
    if poll.is_some_and(|poll| poll < 1.0) {
        return Err(Failure::system("--poll is too short: a second is the least"));
    }
    let list = listed(&args.listed, trace)?;
    let ahead = Ahead { history: args.prefetch, list: &list };
    let mut work = Vec::new();
    let bytes = |budget: &Budget| budget.bytes(working_set);
    // The bounds take longest, so they come first.
    work.extend(args.budgets.iter().map(|budget| Piece::Bound(bytes(budget))));
    for budget in args.budgets.iter().map(bytes) {
        work.push(Piece::Replay(Setup::new(Policy::Rule(Score::Lru), budget)));
        work.push(Piece::Replay(Setup::new(Policy::Clairvoyant, budget)));
        let setup = |rule: &Score| Setup { poll, ahead, ..Setup::new(Policy::Rule(*rule), budget) };
        work.extend(args.policies.iter().map(|rule| Piece::Replay(setup(rule))));
    }
    let done = Mutex::new(0);
    let tell = || {
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += 1;
        progress(*done, work.len());
    };
    let each = |piece: &Piece| match *piece {
        Piece::Replay(setup) => (replay(trace, &future, setup), 0.0),
        Piece::Bound(budget) => {
            let setup = Setup::new(Policy::Clairvoyant, budget);
            let outcome = replay(trace, &future, setup);
            (outcome, problem.bound(budget, problem.total() - outcome.seconds, ROUNDS).seconds())
        }
    };
    let results = side_by_side(&work, threads(), |piece| {
        let result = each(piece);
        tell();
        result
    });
    let (bounds, rest) = results.split_at(args.budgets.len());
    let cells = rest.chunks(args.policies.len() + 2);
    let budgets =
        args.budgets.iter().zip(bounds).zip(cells).map(|((budget, (_, bound)), cells)| BudgetReport {
            bytes: bytes(budget),
            share: bytes(budget) as f64 / working_set.max(1) as f64,
            baseline: Row::new(Score::Lru, cells[0].0),
            rules: args.policies.iter().zip(&cells[2..]).map(|(rule, cell)| Row::new(rule, cell.0)).collect(),
            clairvoyant: Row::new("clairvoyant", cells[1].0),
            bound_seconds: *bound,
        });
    let last = trace.jobs().last().map_or(0.0, |(event, _)| event.at);
    let tags: std::collections::HashSet<usize> = trace.jobs().map(|(event, _)| event.tag).collect();
    let waited = history.waited.iter().map(|(_, waited)| waited);
    Ok(Report {
        notes: history.notes.clone(),
        recorded_seconds: args.trace.is_none().then(|| waited.sum()),
        jobs: trace.jobs().count() as u64,
        tags: tags.len() as u64,
        days: (last - trace.start()) / 86_400.0,
        working_set_bytes: working_set,
        poll_seconds: poll,
        prefetch: args.prefetch,
        listed: args.listed.clone(),
        budgets: budgets.collect(),
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
