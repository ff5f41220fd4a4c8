//! The pipeline: lint, build over the engine's socket, test, manifest. One description makes the jobs, the
//! `.gitlab-ci.yml` and the Dockerfile, so that they agree.

use std::fmt::Write as _;

use hearth::runner::{Git, GitStrategy, JobDescription};

use crate::shelf::{Item, PLACE, Shelf};
use crate::watch::MARKER;
use crate::world::World;

/// The name of what is built.
const APP: &str = "app";

/// The project's number.
pub(crate) const PROJECT: u64 = 1;

/// A job of the pipeline; the stage has its name.
pub(crate) struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its image.
    pub item: Item,
    script: Vec<String>,
}

/// The whole pipeline.
pub(crate) struct Story {
    /// Its jobs, in order.
    pub parts: Vec<Part>,
    /// The files of the checkout, by name.
    pub files: Vec<(&'static str, String)>,
}

/// How long jobs work at full scale, in seconds.
struct Work {
    lint: f64,
    assets: f64,
    app: f64,
    test: f64,
}

const WORK: Work = Work { lint: 60.0, assets: 80.0, app: 16.0, test: 40.0 };

impl Story {
    /// Tells the story with those images, from a registry at `front`.
    pub(crate) fn new(shelf: &Shelf, front: &str, scale: f64) -> Self {
        let seconds = |full: f64| format!("sleep {:.2}", full * scale);
        let app = format!("{front}/{PLACE}/{APP}");
        let tag = "\"$APP:$CI_PIPELINE_ID-host\"";
        let part = |name, item, script: &[String]| Part { name, item, script: script.to_vec() };
        let parts = vec![
            part("lint", Item::Python, &[seconds(WORK.lint)]),
            part(
                "build",
                Item::Docker,
                &[
                    format!("docker build --no-cache --force-rm --tag {tag} ."),
                    format!("docker push --quiet {tag}"),
                ],
            ),
            part("test", Item::Browser, &[seconds(WORK.test)]),
            part(
                "manifest",
                Item::Docker,
                &[
                    format!("docker manifest create --insecure \"$APP:latest\" {tag}"),
                    "docker manifest push --insecure --purge \"$APP:latest\"".to_owned(),
                ],
            ),
        ];
        let dockerfile = format!(
            "FROM {node} AS assets\n\
             RUN {assets} && mkdir -p /out && date >/out/assets.txt\n\
             FROM {liferay}\n\
             COPY --from=assets /out /opt/assets\n\
             COPY --from={tools} /etc/os-release /opt/tools\n\
             RUN {build} && cat /opt/assets/assets.txt\n",
            node = shelf.reference(Item::Node),
            liferay = shelf.reference(Item::Liferay),
            tools = shelf.reference(Item::Tools),
            assets = seconds(WORK.assets),
            build = seconds(WORK.app),
        );
        let mut yaml = format!(
            "stages: [lint, build, test, manifest]\n\nvariables:\n  APP: {app}\n  DOCKER_BUILDKIT: \"0\"\n"
        );
        for part in &parts {
            // Infallible: it writes into a text.
            let _ = write!(
                yaml,
                "\n{0}:\n  stage: {0}\n  image: {1}\n  script:\n",
                part.name,
                shelf.reference(part.item)
            );
            for line in &part.script {
                let _ = writeln!(yaml, "    - '{line}'");
            }
        }
        Self { parts, files: vec![(".gitlab-ci.yml", yaml), ("Dockerfile", dockerfile)] }
    }
}

/// Describes a job of the pipeline with that number.
pub(crate) fn job(world: &World, part: &Part, pipeline: u64) -> JobDescription {
    let mut job = JobDescription::new(world.next_number()).image(world.shelf.reference(part.item));
    job.name = part.name.to_owned();
    job.pipeline_stage = part.name.to_owned();
    job.token = world.job_token.clone();
    job.short_token = world.token.clone();
    job.server_url = world.server.url();
    job.project_id = PROJECT;
    job.project_path = "bench/cold".to_owned();
    let mut job = job
        .variable("APP", format!("{}/{PLACE}/{APP}", world.link.address))
        .variable("DOCKER_BUILDKIT", "0")
        .variable("CI_PIPELINE_ID", pipeline.to_string())
        .script(format!("echo {MARKER}"));
    job.script.extend(part.script.iter().cloned());
    job.git(Git {
        repo_url: format!("{}/bench/cold.git", world.server.url()),
        reference: "main".to_owned(),
        sha: world.commit.clone(),
        strategy: Some(GitStrategy::Clone),
        ..Git::default()
    })
}
