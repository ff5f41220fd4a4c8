//! What all outer tests share: the machine's parts, and how to say that one is missing.

#![expect(
    clippy::disallowed_methods,
    reason = "tests find the machine's parts by the environment and the clock"
)]

use std::time::SystemTime;

use hearth::engine::endpoint;

/// Says loudly that the test of this thread is skipped.
pub(crate) fn skip(reason: &str) {
    crate::world::skip(std::thread::current().name().unwrap_or("a test"), reason);
}

/// The machine's real parts.
pub(crate) struct Parts {
    /// Where the engine is.
    pub(crate) endpoint: String,
    /// The open registry's address.
    pub(crate) registry: String,
}

impl Parts {
    /// Finds the parts; `None`, after saying so, if they are missing.
    pub(crate) fn find() -> Option<Self> {
        let Ok(registry) = std::env::var("HEARTH_TEST_REGISTRY") else {
            skip("HEARTH_TEST_REGISTRY names no registry");
            return None;
        };
        let host = std::env::var("DOCKER_HOST").ok();
        Some(Self { endpoint: endpoint(None, host.as_deref()), registry })
    }
}

/// Returns the time in seconds after the epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}
