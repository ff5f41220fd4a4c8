//! The leases of a job: what it is about to use shall not be removed meanwhile.

use super::begin::Begun;
use crate::fetch::Settled;
use crate::host;
use crate::job::Owner;
use crate::plan::{ImageWish, Wishes};
use crate::store::{Lease, LeaseKind, Store};

/// What all leases of a job have in common.
pub struct Leases {
    job: String,
    owner: Owner,
}

impl Leases {
    /// Makes the leases of a job. The process that vouches for it is the runner, which outlives each stage.
    pub fn of(begun: &Begun) -> Self {
        let owner = Owner::new(host::runner(), host::moment(), begun.job.timeout);
        Self { job: job_of(begun), owner }
    }

    /// Returns who vouches for the job.
    pub fn owner(&self) -> &Owner {
        &self.owner
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
        let Self { job, owner } = self;
        let lease = |name| Lease {
            job: job.clone(),
            kind,
            name,
            taken: owner.made.clone(),
            owner: owner.process,
            lasts: owner.lasts,
        };
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
