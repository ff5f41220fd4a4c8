//! How long what was brought ahead waits for its job before it counts like everything else.

use super::super::snapshot::Claim;
use super::candidate::{Candidate, Demand};

/// Seconds for which what comes at no certain time waits: until the day's rhythm has come around.
const DAY: f64 = 24.0 * 3600.0;
/// Seconds beyond a time that was foreseen, or for which a pipeline that has begun is waited for.
const LATE: f64 = 3600.0;

/// Returns what to announce of a candidate that is being brought. After the time and its grace the image may go again; what
/// it was announced for then counts like a use that fades.
pub fn claim(candidate: &Candidate, now: f64) -> Claim {
    match candidate.demand {
        Demand::At(at) if at.is_finite() => Claim { at: at.max(now), grace: LATE },
        Demand::Soon(_) => Claim { at: now, grace: LATE },
        Demand::Rate(_) | Demand::At(_) | Demand::Listed => Claim { at: now, grace: DAY },
    }
}
