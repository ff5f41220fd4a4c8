//! A stand-in for GitLab Runner: drives the four stages of an installed driver as the runner does, without GitLab.
//!
//! It makes the payload, the environment and the stage scripts that the runner would make, starts the driver's
//! processes, and follows the runner's rules for retries, failures, cancels and timeouts. `hearth try` and the demo
//! show jobs with it; tests and the bench also ask it for trouble: a kill at a point, a slow reader, a runner that
//! vanishes. A shell: it knows nothing of engines, and all it knows of the driver is the contract.

mod attempt;
mod call;
mod config;
mod drive;
mod environment;
mod expand;
mod flags;
mod git;
mod http;
mod job;
mod layout;
mod parts;
mod payload;
mod process;
mod report;
mod script;
mod stage;
mod stages;
mod stand_in;
#[cfg(test)]
pub(crate) mod test_dir;
#[cfg(test)]
pub(crate) mod test_host;
mod timeouts;
mod trouble;
mod variables;
mod version;

pub use config::{DriverConfig, DriverName};
pub use environment::{Environment, Surroundings, call_environment};
pub use git::{Git, GitStrategy};
pub use http::{HttpServer, Repository, Served};
pub use job::JobDescription;
pub use layout::Layout;
pub use parts::{Artifacts, Cache, CachePolicy, Credential, Dependency, Image, Service, Variable, When};
pub use payload::response_json;
pub use process::{Exit, Stop};
pub use report::{CallReport, FailureClass, JobFailure, JobOutcome, JobReport};
pub use script::{Scripting, quote};
pub use stage::Stage;
pub use stand_in::{DriverCommand, Events, StandIn, Transcript};
pub use timeouts::Timeouts;
pub use trouble::{Cancel, Canceller, Mishap, Moment, Pace, Trouble};
pub use variables::JobStatus;
pub use version::{BadRunnerVersion, RunnerVersion};
