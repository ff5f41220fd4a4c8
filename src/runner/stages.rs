//! The run stages in their order, and what follows a failure.

use tokio::time::Instant;

use super::drive::{Break, Session, failed};
use super::report::{FailureClass, JobFailure};
use super::script::Scripting;
use super::stage::Stage;
use super::trouble::Cancel;
use super::variables::{JobStatus, attempts, last};

impl Session<'_> {
    /// Runs all stages. The first failure decides; later stages still run where the runner runs them.
    pub(super) async fn stages(&mut self) -> Result<(), Break> {
        self.interrupted()?;
        self.stage(&Stage::PrepareScript).await?;
        let mut first = self.before_script().await.or_else(going_on)?;
        if first.is_none() {
            self.interrupted()?;
            first = self.user_script().await?;
        }
        let success = first.is_none();
        for stage in [Stage::ArchiveCache { success }, Stage::UploadArtifacts { success }] {
            let failure = self.stage(&stage).await.or_else(going_on)?;
            first = first.or(failure);
        }
        if let Some(failure) = self.stage(&Stage::CleanupFileVariables).await.or_else(going_on)? {
            self.events.runner_log(format!("cleanup_file_variables: {}\n", failure.message).as_bytes());
        }
        first.map_or(Ok(()), |failure| Err(Break::Failed(failure)))
    }

    /// Brings sources, caches and artifacts of earlier jobs, each tried as often as the job says.
    async fn before_script(&mut self) -> Result<Option<JobFailure>, Break> {
        for (stage, count) in [
            (Stage::GetSources, "GET_SOURCES_ATTEMPTS"),
            (Stage::RestoreCache, "RESTORE_CACHE_ATTEMPTS"),
            (Stage::DownloadArtifacts, "ARTIFACT_DOWNLOAD_ATTEMPTS"),
        ] {
            let most = attempts(self.job, count);
            for attempt in 1..=most {
                match self.stage(&stage).await {
                    Err(Break::Failed(_)) if attempt < most => self.before_retry(&stage, attempt).await?,
                    Ok(_) => break,
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(None)
    }

    async fn before_retry(&mut self, stage: &Stage, attempt: u32) -> Result<(), Break> {
        if self.job.version.since(18, 0) {
            self.pause(self.job.timeouts.stage_retry).await?;
        }
        if *stage == Stage::GetSources && attempt == 1 && self.job.version.since(16, 9) {
            self.stage(&Stage::ClearWorktree).await.or_else(going_on)?;
        }
        Ok(())
    }

    /// Runs the user's steps until one fails, then the after_script.
    async fn user_script(&mut self) -> Result<Option<JobFailure>, Break> {
        let steps = self.job.more_steps.iter().map(|(name, _)| Stage::Step(name.clone()));
        let steps: Vec<Stage> = std::iter::once(Stage::BuildScript).chain(steps).collect();
        let mut failure = None;
        for stage in steps {
            failure = self.stage(&stage).await.or_else(going_on)?;
            if failure.is_some() {
                break;
            }
        }
        self.status = match failure.as_ref().map(|it| it.class) {
            None => JobStatus::Success,
            Some(FailureClass::Canceled) => JobStatus::Canceled,
            Some(FailureClass::Timeout) => JobStatus::TimedOut,
            Some(FailureClass::Script | FailureClass::System | FailureClass::Configuration) => {
                JobStatus::Failed
            }
        };
        if self.status == JobStatus::Canceled {
            self.warn("script canceled externally (UI, API)");
        }
        let after = self.stage(&Stage::AfterScript).await.or_else(going_on)?;
        if let Some(after) = after {
            self.warn(&format!("after_script failed, but job will continue unaffected: {}", after.message));
            let counts =
                last(&self.job.variables, "AFTER_SCRIPT_IGNORE_ERRORS").is_some_and(|it| it.value == "false");
            failure = failure.or(counts.then_some(after));
        }
        Ok(failure)
    }

    /// Fails when a cancel or the job's end came between two stages. A cancel that comes after the script is too late,
    /// unless it is a hard one.
    fn may_start(&self, stage: &Stage) -> Result<(), Break> {
        let level = self.setup.canceller.level();
        let soft = level == Cancel::Graceful;
        match stage {
            Stage::Step(_) if soft && self.job.version.since(16, 10) => Err(Break::Failed(self.canceled())),
            stage if soft && stage.comes_after_script() && Instant::now() < self.deadline => Ok(()),
            _ => self.interrupted(),
        }
    }

    /// Runs one stage, unless it has nothing to do. Never fails softly: `going_on` sorts failures.
    async fn stage(&mut self, stage: &Stage) -> Result<Option<JobFailure>, Break> {
        let shell = self.config.shell.clone().unwrap_or_else(|| "bash".to_owned());
        let hostname = self.config.hostname.clone();
        let scripting = Scripting {
            job: self.job,
            layout: &self.layout,
            status: self.status,
            shell: &shell,
            hostname: hostname.as_deref(),
        };
        let Some(script) = scripting.script(stage) else { return Ok(None) };
        self.may_start(stage)?;
        self.title(&stage.title());
        let version = self.job.version;
        let written = match &mut self.dir {
            Some(dir) => dir
                .write_script(&script, version)
                .map_err(|error| failed(format!("writing the script: {error}"))),
            None => Err(failed("the attempt's directory is gone")),
        };
        let path = written?;
        self.call_run(stage, &path).await.map(|()| None)
    }
}

/// Turns a failure after which later stages still run into a value; all others end the job.
fn going_on(failure: Break) -> Result<Option<JobFailure>, Break> {
    match failure {
        Break::Failed(failure) => Ok(Some(failure)),
        other => Err(other),
    }
}
