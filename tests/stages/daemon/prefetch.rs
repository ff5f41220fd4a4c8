//! What the daemon brings ahead of jobs, and when.

use std::time::Duration;

use hearth::daemon::signals::Wish;
use hearth::engine::Engine as _;
use hearth::engine::fake::{Call, FakeImage, Trouble};
use hearth::evict::Room;
use hearth::operator::desk::Desk;
use hearth::operator::prefetch_plan;
use hearth::settings::{Listed, ListedImage, PullPolicy, Settings};
use hearth::store::{Ahead, AheadOutcome, BackOff, Batch, Use};
use hearth::units::ByteSize;
use tokio::time::sleep;

use super::host::DaemonHost;
use crate::world::{APP, SECOND, World};

pub(super) const MIB: u64 = 1 << 20;
/// Images of a list, and their sizes in MiB: a second each, at the link's speed.
pub(super) const LIST: [(&str, u64); 3] =
    [("registry.test/ci/small:1", 5), ("registry.test/ci/large:1", 50), ("registry.test/ci/middle:1", 20)];

pub(super) fn image(name: &str, size: u64) -> FakeImage {
    FakeImage::new(name).layers(&[(name, size * MIB)])
}

pub(super) fn list(settings: &mut Settings, names: &[&str]) {
    let one = |name: &&str| Listed {
        image: ListedImage::One(name.parse().unwrap()),
        platform: None,
        at: Vec::new(),
        pin: false,
    };
    settings.prefetch.images = names.iter().map(one).collect();
}

/// A host whose registry has the images of the list, behind a link of 1 MiB/s.
pub(super) fn listing() -> DaemonHost {
    let host = DaemonHost::new();
    for (name, size) in LIST {
        host.world.fake.publish(name, image(name, size));
    }
    host.world.fake.link_rate(MIB);
    host.set(|settings| list(settings, &LIST.map(|(name, _)| name)));
    host
}

impl DaemonHost {
    pub(super) fn aheads(&self) -> Vec<Ahead> {
        self.world.store().aheads(Duration::ZERO)
    }

    /// The images that came ahead, in their order.
    pub(super) fn came(&self) -> Vec<String> {
        let done = |ahead: &Ahead| ahead.outcome == AheadOutcome::Done;
        self.aheads().into_iter().filter(done).map(|ahead| ahead.name).collect()
    }

    /// Ends the job as its cleanup does.
    pub(super) async fn job_ends(&self) {
        self.world.cleans_up().await;
        let begun = self.world.begun();
        self.world.store().drop_leases(&format!("{} {}", begun.names.key(), begun.job.server));
    }

    /// Writes down that jobs used an image every day of the last two weeks.
    pub(super) fn used_daily(&self, name: &str) {
        self.used_on(name, (1..=14).rev());
    }

    /// Writes down that jobs used an image so many days ago.
    fn used_on(&self, name: &str, days: impl Iterator<Item = u32>) {
        let now = hearth::host::now();
        for day in days {
            let one = Use {
                reference: name.parse().unwrap(),
                project: Some("project".to_owned()),
                source: None,
                content: None,
                waited: Duration::ZERO,
            };
            let batch = Batch { uses: vec![one], ..Batch::default() };
            self.world.store().commit(&batch, now - day * 24 * 3600 * SECOND);
        }
    }

    pub(super) async fn has(&self, name: &str) -> bool {
        self.world.fake.image(name).await.unwrap().is_some()
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_host_brings_its_list_at_once_the_largest_saving_first_and_once() {
    let host = listing();
    host.with_daemon(async |_| sleep(90 * SECOND).await).await;
    assert_eq!(host.came(), [LIST[1].0, LIST[2].0, LIST[0].0], "{}", host.told());
    assert_eq!(host.world.fake.downloaded(), 75 * MIB);
    let told = host.told();
    assert_eq!(host.times_told("<5>fetched registry.test/ci/"), 3, "{told}");
    assert!(
        told.contains("fetched registry.test/ci/large:1 ahead (list: in the list): 50 MiB in 5"),
        "{told}"
    );
    let prefetch = host.report().prefetch;
    assert_eq!((prefetch.now, prefetch.next), (None, Vec::new()));
    assert_eq!(prefetch.month_bytes, 75 * MIB);
    // The next daemon finds it there.
    host.with_daemon(async |_| sleep(24 * 3600 * SECOND).await).await;
    assert_eq!(host.world.fake.count(Call::Pull), 3, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn what_came_ahead_is_warm_for_a_job_and_belongs_to_nobody() {
    let mut host = DaemonHost::new();
    host.world = World::new();
    host.world.fake.publish(APP, image("app", 20));
    host.set(|settings| list(settings, &[APP]));
    host.with_daemon(async |_| sleep(60 * SECOND).await).await;
    assert_eq!(host.came(), [APP]);
    let prepared = host.world.prepare().await.fine();
    assert_eq!(prepared.log.count("pull policy always: up to date"), 1, "{}", prepared.log.text());
    assert_eq!(host.world.fake.count(Call::Pull), 1);
    assert!(
        host.world
            .store()
            .leases(&hearth::host::moment())
            .iter()
            .all(|lease| !lease.job.contains("prefetch"))
    );
    host.world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_needs_what_is_coming_joins_it() {
    let mut host = DaemonHost::new();
    host.world = World::new();
    host.world.fake.publish(APP, image("app", 20));
    host.world.fake.link_rate(MIB);
    host.set(|settings| list(settings, &[APP]));
    host.with_daemon(async |_| {
        sleep(10 * SECOND).await;
        let prepared = host.world.prepare().await.fine();
        assert!((9..13).contains(&prepared.took.as_secs()), "{:?}", prepared.took);
        sleep(30 * SECOND).await;
    })
    .await;
    assert_eq!(host.world.fake.fetches("app"), 1);
    assert_eq!(host.world.fake.downloaded(), 20 * MIB, "{}", host.told());
    assert_eq!(host.came(), [APP]);
    host.world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn the_list_waits_for_an_idle_host_and_comes_once_it_is() {
    let host = listing();
    host.world.prepare().await.fine();
    host.with_daemon(async |_| {
        sleep(300 * SECOND).await;
        assert_eq!(host.came(), [""; 0], "{}", host.told());
        let next = host.report().prefetch.next;
        assert_eq!(next.len(), 3);
        assert_eq!(next[0].waits.as_deref(), Some("jobs are running"));
        host.job_ends().await;
        sleep(120 * SECOND).await;
    })
    .await;
    assert_eq!(host.came().len(), 3, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn a_pull_of_the_list_gives_way_to_a_job_and_comes_again_afterwards() {
    let mut host = listing();
    host.world.settings.job.pull_policy = vec![PullPolicy::Always];
    host.world.fake.publish(APP, image("later", 10));
    host.set(|settings| list(settings, &[LIST[1].0]));
    host.with_daemon(async |_| {
        sleep(10 * SECOND).await;
        let prepared = host.world.prepare().await.fine();
        assert!(prepared.took.as_secs() < 12, "as alone: {:?}\n{}", prepared.took, host.told());
        sleep(300 * SECOND).await;
        assert_eq!(host.came(), [""; 0], "the job runs: {}", host.told());
        host.job_ends().await;
        sleep(120 * SECOND).await;
    })
    .await;
    assert_eq!(host.came(), [LIST[1].0], "{}", host.told());
    assert_eq!(host.times_told("a job pulls registry.test/group/app@sha256:"), 1, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn new_settings_count_at_once_and_off_is_off() {
    let host = listing();
    host.set(|settings| settings.prefetch.enabled = false);
    host.with_daemon(async |told| {
        sleep(600 * SECOND).await;
        assert_eq!(host.came(), [""; 0]);
        host.set(|settings| list(settings, &[LIST[0].0]));
        told.send(Wish::Reload).await.unwrap();
        sleep(60 * SECOND).await;
        assert_eq!(host.came(), [LIST[0].0], "{}", host.told());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn hours_and_the_months_bytes_are_kept() {
    let host = listing();
    host.set(|settings| {
        list(settings, &LIST.map(|(name, _)| name));
        settings.prefetch.windows = vec!["22:00-06:00".parse().unwrap()];
        settings.prefetch.monthly = Some(ByteSize(60 * MIB));
        (settings.daemon.watch, settings.daemon.interval) = (1800 * SECOND, 7200 * SECOND);
    });
    let hours = |hours: u32| hours * 3600 * SECOND;
    host.with_daemon(async |_| {
        // The host began at ten in the morning.
        sleep(hours(11)).await;
        assert_eq!(host.came(), [""; 0], "{}", host.told());
        let next = host.report().prefetch.next;
        assert!(next[0].waits.as_deref().is_some_and(|waits| waits.contains("hours")), "{next:?}");
        sleep(hours(2)).await;
        assert_eq!(host.came(), [LIST[1].0, LIST[0].0], "{}", host.told());
        let next = host.report().prefetch.next;
        assert!(next[0].waits.as_deref().is_some_and(|waits| waits.contains("this month's")), "{next:?}");
        sleep(hours(31 * 24)).await;
        assert_eq!(host.came().len(), 3, "the next month: {}", host.told());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_in_use_that_moves_is_brought_within_the_hour() {
    let mut host = DaemonHost::new();
    host.world = World::new();
    host.used_daily(APP);
    host.world.prepare().await.fine();
    host.job_ends().await;
    let pulls = host.world.fake.count(Call::Pull);
    host.with_daemon(async |_| {
        sleep(3600 * SECOND).await;
        assert_eq!(host.came(), [""; 0], "{}", host.told());
        host.world.fake.publish(APP, image("new", 20));
        sleep(3000 * SECOND).await;
        assert_eq!(host.came(), [APP], "{}", host.told());
        assert_eq!(host.aheads()[0].source, "moved");
    })
    .await;
    let prepared = host.world.prepare().await.fine();
    assert_eq!(host.world.fake.count(Call::Pull), pulls + 1, "{}", prepared.log.text());
    host.world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_no_job_will_want_soon_is_known_to_have_moved_and_is_not_brought() {
    let mut host = DaemonHost::new();
    host.world = World::new();
    host.used_on(APP, [3].into_iter());
    host.world.prepare().await.fine();
    host.job_ends().await;
    host.world.fake.publish(APP, image("new", 20));
    host.with_daemon(async |_| {
        sleep(7200 * SECOND).await;
        let next = host.report().prefetch.next;
        let waits = next
            .iter()
            .find(|planned| planned.source == "moved")
            .and_then(|planned| planned.waits.as_deref());
        assert_eq!(waits, Some("nothing would be saved"), "{next:?}");
        assert_eq!(host.came(), [""; 0], "{}", host.told());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_jobs_use_daily_is_brought_back_once_it_went() {
    let mut host = DaemonHost::new();
    host.world = World::new();
    host.used_daily(APP);
    host.world.prepare().await.fine();
    host.job_ends().await;
    host.world.fake.forget_image(APP);
    host.with_daemon(async |_| sleep(60 * SECOND).await).await;
    assert_eq!(host.came(), [APP], "{}", host.told());
    assert_eq!(host.aheads()[0].source, "history");
    // With the history off it stays away.
    host.world.fake.forget_image(APP);
    host.set(|settings| settings.prefetch.history = false);
    host.with_daemon(async |_| sleep(7200 * SECOND).await).await;
    assert_eq!(host.came(), [APP], "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn where_jobs_may_pull_nothing_only_the_list_comes() {
    let listed = "registry.test/group/listed:1";
    for has_moved in [false, true] {
        let mut host = DaemonHost::new();
        host.world = World::new();
        host.world.fake.publish(listed, image("listed", 10));
        host.used_daily(APP);
        host.world.prepare().await.fine();
        host.job_ends().await;
        if has_moved {
            host.world.fake.publish(APP, image("new", 20));
        } else {
            host.world.fake.forget_image(APP);
        }
        host.set(|settings| {
            settings.job.pull_policy = vec![PullPolicy::Never];
            list(settings, &[listed]);
        });
        host.with_daemon(async |_| sleep(7200 * SECOND).await).await;
        assert_eq!(host.came(), [listed], "{has_moved}: {}", host.told());
        // What a job may ask for counts.
        host.set(|settings| {
            settings.job.allowed_pull_policies = vec![PullPolicy::Never, PullPolicy::IfNotPresent];
        });
        host.with_daemon(async |_| sleep(7200 * SECOND).await).await;
        assert_eq!(host.came(), [listed, APP], "{has_moved}: {}", host.told());
    }
}

#[tokio::test(start_paused = true)]
async fn at_rest_a_host_with_a_past_asks_little() {
    let mut host = DaemonHost::new();
    host.world = World::new();
    host.used_daily(APP);
    host.world.prepare().await.fine();
    host.job_ends().await;
    host.with_daemon(async |_| {
        sleep(60 * SECOND).await;
        host.world.fake.forget_calls();
        sleep(24 * 3600 * SECOND).await;
        let (calls, asked) = (host.world.calls().len(), host.world.fake.questions().len());
        assert!(asked <= 49, "{asked} questions for one tag in a day");
        assert!(calls <= 24 * 6 * 8 + 24 * 8 + 49 * 4, "{calls} calls in a day");
        assert_eq!(host.world.fake.count(Call::Pull), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_plan_says_what_comes_next_with_and_without_a_daemon() {
    let host = listing();
    let settings = host.settings.borrow().clone().unwrap();
    let place = host.place();
    let moment = || hearth::daemon::World::moment(&host);
    let here = hearth::evict::Here {
        process: hearth::daemon::World::process(&host),
        moment: &moment,
        clock_is_set: Some(true),
        lives: &|_| true,
        disk: &|_| None,
    };
    let (engine, endpoint) = (Ok(&host.world.fake), "fake");
    let desk = Desk { settings: &settings, place: Some(&place), engine, endpoint, here };
    let plan = async |json| {
        let clocks = (hearth::policy::LocalTime::default(), Duration::ZERO);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = prefetch_plan::run(json, &desk, clocks, &mut out, &mut err).await;
        assert_eq!((code, String::from_utf8(err).unwrap()), (0, String::new()));
        String::from_utf8(out).unwrap()
    };
    let text = plan(false).await;
    assert!(
        text.contains("no daemon runs") && text.contains("registry.test/ci/large:1: in the list"),
        "{text}"
    );
    host.with_daemon(async |_| {
        sleep(10 * SECOND).await;
        let text = plan(false).await;
        assert!(text.starts_with("comes now: registry.test/ci/large:1 (list: in the list)"), "{text}");
        assert!(text.contains("20 MiB") && !text.contains("no daemon"), "{text}");
        let document: serde_json::Value = serde_json::from_str(&plan(true).await).unwrap();
        assert_eq!(document["now"]["name"], LIST[1].0);
        assert!(document["next"][1]["seconds"].as_f64().is_some_and(|seconds| seconds > 1.0), "{document}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_only_jobs_can_read_is_reported_and_left_alone() {
    let mut host = DaemonHost::new();
    host.world = World::new();
    host.world.fake.protect(APP, "user", "pass");
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    host.world = host.world.variable("DOCKER_AUTH_CONFIG", auth);
    host.used_daily(APP);
    host.world.prepare().await.fine();
    host.job_ends().await;
    let asked = || host.world.fake.questions().iter().filter(|asked| asked.contains("/app")).count();
    let before = asked();
    host.with_daemon(async |_| {
        sleep(4000 * SECOND).await;
        assert_eq!(host.report().prefetch.jobs_only, [APP], "{}", host.told());
        sleep(24 * 3600 * SECOND).await;
    })
    .await;
    assert!((2..=6).contains(&(asked() - before)), "{} questions in a day", asked() - before);
    assert_eq!(host.times_told("app:1"), 0, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn what_is_worth_more_does_not_go_for_the_list() {
    let host = listing();
    let room = |free| Some(Room { bytes: 1000 * MIB, free_bytes: free, inodes: None, free_inodes: None });
    host.room.set(room(160 * MIB));
    host.with_daemon(async |_| {
        // 100 MiB stay free, which is the mark: there is room for the smallest only. Every five minutes that is looked at.
        sleep(650 * SECOND).await;
        let next = host.report().prefetch.next;
        assert!(
            next.iter().any(|planned| planned.waits.as_deref().is_some_and(|waits| waits.contains("room"))),
            "{next:?}"
        );
    })
    .await;
    assert_eq!(host.world.fake.count(Call::RemoveImage), 0, "{}", host.told());
    assert!(!host.has(LIST[1].0).await, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_is_said_once_asked_seldom_and_used_once_it_is_back() {
    for trouble in [Trouble::Down, Trouble::Status(429)] {
        let host = listing();
        for (name, _) in LIST {
            host.world.fake.trouble(name, trouble, 100_000);
        }
        host.with_daemon(async |_| {
            sleep(3600 * SECOND).await;
            assert_eq!(
                host.times_told("nothing is fetched ahead from registry.test for"),
                1,
                "{}",
                host.told()
            );
            let asked = host.world.fake.questions().len();
            assert!(asked <= 8, "{trouble:?}: {asked} questions in an hour\n{}", host.told());
            assert_eq!(host.world.fake.count(Call::Pull), 0);
            LIST.iter().for_each(|(name, _)| host.world.fake.calm(name));
            // The wall clock of who asks stands still here.
            let back_off = BackOff {
                registry: "registry.test".to_owned(),
                account: String::new(),
                until: Duration::ZERO,
                words: String::new(),
            };
            let batch = Batch { back_offs: vec![back_off], ..Batch::default() };
            host.world.store().commit(&batch, hearth::host::now());
            sleep(2 * 3600 * SECOND).await;
        })
        .await;
        assert_eq!(host.came().len(), 3, "{trouble:?}: {}", host.told());
        assert_eq!(host.times_told("registry.test answers again"), 1, "{}", host.told());
        assert_eq!(host.world.fake.downloaded(), 75 * MIB);
    }
}
