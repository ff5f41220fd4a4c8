//! Limits of memory, CPUs and processes, for build containers and for services alike.

use super::{Checker, optional, value};
use crate::settings::model::Limits;
use crate::settings::raw::{RawJob, Set};
use crate::settings::values::{Cpus, Maybe};
use crate::settings::words::CpuSet;
use crate::units::ByteSize;

/// Less than this the engine refuses: a container would not even start.
const LEAST_MEMORY: ByteSize = ByteSize(6 << 20);

type Size = Option<Set<Maybe<ByteSize>>>;

/// The keys of one kind of container.
struct Keys<'r> {
    memory: &'r Size,
    swap: &'r Size,
    reservation: &'r Size,
    cpus: &'r Option<Set<Maybe<Cpus>>>,
    cpu_shares: &'r Option<Set<i64>>,
    cpuset_cpus: &'r Option<Set<CpuSet>>,
    pids: &'r Option<Set<i64>>,
}

/// Checks the limits of build and helper containers.
pub(super) fn build_limits(raw: &RawJob, checker: &mut Checker<'_>) -> Limits {
    let keys = Keys {
        memory: &raw.memory,
        swap: &raw.memory_swap,
        reservation: &raw.memory_reservation,
        cpus: &raw.cpus,
        cpu_shares: &raw.cpu_shares,
        cpuset_cpus: &raw.cpuset_cpus,
        pids: &raw.pids_limit,
    };
    limits(&keys, checker)
}

/// Checks the limits of services.
pub(super) fn service_limits(raw: &RawJob, checker: &mut Checker<'_>) -> Limits {
    let keys = Keys {
        memory: &raw.service_memory,
        swap: &raw.service_memory_swap,
        reservation: &raw.service_memory_reservation,
        cpus: &raw.service_cpus,
        cpu_shares: &raw.service_cpu_shares,
        cpuset_cpus: &raw.service_cpuset_cpus,
        pids: &raw.service_pids_limit,
    };
    limits(&keys, checker)
}

fn limits(keys: &Keys<'_>, checker: &mut Checker<'_>) -> Limits {
    let memory = size(keys.memory);
    let swap = size(keys.swap);
    let reservation = size(keys.reservation);
    if let (Some(set), Some(memory)) = (keys.memory, memory)
        && memory < LEAST_MEMORY
    {
        checker.complain(set, format!("{memory} is too little: write at least {LEAST_MEMORY}, such as 512m"));
    }
    if let (Some(set), Some(swap)) = (keys.swap, swap) {
        match memory {
            None => checker.complain(set, "a limit of memory and swap needs a limit of memory too"),
            Some(memory) if swap < memory => checker.complain(
                set,
                format!("{swap} is less than the memory limit of {memory}: the key counts memory and swap together"),
            ),
            Some(_) => {}
        }
    }
    if let (Some(set), Some(reservation), Some(memory)) = (keys.reservation, reservation, memory)
        && reservation > memory
    {
        checker.complain(set, format!("{reservation} is more than the memory limit of {memory}"));
    }
    Limits {
        memory,
        memory_swap: swap,
        memory_reservation: reservation,
        nano_cpus: optional(keys.cpus).map(|cpus| cpus.0),
        cpu_shares: checker.number(keys.cpu_shares, &[0], 2..=262_144, ", or 0 for the engine's own"),
        cpuset_cpus: value(keys.cpuset_cpus).0,
        pids: checker.number(keys.pids, &[0, -1], 1..=4_194_304, ", or -1 for no limit"),
    }
}

fn size(set: &Size) -> Option<ByteSize> {
    optional(set).filter(|size| *size != ByteSize(0))
}
