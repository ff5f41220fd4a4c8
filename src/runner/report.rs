//! What the stand-in tells about a job that is over.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::process::{Exit, Stop};

/// Everything about a job that is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobReport {
    /// How it ended.
    pub outcome: JobOutcome,
    /// How often config and prepare were tried.
    pub attempts: u32,
    /// Every driver call, in order.
    pub calls: Vec<CallReport>,
    /// From the first call to the end of cleanup.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

impl JobReport {
    /// Returns the first call of that name: `config`, `prepare`, `cleanup` or a stage's name.
    pub fn call(&self, name: &str) -> Option<&CallReport> {
        self.calls.iter().find(|call| call.name == name)
    }

    /// Returns the names of all calls, in order.
    pub fn names(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call.name.as_str()).collect()
    }

    /// Says whether the job succeeded.
    pub fn succeeded(&self) -> bool {
        self.outcome == JobOutcome::Success
    }
}

/// One driver call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallReport {
    /// `config`, `prepare`, `cleanup` or a stage's name.
    pub name: String,
    /// Which attempt it belongs to, from 1.
    pub attempt: u32,
    /// How it ended.
    pub exit: Exit,
    /// Why the stand-in stopped it; `None` when it was left alone.
    pub stopped: Option<Stop>,
    /// From its start until it had ended and closed its pipes.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// It went well.
    Success,
    /// It failed.
    Failed(JobFailure),
    /// The runner was gone before the job was over.
    Abandoned,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobFailure {
    /// The kind, as GitLab counts them.
    pub class: FailureClass,
    /// The exit code that GitLab is told; `None` unless a script failed.
    pub exit_code: Option<i32>,
    /// What the log says after "Job failed".
    pub message: String,
}

impl JobFailure {
    pub(super) fn system(message: impl Into<String>) -> Self {
        Self { class: FailureClass::System, exit_code: None, message: message.into() }
    }

    pub(super) fn script(code: i32) -> Self {
        Self { class: FailureClass::Script, exit_code: Some(code), message: format!("exit status {code}") }
    }
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// `script_failure`: the job's fault.
    Script,
    /// `runner_system_failure`: the host's or the driver's fault.
    System,
    /// `job_execution_timeout`.
    Timeout,
    /// Cancelled.
    Canceled,
    /// The runner's own configuration cannot work.
    Configuration,
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}
