//! When the daemon does what: at rest nearly nothing, and what settings and signals say.

use hearth::daemon::report::Report;
use hearth::daemon::signals::Wish;
use hearth::engine::Engine as _;
use hearth::engine::fake::{Call, FakeImage};
use hearth::evict::Room;
use hearth::outcome::Failure;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::host::DaemonHost;
use crate::world::SECOND;

#[tokio::test(start_paused = true)]
async fn at_rest_it_asks_a_few_things_each_ten_minutes_and_nothing_between() {
    let host = DaemonHost::new();
    host.with_daemon(async |_| {
        sleep(60 * SECOND).await;
        assert_eq!(host.world.fake.count(Call::Events), 1);
        host.world.fake.forget_calls();
        sleep(24 * 3600 * SECOND).await;
        let calls = host.world.calls();
        assert!(calls.len() <= 24 * 6 * 8, "{} calls in a day", calls.len());
        assert_eq!(host.world.fake.count(Call::ListContainers), 2 * 24 * 6, "one for each of its two tasks");
        assert_eq!(host.world.fake.count(Call::Events), 0, "it listens all the time");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_comes_is_looked_at_soon_and_a_burst_of_them_once() {
    let host = DaemonHost::new();
    host.with_daemon(async |_| {
        sleep(60 * SECOND).await;
        for number in 0..5 {
            let name = format!("registry.test/group/more-{number}:1");
            host.world.fake.image_here(&name, FakeImage::new("more"));
            host.world.fake.tag(&name, &format!("local/{number}:1")).await.unwrap();
            sleep(SECOND).await;
        }
        let round = host.report().last_round;
        assert_eq!(round.unwrap().why, "the engine answers");
        sleep(15 * SECOND).await;
        let round = host.report().last_round.unwrap();
        assert_eq!(round.why, "news of images");
        let at = round.at;
        sleep(120 * SECOND).await;
        assert_eq!(host.report().last_round.unwrap().at, at);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fills_up_between_rounds_is_noticed() {
    let host = DaemonHost::new();
    let room = |free_bytes| Some(Room { bytes: 1000, free_bytes, inodes: None, free_inodes: None });
    host.room.set(room(500));
    host.with_daemon(async |_| {
        sleep(100 * SECOND).await;
        host.world.fake.forget_calls();
        sleep(100 * SECOND).await;
        assert_eq!(host.world.calls(), [""; 0]);
        host.room.set(room(99));
        sleep(31 * SECOND).await;
        let report = host.report();
        assert_eq!(report.last_round.unwrap().why, "the disk is too full");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn new_settings_count_at_once_and_wrong_ones_not_at_all() {
    let host = DaemonHost::new();
    host.with_daemon(async |told| {
        sleep(60 * SECOND).await;
        let _ = host.settings.replace(Err(Failure::system("cache.rule: no such rule")));
        told.send(Wish::Reload).await.unwrap();
        sleep(SECOND).await;
        assert!(
            host.told()
                .contains("<3>the new settings are not right, so the old ones stay in force: cache.rule")
        );
        assert!(host.report().last_error.unwrap().words.contains("cache.rule"));
        host.world.fake.forget_calls();
        sleep(1200 * SECOND).await;
        assert_eq!(host.world.fake.count(Call::ListVolumes), 2, "the old interval is in force");
        host.set(|settings| settings.daemon.interval = 60 * SECOND);
        told.send(Wish::Reload).await.unwrap();
        sleep(SECOND).await;
        host.world.fake.forget_calls();
        sleep(1200 * SECOND).await;
        assert_eq!(host.world.fake.count(Call::ListVolumes), 20);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let host = DaemonHost::new();
    host.with_daemon(async |_| {
        sleep(5 * SECOND).await;
        let (_told, wishes) = mpsc::channel(4);
        let journal = hearth::daemon::journal::Journal::new(Box::new(std::io::sink()), false);
        let refused = hearth::daemon::run(&host, &journal, wishes).await.unwrap_err();
        assert!(refused.message.contains("process 1000000"), "{refused}");
        sleep(700 * SECOND).await;
        assert_eq!(host.report().last_round.unwrap().why, "it was time");
    })
    .await;
    let last: Report = host.report();
    assert_eq!(last.next_round, None, "it says that it ends");
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_chosen_once_a_week_by_a_clock_that_is_believed() {
    let host = DaemonHost::new();
    let days = |days: u32| days * 24 * 3600 * SECOND;
    host.set(|settings| settings.daemon.interval = 3600 * SECOND);
    host.with_daemon(async |_| sleep(days(22)).await).await;
    assert_eq!(host.choices.get(), 4, "at once, and after one, two and three weeks");
    host.set(|settings| settings.cache.rule = hearth::settings::Rule::Fixed(hearth::policy::Score::Lru));
    host.with_daemon(async |_| sleep(days(22)).await).await;
    assert_eq!(host.choices.get(), 4, "the operator has chosen");
}
