//! Services: when the job goes on, what it is told of those that are not ready, and by which names they are found.

use std::time::Duration;

use hearth::engine::Health;
use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::outcome::Fault;
use hearth::plan::spec::NetworkUse;
use serde_json::json;

use crate::world::{SECOND, World};

fn db() -> FakeImage {
    FakeImage::new("db")
}

fn aliases(world: &World, service: usize) -> Vec<String> {
    match world.fake.spec(&world.names().service(service)).unwrap().network {
        NetworkUse::Joined { aliases, .. } => aliases,
        NetworkUse::Mode(mode) => vec![mode],
    }
}

#[tokio::test(start_paused = true)]
async fn the_job_waits_for_a_port_no_longer_than_needed() {
    let world = World::warm().service(db().listens(5432, 3 * SECOND));
    let prepared = world.prepare().await.fine();
    assert!(prepared.took >= 3 * SECOND && prepared.took < 4 * SECOND, "{:?}", prepared.took);
    assert_eq!(prepared.log.count("Waiting for services"), 1);
    assert_eq!(prepared.log.count("WARNING"), 0, "{}", prepared.log.text());
    assert_eq!(world.fake.count(Call::CreateExec), 1);
}

#[tokio::test(start_paused = true)]
async fn a_port_is_one_of_many_and_the_jobs_own_word_counts_most() {
    let two = db().exposes(1).listens(5432, 2 * SECOND);
    let prepared = World::warm().service(two.clone()).prepare().await.fine();
    assert_eq!(prepared.took.as_secs(), 2);

    let mut world = World::warm().service(two.listens(99, 7 * SECOND));
    world.job["services"][0]["variables"] = json!([{"key": "HEALTHCHECK_TCP_PORT", "value": "99"}]);
    assert_eq!(world.prepare().await.fine().took.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_job_waits_for_a_healthcheck() {
    let world = World::warm().service(db().health(4 * SECOND, Health::Healthy));
    let prepared = world.prepare().await.fine();
    assert!(prepared.took >= 4 * SECOND && prepared.took <= 5 * SECOND, "{:?}", prepared.took);
    assert_eq!(prepared.log.count("WARNING"), 0, "{}", prepared.log.text());
    assert_eq!(world.fake.count(Call::CreateExec), 0);
}

#[tokio::test(start_paused = true)]
async fn all_are_waited_for_at_once() {
    let mut world = World::warm().service(db().listens(5432, 5 * SECOND));
    for (name, image) in [
        ("registry.test/group/web:1", FakeImage::new("web").listens(80, 6 * SECOND)),
        ("registry.test/group/queue:1", FakeImage::new("queue").health(4 * SECOND, Health::Healthy)),
        ("registry.test/group/silent:1", FakeImage::new("silent")),
    ] {
        world.fake.publish(name, image);
        world.job["services"].as_array_mut().unwrap().push(json!({"name": name}));
    }
    assert_eq!(world.prepare().await.fine().took.as_secs(), 6);
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_go_by_nothing_is_waited_for() {
    let prepared = World::warm().service(db()).prepare().await.fine();
    assert_eq!(prepared.took, Duration::ZERO);
    assert_eq!(prepared.log.count("Waiting for services"), 0);
    assert_eq!(prepared.log.count("WARNING"), 0, "{}", prepared.log.text());

    let mut world = World::warm().service(db().listens(5432, 50 * SECOND));
    world.settings.job.wait_for_services_timeout = None;
    assert_eq!(world.prepare().await.fine().took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_never_ready_shows_its_last_lines_and_the_job_goes_on() {
    let mut talk = Behaviour::new();
    for line in 1..=60 {
        talk = talk.out(format!("line {line} of the db\n"));
    }
    let world = World::warm().service(db().exposes(5432).command(talk.err("no disk\n").forever()));
    let prepared = world.prepare().await.fine();
    let limit = world.settings.job.wait_for_services_timeout.unwrap();
    assert!(prepared.took >= limit && prepared.took <= limit + 6 * SECOND, "{:?}", prepared.took);
    let text = prepared.log.text();
    assert!(
        text.contains("WARNING: service registry.test__group__db probably did not start properly"),
        "{text}"
    );
    assert!(text.contains("it was not ready within 30 s"), "{text}");
    assert!(text.contains("line 60 of the db") && text.contains("no disk"), "{text}");
    assert!(!text.contains("line 11 of the db"), "only the last lines: {text}");
    world.stage("step_script").run().await.fine();
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_one_that_is_not_ready_is_told() {
    for (image, says, most) in [
        (db().health(2 * SECOND, Health::Unhealthy), "its HEALTHCHECK fails", 3),
        (db().health(90 * SECOND, Health::Healthy), "it was not ready within 30 s", 31),
        (db().command(Behaviour::new().exit(4)), "it ended with exit code 4", 0),
        (db().exposes(5432).command(Behaviour::new().sleep(SECOND).exit(3)), "it ended with exit code 3", 36),
        (
            db().health(9 * SECOND, Health::Healthy).command(Behaviour::new().sleep(SECOND).exit(3)),
            "it ended with exit code 3",
            3,
        ),
    ] {
        let prepared = World::warm().service(image).prepare().await.fine();
        assert_eq!(prepared.log.count(says), 1, "{says}: {}", prepared.log.text());
        assert!(prepared.took <= most * SECOND, "{says}: {:?}", prepared.took);
    }
}

#[tokio::test(start_paused = true)]
async fn two_of_one_image_both_start_and_the_first_has_the_names() {
    let world = World::warm().service(db()).service(db());
    let prepared = world.prepare().await.fine();
    assert_eq!(world.fake.running_containers().len(), 4);
    assert_eq!(aliases(&world, 0), ["registry.test__group__db", "registry.test-group-db", "db"]);
    assert_eq!(aliases(&world, 1), [""; 0]);
    assert_eq!(prepared.log.count("is taken already"), 3, "{}", prepared.log.text());
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn on_a_network_without_names_hosts_files_have_them() {
    let mut world = World::warm().service(db().listens(5432, SECOND));
    world.settings.job.network_mode = "bridge".to_owned();
    let prepared = world.prepare().await.fine();
    assert_eq!(prepared.took.as_secs(), 1);
    assert_eq!(prepared.log.count("WARNING"), 0, "{}", prepared.log.text());
    for container in [world.names().build(), world.names().helper()] {
        let hosts = world.fake.spec(&container).unwrap().extra_hosts;
        assert!(hosts.iter().any(|line| line.starts_with("db:172.17.")), "{hosts:?}");
    }
    world.cleans_up().await;
    assert_eq!(world.fake.count(Call::RemoveNetwork), 0);

    world.settings.job.network_mode = "host".to_owned();
    world.prepare().await.fine();
    let hosts = world.fake.spec(&world.names().build()).unwrap().extra_hosts;
    assert!(hosts.contains(&"db:127.0.0.1".to_owned()), "{hosts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_helper_that_cannot_ask_is_no_silent_success() {
    // The wait is an exec in the helper: where that ended, the reason is the helper's.
    let mut world = World::warm().service(db().listens(5432, 2 * SECOND));
    world.helper(FakeImage::new("bare").without_runner());
    world.job["cache"] = json!([{"key": "k"}]);
    let prepared = world.prepare().await;
    prepared.failed(Fault::System);
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn settings_may_add_services_of_their_own() {
    let mut world = World::warm().service(db());
    world.fake.publish("registry.test/ops/mirror:1", FakeImage::new("mirror"));
    world.settings.job.services = vec![hearth::settings::ServiceSetting {
        name: "registry.test/ops/mirror:1".to_owned(),
        alias: "mirror".to_owned(),
        entrypoint: None,
        command: None,
        environment: vec!["UPSTREAM=https://example.test".to_owned()],
    }];
    world.prepare().await.fine();
    assert_eq!(world.fake.containers().len(), 4);
    let own = world.fake.spec(&world.names().service(0)).unwrap();
    assert!(own.image.starts_with("registry.test/ops/mirror@"), "{}", own.image);
    assert!(own.env.contains(&"UPSTREAM=https://example.test".to_owned()));
    assert!(aliases(&world, 1).contains(&"db".to_owned()));
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn volumes_of_a_service_go_with_it() {
    let world = World::warm().service(db().volume("/var/lib/db"));
    world.prepare().await.fine();
    let anonymous = world.fake.anonymous_volumes(&world.names().service(0));
    assert_eq!(anonymous.len(), 1);
    world.cleans_up().await;
    assert!(!world.fake.volumes().contains(&anonymous[0]));
}

#[tokio::test(start_paused = true)]
async fn no_service_sees_a_kept_volume_before_the_helper_has_swept_it() {
    for (mode, hosts) in [("", 0), ("bridge", 1)] {
        let mut world = World::warm().service(db()).service(db());
        world.settings.job.network_mode = mode.to_owned();
        world.fake.helper_takes(7 * SECOND);
        let early = async {
            tokio::time::sleep(6 * SECOND).await;
            let running = world.fake.running_containers();
            assert!(running.contains(&world.names().helper()), "{running:?}");
            assert!(!running.iter().any(|name| name.contains("service")), "{running:?}");
        };
        let (prepared, ()) = tokio::join!(world.prepare(), early);
        assert_eq!(prepared.fine().took.as_secs(), 7);
        assert_eq!(world.fake.running_containers().len(), 4);
        assert_eq!(world.fake.count(Call::StartExec), hosts, "{mode}");
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_helper_that_ends_before_it_is_ready_says_why() {
    let mut world = World::warm().service(db());
    world.helper(FakeImage::new("bare").without_runner());
    world.job["cache"] = json!([{"key": "k"}]);
    let prepared = world.prepare().await;
    let failure = prepared.failed(Fault::System);
    assert!(failure.message.contains("has no gitlab-runner"), "{failure}");
    assert!(!world.fake.running_containers().iter().any(|name| name.contains("service")));
    world.cleans_up().await;
}
