//! The four kinds of driver call, and what their ends mean.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::drive::{Break, Session, failed};
use super::environment::{Surroundings, call_environment};
use super::process::{Call, CallEnd, Exit, Guard, Stop, Stream, run};
use super::report::{CallReport, JobFailure};
use super::stage::Stage;
use super::trouble::{Cancel, Watcher};

/// Where the output of a call goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// Both streams into the job log.
    JobLog,
    /// Standard output is kept, the other goes into the job log.
    Kept,
    /// Both into the runner's log.
    RunnerLog,
}

/// What sets one kind of call apart from the others.
struct Kind<'a> {
    name: &'a str,
    args: Vec<OsString>,
    /// Its own time limit.
    limit: Option<Duration>,
    /// Whether the job's time limit stops it.
    in_job: bool,
    cancel_from: Option<Cancel>,
    output: Output,
}

impl Session<'_> {
    pub(super) async fn call_config(&mut self) -> Result<Vec<u8>, Break> {
        let kind = Kind {
            name: "config",
            args: self.setup.driver.config_args.clone(),
            limit: Some(self.job.timeouts.config),
            in_job: true,
            cancel_from: Some(Cancel::Graceful),
            output: Output::Kept,
        };
        let (end, printed) = self.call(kind).await;
        self.judge_preparation(&end)?;
        Ok(printed)
    }

    pub(super) async fn call_prepare(&mut self) -> Result<(), Break> {
        let kind = Kind {
            name: "prepare",
            args: self.setup.driver.prepare_args.clone(),
            limit: Some(self.job.timeouts.prepare),
            in_job: true,
            cancel_from: Some(Cancel::Graceful),
            output: Output::JobLog,
        };
        let (end, _) = self.call(kind).await;
        self.judge_preparation(&end)
    }

    /// Runs the script of a stage.
    pub(super) async fn call_run(&mut self, stage: &Stage, script: &Path) -> Result<(), Break> {
        let mut args = self.setup.driver.run_args.clone();
        args.extend([script.as_os_str().to_owned(), stage.name().into()]);
        let timeouts = &self.job.timeouts;
        let limit = match stage {
            Stage::BuildScript | Stage::Step(_) => timeouts.script,
            Stage::AfterScript => Some(timeouts.after_script),
            _ => None,
        };
        let late = stage.comes_after_script();
        let cancel_from = Some(if late { Cancel::Hard } else { Cancel::Graceful });
        let name = stage.name();
        let kind = Kind { name: &name, args, limit, in_job: true, cancel_from, output: Output::JobLog };
        let (end, _) = self.call(kind).await;
        self.judge_stage(stage, &end)
    }

    /// Runs cleanup; the error is a text for the log.
    pub(super) async fn call_cleanup(&mut self) -> Result<(), String> {
        let kind = Kind {
            name: "cleanup",
            args: self.setup.driver.cleanup_args.clone(),
            limit: Some(self.job.timeouts.cleanup),
            in_job: false,
            cancel_from: None,
            output: Output::RunnerLog,
        };
        let (end, _) = self.call(kind).await;
        if end.exit == Exit::Code(0) { Ok(()) } else { Err(describe(&end.exit)) }
    }

    async fn call(&mut self, kind: Kind<'_>) -> (CallEnd, Vec<u8>) {
        let (setup, job) = (self.setup, self.job);
        let job_env = self.job_env();
        let around = Surroundings {
            inherited: &setup.inherited,
            temp_dir: self.dir(),
            job_env: &job_env,
            layout: &self.layout,
            status: self.status,
        };
        let env = call_environment(job, around);
        let call = Call {
            program: setup.driver.program.clone().into(),
            args: kind.args,
            env,
            dir: self.dir().into(),
        };
        let due = self.troubles.extract_if(.., |trouble| trouble.call == kind.name);
        let watcher = Watcher::new(due.map(|trouble| (trouble.at, trouble.what)).collect());
        let mut deadlines = Vec::new();
        deadlines.extend(kind.in_job.then_some((self.deadline, Stop::JobTimeout)));
        deadlines.extend(kind.limit.map(|limit| (Instant::now() + limit, Stop::CallTimeout)));
        let guard = Guard {
            deadlines,
            canceller: setup.canceller.clone(),
            cancel_from: kind.cancel_from,
            watcher,
            pace: setup.pace,
            graceful: job.timeouts.graceful_kill,
            force: job.timeouts.force_kill,
        };
        self.events.call_starts(kind.name);
        let mut kept = Vec::new();
        let events = &mut *self.events;
        let end = run(&call, guard, &mut |stream, bytes| match (kind.output, stream) {
            (Output::Kept, Stream::Stdout) => kept.extend_from_slice(bytes),
            (Output::RunnerLog, _) => events.runner_log(bytes),
            (Output::Kept | Output::JobLog, _) => events.log(bytes),
        })
        .await;
        let report = CallReport {
            name: kind.name.to_owned(),
            attempt: self.attempt,
            exit: end.exit.clone(),
            stopped: end.stop,
            took: end.took,
        };
        self.events.call_ends(&report);
        self.calls.push(report);
        (end, kept)
    }

    /// What the end of config or prepare means: here the exit code counts first, even after a signal.
    fn judge_preparation(&self, end: &CallEnd) -> Result<(), Break> {
        match (&end.exit, end.stop) {
            (Exit::Unknown, _) => Err(Break::Abandoned),
            (Exit::Code(0), _) => self.interrupted(),
            (Exit::Code(1), _) => Err(self.build_failure()),
            (_, Some(Stop::Canceled)) => Err(Break::Over(self.canceled())),
            (_, Some(Stop::JobTimeout)) => Err(Break::Over(self.timed_out())),
            (exit, Some(Stop::CallTimeout) | None) => Err(failed(describe(exit))),
        }
    }

    /// What the end of a run stage means: once the runner has stopped it, its exit code does not count.
    fn judge_stage(&self, stage: &Stage, end: &CallEnd) -> Result<(), Break> {
        match (&end.exit, end.stop) {
            (Exit::Unknown, _) => Err(Break::Abandoned),
            (_, Some(Stop::JobTimeout)) => Err(Break::Over(self.timed_out())),
            (_, Some(Stop::Canceled)) => {
                let graceful =
                    self.job.version.since(16, 10) && self.setup.canceller.level() == Cancel::Graceful;
                let failure = self.canceled();
                Err(if graceful && stage.is_user_step() {
                    Break::Failed(failure)
                } else {
                    Break::Over(failure)
                })
            }
            (_, Some(Stop::CallTimeout)) => {
                let mut failure = self.timed_out();
                failure.message = format!("{} timed out", stage.name());
                Err(Break::Failed(failure))
            }
            (Exit::Code(0), None) => Ok(()),
            (Exit::Code(1), None) => Err(self.build_failure()),
            (exit, None) => Err(failed(describe(exit))),
        }
    }

    /// Reads the code that the driver left; a file that cannot be read makes the failure the system's.
    fn build_failure(&self) -> Break {
        let code = match &self.dir {
            Some(dir) if self.job.version.since(17, 9) => dir.exit_code(),
            _ => Ok(None),
        };
        match code {
            Ok(code) => Break::Failed(JobFailure::script(code.unwrap_or(1))),
            Err(_) => failed(describe(&Exit::Code(2))),
        }
    }
}

/// Says in the runner's words how a call failed.
fn describe(exit: &Exit) -> String {
    match exit {
        Exit::Code(2) => "exit status 2".to_owned(),
        Exit::Code(code) => format!("unknown Custom executor executable exit code {code}"),
        Exit::Signal(number) => format!("unknown Custom executor executable exit code -1 (signal {number})"),
        Exit::NotStarted(reason) => format!("failed to start command: {reason}"),
        Exit::Dormant => "failed to kill process, likely process is dormant".to_owned(),
        Exit::Unknown => "the runner was gone".to_owned(),
    }
}
