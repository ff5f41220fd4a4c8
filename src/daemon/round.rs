//! One round: all that is due is looked at and done.

use std::cell::Cell;

use super::agenda::Why;
use super::journal::{Journal, Level};
use super::report::{Done, RoundReport};
use super::world::World;
use crate::engine::EngineError;
use crate::policy::ClockState;
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
}

impl<W: World> Round<'_, W> {
    /// Does what is due.
    ///
    /// # Errors
    /// The engine does not answer: nothing more can be done until it does.
    pub async fn run(&self, _why: Why) -> Result<Rounded, EngineError> {
        let mut rounded = Rounded::default();
        let Some(store) = self.open(&mut rounded.report) else { return Ok(rounded) };
        let now = self.world.moment();
        let clock = ClockState { wall: now.wall, up: now.boot, set: self.world.clock_is_set() };
        rounded.doubt = clock.doubt(None).map(|doubt| doubt.to_string());
        if store.tidy_is_due(now.wall) && rounded.doubt.is_none() {
            store.tidy(&Limits::default(), &now);
        }
        Ok(rounded)
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

impl Rounded {
    /// Returns what was done.
    pub fn done(&self) -> Done {
        self.report.done
    }
}
