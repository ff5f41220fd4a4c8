//! The stand-in itself: how a driver is set up and a job is handed to it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::drive::Session;
use super::job::JobDescription;
use super::report::{CallReport, JobReport};
use super::trouble::{Canceller, Pace, Trouble};

/// How the driver is called: the command lines that an operator writes into the runner's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverCommand {
    /// The executable, absolute.
    pub program: PathBuf,
    /// The arguments of config.
    pub config_args: Vec<OsString>,
    /// The arguments of prepare.
    pub prepare_args: Vec<OsString>,
    /// The arguments of run; script and stage are added.
    pub run_args: Vec<OsString>,
    /// The arguments of cleanup.
    pub cleanup_args: Vec<OsString>,
}

impl DriverCommand {
    /// Makes the command lines of one executable with a subcommand per stage, each followed by the same options.
    pub fn new(program: impl Into<PathBuf>, options: &[OsString]) -> Self {
        let args =
            |stage: &str| std::iter::once(OsString::from(stage)).chain(options.iter().cloned()).collect();
        Self {
            program: program.into(),
            config_args: args("config"),
            prepare_args: args("prepare"),
            run_args: args("run"),
            cleanup_args: args("cleanup"),
        }
    }
}

/// Hears what a job does while it does it. All methods do nothing unless written.
pub trait Events {
    /// Takes bytes of the job log.
    fn log(&mut self, _bytes: &[u8]) {}

    /// Takes bytes of the runner's own log: what cleanup prints.
    fn runner_log(&mut self, _bytes: &[u8]) {}

    /// Hears that a call starts.
    fn call_starts(&mut self, _name: &str) {}

    /// Hears that a call has ended.
    fn call_ends(&mut self, _call: &CallReport) {}
}

/// Keeps what a job says.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    /// The job log.
    pub log: Vec<u8>,
    /// The runner's own log: what cleanup printed.
    pub runner_log: Vec<u8>,
}

impl Transcript {
    /// Returns the job log as text, what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.log).into_owned()
    }
}

impl Events for Transcript {
    fn log(&mut self, bytes: &[u8]) {
        self.log.extend_from_slice(bytes);
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.runner_log.extend_from_slice(bytes);
    }
}

/// The stand-in for GitLab Runner, set up with a driver.
#[derive(Debug, Clone)]
pub struct StandIn {
    pub(super) driver: DriverCommand,
    pub(super) inherited: Vec<(OsString, OsString)>,
    pub(super) temp_root: PathBuf,
    pub(super) canceller: Canceller,
    pub(super) troubles: Vec<Trouble>,
    pub(super) pace: Option<Pace>,
}

impl StandIn {
    /// Makes a stand-in with the environment that a runner process would have, and the directory below which it makes
    /// those of its attempts.
    pub fn new(
        driver: DriverCommand,
        inherited: Vec<(OsString, OsString)>,
        temp_root: impl Into<PathBuf>,
    ) -> Self {
        let (canceller, troubles) = (Canceller::new(), Vec::new());
        Self { driver, inherited, temp_root: temp_root.into(), canceller, troubles, pace: None }
    }

    /// Uses this handle for cancels. Without it only troubles cancel.
    #[must_use]
    pub fn canceller(mut self, canceller: Canceller) -> Self {
        self.canceller = canceller;
        self
    }

    /// Adds trouble.
    #[must_use]
    pub fn trouble(mut self, trouble: Trouble) -> Self {
        self.troubles.push(trouble);
        self
    }

    /// Reads slowly.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = Some(pace);
        self
    }

    /// Runs a job from start to end.
    pub async fn run(&self, job: &JobDescription, events: &mut dyn Events) -> JobReport {
        Session::new(self, job, events).run().await
    }
}
