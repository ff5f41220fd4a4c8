//! What the store does not know of: jobs that ran before it began.
//!
//! A store that is new, or that took the place of a damaged one, knows no leases of jobs that run already. Until they are
//! gone nothing is removed.

use std::collections::BTreeSet;

use crate::engine::{ContainerSummary, ObjectSummary};
use crate::job::Owner;
use crate::job::names::LABEL_JOB;
use crate::job::owner::LABEL_OWNER;
use crate::store::{Lease, LeaseKind, Store};

use super::told::Blocked;

/// The jobs that the store did not know when it was looked at first, one a line; empty once they are gone.
const NOTE: &str = "jobs before the store";

/// Says whether there may be jobs that the store does not know.
pub(super) fn stands(store: &Store) -> bool {
    store.note(NOTE).is_none_or(|noted| !noted.is_empty())
}

/// The job that something was made for.
pub(super) fn job_label(object: &ObjectSummary) -> Option<&str> {
    object.labels.get(LABEL_JOB).map(String::as_str)
}

/// What the job of something would have for a lease, by who vouches for it.
pub(super) fn lease_of(object: &ObjectSummary) -> Option<Lease> {
    let Owner { process, made, lasts } = Owner::parse(object.labels.get(LABEL_OWNER)?)?;
    let (job, name) = (job_label(object)?.to_owned(), object.name.clone());
    Some(Lease { job, kind: LeaseKind::Reference, name, taken: made, owner: process, lasts })
}

/// The jobs that have containers.
pub(super) fn jobs_here(containers: &[ContainerSummary]) -> BTreeSet<&str> {
    containers.iter().filter_map(|container| container.labels.get(LABEL_JOB)).map(String::as_str).collect()
}

/// The job's key in the name that leases have for it: the server comes after it.
pub(super) fn job_of(lease: &Lease) -> &str {
    lease.job.split(' ').next().unwrap_or_default()
}

/// Says whether jobs are still there that the store does not know.
pub(super) fn check(store: &Store, jobs: &BTreeSet<&str>, leases: &[Lease]) -> Option<Blocked> {
    let Some(noted) = store.note(NOTE) else {
        let known: BTreeSet<&str> = leases.iter().map(job_of).collect();
        let older: Vec<String> = jobs.difference(&known).map(|job| (*job).to_owned()).collect();
        if !store.set_note(NOTE, &older.join("\n")) {
            return Some(Blocked::NoStore);
        }
        return (!older.is_empty()).then_some(Blocked::OlderJobs(older));
    };
    let left: Vec<String> = noted.lines().filter(|job| jobs.contains(job)).map(str::to_owned).collect();
    if left.is_empty() {
        if !noted.is_empty() && !store.set_note(NOTE, "") {
            return Some(Blocked::NoStore);
        }
        return None;
    }
    Some(Blocked::OlderJobs(left))
}
