//! Whose leases a job's are.

use super::begin::Begun;
use crate::fetch::Leases;
use crate::host::Who;
use crate::job::Owner;
use crate::store::Store;

/// Makes the leases of a job. The process that vouches for it is the runner, which outlives each stage.
pub fn of(begun: &Begun, who: Who) -> Leases {
    let owner = Owner::new(who.runner, who.moment(), begun.job.timeout);
    Leases::new(job_of(begun), owner, who)
}

/// Drops a job's leases.
pub fn drop_all(store: &Store, begun: &Begun) {
    store.drop_leases(&job_of(begun));
}

/// Returns a text that no other job has: its key and its server.
pub(super) fn job_of(begun: &Begun) -> String {
    format!("{} {}", begun.names.key(), begun.job.server)
}
