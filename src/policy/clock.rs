//! Whether the wall clock may be believed: nothing is removed for its age by one that may be wrong.
//!
//! Boards without a battery behind their clock come up with a wrong time, and jump by weeks when the network comes.

use std::fmt;
use std::time::Duration;

/// Up for so long, a host whose clock nobody sets is believed: it has no network time, and its clock is all there is.
const LONG_UP: Duration = Duration::from_secs(3600);

/// What is known of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockState {
    /// What it says: time since the epoch.
    pub wall: Duration,
    /// Time since boot.
    pub up: Duration,
    /// Whether the system has set it by a time server since boot; `None`: the system does not say.
    pub set: Option<bool>,
}

/// Why the clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It was not set since boot, and that was less than an hour ago.
    NotSet,
    /// It is behind what is on record by so much.
    Behind(Duration),
}

impl ClockState {
    /// Returns why the clock is not believed; `None`: it is. `newest_fact` is the newest time on record.
    pub fn doubt(&self, newest_fact: Option<Duration>) -> Option<Doubt> {
        match newest_fact.filter(|newest| *newest > self.wall) {
            Some(newest) => Some(Doubt::Behind(newest - self.wall)),
            None if self.set == Some(true) || self.up >= LONG_UP => None,
            None => Some(Doubt::NotSet),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet => f.write_str("no time server has set the clock since boot"),
            Self::Behind(by) => {
                write!(f, "the clock is {} behind the newest time on record", span(*by))
            }
        }
    }
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} minutes", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ClockState, Doubt};

    fn clock(wall: u64, up: u64, set: Option<bool>) -> ClockState {
        ClockState { wall: Duration::from_secs(wall), up: Duration::from_secs(up), set }
    }

    #[test]
    fn a_clock_is_believed_once_it_is_set_or_the_host_is_up_for_an_hour() {
        assert_eq!(clock(9, 60, Some(true)).doubt(None), None);
        for unset in [Some(false), None] {
            assert_eq!(clock(9, 3599, unset).doubt(None), Some(Doubt::NotSet));
            assert_eq!(clock(9, 3600, unset).doubt(None), None);
        }
    }

    #[test]
    fn a_clock_behind_the_facts_is_never_believed() {
        let three_weeks = 21 * 86_400;
        let newest = Some(Duration::from_secs(three_weeks + 9));
        let doubt = clock(9, 9_999, Some(true)).doubt(newest);
        assert_eq!(doubt, Some(Doubt::Behind(Duration::from_secs(three_weeks))));
        assert_eq!(
            doubt.map(|doubt| doubt.to_string()).as_deref(),
            Some("the clock is 21 days behind the newest time on record")
        );
        assert_eq!(clock(three_weeks + 9, 9_999, Some(true)).doubt(newest), None);
    }
}
