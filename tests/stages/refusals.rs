//! What a job may not have: refused by name, before anything is made, and as its author's fault.

use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::image::Patterns;
use hearth::outcome::Fault;
use serde_json::json;

use crate::world::{APP, DB, World};

fn only(pattern: &str) -> Patterns {
    Patterns::compile(&[pattern]).unwrap()
}

type Change = fn(&mut World);

const REFUSED: [(&str, Change, &str); 11] = [
    ("no image at all", |w| w.job["image"] = json!({"name": ""}), "names no image"),
    ("an image that is no reference", |w| w.job["image"]["name"] = json!("Not An Image"), "build image"),
    (
        "an image of others",
        |w| w.settings.job.allowed_images = only("registry.test/other/*"),
        "allowed_images",
    ),
    (
        "a service of others",
        |w| {
            w.job["services"] = json!([{"name": DB}]);
            w.settings.job.allowed_services = only("registry.test/other/*");
        },
        "allowed_services",
    ),
    ("a policy of its own", |w| w.job["image"]["pull_policy"] = json!(["never"]), "pull policy"),
    ("a policy that is none", |w| w.job["image"]["pull_policy"] = json!(["sometimes"]), "sometimes"),
    (
        "a user who is not allowed",
        |w| {
            w.job["image"]["executor_opts"] = json!({"docker": {"user": "root"}});
            w.settings.job.allowed_users = vec!["1000".to_owned()];
        },
        "root",
    ),
    (
        "another architecture",
        |w| w.job["image"]["executor_opts"] = json!({"docker": {"platform": "linux/arm64"}}),
        "linux/arm64",
    ),
    (
        "more services than the host has room for",
        |w| {
            w.job["services"] = json!([{"name": DB}, {"name": DB}]);
            w.settings.job.services_limit = Some(1);
        },
        "2 services",
    ),
    ("a service without a name", |w| w.job["services"] = json!([{"name": "$NOT_SET"}]), "names no image"),
    (
        "services without a network",
        |w| {
            w.job["services"] = json!([{"name": DB}]);
            w.settings.job.network_mode = "none".to_owned();
        },
        "without a network",
    ),
];

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_before_anything_is_made_or_fetched() {
    for (what, change, words) in REFUSED {
        let mut world = World::new();
        world.fake.publish(DB, FakeImage::new("db"));
        change(&mut world);
        let prepared = match world.try_begun() {
            Ok(_) => world.prepare().await,
            // What the job's own text says wrong is known even before the engine is asked.
            Err(failure) => {
                assert_eq!(failure.fault, Fault::Job, "{what}");
                assert!(failure.message.contains(words), "{what}: {failure}");
                continue;
            }
        };
        let failure = prepared.failed(Fault::Job);
        assert!(failure.to_string().contains(words), "{what}: {failure}");
        assert_eq!(world.calls(), ["version "], "{what}");
        assert_eq!(world.fake.volumes(), [""; 0], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_image_lacks_is_the_authors_to_mend() {
    let words =
        "OCI runtime create failed: exec: \"/entry\": stat /entry: no such file or directory: unknown";
    for (what, image, says) in [
        ("no shell", FakeImage::new("app").without_shell(), "build container"),
        ("an odd start", FakeImage::new("app").fails_to_start(400, 127, words), "no such file or directory"),
        (
            "no such user",
            FakeImage::new("app").fails_to_start(
                400,
                126,
                "unable to find user dev: no matching entries in passwd file",
            ),
            "unable to find user dev",
        ),
        ("a foreign image", FakeImage::new("app").architecture("arm64"), "linux/arm64"),
    ] {
        let world = World::with(image);
        let prepared = world.prepare().await;
        let failure = prepared.failed(Fault::Job);
        assert!(failure.message.contains(says), "{what}: {failure}");
        assert!(!failure.hints.is_empty(), "{what}");
        assert!(world.fake.count(Call::CreateContainer) <= 2, "{what}");
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_host_cannot_do_is_not_the_jobs_fault() {
    let words =
        "failed to create endpoint on network: no available IPv4 addresses on this network's address pools";
    let world = World::with(FakeImage::new("app").fails_to_start(500, 128, words));
    let prepared = world.prepare().await;
    assert!(prepared.failed(Fault::System).message.contains("no available IPv4 addresses"));
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_helper_without_a_runner_is_told_where_something_would_be_lost() {
    for cache in [json!([{"key": "k"}]), json!([])] {
        let mut world = World::warm();
        world.helper(FakeImage::new("bare").without_runner());
        world.job["cache"] = cache.clone();
        world.prepare().await.fine();
        let ran = world.stage("restore_cache").run().await;
        if cache == json!([]) {
            ran.fine();
        } else {
            let failure = ran.failed(Fault::System);
            assert!(failure.message.contains("no gitlab-runner"), "{failure}");
        }
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_warns_of_is_in_the_job_log() {
    let world = World::warm().service(FakeImage::new("db").command(Behaviour::new().forever()));
    world
        .fake
        .warn_on_create(&["Your kernel does not support memory limit capabilities. Limitation discarded."]);
    let prepared = world.prepare().await.fine();
    let warning = "WARNING: the engine says of the container: Your kernel does not support memory limit";
    assert_eq!(prepared.log.count(warning), 3, "{}", prepared.log.text());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_start_ends_the_job_and_is_named() {
    let words = "exec: \"/serve\": stat /serve: no such file or directory: unknown";
    let world = World::warm().service(FakeImage::new("db").fails_to_start(400, 127, words));
    let prepared = world.prepare().await;
    let failure = prepared.failed(Fault::Job);
    assert!(failure.message.starts_with("the service container of"), "{failure}");
    assert!(failure.message.contains(APP.rsplit_once("app").unwrap().0), "{failure}");
    world.cleans_up().await;
}
