//! Who vouches for a job: the process of its runner. Everything of a job that is not kept carries it as a label, so that
//! what a dead runner left behind can be told from what a living one uses.

use std::fmt;
use std::time::Duration;

use crate::moment::{Liveness, Moment, Process};

/// The label whose value is an [`Owner`] as text.
pub const LABEL_OWNER: &str = "hearth.owner";
/// How long a job without a time limit may take.
const USUAL_TIMEOUT: Duration = Duration::from_secs(3600);
/// How much longer than its time limit a job is believed to live: cleanup comes after it.
const MARGIN: Duration = Duration::from_secs(600);

/// The runner of a job, and until when it is believed to see to that job.
///
/// As text it is `PID/START/BOOT/WALL/UPTIME/LASTS/SPACE`, times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// The runner's process.
    pub process: Process,
    /// When the job was prepared.
    pub made: Moment,
    /// How long the job lasts at most after that.
    pub lasts: Duration,
}

impl Owner {
    /// Makes the owner of a job with this time limit.
    pub fn new(process: Process, made: Moment, timeout: Option<Duration>) -> Self {
        Self { process, made, lasts: timeout.unwrap_or(USUAL_TIMEOUT).saturating_add(MARGIN) }
    }

    /// Reads the value of [`LABEL_OWNER`]; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let [pid, started, boot_id, wall, boot, lasts, space] = parts[..] else { return None };
        let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
        let process =
            Process { pid: pid.parse().ok()?, started: started.parse().ok()?, space: space.parse().ok()? };
        let made = Moment { wall: seconds(wall)?, boot: seconds(boot)?, boot_id: boot_id.to_owned() };
        Some(Self { process, made, lasts: seconds(lasts)? })
    }

    /// Returns whether the job may still be under way: it is the same boot, its time is not over, and its runner is not
    /// known to be gone.
    pub fn lives(&self, now: &Moment, is: impl Fn(Process) -> Liveness) -> bool {
        now.since(&self.made).is_some_and(|since| since <= self.lasts) && is(self.process) != Liveness::Gone
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process: Process { pid, started, space }, made, lasts } = self;
        let (wall, boot, lasts) = (made.wall.as_secs(), made.boot.as_secs(), lasts.as_secs());
        write!(f, "{pid}/{started}/{}/{wall}/{boot}/{lasts}/{space}", made.boot_id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Owner;
    use crate::moment::{Liveness, Moment, Process};

    const WEEKS: u64 = 21 * 24 * 3600;

    fn at(wall: u64, boot: u64, boot_id: &str) -> Moment {
        Moment {
            wall: Duration::from_secs(wall),
            boot: Duration::from_secs(boot),
            boot_id: boot_id.to_owned(),
        }
    }

    fn owner() -> Owner {
        let process = Process { pid: 40, started: 777, space: 4_026_531_836 };
        Owner::new(process, at(1_000_000_000, 5000, "0f-1a"), Some(Duration::from_secs(1800)))
    }

    #[test]
    fn an_owner_is_read_back_from_its_label() {
        for owner in [owner(), Owner::new(Process::default(), at(7, 0, ""), None)] {
            assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
        }
        assert_eq!(owner().to_string(), "40/777/0f-1a/1000000000/5000/2400/4026531836");
    }

    #[test]
    fn what_is_no_owner_is_none() {
        for text in
            ["", "40", "40/777", "x/777/a/1/2/3/4", "40/777/a/1/2/3", "40/777/a/1/2/3/4/5", "-1/1/a/1/2/3/4"]
        {
            assert_eq!(Owner::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_job_lives_as_long_as_its_runner_within_its_time_in_its_boot() {
        let (runs, gone, unknown) = (|_| Liveness::Runs, |_| Liveness::Gone, |_: Process| Liveness::Unknown);
        let owner = owner();
        assert!(owner.lives(&at(1_000_001_000, 6000, "0f-1a"), runs));
        assert!(owner.lives(&at(1_000_001_000, 6000, "0f-1a"), unknown));
        assert!(!owner.lives(&at(1_000_001_000, 6000, "0f-1a"), gone));
        assert!(!owner.lives(&at(1_000_002_401, 7401, "0f-1a"), runs));
        assert!(!owner.lives(&at(1_000_000_100, 100, "another"), runs));
        assert!(owner.lives(&at(1_000_000_000, 5000, "0f-1a"), |process| {
            assert_eq!(process, owner.process);
            Liveness::Runs
        }));
    }

    #[test]
    fn a_wall_clock_that_steps_by_weeks_ends_no_job() {
        for wall in [1_000_000_000 - WEEKS, 1_000_000_000 + WEEKS] {
            assert!(owner().lives(&at(wall, 5100, "0f-1a"), |_| Liveness::Runs));
            assert!(!owner().lives(&at(wall, 7500, "0f-1a"), |_| Liveness::Runs));
        }
    }

    #[test]
    fn a_job_without_a_limit_has_an_hour_and_time_for_its_cleanup() {
        assert_eq!(Owner::new(Process::default(), Moment::default(), None).lasts, Duration::from_secs(4200));
        let endless = Owner::new(Process::default(), Moment::default(), Some(Duration::MAX));
        assert_eq!(endless.lasts, Duration::MAX);
    }
}
