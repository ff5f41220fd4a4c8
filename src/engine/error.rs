//! What can go wrong between hearth and the engine.

use thiserror::Error;

use crate::outcome::Failure;

/// A failure of the engine or of the way to it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EngineError {
    /// Nothing answers at the endpoint.
    #[error("no container engine answers at {endpoint}: {reason}")]
    Unreachable {
        /// The endpoint tried.
        endpoint: String,
        /// What the system said.
        reason: String,
    },
    /// The endpoint may not be opened by this user.
    #[error("permission denied on the engine's socket {endpoint}")]
    Forbidden {
        /// The endpoint tried.
        endpoint: String,
    },
    /// The engine speaks no version of the API that hearth does.
    #[error("the engine speaks Docker API {found}, hearth needs {minimum} or later")]
    TooOld {
        /// The engine's newest version.
        found: String,
        /// The oldest that serves.
        minimum: String,
    },
    /// The engine takes no version of the API as old as the newest one that hearth speaks.
    #[error("the engine takes Docker API {oldest} or later, hearth speaks up to {newest}")]
    TooNew {
        /// The engine's oldest version.
        oldest: String,
        /// The newest one that hearth speaks.
        newest: String,
    },
    /// The engine did not answer in time.
    #[error("the engine did not answer within {seconds} s ({call})")]
    Timeout {
        /// What was asked.
        call: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke.
    #[error("lost the connection to the engine ({call}): {reason}")]
    Lost {
        /// What was asked.
        call: String,
        /// What the system said.
        reason: String,
    },
    /// The thing asked for does not exist.
    #[error("{message}")]
    NotFound {
        /// The engine's words.
        message: String,
    },
    /// The thing is in a state that forbids it.
    #[error("{message}")]
    Conflict {
        /// The engine's words.
        message: String,
    },
    /// The engine refused or failed.
    #[error("the engine answered {status} to {call}: {message}")]
    Refused {
        /// What was asked.
        call: String,
        /// The HTTP status; 0 for an error inside a stream.
        status: u16,
        /// The engine's words.
        message: String,
    },
}

impl EngineError {
    /// Returns the engine's own words where it answered.
    pub fn words(&self) -> String {
        match self {
            Self::Refused { message, .. } | Self::NotFound { message } | Self::Conflict { message } => {
                message.clone()
            }
            other => other.to_string(),
        }
    }
}

/// An engine that cannot be used is the system's fault; each way has its own advice.
impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let mut failure = Failure::system(error.to_string());
        failure.unanswered = matches!(error, EngineError::Timeout { .. } | EngineError::Lost { .. });
        failure.no_space = super::refusal::is_no_space(&error);
        match error {
            EngineError::Unreachable { .. } => {
                failure.hint("start it (systemctl start docker), or name its socket: [engine] host in hearth's settings")
            }
            EngineError::Forbidden { .. } => {
                failure.hint("add the user that runs gitlab-runner to the group of the socket: usermod -aG docker gitlab-runner, then restart gitlab-runner")
            }
            EngineError::TooOld { .. } => failure.hint("Docker 20.10 and Podman 4.3 are the oldest that serve"),
            EngineError::TooNew { .. } => failure.hint("this engine needs a newer hearth"),
            EngineError::Timeout { .. } => failure.hint("the host may be overloaded; [engine] timeout sets how long hearth waits"),
            EngineError::Lost { .. } => failure.hint("the engine was stopped or restarted while the job ran"),
            EngineError::NotFound { .. } | EngineError::Conflict { .. } | EngineError::Refused { .. } => failure,
        }
    }
}
