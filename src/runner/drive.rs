//! The life of a job: attempts of config and prepare, the stages, cleanup.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::AttemptDir;
use super::config::DriverConfig;
use super::job::JobDescription;
use super::layout::Layout;
use super::payload::response_json;
use super::process::Exit;
use super::report::{CallReport, FailureClass, JobFailure, JobOutcome, JobReport};
use super::trouble::{Cancel, Canceller, Pace, Trouble};
use super::variables::{JobStatus, git_strategy};

/// How often config and prepare are tried.
const ATTEMPTS: u32 = 3;

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
        let mut session = Session::new(self, job, events);
        session.run().await;
        session.into_report()
    }
}

/// Why a job does not go on.
pub(super) enum Break {
    /// It failed; what the runner does next depends on where.
    Failed(JobFailure),
    /// Whatever failed, only cleanup follows.
    Over(JobFailure),
    /// The runner is gone.
    Abandoned,
}

/// A job on its way.
pub(super) struct Session<'a> {
    pub(super) setup: &'a StandIn,
    pub(super) job: &'a JobDescription,
    pub(super) events: &'a mut dyn Events,
    pub(super) troubles: Vec<Trouble>,
    pub(super) attempt: u32,
    pub(super) dir: Option<AttemptDir>,
    pub(super) config: DriverConfig,
    pub(super) layout: Layout,
    pub(super) status: JobStatus,
    pub(super) deadline: Instant,
    pub(super) calls: Vec<CallReport>,
    started: Instant,
    outcome: JobOutcome,
}

impl<'a> Session<'a> {
    fn new(setup: &'a StandIn, job: &'a JobDescription, events: &'a mut dyn Events) -> Self {
        let started = Instant::now();
        Self {
            setup,
            job,
            events,
            troubles: setup.troubles.clone(),
            attempt: 0,
            dir: None,
            config: DriverConfig::default(),
            layout: Layout::default(),
            status: JobStatus::Running,
            deadline: started + job.timeouts.job,
            calls: Vec::new(),
            started,
            outcome: JobOutcome::Success,
        }
    }

    fn into_report(self) -> JobReport {
        let took = self.started.elapsed();
        JobReport { outcome: self.outcome, attempts: self.attempt, calls: self.calls, took }
    }

    async fn run(&mut self) {
        self.say(&format!("Running with gitlab-runner {} (a stand-in)\n", self.job.version));
        let result = match self.prepare().await {
            Ok(()) => {
                let result = self.stages().await;
                if !matches!(result, Err(Break::Abandoned)) {
                    self.cleanup().await;
                }
                result
            }
            failed => failed,
        };
        let result = if self.gone() { Err(Break::Abandoned) } else { result };
        self.outcome = match result {
            Ok(()) => JobOutcome::Success,
            Err(Break::Failed(failure) | Break::Over(failure)) => JobOutcome::Failed(failure),
            Err(Break::Abandoned) => JobOutcome::Abandoned,
        };
        self.say_outcome();
    }

    /// Tries config and prepare until they go well. After each failure its own cleanup has run.
    async fn prepare(&mut self) -> Result<(), Break> {
        self.title("Preparing the \"custom\" executor");
        loop {
            self.attempt += 1;
            let failure = match self.prepare_once().await {
                Err(Break::Failed(failure)) => failure,
                other => {
                    if let Err(Break::Over(_)) = other {
                        self.cleanup().await;
                    }
                    return other;
                }
            };
            self.cleanup().await;
            if failure.class != FailureClass::System {
                return Err(Break::Failed(failure));
            }
            self.interrupted()?;
            let pause = self.job.timeouts.prepare_retry;
            self.error(&format!("Preparation failed: {}", failure.message));
            self.say(&format!("Will be retried in {}s ...\n", pause.as_secs()));
            self.pause(pause).await?;
            if self.attempt == ATTEMPTS {
                return Err(Break::Failed(failure));
            }
        }
    }

    async fn prepare_once(&mut self) -> Result<(), Break> {
        self.config = DriverConfig::default();
        let dir = AttemptDir::new(&self.setup.temp_root, &response_json(self.job));
        self.dir = Some(dir.map_err(|error| failed(format!("creating the attempt's directory: {error}")))?);
        let printed = self.call_config().await?;
        self.config = DriverConfig::parse(&printed).map_err(failed)?;
        self.layout = Layout::new(self.job, &self.config, git_strategy(self.job)).ok_or_else(|| {
            let message = "builds_dir or cache_dir is not configured".to_owned();
            Break::Failed(JobFailure { class: FailureClass::Configuration, exit_code: None, message })
        })?;
        if let Some(line) = self.config.driver_line() {
            self.say(&format!("Using Custom executor with driver {line}...\n"));
        }
        self.call_prepare().await
    }

    /// Runs the attempt's cleanup and removes its directory. What comes of it changes nothing but the log.
    async fn cleanup(&mut self) {
        if self.dir.is_none() {
            return;
        }
        if let Err(problem) = self.call_cleanup().await {
            self.warn(&format!("Cleanup script failed: {problem}"));
        }
        let dir = self.dir.take().filter(|_| !self.gone());
        if let Some(Err(error)) = dir.map(AttemptDir::remove) {
            self.warn(&format!("the attempt's directory was not removed: {error}"));
        }
    }

    /// Says whether the runner vanished during the last call.
    fn gone(&self) -> bool {
        self.calls.last().is_some_and(|call| call.exit == Exit::Unknown)
    }

    /// Fails when the job was cancelled or ran out of time since the last call.
    pub(super) fn interrupted(&self) -> Result<(), Break> {
        if self.setup.canceller.level() >= Cancel::Graceful {
            return Err(Break::Over(self.canceled()));
        }
        if Instant::now() >= self.deadline {
            return Err(Break::Over(self.timed_out()));
        }
        Ok(())
    }

    pub(super) async fn pause(&self, pause: Duration) -> Result<(), Break> {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tokio::time::sleep_until(self.deadline) => {}
            () = self.setup.canceller.reached(Cancel::Graceful) => {}
        }
        self.interrupted()
    }

    pub(super) fn canceled(&self) -> JobFailure {
        JobFailure { class: FailureClass::Canceled, exit_code: None, message: "canceled".to_owned() }
    }

    pub(super) fn timed_out(&self) -> JobFailure {
        let message = format!("execution took longer than {}s seconds", self.job.timeouts.job.as_secs());
        JobFailure { class: FailureClass::Timeout, exit_code: None, message }
    }

    pub(super) fn job_env(&self) -> BTreeMap<String, String> {
        self.config.job_env.clone().unwrap_or_default()
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.as_ref().map_or(&self.setup.temp_root, |dir| dir.path())
    }

    pub(super) fn title(&mut self, title: &str) {
        self.say(&format!("\x1b[0K\x1b[36;1m{title}\x1b[0;m\n"));
    }

    pub(super) fn warn(&mut self, text: &str) {
        self.say(&format!("\x1b[0;33mWARNING: {text}\x1b[0;m\n"));
    }

    fn error(&mut self, text: &str) {
        self.say(&format!("\x1b[31;1mERROR: {text}\x1b[0;m\n"));
    }

    pub(super) fn say(&mut self, text: &str) {
        self.events.log(text.as_bytes());
    }

    fn say_outcome(&mut self) {
        match self.outcome.clone() {
            JobOutcome::Success => self.say("\x1b[32;1mJob succeeded\x1b[0;m\n"),
            JobOutcome::Failed(failure) => {
                let kind = if failure.class == FailureClass::System { " (system failure)" } else { "" };
                self.error(&format!("Job failed{kind}: {}", failure.message));
            }
            JobOutcome::Abandoned => {}
        }
    }
}

/// Makes a failure that is the system's.
pub(super) fn failed(message: impl Into<String>) -> Break {
    Break::Failed(JobFailure::system(message))
}

#[cfg(test)]
mod tests;
