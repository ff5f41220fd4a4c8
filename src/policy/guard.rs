//! What must stay whatever the disk says, and the clock by which that is judged.

use super::rules::Rules;
use super::snapshot::{Content, Snapshot};

/// Returns the time to judge by. A clock that stepped back, or further ahead than the time between two looks can be, is
/// not believed: then no time has passed since the last look.
pub fn believed_time(snapshot: &Snapshot, rules: &Rules, now: f64) -> f64 {
    match snapshot.looked_at {
        Some(last) if now < last || now - last > rules.longest_step => last,
        _ => now,
    }
}

/// Says whether an image must stay. `now` is the believed time; what came later than that is young.
pub fn must_stay(content: &Content, rules: &Rules, now: f64) -> bool {
    content.pinned
        || content.leased
        || content.running
        || now - content.since < rules.minimum_age
        || content.claims.iter().any(|claim| now <= claim.at + claim.grace)
}

/// Returns what claims count for that were not fulfilled: a use each at its time, fading.
pub fn faded_claims(content: &Content, now: f64, half_life: f64) -> f64 {
    let late = content.claims.iter().map(|claim| now - claim.at).filter(|late| *late > 0.0);
    late.map(|late| (-late / half_life).exp2()).sum()
}
