//! Removals that may have to wait: a run stage may still be dying, a slow disk may still be at an earlier one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::engine::{EngineError, Removal};

/// How long something that is in use is tried again.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Tries again while something is in use; `Ok(false)`: it still is.
pub async fn persist<F, Fut>(remove: F) -> Result<bool, EngineError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Removal, EngineError>>,
{
    let end = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        match remove().await? {
            Removal::Removed | Removal::Gone => return Ok(true),
            Removal::InUse if Instant::now() >= end => return Ok(false),
            Removal::InUse => sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
