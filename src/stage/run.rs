//! `hearth run SCRIPT STAGE`: one script, in the helper or in the build container.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use super::apply::refused_container;
use super::begin::Begun;
use super::courier::Courier;
use super::ended::{build_ended, ended, gone, helper_ended};
use super::exec::{Ending, Place as ExecPlace, Stop};
use super::handover;
use super::hint::BuildHint;
use super::output::JobOutput;
use super::service_logs;
use crate::engine::{ContainerState, Engine, EngineError};
use crate::host::{now, read_bounded};
use crate::job::{Place, Step};
use crate::outcome::Failure;
use crate::plan::containers::LABEL_ENTRYPOINT;
use crate::plan::script;
use crate::plan::spec::ExecSpec;
use crate::plan::stage_options;

/// The largest script that is read, in bytes; file variables are in it.
const MAX_SCRIPT_BYTES: u64 = 64 << 20;
/// How long a slow reader may take for what was printed before a regular end.
const FLUSH: Duration = Duration::from_secs(3600);
/// The same where the stage was cancelled.
const FLUSH_STOPPED: Duration = Duration::from_millis(500);

/// How long beyond the grace a stage that was stopped may take in all.
const GIVE_UP: Duration = Duration::from_secs(20);
/// The longest pause before a container is believed to have outlived its exec; all pauses together are twice that.
const SETTLE: Duration = Duration::from_millis(400);

/// The stage after which the checkout is there.
const SOURCES: &str = "get_sources";

/// Runs a stage.
pub async fn run<E: Engine>(
    begun: &Begun,
    engine: &E,
    script_path: &Path,
    step: &Step,
    out: JobOutput,
    stop: &mut Stop,
    courier: &Courier,
) -> Result<(), Failure> {
    let script = read_bounded(script_path, MAX_SCRIPT_BYTES, "the script of the stage")?;
    let mark = format!("{:x}-{:x}", std::process::id(), now().as_nanos());
    let runs = Run { begun, engine, step, out: &out, mark };
    let mut late = stop.clone();
    let work = async {
        match step.place {
            Place::Helper => runs.in_helper(script, stop).await,
            Place::Build => runs.in_build(script, stop).await,
        }
    };
    let ending = tokio::select! {
        ending = work => ending,
        // The engine does not answer: the processes are its own to end, or the next cleanup's.
        () = late.overdue(begun.settings.job.kill_grace + GIVE_UP) => Ok(Ending::Stopped),
    };
    let regular = matches!(ending, Ok(Ending::Exited(_)));
    let verdict = match ending {
        Ok(Ending::Exited(Some(0))) => Ok(()),
        Ok(Ending::Exited(code)) => Err(runs.verdict(code).await),
        Ok(Ending::Stopped) => Err(Failure::job(format!("stage {} was stopped by the runner", step.name))),
        Ok(Ending::HungUp) => Err(Failure::system(format!(
            "stage {} was stopped: the reader of the job log hung up",
            step.name
        ))),
        Err(failure) => Err(failure),
    };
    if verdict.is_ok() && step.name == SOURCES {
        courier.has_sources(begun);
    }
    // A reader that stands still does not hold a stage that is to end.
    let flushed = tokio::select! {
        flushed = out.finish(if regular { FLUSH } else { FLUSH_STOPPED }) => flushed,
        () = stop.overdue(FLUSH_STOPPED) => false,
    };
    verdict.map_err(|failure| if flushed { failure } else { failure.quiet() })
}

struct Run<'a, E> {
    begun: &'a Begun,
    engine: &'a E,
    step: &'a Step,
    out: &'a JobOutput,
    mark: String,
}

impl<E: Engine> Run<'_, E> {
    async fn in_helper(&self, script: Vec<u8>, stop: &mut Stop) -> Result<Ending, Failure> {
        let Begun { settings, names, .. } = self.begun;
        let helper = names.helper();
        let options = stage_options(&settings.job, true, "", &self.mark);
        let spec = ExecSpec {
            command: script::stage(&options),
            user: String::new(),
            env: script::stage_env(),
            stdin: true,
        };
        match self.exec(&helper, &spec, script, stop).await {
            Ok(ending) => Ok(ending),
            Err(error) => Err(self.helper_failed(&helper, error).await),
        }
    }

    async fn in_build(&self, script: Vec<u8>, stop: &mut Stop) -> Result<Ending, Failure> {
        let Begun { hints, names, .. } = self.begun;
        let build = names.build();
        let mut ready = match hints.build() {
            Some(hint @ (BuildHint::Idle | BuildHint::HandedOver(_))) => hint,
            Some(BuildHint::Entrypoint) | None => match self.make_ready(&build, stop).await? {
                Some(hint) => hint,
                None => return Ok(Ending::Stopped),
            },
        };
        // A main process that ended since then (an earlier stage killed it) is started again, once.
        let first = self.exec(&build, &self.build_spec(&ready), script.clone(), stop).await;
        let second = match first {
            Err(EngineError::Conflict { .. }) => {
                ready = match self.make_ready(&build, stop).await? {
                    Some(hint) => hint,
                    None => return Ok(Ending::Stopped),
                };
                self.exec(&build, &self.build_spec(&ready), script, stop).await
            }
            other => other,
        };
        match second {
            Ok(ending) => Ok(ending),
            Err(error) => Err(self.build_failed(&build, error).await),
        }
    }

    fn build_spec(&self, hint: &BuildHint) -> ExecSpec {
        let Begun { settings, names, .. } = self.begun;
        let (user, state) = match hint {
            BuildHint::HandedOver(user) => (user.clone(), script::state_name(names.key())),
            BuildHint::Idle | BuildHint::Entrypoint => (String::new(), String::new()),
        };
        let options = stage_options(&settings.job, false, &state, &self.mark);
        ExecSpec { command: script::stage(&options), user, env: script::stage_env(), stdin: true }
    }

    async fn exec(
        &self,
        container: &str,
        spec: &ExecSpec,
        script: Vec<u8>,
        stop: &mut Stop,
    ) -> Result<Ending, EngineError> {
        let Begun { settings, .. } = self.begun;
        let place = ExecPlace {
            engine: self.engine,
            container,
            mark: &self.mark,
            may_kill: self.step.place == Place::Build,
            grace: settings.job.kill_grace,
        };
        let logs = service_logs::Follower::new(self.begun, self.engine, self.out);
        let ending = {
            let side = pin!(logs.follow());
            place.run(spec, script, self.out, stop, side).await
        };
        logs.catch_up().await;
        ending
    }

    /// Brings the build container to where stages can run in it; `None`: the runner wished the end meanwhile.
    async fn make_ready(&self, build: &str, stop: &mut Stop) -> Result<Option<BuildHint>, Failure> {
        let Begun { hints, names, settings, .. } = self.begun;
        let Some(state) = self.engine.container(build).await? else { return Err(gone("build")) };
        let real = state.labels.get(LABEL_ENTRYPOINT).is_some_and(|v| v == "real");
        let name = script::state_name(names.key());
        if !real {
            if !state.running {
                self.engine
                    .start_container(build)
                    .await
                    .map_err(|e| refused_container("build", "the job's image", e))?;
            }
            hints.set_build(&BuildHint::Idle);
            return Ok(Some(BuildHint::Idle));
        }
        let known = match state.running {
            true => handover::ask(self.engine, build, &state, &name).await?,
            false => None,
        };
        let hint = match known {
            Some(user) => BuildHint::HandedOver(user),
            None => {
                if state.running {
                    self.engine.kill_container(build).await?;
                }
                let limit = settings.job.entrypoint_timeout;
                let start = handover::run(self.engine, build, &state, &name, limit, self.out);
                tokio::select! {
                    user = start => BuildHint::HandedOver(user?),
                    () = stop.requested() => {
                        let _ = self.engine.kill_container(build).await;
                        return Ok(None);
                    }
                }
            }
        };
        hints.set_build(&hint);
        Ok(Some(hint))
    }

    /// A stage that failed: its script's fault, unless its container went away under it.
    async fn verdict(&self, code: Option<i64>) -> Failure {
        let Begun { names, .. } = self.begun;
        let (container, role) = match self.step.place {
            Place::Helper => (names.helper(), "helper"),
            Place::Build => (names.build(), "build"),
        };
        // Codes below 126 are a script's own: nothing can have killed it.
        let own = code.and_then(|c| u8::try_from(c).ok()).filter(|c| *c != 0);
        if let Some(own) = own.filter(|code| *code < 126) {
            return script_failed(self.step, own);
        }
        match self.settled(&container, own).await {
            Ok(None) => gone(role),
            Ok(Some(state)) if state.removing => gone(role),
            Ok(Some(state)) if !state.running => match self.step.place {
                Place::Helper => ended(self.engine, role, &state, helper_ended).await,
                Place::Build => ended(self.engine, role, &state, build_ended).await,
            },
            Ok(Some(_)) => match own {
                Some(code) => script_failed(self.step, code),
                None => Failure::system(format!("the engine lost the exit code of stage {}", self.step.name)),
            },
            Err(error) => error.into(),
        }
    }

    /// Looks at a container whose exec ended. One that was killed may seem to run for a moment longer than its execs.
    async fn settled(&self, container: &str, own: Option<u8>) -> Result<Option<ContainerState>, EngineError> {
        const KILLED: u8 = 128 + 9;
        let mut pause = Duration::from_millis(50);
        loop {
            let state = self.engine.container(container).await?;
            let runs = state.as_ref().is_some_and(|state| state.running);
            if !runs || own.is_some_and(|code| code != KILLED) || pause > SETTLE {
                return Ok(state);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn build_failed(&self, build: &str, error: EngineError) -> Failure {
        match self.engine.container(build).await {
            Ok(None) => gone("build"),
            Ok(Some(state)) if state.removing => gone("build"),
            Ok(Some(state)) if !state.running => ended(self.engine, "build", &state, build_ended).await,
            Ok(Some(_)) => refused_container("build", "the job's image", error),
            Err(_) => error.into(),
        }
    }

    async fn helper_failed(&self, helper: &str, error: EngineError) -> Failure {
        match self.engine.container(helper).await {
            Ok(None) => gone("helper"),
            Ok(Some(state)) if state.removing => gone("helper"),
            Ok(Some(state)) if !state.running => ended(self.engine, "helper", &state, helper_ended).await,
            Ok(Some(_)) => refused_container("helper", "this host", error),
            Err(_) => error.into(),
        }
    }
}

fn script_failed(step: &Step, code: u8) -> Failure {
    Failure::job(format!("stage {} failed with exit code {code}", step.name)).with_exit_code(code).quiet()
}
