//! One moment on all clocks of a host, and a process that cannot be mistaken for a later one with its number.
//!
//! Boards often have no battery behind their clock: the wall clock steps by days when the network comes. How long
//! something has lasted is therefore read from the clock that counts from boot, as long as it is the same boot.

use std::time::Duration;

/// One moment on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moment {
    /// Time since the epoch.
    pub wall: Duration,
    /// Time since boot, sleep included.
    pub boot: Duration,
    /// Which boot; empty where the system does not say.
    pub boot_id: String,
}

impl Moment {
    /// Returns the time since an earlier moment; a clock that stepped back says zero. `None` for another boot: whatever
    /// ran then is over.
    pub fn since(&self, earlier: &Self) -> Option<Duration> {
        if self.boot_id.is_empty() || earlier.boot_id.is_empty() {
            return Some(self.wall.saturating_sub(earlier.wall));
        }
        (self.boot_id == earlier.boot_id).then(|| self.boot.saturating_sub(earlier.boot))
    }
}

/// A process of one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in the system's own unit (on Linux clock ticks after boot); 0 where that is not known.
    pub started: u64,
    /// In which container's numbering that is (on Linux the number of a PID namespace); 0 where that is not known.
    pub space: u64,
}

/// What can be said of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Runs,
    /// It has ended.
    Gone,
    /// It cannot be seen from here.
    Unknown,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Moment;

    fn moment(wall: u64, boot: u64, boot_id: &str) -> Moment {
        Moment {
            wall: Duration::from_secs(wall),
            boot: Duration::from_secs(boot),
            boot_id: boot_id.to_owned(),
        }
    }

    #[test]
    fn time_is_read_from_the_clock_of_the_boot_and_never_runs_backwards() {
        let taken = moment(1_000_000, 50, "a");
        assert_eq!(moment(9, 60, "a").since(&taken), Some(Duration::from_secs(10)));
        assert_eq!(moment(9_000_000, 40, "a").since(&taken), Some(Duration::ZERO));
        assert_eq!(moment(1_000_001, 51, "b").since(&taken), None);
    }

    #[test]
    fn where_the_boot_is_not_known_the_wall_clock_has_to_do() {
        assert_eq!(moment(30, 0, "").since(&moment(10, 0, "a")), Some(Duration::from_secs(20)));
        assert_eq!(moment(5, 0, "").since(&moment(10, 0, "")), Some(Duration::ZERO));
    }
}
