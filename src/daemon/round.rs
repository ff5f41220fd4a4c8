//! One round: all that is due is looked at and done.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::agenda::Why;
use super::choice;
use super::journal::{Journal, Level};
use super::reap::Reaped;
use super::report::RoundReport;
use super::world::World;
use crate::engine::EngineError;
use crate::evict::{Evictor, Here, Occasion, Told};
use crate::moment::{Liveness, Moment};
use crate::outcome::Failure;
use crate::policy::ClockState;
use crate::policy::orphans::Judge;
use crate::settings::Settings;
use crate::store::{Limits, Store, StorePlace, TroubleKind};

/// What a round works with.
pub struct Round<'a, W: World> {
    /// The surroundings.
    pub world: &'a W,
    /// The engine.
    pub engine: &'a W::Engine,
    /// The settings in force.
    pub settings: &'a Settings,
    /// Where facts are kept.
    pub place: &'a StorePlace,
    /// Where it is told.
    pub journal: &'a Journal,
    /// Whether the daemon is to end: nothing new is begun then.
    pub stopping: &'a Cell<bool>,
}

/// What came of a round.
#[derive(Debug, Default)]
pub struct Rounded {
    /// What it did and could not do.
    pub report: RoundReport,
    /// Why nothing was removed for its age; `None`: the clock is believed.
    pub doubt: Option<String>,
    /// The owners of jobs that live, as their labels have them; `None`: they were not looked for.
    pub owners: Option<BTreeSet<String>>,
    /// Why images could not be looked at: the engine does not answer any more.
    pub failed: Option<Failure>,
}

impl<W: World> Round<'_, W> {
    /// Does what is due.
    ///
    /// # Errors
    /// The engine does not answer: nothing more can be done until it does.
    pub async fn run(&self, why: Why) -> Result<Rounded, EngineError> {
        let mut rounded = Rounded::default();
        let Some(store) = self.open(&mut rounded.report) else { return Ok(rounded) };
        let now = self.world.moment();
        let set = self.world.clock_is_set().await;
        let clock = ClockState { wall: now.wall, up: now.boot, set };
        rounded.doubt = clock.doubt(store.newest_fact()).map(|doubt| doubt.to_string());
        if why.is_whole() {
            let judge = Judge {
                now: &now,
                is: &|process| self.world.liveness(process),
                // Without a store nobody knows how late it must be at least.
                clock_believed: rounded.doubt.is_none() && store.is_working(),
                longest_job: self.settings.daemon.longest_job,
            };
            let Reaped { done, problems, owners, jobs } = self.reap(&judge).await?;
            rounded.report.done.add(done);
            rounded.report.problems.extend(problems);
            rounded.owners = Some(owners);
            self.drop_stale(&store, &jobs, &now);
        }
        if !self.stopping.get() {
            self.evict(&store, why, set, &mut rounded).await;
        }
        if why.is_whole() && rounded.doubt.is_none() && choice::is_due(&store, &self.settings.cache, now.wall)
        {
            self.world.choose_rule();
        }
        if store.tidy_is_due(now.wall) && rounded.doubt.is_none() {
            store.tidy(&Limits::default(), &now);
        }
        Ok(rounded)
    }

    /// Removes images where they are too many.
    async fn evict(&self, store: &Store, why: Why, set: Option<bool>, rounded: &mut Rounded) {
        let here = Here {
            process: self.world.process(),
            moment: &|| self.world.moment(),
            clock_is_set: set,
            lives: &|lease| self.world.liveness(lease.owner) != Liveness::Gone,
            disk: &|dir| self.world.disk(dir),
        };
        let evictor = Evictor { engine: self.engine, store, cache: &self.settings.cache, here };
        let occasion = if why == Why::News { Occasion::AfterPull } else { Occasion::Tick };
        let mut tell = |told: Told| {
            let level = match &told {
                Told::Stuck(_) => Level::Error,
                Told::Gone(_) | Told::VolumeGone(_) | Told::BuildCache(_) => Level::Notice,
                Told::Waits | Told::Begins(_) | Told::Left(_) => Level::Info,
            };
            self.journal.say(level, told.to_string());
        };
        match evictor.turn(occasion, &mut tell).await {
            Ok(turn) => {
                let done = &mut rounded.report.done;
                done.images += turn.gone.len() as u64;
                let freed = turn.gone.iter().map(|gone| gone.freed.unwrap_or(gone.reckoned)).sum::<u64>();
                done.freed_bytes += freed + turn.build_cache;
                rounded.report.problems.extend(turn.stuck);
            }
            Err(failure) => rounded.failed = Some(failure),
        }
    }

    /// Drops the leases of jobs whose runner is gone and that have nothing on the engine, and the notes of removals whose
    /// remover is gone. They are not in force any more; this keeps them from piling up.
    fn drop_stale(&self, store: &Store, jobs: &BTreeSet<String>, now: &Moment) {
        let is_gone = |process| self.world.liveness(process) == Liveness::Gone;
        let has_things = |job: &str| job.split(' ').next().is_some_and(|key| jobs.contains(key));
        let leases = store.leases(now);
        let stale = leases.iter().filter(|lease| is_gone(lease.owner) && !has_things(&lease.job));
        for job in stale.map(|lease| lease.job.as_str()).collect::<BTreeSet<_>>() {
            store.drop_leases(job);
        }
        for removal in store.removals(now).iter().filter(|removal| is_gone(removal.by)) {
            store.unmark_removal(removal);
        }
    }

    /// Opens the store anew: the file may have been set aside since. `None`: a newer hearth's facts are there, and this one
    /// does not know what it may do.
    fn open(&self, report: &mut RoundReport) -> Option<Store> {
        let (store, trouble) = Store::open(self.place, self.world.moment().wall);
        let Some(trouble) = trouble else {
            self.journal.well("store", "the store is in order again");
            return Some(store);
        };
        report.problems.push(trouble.words.clone());
        if trouble.kind == TroubleKind::Newer {
            let file = self.place.file();
            self.journal.trouble(
                "store",
                Level::Error,
                format!(
                    "this daemon is older than the store {}: it does nothing until it is replaced by the newer hearth; jobs go on\n\
                     hint: restart it after the upgrade (systemctl restart hearth)",
                    file.display()
                ),
            );
            return None;
        }
        self.journal.trouble(
            "store",
            Level::Warning,
            format!("{trouble}\nnothing is evicted until it can be used"),
        );
        Some(store)
    }
}
