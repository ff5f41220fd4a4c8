//! Pulls over weak links: tried again with pauses, given up when nothing moves, and engines that go away meanwhile.

use hearth::engine::EngineError;
use hearth::engine::fake::{Call, FakeImage, Trouble};
use hearth::outcome::Fault;
use tokio::time::sleep;

use crate::world::{APP, SECOND, World};

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_after_growing_pauses() {
    for (trouble, pulls) in [(Trouble::Status(503), 1), (Trouble::Status(500), 1), (Trouble::Reset, 3)] {
        let world = World::new();
        world.fake.trouble(APP, trouble, 2);
        let prepared = world.prepare().await.fine();
        assert_eq!(world.fake.count(Call::Pull), pulls, "{trouble:?}");
        assert_eq!(prepared.log.count("try 2 of 3 in"), 1, "{}", prepared.log.text());
        assert_eq!(prepared.log.count("try 3 of 3 in"), 1, "{}", prepared.log.text());
        // 2 s and 4 s, each up to half as long again.
        let pauses = prepared.log.times("of 3 in");
        let second = pauses[1] - pauses[0];
        let third = prepared.took - second;
        assert!(second >= 2 * SECOND && second <= 3 * SECOND, "{second:?}");
        assert!(third >= 4 * SECOND && third <= 6 * SECOND, "{third:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_has_had_enough_is_left_alone_by_all_jobs_of_that_account() {
    let world = World::new();
    world.fake.trouble(APP, Trouble::Status(429), 1);
    let prepared = world.prepare().await.fine();
    assert!(prepared.took >= 60 * SECOND, "{:?}", prepared.took);

    let mut world = World::new();
    world.settings.pull.attempts = 1;
    world.fake.trouble(APP, Trouble::Status(429), 1);
    let prepared = world.prepare().await;
    assert!(prepared.failed(Fault::System).message.contains("too many requests"), "{}", prepared.log.text());
    world.cleans_up().await;
    let asked = world.fake.questions().iter().filter(|asked| *asked == APP).count();
    world.job["id"] = 8.into();
    let prepared = world.prepare().await;
    prepared.failed(Fault::System);
    world.cleans_up().await;
    let again = world.fake.questions().iter().filter(|asked| *asked == APP).count();
    assert_eq!((asked, again), (1, 1), "the next job asks nothing");
    // Another account is another matter.
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    let world = world.variable("DOCKER_AUTH_CONFIG", auth);
    world.prepare().await.fine();
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_that_failed_together_do_not_come_again_together() {
    let mut pauses = std::collections::BTreeSet::new();
    for id in 1..=20 {
        let mut world = World::new();
        world.job["id"] = id.into();
        world.fake.trouble(APP, Trouble::Status(503), 1);
        pauses.insert(world.prepare().await.fine().took);
    }
    assert!(pauses.len() >= 15, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn the_tries_are_as_many_as_the_settings_say() {
    for attempts in [1, 2, 5] {
        let mut world = World::new();
        world.settings.pull.attempts = attempts;
        world.fake.trouble(APP, Trouble::Reset, 99);
        let prepared = world.prepare().await;
        let failure = prepared.failed(Fault::System);
        assert!(failure.message.contains("connection reset by peer"), "{failure}");
        assert_eq!(world.fake.count(Call::Pull), attempts as usize);
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_link_is_given_up_after_its_time_and_tried_again() {
    let mut world = World::new();
    world.settings.pull.no_progress_timeout = 30 * SECOND;
    world.fake.trouble(APP, Trouble::Stall, 1);
    let prepared = world.prepare().await.fine();
    let given_up = prepared.log.count("nothing moved for 31 s");
    assert_eq!(given_up, 1, "{}", prepared.log.text());
    assert_eq!(world.fake.count(Call::Pull), 2);
    assert!(prepared.took >= 33 * SECOND && prepared.took <= 35 * SECOND, "{:?}", prepared.took);
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_that_moves_is_not_given_up() {
    let mut world = World::new();
    world.settings.pull.no_progress_timeout = 30 * SECOND;
    world.fake.publish(APP, FakeImage::new("big").layers(&[("a", 10 << 20)]));
    // A piece of 1 MiB every 20 s.
    world.fake.download_rate((1 << 20) / 20);
    let prepared = world.prepare().await.fine();
    assert_eq!(world.fake.count(Call::Pull), 1);
    assert_eq!(prepared.took.as_secs(), 200);
}

#[tokio::test(start_paused = true)]
async fn unpacking_in_silence_is_no_stall() {
    let mut world = World::new();
    world.settings.pull.no_progress_timeout = 30 * SECOND;
    world.fake.unpacking_takes(600 * SECOND);
    let prepared = world.prepare().await.fine();
    assert_eq!(world.fake.count(Call::Pull), 1);
    assert_eq!(prepared.took.as_secs(), 600);
    assert_eq!(prepared.log.count("extract 600.0 s)"), 1, "{}", prepared.log.text());
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_is_not_even_answered_is_given_up_too() {
    let mut world = World::new();
    world.settings.pull.no_progress_timeout = 30 * SECOND;
    world.fake.hang_next(Call::Pull);
    let prepared = world.prepare().await.fine();
    assert_eq!(prepared.log.count("nothing moved for 31 s"), 1, "{}", prepared.log.text());
    assert_eq!(world.fake.count(Call::Pull), 2);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_the_hosts_fault_and_asked_once() {
    let world = World::new();
    world.fake.stop_engine();
    let prepared = world.prepare().await;
    let failure = prepared.failed(Fault::System);
    assert!(failure.message.contains("no container engine answers"), "{failure}");
    assert!(failure.hints.iter().any(|hint| hint.contains("systemctl start docker")), "{failure}");
    assert_eq!(world.calls(), ["version "]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_in_a_pull_is_the_hosts_fault() {
    for comes_back in [false, true] {
        let world = World::new();
        world.fake.publish(APP, FakeImage::new("big").layers(&[("a", 10 << 20)]));
        world.fake.download_rate(1 << 20);
        let trouble = async {
            sleep(5 * SECOND).await;
            world.fake.stop_engine();
            if comes_back {
                sleep(SECOND).await;
                world.fake.start_engine();
            }
        };
        let (prepared, ()) = tokio::join!(world.prepare(), trouble);
        if comes_back {
            prepared.fine();
            assert_eq!(world.fake.count(Call::Pull), 2);
        } else {
            let failure = prepared.failed(Fault::System);
            assert!(failure.message.contains("no container engine answers"), "{failure}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_of_prepare_may_fail_and_the_engine_is_named_each_time() {
    let calls = [
        Call::Version,
        Call::InspectImage,
        Call::CreateNetwork,
        Call::CreateVolume,
        Call::CreateContainer,
        Call::StartContainer,
    ];
    for call in calls {
        let world = World::warm();
        let message = "the disk is on fire".to_owned();
        world
            .fake
            .fail_next(call, EngineError::Refused { call: call.name().to_owned(), status: 500, message });
        let prepared = world.prepare().await;
        let failure = prepared.failed(Fault::System);
        assert!(failure.message.contains("the disk is on fire"), "{failure}");
        world.cleans_up().await;
        // And again on an engine that is well.
        world.prepare().await.fine();
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_of_prepare_may_hang_or_lose_its_answer() {
    let calls = [Call::CreateNetwork, Call::CreateVolume, Call::CreateContainer, Call::StartContainer];
    for call in calls {
        let world = World::warm();
        world.fake.hang_next(call);
        let prepared = world.prepare().await;
        let failure = prepared.failed(Fault::System);
        assert!(
            failure.message.contains(&format!("did not answer within 120 s ({})", call.name())),
            "{failure}"
        );
        assert_eq!(prepared.took, 120 * SECOND);
        world.cleans_up().await;

        let world = World::warm();
        world.fake.lose_next_answer(call);
        let prepared = world.prepare().await;
        assert!(prepared.failed(Fault::System).message.contains("lost the connection"), "{call:?}");
        // What the runner does then: it prepares again.
        world.prepare().await.fine();
        world.stage("step_script").run().await.fine();
        world.cleans_up().await;
    }
}
