//! The facts that all processes of a host share: one SQLite file.
//!
//! An edge: it touches that file and its directory, and knows of the rest only pure types. It keeps *facts* (uses, pulls,
//! contents, leases, pins, proofs of access); what follows from them is [`crate::policy`]'s.
//!
//! **It never fails a job.** [`Store::open`] always returns a store. One whose file cannot be used knows nothing and
//! forgets what it is told, and says once why ([`Trouble`]). A corrupt file is set aside and begun anew; a file of a newer
//! hearth is left alone. A process is held up by a locked file once, for [`StorePlace::patience`]; later calls wait a tenth
//! of that.
//!
//! **Opening is cheap**, since every stage does it: the file is opened, `user_version` is read from its first page, and
//! that is all. Whatever makes, migrates or sets aside takes a lock file first and looks again. A new file is made under
//! another name and renamed when it is complete, so no process ever sees half of one.
//!
//! **Writes are few**, since boards write to SD cards: what a job has to say is one [`Batch`], a repeated use within
//! [`StorePlace::resolution`] is none, and the write-ahead log is folded into the file every hundred pages instead of
//! whenever a process ends. A power cut may lose the last jobs' facts, never the file.
//!
//! **Clocks** are arguments, and are not trusted. A rate never grows because a clock went back: no time passes then. A time
//! on record that is more than a day ahead of the clock was written by a wrong one, and gives way to the present. Proofs
//! from the future prove nothing. Leases last by the clock that counts from boot. [`Store::tidy`] deletes nothing for its
//! age in a run whose clock went back, or went further ahead than runs are apart.

mod access;
mod aheads;
mod announced;
mod backoffs;
mod batch;
mod contents;
mod engines;
mod fold;
mod gone;
mod job_images;
mod key;
mod leases;
mod lock;
mod make;
mod notes;
mod open;
mod pins;
mod place;
mod proofs;
mod pulls;
mod removals;
mod repositories;
mod sightings;
mod tags;
#[cfg(test)]
mod tests;
mod tidy;
mod times;
mod trouble;
mod uses;
mod values;
mod volumes;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

pub use access::RepositoryFacts;
pub use aheads::{Ahead, AheadOutcome};
pub use announced::{Announced, Made};
pub use backoffs::BackOff;
pub use batch::Batch;
pub use contents::{Content, ContentFact, ContentKey, Layer, Link, Origin};
pub use engines::EngineFacts;
pub use fold::FoldRules;
pub use gone::Gone;
pub use job_images::{How, JobImage};
pub use key::HashKey;
pub use leases::{Granted, Lease, LeaseKind};
pub use lock::Held;
pub use pins::Pin;
pub use place::{Sharing, StorePlace};
pub use proofs::{Proof, Revocation};
pub use pulls::{Pull, PullOutcome};
pub use removals::{Mark, Removal};
pub use sightings::Sighting;
pub use tags::{RecentUse, Tag, TagContent};
pub use tidy::{Limits, Tidied};
pub use times::JobTime;
pub use trouble::{Trouble, TroubleKind};
pub use uses::Use;
pub use volumes::VolumeUse;

/// The facts of this host, or nothing, if they cannot be had.
///
/// Long-lived processes open it anew for each round of work: a file that another process set aside stays open in those
/// that have it, and what they write goes with it.
pub struct Store {
    place: StorePlace,
    /// What a file is called that has to be set aside.
    opened: Duration,
    inner: Mutex<Inner>,
}

struct Inner {
    file: Option<open::Opened>,
    /// What is wrong and was not told yet.
    trouble: Option<Trouble>,
    /// Whether something was wrong before: it is told once.
    troubled: bool,
}

impl Store {
    /// Opens the store, and makes it if there is none. The trouble is to be shown to people; there is at most one, here
    /// or later from [`Store::trouble`].
    pub fn open(place: &StorePlace, now: Duration) -> (Self, Option<Trouble>) {
        let (file, trouble) = open::open(place, now);
        let inner = Inner { file, troubled: trouble.is_some(), trouble: None };
        (Self { place: place.clone(), opened: now, inner: Mutex::new(inner) }, trouble)
    }

    /// Opens the store to look at what it knows, and makes or sets aside nothing; `None` if there is none. A file of an
    /// older hearth is brought up to date, as by any other process.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn open_existing(place: &StorePlace, now: Duration) -> Result<Option<Self>, Trouble> {
        let file = match open::look(place) {
            open::Found::Ready(file) => file,
            open::Found::Missing => return Ok(None),
            open::Found::Trouble(trouble) => return Err(trouble),
            open::Found::Corrupt(reason) => {
                return Err(Trouble::at(&place.file(), TroubleKind::Corrupt, &reason));
            }
            open::Found::Older(..) => match open::open(place, now) {
                (Some(file), None) => file,
                (_, Some(trouble)) => return Err(trouble),
                (None, None) => return Ok(None),
            },
        };
        let inner = Inner { file: Some(file), troubled: false, trouble: None };
        Ok(Some(Self { place: place.clone(), opened: now, inner: Mutex::new(inner) }))
    }

    /// Makes a store that knows nothing and keeps nothing.
    pub fn void() -> Self {
        let place = StorePlace::new("/nonexistent", Sharing::Owner);
        let inner = Inner { file: None, troubled: true, trouble: None };
        Self { place, opened: Duration::ZERO, inner: Mutex::new(inner) }
    }

    /// Returns whether facts are kept.
    pub fn is_working(&self) -> bool {
        self.inner().file.is_some()
    }

    /// Returns what went wrong since it was opened, once.
    pub fn trouble(&self) -> Option<Trouble> {
        self.inner().trouble.take()
    }

    /// Returns where it is and by which parameters.
    pub fn place(&self) -> &StorePlace {
        &self.place
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the file; `T::default()` is what a store answers that knows nothing.
    fn read<T: Default>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        let mut inner = self.inner();
        let Some(file) = &inner.file else { return T::default() };
        ask(&file.db).unwrap_or_else(|error| {
            inner.fail(&self.place, &error, self.opened);
            T::default()
        })
    }

    /// Changes the file, all or nothing. `None`: nothing was written.
    fn write<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut inner = self.inner();
        let file = inner.file.as_ref()?;
        match in_transaction(&file.db, change) {
            Ok(done) => Some(done),
            Err(error) => {
                inner.fail(&self.place, &error, self.opened);
                None
            }
        }
    }
}

impl Inner {
    /// Decides what an error means for the rest of the process.
    fn fail(&mut self, place: &StorePlace, error: &rusqlite::Error, now: Duration) {
        let mut trouble = Trouble::of(place, error);
        match (trouble.kind, &self.file) {
            // Later calls wait for what other processes usually take, no longer for one that hangs.
            (TroubleKind::Locked, Some(file)) => drop(file.db.busy_timeout(place.patience / 10)),
            (TroubleKind::Full, _) => {}
            (TroubleKind::Corrupt, Some(file)) => {
                let inode = file.inode;
                self.file = None;
                trouble = make::set_aside_later(place, inode, now, trouble);
            }
            _ => self.file = None,
        }
        if !self.troubled {
            self.troubled = true;
            self.trouble = Some(trouble);
        }
    }
}

fn in_transaction<T>(
    db: &Connection,
    change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let done = change(db).and_then(|done| db.execute_batch("COMMIT").map(|()| done));
    if done.is_err() && !db.is_autocommit() {
        // The error that counts is the first one; a file that cannot even roll back does so when it is opened next.
        let _ = db.execute_batch("ROLLBACK");
    }
    done
}
