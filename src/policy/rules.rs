//! What the operator wants: budgets with their water marks, and what is kept in any case.

use super::score::Score;

const HOUR: f64 = 3600.0;

/// A limit with hysteresis: eviction starts beyond `start` and goes on to `stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Water {
    /// Where eviction starts.
    pub start: u64,
    /// Where it stops.
    pub stop: u64,
}

/// The rules of the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Which rule ranks images.
    pub score: Score,
    /// Bytes that images may take: eviction starts above `start` and stops at `stop` or below. `None` for no limit.
    pub image_bytes: Option<Water>,
    /// Bytes that shall be free: eviction starts below `start` and stops at `stop` or above. `None` for no limit.
    pub free_bytes: Option<Water>,
    /// Inodes that shall be free, in the same way.
    pub free_inodes: Option<Water>,
    /// Seconds for which an image stays after it came.
    pub minimum_age: f64,
    /// Seconds after which an image goes that a build left without a name.
    pub keep_dangling: f64,
    /// Seconds after its last use in which a local build with a name stays; `None` for ever, since it cannot come back.
    pub keep_local: Option<f64>,
    /// Seconds between two looks beyond which the clock is not believed and no time is taken to have passed.
    pub longest_step: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            score: Score::default(),
            image_bytes: None,
            free_bytes: None,
            free_inodes: None,
            // A pull and the job that asked for it are over by then, or the job holds a lease.
            minimum_age: HOUR,
            keep_dangling: 24.0 * HOUR,
            keep_local: None,
            // A host that was off over a weekend ages nothing in its first plan; that costs nothing.
            longest_step: 24.0 * HOUR,
        }
    }
}
