//! Pull policies: which of them is used, what goes on to the next one, and what does not.

use std::time::Duration;

use hearth::engine::fake::{Call, FakeImage, Trouble};
use hearth::outcome::Fault;
use hearth::settings::PullPolicy::{self, Always, IfNotPresent, Never};
use tokio::time::sleep;

use crate::world::{APP, SECOND, World};

/// A world whose image is in its registry, and on the host in an older state if `here`.
fn world(policies: &[PullPolicy], here: bool) -> World {
    let mut world = World::new();
    world.settings.job.pull_policy = policies.to_vec();
    world.fake.publish(APP, FakeImage::new("old"));
    world.fake.publish(APP, FakeImage::new("new"));
    if here {
        world.fake.image_here(APP, FakeImage::new("old"));
    }
    world
}

fn used(world: &World) -> String {
    world.fake.spec(&world.names().build()).unwrap().image
}

fn pinned(seed: &str) -> String {
    format!("{}@{}", APP.trim_end_matches(":1"), FakeImage::new(seed).digest())
}

#[tokio::test(start_paused = true)]
async fn every_policy_takes_the_image_that_it_names_pinned_to_its_digest() {
    for (policies, here, pulls, takes) in [
        (&[Always][..], false, 1, "new"),
        (&[Always], true, 1, "new"),
        (&[IfNotPresent], false, 1, "new"),
        (&[IfNotPresent], true, 0, "old"),
        (&[Never, IfNotPresent], false, 1, "new"),
        (&[Never, IfNotPresent], true, 0, "old"),
        (&[Always, Never], true, 1, "new"),
    ] {
        let world = world(policies, here);
        world.prepare().await.fine();
        assert_eq!(world.fake.count(Call::Pull), pulls, "{policies:?} {here}");
        assert_eq!(used(&world), pinned(takes), "{policies:?} {here}");
    }
}

#[tokio::test(start_paused = true)]
async fn never_takes_what_was_proved_before_and_asks_nobody() {
    let mut world = world(&[IfNotPresent], true);
    world.prepare().await.fine();
    world.cleans_up().await;
    world.settings.job.pull_policy = vec![Never];
    let questions = world.fake.questions().len();
    let prepared = world.prepare().await.fine();
    assert_eq!(used(&world), pinned("old"));
    assert_eq!((world.fake.questions().len(), world.fake.count(Call::Pull)), (questions, 0));
    assert_eq!(prepared.log.count("pull policy never: here, public"), 1, "{}", prepared.log.text());
    world.cleans_up().await;

    // Without a proof it is as if it were not there.
    world.settings.access.proof_ttl = Duration::ZERO;
    let prepared = world.prepare().await;
    let failure = prepared.failed(Fault::Job);
    assert!(failure.message.contains("nothing shows that this project may read"), "{failure}");
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_moved_tag_is_fetched_by_its_digest_and_gets_its_name() {
    let world = world(&[Always], true);
    world.prepare().await.fine();
    world.cleans_up().await;
    let questions = world.fake.questions().len();
    let prepared = world.prepare().await.fine();
    assert_eq!(world.fake.count(Call::Pull), 1, "the second job finds it fresh");
    assert_eq!(world.fake.questions().len() - questions, 1, "by one question");
    assert_eq!(prepared.log.count("pull policy always: up to date"), 1, "{}", prepared.log.text());
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn never_fetches_nothing_and_says_what_would() {
    let world = world(&[Never], false);
    let prepared = world.prepare().await;
    let failure = prepared.failed(Fault::Job);
    assert!(failure.message.contains("not on this host"), "{failure}");
    assert!(failure.hints.iter().any(|hint| hint.contains("if-not-present")), "{failure}");
    assert_eq!(world.fake.count(Call::Pull), 0);
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_final_answer_is_asked_for_once_and_opens_no_other_policy() {
    for (trouble, fault, words) in [
        (Trouble::Denied, Fault::Job, "may not be read"),
        (Trouble::NotFound, Fault::Job, "was not found"),
        (Trouble::NoSpace, Fault::System, "does not fit on the engine's disk"),
    ] {
        for here in [false, true] {
            let world = world(&[Always, IfNotPresent, Never], here);
            world.fake.trouble(APP, trouble, 99);
            let prepared = world.prepare().await;
            let failure = prepared.failed(fault);
            assert!(failure.message.contains(words), "{failure}");
            assert!(failure.message.contains(APP), "{failure}");
            let pulls = usize::from(trouble == Trouble::NoSpace);
            assert_eq!(world.fake.count(Call::Pull), pulls, "{trouble:?} {here}");
            let questions = world.fake.questions();
            assert_eq!(questions.iter().filter(|asked| *asked == APP).count(), 1, "{questions:?}");
            assert_eq!(world.fake.count(Call::CreateContainer), 0, "{trouble:?} {here}");
            world.cleans_up().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_goes_on_to_the_next_policy() {
    for (trouble, pulls) in
        [(Trouble::Status(503), 0), (Trouble::Status(429), 0), (Trouble::Reset, 3), (Trouble::Stall, 3)]
    {
        let world = world(&[Always, IfNotPresent], true);
        // It was read before: the next policy needs no answer.
        world.prove(APP, "old");
        world.fake.trouble(APP, trouble, 99);
        let prepared = world.prepare().await.fine();
        assert_eq!(world.fake.count(Call::Pull), pulls, "{trouble:?}");
        assert_eq!(used(&world), pinned("old"), "{trouble:?}");
        assert_eq!(prepared.log.count("pull policy always:"), 1, "{}", prepared.log.text());
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_policys_trouble_is_the_hosts() {
    let world = world(&[Always, IfNotPresent], false);
    world.fake.trouble(APP, Trouble::Status(503), 99);
    let prepared = world.prepare().await;
    let failure = prepared.failed(Fault::System);
    assert!(failure.message.contains("503 Service Unavailable"), "{failure}");
    assert_eq!(world.fake.count(Call::Pull), 0);
    assert_eq!(prepared.log.count("of 3 in"), 2, "once for both policies: {}", prepared.log.text());
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_login_opens_what_is_closed_without_it() {
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    for (config, opens) in [(None, false), (Some(auth), true)] {
        let mut world = World::new();
        world.fake.protect(APP, "user", "pass");
        if let Some(config) = config {
            world = world.variable("DOCKER_AUTH_CONFIG", config);
        }
        let prepared = world.prepare().await;
        if opens {
            let prepared = prepared.fine();
            assert_eq!(prepared.log.count(&format!("for {APP}")), 1, "{}", prepared.log.text());
            assert!(!prepared.log.text().contains("pass"), "{}", prepared.log.text());
        } else {
            assert!(prepared.failed(Fault::Job).message.contains("may not be read"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_without_this_hosts_platform_tells_which_it_has() {
    let world = World::new();
    world.fake.publish(APP, FakeImage::new("arm").index_of(&["linux/arm64", "linux/arm/v7"]));
    let prepared = world.prepare().await;
    let failure = prepared.failed(Fault::Job);
    assert!(failure.message.contains("no variant for linux/amd64"), "{failure}");
    assert!(failure.message.contains("linux/arm64") && failure.message.contains("linux/arm/v7"), "{failure}");
    assert_eq!(world.fake.count(Call::Pull), 0);
}

/// Prepares while an image vanishes `after` each of these times.
async fn prepare_while_vanishing(world: &World, after: &[Duration]) -> crate::world::Prepared {
    let vanish = async {
        for time in after {
            sleep(*time).await;
            world.fake.forget_image(APP);
        }
    };
    tokio::join!(world.prepare(), vanish).0
}

#[tokio::test(start_paused = true)]
async fn an_image_that_goes_between_look_and_create_is_fetched_again_once() {
    for (after, pulls) in [(&[SECOND][..], 1), (&[SECOND, 3 * SECOND], 1)] {
        let mut world = world(&[IfNotPresent], true);
        world.settings.job.disable_cache = true;
        // Looked at after 0 s, created at 2 s, fetched at 2 s, created again at 4 s.
        world.fake.delay(Call::CreateContainer, 2 * SECOND);
        let prepared = prepare_while_vanishing(&world, after).await;
        assert_eq!(world.fake.count(Call::Pull), pulls);
        if after.len() == 1 {
            prepared.fine();
            assert_eq!(used(&world), pinned("new"));
        } else {
            let failure = prepared.failed(Fault::System);
            assert!(failure.message.contains("went twice"), "{failure}");
        }
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn progress_comes_at_most_once_in_its_interval_and_ends_with_a_sum() {
    let world = World::new();
    world.fake.publish(APP, FakeImage::new("big").layers(&[("a", 60 << 20), ("b", 60 << 20)]));
    world.fake.download_rate(1 << 20);
    let prepared = world.prepare().await.fine();
    let lines = prepared.log.times(&format!("  {}: ", pinned("big")));
    let interval = world.settings.pull.progress_interval;
    assert!((20..=24).contains(&lines.len()), "{}", prepared.log.text());
    assert!(lines.windows(2).all(|pair| pair[1] - pair[0] >= interval), "{}", prepared.log.text());
    assert!(prepared.log.count("/s, about") >= lines.len() / 2, "{}", prepared.log.text());
    assert_eq!(prepared.log.count("120 MiB in 120.0 s (download"), 1, "{}", prepared.log.text());
}

#[tokio::test(start_paused = true)]
async fn a_job_log_whose_reader_hung_up_ends_prepare() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let world = World::new();
    let log = hearth::joblog::JobLog::new(Box::new(Closed));
    let failure =
        hearth::stage::prepare::run(&world.begun(), &world.fake, world.around(), &log).await.unwrap_err();
    assert_eq!(failure.fault, Fault::System);
    world.cleans_up().await;
}
