//! How the host stands for what might be brought ahead, as far as store, settings and clocks say.

use std::time::Duration;

use crate::moment::Moment;
use crate::policy::wanted::Host;
use crate::policy::{LocalTime, opens_in};
use crate::settings::{ScanMode, Settings};
use crate::store::{Lease, Store};

/// What names of leases begin with that belong to no job, but to what is brought ahead.
pub const LEASES: &str = "hearth prefetch";

/// Says how the host stands. `local` is the time on its wall, `month` when its calendar month began, and `lives` whether
/// the owner of a lease may still run.
pub fn host(
    store: &Store,
    settings: &Settings,
    now: &Moment,
    (local, month): (LocalTime, Duration),
    lives: impl Fn(&Lease) -> bool,
) -> Host {
    let prefetch = &settings.prefetch;
    let of_job = |lease: &Lease| !lease.job.starts_with(LEASES) && lives(lease);
    Host {
        idle: !store.leases(now).iter().any(of_job),
        preparing: false,
        window_opens: match opens_in(&prefetch.windows, local) {
            Some(Duration::ZERO) => None,
            Some(opens) => Some((now.wall + opens).as_secs_f64()),
            None => Some(f64::INFINITY),
        },
        month_left: prefetch.monthly.map(|limit| limit.0.saturating_sub(store.ahead_bytes(month))),
        pipeline_left: None,
        scans_beside: prefetch.scan == ScanMode::Beside,
        backed_off_until: None,
    }
}
