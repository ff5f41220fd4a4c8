//! What commands about this host are given, what they see, and how they answer.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use crate::daemon::lock::Lock;
use crate::daemon::report::Report;
use crate::engine::Engine;
use crate::evict::{Evictor, Here, Sight};
use crate::moment::Moment;
use crate::outcome::Failure;
use crate::policy::Content;
use crate::policy::standing::{Standings, standings};
use crate::settings::Settings;
use crate::store::{Store, StorePlace, Trouble};

/// The exit code where a command could not do what was asked.
pub const WRONG: u8 = 2;
/// The exit code where the output could not be written.
const UNWRITTEN: u8 = 1;
/// How long the engine may take where a command does without its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What commands about this host are given.
pub struct Desk<'a, E: Engine> {
    /// The settings.
    pub settings: &'a Settings,
    /// Where facts are kept; `None`: there is no place for them.
    pub place: Option<&'a StorePlace>,
    /// The engine, of which nothing was asked yet; or why there is no way to it.
    pub engine: Result<&'a E, &'a Failure>,
    /// Where the engine is.
    pub endpoint: &'a str,
    /// This process, its clocks, and how it sees other processes.
    pub here: Here<'a>,
}

/// What a command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The text, with its last newline.
    pub(super) text: String,
    /// The exit code.
    pub(super) code: u8,
}

impl Answer {
    /// Answers with a document for programs, or with a text for people.
    pub(super) fn new<T: Serialize>(
        json: bool,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> Result<Self, Failure> {
        if !json {
            return Ok(Self { text: text(), code: 0 });
        }
        let text = serde_json::to_string_pretty(document)
            .map_err(|error| Failure::system(format!("the answer cannot be written as JSON: {error}")))?;
        Ok(Self { text: text + "\n", code: 0 })
    }

    /// Sets the exit code of a command that did not do all that was asked.
    pub(super) fn wrong(mut self, wrong: bool) -> Self {
        self.code = if wrong { WRONG } else { self.code };
        self
    }
}

/// Writes what came of a command, and returns its exit code.
pub(super) fn finish(result: Result<Answer, Failure>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let (written, code) = match result {
        Ok(answer) => (out.write_all(answer.text.as_bytes()).and_then(|()| out.flush()), answer.code),
        Err(failure) => (writeln!(err, "{failure}"), WRONG),
    };
    match written {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(_) => UNWRITTEN,
    }
}

/// What a look at engine, store and disk shows.
pub(super) struct Seen {
    /// What eviction sees.
    pub(super) sight: Sight,
    /// How the images stand.
    pub(super) standings: Standings,
    /// Tags of which only jobs learn whether they moved, as full references.
    pub(super) jobs_only: BTreeSet<String>,
}

impl Seen {
    /// Returns what the policy sees of an image; `None`: it is not here.
    pub(super) fn content(&self, id: &str) -> Option<&Content> {
        self.sight.snapshot.contents.iter().find(|content| content.id == id)
    }

    /// Returns the present, in seconds.
    pub(super) fn now(&self) -> f64 {
        self.sight.at.wall.as_secs_f64()
    }
}

impl<E: Engine> Desk<'_, E> {
    /// Returns the present.
    pub(super) fn now(&self) -> Moment {
        (self.here.moment)()
    }

    /// Opens the store to look at it; one that is missing is none, which is said.
    ///
    /// # Errors
    /// A store that cannot be read: locked, damaged, newer, somebody else's.
    pub(super) fn store(&self) -> Result<(Store, Option<String>), Failure> {
        let Some(place) = self.place else { return Ok((Store::void(), Some(no_place().to_string()))) };
        match Store::open_existing(place, self.now().wall).map_err(broken)? {
            Some(store) => Ok((store, None)),
            None => {
                let words = format!(
                    "there is no store {} yet: no job has run here, so no use is known",
                    place.file().display()
                );
                Ok((Store::void(), Some(words)))
            }
        }
    }

    /// Opens the store to change it, and makes one if there is none.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn writable_store(&self) -> Result<Store, Failure> {
        let place = self.place.ok_or_else(no_place)?;
        match Store::open(place, self.now().wall) {
            (store, None) => Ok(store),
            (_, Some(trouble)) => Err(broken(trouble)),
        }
    }

    /// Returns the engine.
    ///
    /// # Errors
    /// There is no way to it.
    pub(super) fn engine(&self) -> Result<&E, Failure> {
        self.engine.map_err(Clone::clone)
    }

    /// Returns what eviction works with.
    ///
    /// # Errors
    /// There is no way to the engine.
    pub(super) fn evictor<'s>(&'s self, store: &'s Store) -> Result<Evictor<'s, E>, Failure> {
        Ok(Evictor { engine: self.engine()?, store, cache: &self.settings.cache, here: self.here })
    }

    /// Looks at engine, store and disk.
    ///
    /// # Errors
    /// The engine does not answer, or the store does not any more.
    pub(super) async fn look(&self, store: &Store) -> Result<Seen, Failure> {
        let sight = self.evictor(store)?.look().await?;
        if let Some(trouble) = store.trouble() {
            return Err(broken(trouble));
        }
        let standings = standings(&sight.snapshot, &sight.rules, sight.at.wall.as_secs_f64());
        Ok(Seen { sight, standings, jobs_only: self.jobs_only() })
    }

    /// Returns whether a daemon looks after this host.
    pub(super) fn has_daemon(&self) -> bool {
        self.place.is_some_and(Lock::is_held)
    }

    /// Returns the tags of which only jobs learn whether they moved, as the daemon says; none where none runs.
    pub(super) fn jobs_only(&self) -> BTreeSet<String> {
        let report = self.place.filter(|place| Lock::is_held(place)).and_then(Report::read);
        report.map(|report| report.prefetch.jobs_only.into_iter().collect()).unwrap_or_default()
    }

    /// Looks for a moment, where a command does without; else says why nothing was seen.
    pub(super) async fn glance(&self, store: &Store) -> Result<Seen, Failure> {
        match timeout(PATIENCE, self.look(store)).await {
            Ok(seen) => seen,
            Err(_) => Err(Failure::system(format!(
                "the engine at {} did not answer within {} s",
                self.endpoint,
                PATIENCE.as_secs()
            ))),
        }
    }
}

fn no_place() -> Failure {
    Failure::system("there is no place for this host's store: neither [store] dir nor HOME is set")
        .hint("set [store] dir in the settings (--config FILE)")
}

/// What is wrong with the store is the operator's to mend.
pub(super) fn broken(trouble: Trouble) -> Failure {
    Failure::system(trouble.words).hint(trouble.hint)
}
