//! What goes wrong while images are brought ahead: nothing wrong is kept, nothing comes twice, and one line says what happened.

use hearth::daemon::signals::Wish;
use hearth::engine::fake::{Call, Trouble};
use hearth::store::AheadOutcome;
use tokio::time::sleep;

use super::host::DaemonHost;
use super::prefetch::{LIST, MIB, image, list, listing};
use crate::world::SECOND;

const NAME: &str = "registry.test/ci/base:1";

/// A host whose list has one image, which takes 20 s to come.
fn host() -> DaemonHost {
    let host = DaemonHost::new();
    host.world.fake.publish(NAME, image("base", 20));
    host.world.fake.link_rate(MIB);
    host.set(|settings| list(settings, &[NAME]));
    host
}

impl DaemonHost {
    /// Asserts that the image is here as its registry has it, and that nothing is left of how it came.
    async fn has_come(&self, seed: &str) {
        use hearth::engine::Engine as _;
        let facts = self.world.fake.image(NAME).await.unwrap();
        let facts = facts.unwrap_or_else(|| panic!("{NAME} is not here\n{}", self.told()));
        let digest = image(seed, 20).digest();
        assert!(facts.repo_digests.iter().any(|name| name.ends_with(&digest)), "{facts:?}");
        let leases = self.world.store().leases(&hearth::daemon::World::moment(self));
        assert!(leases.iter().all(|lease| !lease.job.contains("prefetch")), "{leases:?}");
        assert_eq!(self.report().prefetch.now, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_is_said_once_and_the_image_comes_later() {
    let host = host();
    host.set(|settings| {
        list(settings, &[NAME]);
        settings.pull.attempts = 1;
    });
    host.world.fake.trouble(NAME, Trouble::Reset, 1);
    host.with_daemon(async |_| {
        sleep(60 * SECOND).await;
        assert_eq!(host.came(), [""; 0]);
        assert_eq!(host.times_told("base:1 did not come ahead: "), 1, "{}", host.told());
        let next = host.report().prefetch.next;
        assert!(next[0].waits.as_deref().is_some_and(|waits| waits.contains("tried again")), "{next:?}");
        sleep(400 * SECOND).await;
    })
    .await;
    host.has_come("base").await;
    let outcomes: Vec<AheadOutcome> = host.aheads().into_iter().map(|ahead| ahead.outcome).collect();
    assert_eq!(outcomes, [AheadOutcome::Failed, AheadOutcome::Done]);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_its_registry_answers_oddly_about_holds_nothing_else_up() {
    let host = listing();
    let odd = LIST[1].0;
    host.world.fake.trouble(odd, Trouble::Status(503), 100_000);
    host.with_daemon(async |_| {
        sleep(90 * SECOND).await;
        assert_eq!(host.came(), [LIST[2].0, LIST[0].0], "{}", host.told());
        host.world.fake.calm(odd);
        sleep(300 * SECOND).await;
    })
    .await;
    assert_eq!(host.came(), [LIST[2].0, LIST[0].0, odd], "{}", host.told());
    assert_eq!(host.times_told("nothing is fetched ahead from"), 0, "{}", host.told());
    assert_eq!(host.times_told("ci/large:1 does not come ahead: "), 1, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn what_comes_stops_once_it_is_switched_off() {
    let host = host();
    host.with_daemon(async |told| {
        sleep(10 * SECOND).await;
        host.set(|settings| {
            list(settings, &[NAME]);
            settings.prefetch.enabled = false;
        });
        told.send(Wish::Reload).await.unwrap();
        sleep(600 * SECOND).await;
        assert!(!host.has(NAME).await, "{}", host.told());
        assert_eq!(host.times_told("[prefetch] enabled is off now"), 1, "{}", host.told());
        host.set(|settings| list(settings, &[NAME]));
        told.send(Wish::Reload).await.unwrap();
        sleep(60 * SECOND).await;
    })
    .await;
    host.has_come("base").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_here_by_another_name_gets_the_name_too() {
    let host = host();
    let other = "registry.test/ci/base:other";
    host.world.fake.publish(other, image("base", 20));
    host.with_daemon(async |told| {
        sleep(60 * SECOND).await;
        assert!(host.has(NAME).await && !host.has(other).await);
        host.set(|settings| list(settings, &[NAME, other]));
        told.send(Wish::Reload).await.unwrap();
        sleep(60 * SECOND).await;
        assert!(host.has(other).await, "{}", host.told());
    })
    .await;
    assert_eq!(host.world.fake.count(Call::Pull), 1, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_twice_while_it_comes_ends_as_what_it_names() {
    let host = host();
    host.with_daemon(async |_| {
        sleep(5 * SECOND).await;
        host.world.fake.publish(NAME, image("second", 20));
        sleep(5 * SECOND).await;
        host.world.fake.publish(NAME, image("third", 20));
        sleep(30 * SECOND).await;
        host.has_come("base").await;
        sleep(3600 * SECOND).await;
    })
    .await;
    host.has_come("third").await;
    assert_eq!(host.world.fake.downloaded(), 40 * MIB, "the second one was never asked for: {}", host.told());
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_killed_while_it_fetches_is_followed_by_one_that_ends_it() {
    for calls in 0..24 {
        let host = host();
        host.world.fake.cut_after(calls);
        host.until_cut().await;
        host.world.fake.heal();
        host.with_daemon(async |_| sleep(400 * SECOND).await).await;
        host.has_come("base").await;
        let done = host.came().len();
        assert!(done <= 1, "{calls}: {}", host.told());
        assert!(host.world.fake.downloaded() <= 40 * MIB, "{calls}: {}", host.told());
        let told = host.told();
        assert!(!told.contains("did not come"), "{calls}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_ends_hands_its_pull_over_to_a_job() {
    let mut host = host();
    host.world.job["image"]["name"] = NAME.into();
    host.world.settings.job.pull_policy = vec![hearth::settings::PullPolicy::Always];
    let prepared = std::cell::RefCell::new(None);
    let job = async {
        sleep(5 * SECOND).await;
        prepared.replace(Some(host.world.prepare().await));
    };
    let daemon = host.with_daemon(async |_| sleep(10 * SECOND).await);
    tokio::join!(daemon, job);
    let prepared = prepared.take().unwrap().fine();
    assert!(prepared.took <= 20 * SECOND, "{:?} {}", prepared.took, prepared.log.text());
    assert_eq!(host.world.fake.downloaded(), 20 * MIB, "{}", prepared.log.text());
    assert_eq!(host.times_told("stopped fetching registry.test/ci/base:1 ahead"), 1, "{}", host.told());
    assert_eq!(host.report().prefetch.now, None);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_while_it_fetches_is_waited_for() {
    let host = host();
    host.with_daemon(async |_| {
        sleep(5 * SECOND).await;
        host.world.fake.stop_engine();
        sleep(3600 * SECOND).await;
        host.world.fake.start_engine();
        let pulls = host.world.fake.count(Call::Pull);
        sleep(900 * SECOND).await;
        assert_eq!(host.world.fake.count(Call::Pull), pulls + 1, "{}", host.told());
    })
    .await;
    host.has_come("base").await;
    assert!(host.times_told("base:1") <= 2, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_after_the_look_comes_as_what_it_means_then_and_a_job_joins_it() {
    let mut host = host();
    host.world.job["image"]["name"] = NAME.into();
    host.world.settings.job.pull_policy = vec![hearth::settings::PullPolicy::Always];
    host.set(|settings| {
        list(settings, &[NAME]);
        settings.pull.attempts = 1;
    });
    host.world.fake.trouble(NAME, Trouble::Reset, 1);
    host.with_daemon(async |_| {
        sleep(60 * SECOND).await;
        assert_eq!(host.times_told("base:1 did not come ahead: "), 1, "{}", host.told());
        host.world.fake.publish(NAME, image("second", 20));
        while host.world.fake.fetches("second") == 0 {
            sleep(SECOND).await;
        }
        let prepared = host.world.prepare().await.fine();
        assert!(prepared.took <= 21 * SECOND, "{:?} {}", prepared.took, prepared.log.text());
        sleep(10 * SECOND).await;
    })
    .await;
    host.has_come("second").await;
    assert_eq!((host.came(), host.world.fake.fetches("second")), (vec![NAME.to_owned()], 1));
    assert_eq!(host.times_told("stopped fetching"), 0, "{}", host.told());
    let digest = image("second", 20).digest();
    assert_eq!(host.aheads().last().unwrap().digest.as_ref(), Some(&digest));
    let announced: Vec<String> = host.world.store().announced().into_iter().map(|one| one.name).collect();
    assert_eq!(announced, [digest]);
    host.world.cleans_up().await;
}
