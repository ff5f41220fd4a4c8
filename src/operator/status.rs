//! `hearth status`: whether engine, store and daemon are well, how full the disk is, and how warm jobs were.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::desk::{Answer, Desk, Seen, finish};
use super::find::short;
use super::images::Planned;
use super::marks::Marks;
use super::status_words::text;
use crate::daemon::lock::Lock;
use crate::daemon::report::Report;
use crate::engine::Engine;
use crate::outcome::Failure;
use crate::settings::{CacheSettings, Rule};
use crate::store::{JobTime, Store};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The arguments of `hearth status`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StatusArgs {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// The settings file instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How this host is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Status {
    /// The engine.
    pub(super) engine: EngineState,
    /// The store.
    pub(super) store: StoreState,
    /// How full the host is; `None`: that could not be seen.
    pub(super) marks: Option<Marks>,
    /// What would go now; `None`: that could not be seen.
    pub(super) plan: Option<Planned>,
    /// What images are ranked by.
    pub(super) rule: String,
    /// How many images there are; `None`: that could not be seen.
    pub(super) images: Option<usize>,
    /// The daemon.
    pub(super) daemon: DaemonState,
    /// Jobs that hold images.
    pub(super) leases: Vec<LeaseState>,
    /// Images that stay because somebody said so by hand.
    pub(super) pins: Vec<PinState>,
    /// Globs of the settings whose images stay.
    pub(super) pin_patterns: Vec<String>,
    /// The jobs of the last week.
    pub(super) week: Week,
    /// What is wrong, a sentence each.
    pub(super) problems: Vec<String>,
    /// The time of the look, in seconds since the epoch.
    pub(super) at: u64,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct EngineState {
    /// Its address.
    pub(super) endpoint: String,
    /// Whether it answers.
    pub(super) answers: bool,
    /// Its name and version.
    pub(super) version: Option<String>,
    /// The version of its API in use.
    pub(super) api: Option<String>,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StoreState {
    /// Its file; `None`: there is no place for one.
    pub(super) file: Option<PathBuf>,
    /// Whether facts are known.
    pub(super) works: bool,
    /// What it takes on disk.
    pub(super) bytes: Option<u64>,
    /// How many tags it knows.
    pub(super) tags: usize,
}

/// The daemon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct DaemonState {
    /// Whether it runs.
    pub(super) runs: bool,
    /// What it, or the last one that ran, wrote down; `None`: nothing.
    pub(super) last: Option<Report>,
}

/// A job's leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LeaseState {
    /// The job.
    pub(super) job: String,
    /// What it holds.
    pub(super) images: Vec<String>,
    /// Since when, in seconds since the epoch.
    pub(super) since: u64,
}

/// A pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PinState {
    /// What is pinned.
    pub(super) name: String,
    /// Until when, in seconds since the epoch; `None`: for good.
    pub(super) until: Option<u64>,
    /// Why.
    pub(super) reason: String,
}

/// The jobs of a week.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Week {
    /// How many there were.
    pub(super) jobs: usize,
    /// How many found all their images here.
    pub(super) warm: usize,
    /// Their share; `None`: there was no job.
    pub(super) warm_ratio: Option<f64>,
    /// Seconds for which the others waited for downloads and unpacking.
    pub(super) waited_seconds: f64,
}

impl Week {
    fn of(times: &[JobTime]) -> Self {
        let warm = times.iter().filter(|time| time.warm).count();
        let seconds = |phase: Option<Duration>| phase.unwrap_or_default().as_secs_f64();
        Self {
            jobs: times.len(),
            warm,
            warm_ratio: (!times.is_empty()).then(|| warm as f64 / times.len() as f64),
            waited_seconds: times.iter().map(|time| seconds(time.download) + seconds(time.extract)).sum(),
        }
    }
}

/// Runs the command and returns its exit code: 0, or 2 if engine or store cannot be used; all else is told then, too.
pub async fn run<E: Engine>(
    args: &StatusArgs,
    desk: &Desk<'_, E>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let status = Status::of(desk).await;
    let wrong = !status.engine.answers || !status.problems.is_empty();
    let answer = Answer::new(args.json, &status, || text(&status));
    finish(answer.map(|answer| answer.wrong(wrong)), out, err)
}

impl Status {
    /// Looks at everything, and goes on where something cannot be seen.
    async fn of<E: Engine>(desk: &Desk<'_, E>) -> Self {
        let now = desk.now();
        let mut problems = Vec::new();
        let mut tell = |failure: Failure| problems.push(one_line(&failure));
        let store = match desk.store() {
            Ok((store, _)) => store,
            Err(failure) => {
                tell(failure);
                Store::void()
            }
        };
        let version = match desk.engine() {
            Ok(engine) => engine.version().await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        let (engine, seen) = match version {
            Ok(version) => (Some(version), desk.glance(&store).await.map_err(&mut tell).ok()),
            Err(failure) => {
                tell(failure);
                (None, None)
            }
        };
        let daemon = DaemonState {
            runs: desk.place.is_some_and(Lock::is_held),
            last: desk.place.and_then(Report::read),
        };
        let pins = store.pins(now.wall).into_iter().map(|pin| PinState {
            name: short(&pin.name),
            until: pin.until.map(|until| until.as_secs()),
            reason: pin.reason,
        });
        let week = Week::of(&store.job_times(now.wall.saturating_sub(WEEK)));
        Self {
            engine: EngineState {
                endpoint: desk.endpoint.to_owned(),
                answers: engine.is_some(),
                api: engine.as_ref().map(|version| version.api.clone()),
                version: engine.map(|version| version.name),
            },
            store: StoreState {
                file: desk.place.map(|place| place.file()),
                works: store.is_working(),
                bytes: desk
                    .place
                    .and_then(|place| std::fs::metadata(place.file()).ok())
                    .map(|file| file.len()),
                tags: store.tags().len(),
            },
            marks: seen.as_ref().map(Marks::of),
            plan: seen.as_ref().map(Planned::of),
            rule: rule(&desk.settings.cache, &store, seen.as_ref()),
            images: seen.as_ref().map(|seen| seen.sight.images.len()),
            daemon,
            leases: leases(desk, &store),
            pins: pins.collect(),
            pin_patterns: desk.settings.cache.pins.as_written().to_vec(),
            week,
            problems,
            at: now.wall.as_secs(),
        }
    }
}

fn one_line(failure: &Failure) -> String {
    let hints = failure.hints.iter().map(|hint| format!("; {hint}"));
    failure.message.clone() + &hints.collect::<String>()
}

/// Says which rule ranks images, and who chose it.
fn rule(cache: &CacheSettings, store: &Store, seen: Option<&Seen>) -> String {
    match (cache.rule, store.chosen_rule()) {
        (Rule::Fixed(score), _) => format!("{score} (by the settings)"),
        (Rule::Auto, Some(score)) => format!("{score} (chosen from this host's own jobs)"),
        (Rule::Auto, None) => {
            let score = seen.map(|seen| seen.sight.rules.score).unwrap_or_default();
            format!("{score} (until this host's own jobs say another)")
        }
    }
}

/// Lists the leases in force of owners that may live, by job.
fn leases<E: Engine>(desk: &Desk<'_, E>, store: &Store) -> Vec<LeaseState> {
    let mut jobs: Vec<LeaseState> = Vec::new();
    for lease in store.leases(&desk.now()).into_iter().filter(|lease| (desk.here.lives)(lease)) {
        let (name, since) = (short(&lease.name), lease.taken.wall.as_secs());
        match jobs.iter_mut().find(|job| job.job == lease.job) {
            Some(job) => job.images.push(name),
            None => jobs.push(LeaseState { job: lease.job, images: vec![name], since }),
        }
    }
    jobs
}
