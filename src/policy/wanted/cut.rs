//! Whether a pull ahead of jobs that runs already gives way to a job's own pull.

use super::rank::USUAL_BYTES;

/// What a second of the link is worth while nobody waits for it, against one that a job waits. What is lost comes again
/// later; but not for nothing, or a large image would never come on a host with many small jobs.
const IDLE_SECOND: f64 = 0.1;

/// How much of what has come is lost if a pull is cut. That is the engine's way to keep images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loses {
    /// All of it.
    All,
    /// This share of it, such as layers that are not complete.
    Part(f64),
    /// None of it.
    Nothing,
}

/// A pull ahead of jobs, under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Running {
    /// Seconds since it began.
    pub seconds_done: f64,
    /// Compressed bytes that have come.
    pub bytes_done: u64,
    /// Compressed bytes of the whole pull; `None` if not known.
    pub bytes_total: Option<u64>,
    /// How much of what has come would be lost.
    pub loses: Loses,
}

/// Says whether to cut a pull for a job's own: only if what it would lose costs less than the job gains. The job has the
/// link for itself then, instead of half of it as long as both pull. `job_bytes` is what the job pulls; `None` if not
/// known: an image as most are. Where the link's speed is not known, that of the pull itself counts.
pub fn cut(running: &Running, job_bytes: Option<u64>, link_bytes_per_second: f64) -> bool {
    let known = |speed: &f64| speed.is_finite() && *speed > 0.0;
    let own = running.bytes_done as f64 / running.seconds_done;
    let speed = Some(link_bytes_per_second).filter(known).or_else(|| Some(own).filter(known)).unwrap_or(1.0);
    let lost = match running.loses {
        Loses::All => 1.0,
        Loses::Part(share) if share.is_nan() => 1.0,
        Loses::Part(share) => share.clamp(0.0, 1.0),
        Loses::Nothing => 0.0,
    };
    let lost_seconds = lost * running.bytes_done as f64 / speed * IDLE_SECOND;
    let left = running.bytes_total.map(|total| total.saturating_sub(running.bytes_done));
    let job = job_bytes.unwrap_or(USUAL_BYTES);
    let gained_seconds = left.map_or(job, |left| left.min(job)) as f64 / speed;
    lost_seconds < gained_seconds
}

#[cfg(test)]
mod tests {
    use super::{Loses, Running, cut};

    const MB: u64 = 1_000_000;

    fn running(done: u64, total: Option<u64>, loses: Loses) -> Running {
        Running {
            seconds_done: done as f64 / 2.5,
            bytes_done: done * MB,
            bytes_total: total.map(|total| total * MB),
            loses,
        }
    }

    #[test]
    fn a_pull_is_cut_only_if_the_job_gains_more_than_it_loses() {
        for (what, running, job, expected) in [
            ("it has only begun", running(5, Some(800), Loses::All), Some(50), true),
            ("a lot would be lost for a small pull", running(700, Some(800), Loses::All), Some(50), false),
            ("the same, but nothing is lost", running(700, Some(800), Loses::Nothing), Some(50), true),
            ("the same, a twentieth is lost", running(700, Some(800), Loses::Part(0.05)), Some(50), true),
            ("it is through in a moment", running(795, Some(800), Loses::All), Some(500), false),
            ("the job's pull is large, too", running(700, Some(1500), Loses::All), Some(500), true),
            ("the job pulls nothing", running(5, Some(800), Loses::Nothing), Some(0), false),
            ("nothing is left to come", running(800, Some(800), Loses::Nothing), Some(50), false),
            ("neither size is known", running(5, None, Loses::All), None, true),
            ("a share that is none", running(700, Some(800), Loses::Part(f64::NAN)), Some(50), false),
        ] {
            for speed in [2.5e6, f64::NAN, 0.0] {
                assert_eq!(cut(&running, job.map(|job| job * MB), speed), expected, "{what} at {speed}");
            }
        }
    }
}
