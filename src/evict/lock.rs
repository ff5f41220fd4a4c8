//! One evictor at a time on each host.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::store::{Held, Store};

use super::limits::Occasion;

/// The lock's file in the store's directory.
const FILE: &str = "evict.lock";
const STEP: Duration = Duration::from_millis(100);

/// How long a turn waits for another one to end.
fn patience(occasion: &Occasion) -> Duration {
    match occasion {
        // The next tick comes anyway, and the other one does what this one would.
        Occasion::Tick | Occasion::AfterPull => Duration::ZERO,
        // A job waits for this: removals on a slow card take tens of seconds each.
        Occasion::BeforePull { .. } | Occasion::NoSpace { .. } => Duration::from_secs(120),
        Occasion::Ahead { .. } | Occasion::Command => Duration::from_secs(30),
    }
}

/// Takes the evictor's lock; `None`: somebody else has it, or its file cannot be made. Nobody is waited for any more once it
/// `stops`. `waits` is called once if there is
/// somebody to wait for.
pub(super) async fn take(
    store: &Store,
    occasion: &Occasion,
    stops: impl Fn() -> bool,
    mut waits: impl FnMut(),
) -> Option<Held> {
    let until = Instant::now() + patience(occasion);
    let mut told = false;
    loop {
        match Held::take(store.place(), FILE) {
            Ok(Some(held)) => return Some(held),
            Ok(None) if Instant::now() < until && !stops() => {}
            Ok(None) | Err(_) => return None,
        }
        if !told {
            told = true;
            waits();
        }
        sleep(STEP).await;
    }
}
