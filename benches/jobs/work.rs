//! The jobs that are measured.

use hearth::runner::{Dependency, Git, GitStrategy, JobDescription, Service};
use hearth::secret::Secret;

use crate::world::World;

/// A kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing but a script.
    ScriptOnly,
    /// Sources, cache, artifacts of an earlier job and own ones, after_script: every stage the runner has.
    NineStages,
}

/// What a job has on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extras {
    /// Whether a service runs beside it.
    pub service: bool,
    /// Whether its image is pulled whatever is here.
    pub always: bool,
}

impl Work {
    /// Both kinds.
    pub(crate) const ALL: [Self; 2] = [Self::ScriptOnly, Self::NineStages];

    /// Returns the kind's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ScriptOnly => "script-only",
            Self::NineStages => "nine stages",
        }
    }

    /// Returns the stages that its jobs run, between prepare and cleanup.
    pub(crate) fn stages(self) -> &'static [&'static str] {
        match self {
            Self::ScriptOnly => &["prepare_script", "get_sources", "build_script", "cleanup_file_variables"],
            Self::NineStages => &[
                "prepare_script",
                "get_sources",
                "restore_cache",
                "download_artifacts",
                "build_script",
                "after_script",
                "archive_cache",
                "upload_artifacts_on_success",
                "cleanup_file_variables",
            ],
        }
    }

    /// Describes a job of this kind.
    pub(crate) fn job(self, world: &World, extras: Extras) -> JobDescription {
        let mut job = JobDescription::new(world.next_number()).image(world.image("job/busybox"));
        job.token = world.job_token.clone();
        job.short_token = world.token.clone();
        job.server_url = world.server.url();
        job.project_path = "bench/project".to_owned();
        if extras.always {
            job.image.pull_policy = vec!["always".to_owned()];
        }
        if extras.service {
            job = job.service(Service::named(world.image("job/web")));
        }
        match self {
            Self::ScriptOnly => job.script("echo built"),
            Self::NineStages => full(job, world),
        }
    }
}

fn full(job: JobDescription, world: &World) -> JobDescription {
    let mut job = job
        .script("echo built >result.txt")
        .script("mkdir -p kept && date >kept/date.txt")
        .after_script("echo after")
        .cache("bench", &["kept/"])
        .artifacts(&["result.txt"])
        .git(Git {
            repo_url: format!("{}/bench/project.git", world.server.url()),
            reference: "main".to_owned(),
            sha: world.commit.clone(),
            strategy: Some(GitStrategy::Clone),
            ..Git::default()
        });
    if let Some((id, size)) = world.earlier() {
        job.dependencies.push(Dependency {
            id,
            name: "earlier".to_owned(),
            token: Secret::new(world.job_token.expose()),
            filename: "artifacts.zip".to_owned(),
            size,
        });
    }
    job
}
