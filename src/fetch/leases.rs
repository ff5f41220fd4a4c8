//! The leases of a job: what it is about to use shall not be removed meanwhile.
//!
//! Whoever removes an image looks at the leases and says what goes in one transaction, and takes it away after that. A job
//! takes its lease first and looks then: so it is either heeded, or hears of the removal, waits for its end and sees what
//! is left.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::host::Who;
use crate::job::Owner;
use crate::joblog::JobLog;
use crate::moment::Liveness;
use crate::plan::ImageWish;
use crate::store::{Granted, Lease, LeaseKind, Removal, Store};

use super::Settled;

/// The longest that a removal under way is waited for: on a slow card one takes a minute.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it is waited for without a word in the job log.
const SILENCE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The leases of one job.
pub struct Leases {
    job: String,
    owner: Owner,
    who: Who,
    /// [`Granted::changes`] from before what this job relies on was seen.
    changes: Cell<u64>,
}

impl Leases {
    /// Makes the leases of a job, by its text that no other job on this host has.
    pub fn new(job: String, owner: Owner, who: Who) -> Self {
        Self { job, owner, who, changes: Cell::new(0) }
    }

    /// Returns the job's text.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Returns who vouches for the job.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns whose leases they are, and how that process sees others.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Takes them on what is asked for, before anything is looked at, and returns when no removal of it is under way.
    /// `others` are names of other things than images.
    pub async fn on_references<'w>(
        &self,
        store: &Store,
        images: impl Iterator<Item = &'w ImageWish>,
        others: impl Iterator<Item = String>,
        log: &JobLog,
    ) {
        let images: Vec<&ImageWish> = images.collect();
        let names = images.iter().map(|wish| wish.reference.normalized()).chain(others);
        let mut leases: Vec<Lease> = names.map(|name| self.lease(LeaseKind::Reference, name)).collect();
        // What is asked for by digest is that content, whatever else it is called.
        let digests = images.iter().filter_map(|wish| wish.reference.digest().map(str::to_owned));
        leases.extend(digests.map(|name| self.lease(LeaseKind::Content, name)));
        let Granted { under_way, changes } = store.lease(&leases);
        self.changes.set(changes);
        self.until_over(store, under_way, log).await;
    }

    /// Takes them on digests that are about to be fetched, and returns when no removal of them is under way.
    pub async fn on_digests(&self, store: &Store, digests: impl Iterator<Item = &str>, log: &JobLog) {
        let lease = |digest: &str| self.lease(LeaseKind::Content, digest.to_owned());
        let granted = store.lease(&digests.map(lease).collect::<Vec<_>>());
        self.until_over(store, granted.under_way, log).await;
    }

    /// Returns [`Granted::changes`] from before anything was looked at.
    pub fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Takes them on what the job got, before it is used. `None`: it is there, and stays. Else it may have gone since
    /// [`Granted::changes`] were `since`, and has to be looked at again: they are this now.
    pub async fn on_contents(
        &self,
        store: &Store,
        settled: &[Settled],
        since: u64,
        log: &JobLog,
    ) -> Option<u64> {
        let lease = |name: &str| self.lease(LeaseKind::Content, name.to_owned());
        // By its digest, and by what the engine calls it where it knows it by another one or by none.
        let names = settled.iter().flat_map(|one| [one.digest.as_deref(), Some(one.image.facts.id.as_str())]);
        let Granted { under_way, changes } = store.lease(&names.flatten().map(lease).collect::<Vec<_>>());
        let may_be_gone = !under_way.is_empty() || changes != since;
        self.until_over(store, under_way, log).await;
        may_be_gone.then_some(changes)
    }

    fn lease(&self, kind: LeaseKind, name: String) -> Lease {
        let Owner { process, made, lasts } = &self.owner;
        Lease { job: self.job.clone(), kind, name, taken: made.clone(), owner: *process, lasts: *lasts }
    }

    /// Waits for removals, as long as those who do them are alive, and not for ever.
    async fn until_over(&self, store: &Store, mut under_way: Vec<Removal>, log: &JobLog) {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let now = self.who.moment();
            let is_under_way =
                |removal: &Removal| removal.holds(&now) && self.who.liveness(removal.by) != Liveness::Gone;
            under_way.retain(is_under_way);
            if under_way.is_empty() {
                return;
            }
            if began.elapsed() >= PATIENCE {
                log.warn(format!(
                    "WARNING: another process has been removing an image of this job for {} s; it is waited for no longer",
                    PATIENCE.as_secs()
                ));
                return;
            }
            if began.elapsed() >= SILENCE && !std::mem::replace(&mut told, true) {
                log.line(
                    "An image that this job needs is being removed from this host to make room; waiting for the end of that ...",
                );
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let now = store.removals(&self.who.moment());
            under_way.retain(|removal| now.contains(removal));
        }
    }
}
