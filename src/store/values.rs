//! Times and numbers as the file has them.

use std::time::Duration;

use crate::policy::history::Decayed;

/// How far ahead of the clock a time on record may lie. Clocks of one host differ by less; what is further ahead was
/// written by a clock that was wrong.
const AHEAD: i64 = 24 * 3600 * 1000;

/// Milliseconds since the epoch.
pub(super) fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The time of so many milliseconds; negative ones never were.
pub(super) fn time(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

/// The seconds of a duration on record; nonsense counts as none.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// A count as SQLite takes it.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count as it was stored.
pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The later of a time on record and the present, unless the record is from a wrong clock.
pub(super) fn later(stored: i64, now: i64) -> i64 {
    if stored > now.saturating_add(AHEAD) { now } else { stored.max(now) }
}

/// A rate as of `now`, by the rule of [`later`]: a clock that stepped back decays nothing.
pub(super) fn rate_at(value: f64, stored: i64, now: i64, half_life: Duration) -> f64 {
    let value = if value.is_finite() { value.max(0.0) } else { 0.0 };
    decayed(value, stored).at(in_seconds(now), half_life.as_secs_f64().max(1.0))
}

/// A rate as the policy takes it.
pub(super) fn decayed(value: f64, at_ms: i64) -> Decayed {
    Decayed { value, at: in_seconds(at_ms) }
}

fn in_seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
