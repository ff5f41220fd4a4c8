//! The floor: the same containers, network, volumes and execs, made by one process that does nothing else.
//!
//! The containers are those that hearth plans. No stage processes, no runner, no wrapper around a script, no care for
//! what may go wrong; what can run side by side does.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all, try_join, try_join_all, try_join3};
use hearth::engine::{Creation, Docker, Engine, ExecRunning};
use hearth::image::{Platform, ResolvedImage};
use hearth::job::{JobSpec, Names, Owner, StageEnv};
use hearth::outcome::Failure;
use hearth::plan::spec::{ContainerSpec, ExecSpec};
use hearth::plan::{Context, Ground, ImageWish, JobImages, JobPlan, Wishes, script};
use hearth::runner::{
    DriverConfig, JobDescription, JobStatus, Layout, Scripting, Stage, Surroundings, call_environment,
    response_json,
};
use hearth::stage::config;
use tokio::io::AsyncWriteExt as _;

use crate::Result;
use crate::world::World;

/// How long each part of a job took.
pub(crate) type Timings = Vec<(String, Duration)>;

/// Runs a job on the engine at `endpoint`, and says before each part what it is.
pub(crate) async fn run(
    world: &World,
    endpoint: &str,
    job: &JobDescription,
    phase: &dyn Fn(&str),
) -> Result<Timings> {
    let engine = Docker::new(endpoint, Duration::from_secs(120), None)?;
    Floor { world, engine, job, phase }.run().await
}

struct Floor<'a> {
    world: &'a World,
    engine: Docker,
    job: &'a JobDescription,
    phase: &'a dyn Fn(&str),
}

impl Floor<'_> {
    async fn run(&self) -> Result<Timings> {
        let mut timings = Timings::new();
        let mut began = Instant::now();
        let mut note = |name: &str| {
            timings.push((name.to_owned(), began.elapsed()));
            began = Instant::now();
        };
        (self.phase)("prepare");
        let layout = self.layout()?;
        let (spec, names, ground) = self.decide(&layout)?;
        let plan = self.prepare(&spec, &names, &ground).await?;
        note("prepare");
        let scripting = Scripting {
            job: self.job,
            layout: &layout,
            status: JobStatus::Running,
            shell: "bash",
            hostname: Some("floor"),
        };
        let mut wait = format!("while [ ! -e {} ]; do sleep 0.02; done; exec bash", script::READY_FILE);
        for stage in stages() {
            let Some(text) = scripting.script(&stage) else { continue };
            self.world.go_on()?;
            let name = stage.name();
            (self.phase)(&name);
            let in_build = stage.is_user_step() || stage == Stage::AfterScript;
            let (container, command) = match in_build {
                true => (&plan.build.name, vec!["sh".to_owned()]),
                false if wait.is_empty() => (&plan.helper.name, vec!["bash".to_owned()]),
                false => {
                    (&plan.helper.name, vec!["sh".to_owned(), "-c".to_owned(), std::mem::take(&mut wait)])
                }
            };
            self.exec(container, command, &text, &name).await?;
            note(&name);
        }
        (self.phase)("cleanup");
        self.clean_up(&plan, &names, &ground).await?;
        note("cleanup");
        Ok(timings)
    }

    fn layout(&self) -> Result<Layout> {
        let printed = config::document(&self.world.settings, "floor");
        let config = DriverConfig::parse(printed.as_bytes())?;
        let strategy = self.job.git.strategy.ok_or("the job names no git strategy")?;
        Layout::new(self.job, &config, strategy).ok_or_else(|| "no builds directory".into())
    }

    fn decide(&self, layout: &Layout) -> Result<(JobSpec, Names, Ground)> {
        let around = Surroundings {
            inherited: &[],
            temp_dir: &self.world.dir,
            job_env: &Default::default(),
            layout,
            status: JobStatus::Running,
        };
        let env = StageEnv::read(call_environment(self.job, around));
        let spec = JobSpec::read(response_json(self.job).as_bytes(), &env)?;
        let names = Names::of(&spec);
        let ground = Ground::decide(&spec, &names, &self.world.settings, None)?;
        Ok((spec, names, ground))
    }

    async fn prepare(&self, job: &JobSpec, names: &Names, ground: &Ground) -> Result<JobPlan> {
        let (engine, settings) = (&self.engine, &self.world.settings);
        let version = engine.version().await?;
        let native = Platform::new(&version.os, &version.arch, "");
        let wishes = Wishes::decide(job, &settings.job, &native)?;
        let network = ground.network.as_ref().ok_or("the job has no network")?;
        let (images, network, _) = try_join3(
            try_join(self.image(&wishes.helper), self.image(&wishes.build)),
            async { Ok(engine.create_network(network).await?) },
            try_join_all(
                ground.volumes.iter().map(|volume| async { Ok(engine.create_volume(volume).await?) }),
            ),
        )
        .await?;
        let images = JobImages { helper: images.0, build: images.1, services: Vec::new() };
        let network = made(network)?;
        let (engine, owner) = (version.name.as_str(), &Owner::default());
        let context = Context { job, names, settings, ground, network: &network, engine, owner };
        let plan = JobPlan::decide(&context, &wishes, &images);
        try_join(self.start(&plan.helper), self.start(&plan.build)).await?;
        Ok(plan)
    }

    async fn image(&self, wish: &ImageWish) -> Result<ResolvedImage> {
        let name = wish.reference.normalized();
        let facts = self.engine.image(&name).await?.ok_or_else(|| format!("{name} is not here"))?;
        let pinned = facts.pinned(&wish.reference, false);
        Ok(ResolvedImage { name, pinned, platform: String::new(), facts })
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<()> {
        made(self.engine.create_container(spec).await?)?;
        Ok(self.engine.start_container(&spec.name).await?)
    }

    async fn exec(&self, container: &str, command: Vec<String>, script: &str, stage: &str) -> Result<()> {
        let spec = ExecSpec { command, user: String::new(), env: Vec::new(), stdin: true };
        let ExecRunning { id, mut output, mut input } = self.engine.exec(container, &spec).await?;
        let mut log = Vec::new();
        let feed = async {
            let _ = input.write_all(script.as_bytes()).await;
            let _ = input.shutdown().await;
        };
        let read = async {
            while let Some(Ok(chunk)) = output.next().await {
                log.extend_from_slice(&chunk.bytes);
            }
        };
        join(feed, read).await;
        let state = self.engine.exec_state(&id).await?;
        match state.exit_code {
            Some(0) => Ok(()),
            code => {
                Err(format!("stage {stage} ended with {code:?}: {}", String::from_utf8_lossy(&log)).into())
            }
        }
    }

    async fn clean_up(&self, plan: &JobPlan, names: &Names, ground: &Ground) -> Result<()> {
        let engine = &self.engine;
        try_join(engine.remove_container(&plan.helper.name), engine.remove_container(&plan.build.name))
            .await?;
        let network = names.network();
        let volumes = ground.volumes.iter().filter(|volume| !volume.kept);
        let (network, volumes) = join(
            engine.remove_network(&network),
            join_all(volumes.map(|volume| engine.remove_volume(&volume.name))),
        )
        .await;
        network?;
        volumes.into_iter().try_for_each(|removed| removed.map(|_| ()))?;
        Ok(())
    }
}

fn made(creation: Creation) -> Result<String> {
    match creation {
        Creation::Made(made) => Ok(made.id),
        Creation::NameTaken | Creation::ImageMissing => {
            Err(Failure::system(format!("the floor could not make its objects: {creation:?}")).into())
        }
    }
}

fn stages() -> [Stage; 9] {
    [
        Stage::PrepareScript,
        Stage::GetSources,
        Stage::RestoreCache,
        Stage::DownloadArtifacts,
        Stage::BuildScript,
        Stage::AfterScript,
        Stage::ArchiveCache { success: true },
        Stage::UploadArtifacts { success: true },
        Stage::CleanupFileVariables,
    ]
}
