//! What the running pipeline names comes beside its jobs, with their rights and no others.

use hearth::engine::fake::FakeImage;
use hearth::settings::{PullPolicy, ScanMode, VolumeSetting};
use hearth::units::ByteSize;
use serde_json::json;
use tokio::time::sleep;

use super::host::DaemonHost;
use super::prefetch::{MIB, image};
use crate::world::{APP, SECOND, World};

const DIR: &str = "/builds/group/project";
pub(super) const BASE: &str = "registry.test/base/one:1";
pub(super) const TOOL: &str = "registry.test/base/tool:1";
const PIPELINE: &str = "
stages: [build, test]
compile: {stage: build, script: [docker build .]}
check: {stage: test, image: registry.test/base/tool:1, script: [make check]}
";

/// A host whose job builds an image with the engine's own socket.
pub(super) fn building() -> DaemonHost {
    let mut host = DaemonHost::new();
    let mut world = World::warm().variable("CI_PROJECT_DIR", DIR).variable("CI_JOB_STAGE", "build");
    world.settings.job.volumes.push(VolumeSetting::Bind {
        source: "/var/run/docker.sock".to_owned(),
        path: "/var/run/docker.sock".to_owned(),
        options: String::new(),
    });
    world.settings.job.pull_policy = vec![PullPolicy::Always];
    world.job["job_info"]["name"] = json!("compile");
    world.job["steps"] = json!([{"name": "script", "script": ["docker build ."]}]);
    world.fake.publish(BASE, image("one", 20));
    world.fake.publish(TOOL, image("tool", 10));
    world.fake.link_rate(MIB);
    world.fake.checkout_has(&format!("{DIR}/Dockerfile"), format!("FROM {BASE}\n"));
    world.fake.checkout_has(&format!("{DIR}/.gitlab-ci.yml"), PIPELINE);
    host.world = world;
    host.set(|_| {});
    host
}

impl DaemonHost {
    pub(super) async fn gets_sources(&self) {
        self.world.prepare().await.fine();
        self.world.stage("get_sources").run().await.fine();
    }
}

#[tokio::test(start_paused = true)]
async fn the_running_job_and_the_next_ones_find_their_images_here() {
    let host = building();
    host.with_daemon(async |_| {
        host.gets_sources().await;
        sleep(25 * SECOND).await;
        assert_eq!(host.came(), [BASE], "what the job itself builds from is first: {}", host.told());
        sleep(15 * SECOND).await;
        assert_eq!(host.came(), [BASE, TOOL], "{}", host.told());
        assert_eq!(host.times_told("(scan: Dockerfile:1)"), 1, "{}", host.told());
        host.job_ends().await;
    })
    .await;
    assert_eq!(host.world.fake.downloaded(), 30 * MIB);
}

#[tokio::test(start_paused = true)]
async fn scans_can_be_off_and_can_wait_for_an_idle_host_and_have_a_limit() {
    for (mode, limit, beside, after) in
        [(ScanMode::Off, 100, 0, 0), (ScanMode::Idle, 100, 0, 2), (ScanMode::Beside, 25, 1, 1)]
    {
        let host = building();
        host.set(|settings| {
            settings.prefetch.scan = mode;
            settings.prefetch.pipeline = Some(ByteSize(limit * MIB));
        });
        host.with_daemon(async |_| {
            host.gets_sources().await;
            sleep(60 * SECOND).await;
            assert_eq!(host.came().len(), beside, "{mode:?}: {}", host.told());
            host.job_ends().await;
            sleep(120 * SECOND).await;
            assert_eq!(host.came().len(), after, "{mode:?}: {}", host.told());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_jobs_may_pull_nothing_a_pipelines_images_do_not_come() {
    let mut host = building();
    host.world = std::mem::replace(&mut host.world, World::new()).used_before().await;
    host.world.settings.job.pull_policy = vec![PullPolicy::Never];
    host.with_daemon(async |_| {
        host.gets_sources().await;
        sleep(60 * SECOND).await;
        assert_eq!(host.came(), [""; 0], "{}", host.told());
        assert_eq!(host.times_told("let its jobs pull nothing"), 1, "{}", host.told());
        host.job_ends().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_private_image_comes_with_the_jobs_login_for_its_project_alone_and_not_after_its_end() {
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    let mut host = building();
    host.world.fake.protect(BASE, "user", "pass");
    host.world.fake.protect(TOOL, "user", "pass");
    host.world = std::mem::replace(&mut host.world, World::new()).variable("DOCKER_AUTH_CONFIG", auth);
    host.with_daemon(async |_| {
        host.gets_sources().await;
        sleep(10 * SECOND).await;
        // The login goes with the job: what is under way comes to its end, and nothing more comes.
        host.job_ends().await;
        sleep(300 * SECOND).await;
        assert_eq!(host.came(), [BASE], "{}", host.told());
        assert_eq!(host.times_told("tool:1 does not come ahead"), 1, "{}", host.told());
    })
    .await;
    // Another project's job without a login gets nothing from it; this project's has it at once.
    let pulls = |world: &World| world.fake.count(hearth::engine::fake::Call::Pull);
    let before = pulls(&host.world);
    let mut stranger = host.world.another(8);
    stranger.variables.remove("DOCKER_AUTH_CONFIG");
    stranger.job["image"]["name"] = json!(BASE);
    stranger.job["job_info"]["project_id"] = json!(5);
    assert!(stranger.prepare().await.result.is_err());
    stranger.cleanup().await.unwrap();
    let mut own = host.world.another(9);
    own.job["image"]["name"] = json!(BASE);
    own.settings.job.pull_policy = vec![PullPolicy::IfNotPresent];
    own.prepare().await.fine();
    own.cleanup().await.unwrap();
    assert_eq!(pulls(&host.world), before);
}

#[tokio::test(start_paused = true)]
async fn another_jobs_prepare_comes_first() {
    let host = building();
    let other = host.world.another(8);
    other.fake.publish(APP, FakeImage::new("of the other").layers(&[("other", 10 * MIB)]));
    host.with_daemon(async |_| {
        host.gets_sources().await;
        sleep(5 * SECOND).await;
        let prepared = other.prepare().await.fine();
        assert!(prepared.took.as_secs() < 12, "as alone: {:?}\n{}", prepared.took, host.told());
        sleep(90 * SECOND).await;
        assert_eq!(host.came(), [BASE, TOOL], "{}", host.told());
        host.world.cleanup().await.unwrap();
        other.cleanup().await.unwrap();
    })
    .await;
}
