//! The leases of a job: what it is about to use shall not be removed meanwhile.

use std::time::Duration;

use super::begin::Begun;
use crate::fetch::Settled;
use crate::host;
use crate::moment::{Moment, Process};
use crate::plan::{ImageWish, Wishes};
use crate::store::{Lease, LeaseKind, Store};

/// How long a job without a time limit may take.
const USUAL_TIMEOUT: Duration = Duration::from_secs(3600);
/// How much longer than its time limit a job's leases last: cleanup comes after it.
const MARGIN: Duration = Duration::from_secs(600);

/// What all leases of a job have in common.
pub struct Leases {
    job: String,
    taken: Moment,
    owner: Process,
    lasts: Duration,
}

impl Leases {
    /// Makes the leases of a job. The process that vouches for it is the runner, which outlives each stage.
    pub fn of(begun: &Begun) -> Self {
        let timeout = begun.job.timeout.unwrap_or(USUAL_TIMEOUT);
        Self {
            job: job_of(begun),
            taken: host::moment(),
            owner: host::process(std::os::unix::process::parent_id()).unwrap_or_default(),
            lasts: timeout.saturating_add(MARGIN),
        }
    }

    /// Takes them on what the job asks for, before anything is looked at.
    pub fn on_references(&self, store: &Store, wishes: &Wishes) {
        let services = wishes.services.iter().map(|service| &service.image);
        let all = [&wishes.build, &wishes.helper].into_iter().chain(services);
        self.take(store, LeaseKind::Reference, all.map(|wish: &ImageWish| wish.reference.normalized()));
    }

    /// Takes them on what the job gets, before it is used.
    pub fn on_contents<'s>(&self, store: &Store, settled: impl IntoIterator<Item = &'s Settled>) {
        let digests = settled.into_iter().filter_map(|settled| settled.digest.clone());
        self.take(store, LeaseKind::Content, digests);
    }

    fn take(&self, store: &Store, kind: LeaseKind, names: impl Iterator<Item = String>) {
        let Self { job, taken, owner, lasts } = self;
        let lease =
            |name| Lease { job: job.clone(), kind, name, taken: taken.clone(), owner: *owner, lasts: *lasts };
        store.lease(&names.map(lease).collect::<Vec<_>>());
    }
}

/// Drops a job's leases.
pub fn drop_all(store: &Store, begun: &Begun) {
    store.drop_leases(&job_of(begun));
}

fn job_of(begun: &Begun) -> String {
    format!("{} {}", begun.names.key(), begun.job.server)
}
