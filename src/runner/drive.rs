//! The life of a job: attempts of config and prepare, the stages, cleanup.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::AttemptDir;
use super::config::DriverConfig;
use super::job::JobDescription;
use super::layout::Layout;
use super::payload::response_json;
use super::process::Exit;
use super::report::{CallReport, FailureClass, JobFailure, JobOutcome, JobReport};
use super::stand_in::{Events, StandIn};
use super::trouble::{Cancel, Trouble};
use super::variables::{JobStatus, git_strategy};

/// How often config and prepare are tried.
const ATTEMPTS: u32 = 3;

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
    pub(super) fn new(setup: &'a StandIn, job: &'a JobDescription, events: &'a mut dyn Events) -> Self {
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

    /// Runs the job from start to end.
    pub(super) async fn run(mut self) -> JobReport {
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
        let took = self.started.elapsed();
        JobReport { outcome: self.outcome, attempts: self.attempt, calls: self.calls, took }
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
