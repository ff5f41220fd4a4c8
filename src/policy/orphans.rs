//! What dead jobs left behind: of all that jobs made on the engine, what nobody will ever remove.

use std::fmt;
use std::time::Duration;

use crate::job::owner::Owner;
use crate::moment::{Liveness, Moment, Process};

/// Something that a job made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Made {
    /// The job's key; `None`: it is no job's own, as a volume that later jobs use too.
    pub job: Option<String>,
    /// Who vouches for the job; `None`: an older version made it.
    pub owner: Option<Owner>,
    /// Whether it outlives the job.
    pub kept: bool,
    /// When it was made, since the epoch by the engine's clock; `None`: not known.
    pub at: Option<Duration>,
}

/// By what it is judged who is dead.
pub struct Judge<'a> {
    /// The time on all clocks.
    pub now: &'a Moment,
    /// What is known of a process.
    pub is: &'a dyn Fn(Process) -> Liveness,
    /// Whether the wall clock may be believed.
    pub clock_believed: bool,
    /// After which time no job lives any more.
    pub longest_job: Duration,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphaned {
    /// The job's runner has ended.
    RunnerGone,
    /// The host was started anew since.
    OtherBoot,
    /// The job's time limit is over.
    TimeOver,
    /// It is older than any job, and nothing says whose it is.
    Old,
}

impl fmt::Display for Orphaned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RunnerGone => "its runner has ended",
            Self::OtherBoot => "the host was started anew since",
            Self::TimeOver => "its job's time is over",
            Self::Old => "it is older than any job",
        })
    }
}

impl Judge<'_> {
    /// Says why something is an orphan; `None`: it stays. What a job is making just now has an owner that lives.
    pub fn orphaned(&self, made: &Made) -> Option<Orphaned> {
        made.job.as_ref().filter(|_| !made.kept)?;
        match &made.owner {
            Some(owner) => self.owner_died(owner),
            None => {
                let age = self.now.wall.checked_sub(made.at?)?;
                (self.clock_believed && age > self.longest_job).then_some(Orphaned::Old)
            }
        }
    }

    fn owner_died(&self, owner: &Owner) -> Option<Orphaned> {
        // Where the boot is not known, its time is the wall clock's.
        let timed_by_boot = !self.now.boot_id.is_empty() && !owner.made.boot_id.is_empty();
        let by_clock = timed_by_boot || self.clock_believed;
        match self.now.since(&owner.made) {
            None => Some(Orphaned::OtherBoot),
            Some(_) if (self.is)(owner.process) == Liveness::Gone => Some(Orphaned::RunnerGone),
            Some(since) if by_clock && since > owner.lasts.min(self.longest_job) => Some(Orphaned::TimeOver),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Judge, Made, Orphaned};
    use crate::job::owner::Owner;
    use crate::moment::{Liveness, Moment, Process};

    const HOUR: u64 = 3600;
    const WEEKS: u64 = 21 * 24 * HOUR;
    /// When the job was made.
    const THEN: u64 = 100 * WEEKS;

    fn at(wall: u64, boot: u64, boot_id: &str) -> Moment {
        Moment {
            wall: Duration::from_secs(wall),
            boot: Duration::from_secs(boot),
            boot_id: boot_id.to_owned(),
        }
    }

    fn made(owner: Option<Owner>) -> Made {
        Made { job: Some("j".to_owned()), owner, kept: false, at: Some(Duration::from_secs(THEN)) }
    }

    fn owned(boot_id: &str) -> Made {
        let process = Process { pid: 7, started: 9, ..Process::default() };
        made(Some(Owner::new(process, at(THEN, 1000, boot_id), Some(Duration::from_secs(HOUR)))))
    }

    fn judged(made: &Made, now: &Moment, is: Liveness, clock_believed: bool) -> Option<Orphaned> {
        let longest_job = Duration::from_secs(24 * HOUR);
        Judge { now, is: &|_| is, clock_believed, longest_job }.orphaned(made)
    }

    #[test]
    fn what_has_a_living_owner_stays_and_what_has_a_dead_one_goes() {
        let now = at(THEN + 60, 1060, "a");
        for (is, verdict) in
            [(Liveness::Runs, None), (Liveness::Unknown, None), (Liveness::Gone, Some(Orphaned::RunnerGone))]
        {
            for believed in [true, false] {
                assert_eq!(judged(&owned("a"), &now, is, believed), verdict, "{is:?} {believed}");
            }
        }
        let later = at(THEN, 90, "b");
        assert_eq!(judged(&owned("a"), &later, Liveness::Runs, false), Some(Orphaned::OtherBoot));
        assert_eq!(judged(&owned("a"), &later, Liveness::Gone, false), Some(Orphaned::OtherBoot));
    }

    #[test]
    fn a_clock_that_jumps_by_weeks_ends_no_job() {
        for wall in [THEN - WEEKS, THEN + WEEKS] {
            for believed in [true, false] {
                assert_eq!(judged(&owned("a"), &at(wall, 1060, "a"), Liveness::Runs, believed), None);
            }
        }
        assert_eq!(
            judged(&owned("a"), &at(THEN, 1000 + 2 * HOUR, "a"), Liveness::Runs, false),
            Some(Orphaned::TimeOver)
        );
    }

    #[test]
    fn where_only_the_wall_clock_tells_the_time_it_has_to_be_believed() {
        let later = at(THEN + WEEKS, 0, "");
        assert_eq!(judged(&owned(""), &later, Liveness::Unknown, false), None);
        assert_eq!(judged(&owned(""), &later, Liveness::Unknown, true), Some(Orphaned::TimeOver));
    }

    #[test]
    fn what_an_older_version_made_goes_once_it_is_older_than_any_job() {
        let verdict =
            |age: u64, believed| judged(&made(None), &at(THEN + age, 5000, "a"), Liveness::Gone, believed);
        assert_eq!(verdict(24 * HOUR, true), None);
        assert_eq!(verdict(24 * HOUR + 1, true), Some(Orphaned::Old));
        assert_eq!(verdict(WEEKS, false), None);
        let ageless = Made { at: None, ..made(None) };
        assert_eq!(judged(&ageless, &at(THEN + WEEKS, 5000, "a"), Liveness::Gone, true), None);
        let ahead = at(THEN - WEEKS, 5000, "a");
        assert_eq!(judged(&made(None), &ahead, Liveness::Gone, true), None);
    }

    #[test]
    fn no_job_lives_longer_than_the_longest_whatever_its_limit_says() {
        let mut endless = owned("a");
        if let Some(owner) = &mut endless.owner {
            owner.lasts = Duration::MAX;
        }
        let now = at(THEN, 1000 + 24 * HOUR, "a");
        assert_eq!(judged(&endless, &now, Liveness::Runs, false), None);
        let now = at(THEN, 1001 + 24 * HOUR, "a");
        assert_eq!(judged(&endless, &now, Liveness::Runs, false), Some(Orphaned::TimeOver));
    }

    #[test]
    fn what_is_kept_and_what_is_no_jobs_stays_in_any_case() {
        let now = at(THEN + WEEKS, 5, "b");
        let kept = Made { kept: true, ..owned("a") };
        let foreign = Made { job: None, ..owned("a") };
        for made in [kept, foreign] {
            assert_eq!(judged(&made, &now, Liveness::Gone, true), None);
        }
    }
}
