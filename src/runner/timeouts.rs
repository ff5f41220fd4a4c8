//! How long the stand-in waits.

use std::time::Duration;

/// How long the stand-in waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// The whole job, cleanup excepted.
    pub job: Duration,
    /// Between SIGTERM and SIGKILL. The runner's default is 600 s; this one is what an operator should set.
    pub graceful_kill: Duration,
    /// Between SIGKILL and giving up.
    pub force_kill: Duration,
    /// The pause after a failed attempt of config and prepare.
    pub prepare_retry: Duration,
    /// The pause before get_sources, restore_cache or download_artifacts is tried again.
    pub stage_retry: Duration,
    /// `config_exec_timeout`.
    pub config: Duration,
    /// `prepare_exec_timeout`.
    pub prepare: Duration,
    /// `cleanup_exec_timeout`.
    pub cleanup: Duration,
    /// RUNNER_SCRIPT_TIMEOUT; `None` as by default.
    pub script: Option<Duration>,
    /// RUNNER_AFTER_SCRIPT_TIMEOUT.
    pub after_script: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            job: HOUR,
            graceful_kill: Duration::from_secs(30),
            force_kill: Duration::from_secs(10),
            prepare_retry: Duration::from_secs(3),
            stage_retry: Duration::from_secs(5),
            config: HOUR,
            prepare: HOUR,
            cleanup: HOUR,
            script: None,
            after_script: Duration::from_secs(300),
        }
    }
}
