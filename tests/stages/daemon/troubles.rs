//! Engines and stores that are gone, slow, hung, old or new: one clear message, and no job is lost.

use hearth::engine::fake::Call;
use hearth::evict::Room;
use tokio::time::sleep;

use super::host::DaemonHost;
use crate::world::SECOND;

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_gone_is_waited_for_and_looked_at_once_it_is_back() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    host.with_daemon(async |_| {
        sleep(60 * SECOND).await;
        host.make_job("dead-1", Some(&host.owner(41))).await;
        host.world.fake.forget_calls();
        host.world.fake.stop_engine();
        host.dead.borrow_mut().insert(41);
        sleep(3600 * SECOND).await;
        let tries = host.world.fake.count(Call::Events);
        assert!((60..=70).contains(&tries), "{tries} tries in an hour");
        assert!(!host.report().engine.answers);
        host.world.fake.start_engine();
        sleep(61 * SECOND).await;
        assert!(host.report().engine.answers);
        assert_eq!(host.left_of("dead-1"), [""; 0], "{}", host.told());
    })
    .await;
    assert_eq!(host.times_told("answers again"), 1, "{}", host.told());
    assert!(host.times_told("tried again and again") <= 3, "{}", host.told());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_never_there_is_waited_for_too() {
    let host = DaemonHost::new();
    host.world.fake.stop_engine();
    host.with_daemon(async |_| {
        sleep(600 * SECOND).await;
        assert!(!host.report().engine.answers);
        host.world.fake.start_engine();
        sleep(61 * SECOND).await;
        assert_eq!(host.report().last_round.unwrap().why, "the engine answers");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hung_engine_holds_up_neither_the_end_nor_what_comes_after_it() {
    for call in [Call::Events, Call::ListContainers, Call::ListNetworks, Call::ListVolumes] {
        let host = DaemonHost::new();
        host.world.fake.hang_next(call);
        // It ends in ten seconds although nothing answers.
        host.with_daemon(async |_| sleep(60 * SECOND).await).await;
        host.world.fake.heal();
        host.world.fake.hang_next(call);
        host.with_daemon(async |_| sleep(300 * SECOND).await).await;
        let report = host.report();
        assert!(report.engine.answers, "{call:?}: {}", host.told());
        assert!(report.last_round.is_some(), "{call:?}: {}", host.told());
        assert_eq!(host.times_told("did not answer within"), 1, "{call:?}: {}", host.told());
    }
}

#[tokio::test(start_paused = true)]
async fn one_removal_that_hangs_does_not_keep_the_daemon_from_the_rest() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    host.make_job("dead-1", Some(&host.owner(41))).await;
    host.dead.borrow_mut().insert(41);
    host.world.fake.hang_next(Call::RemoveContainer);
    host.with_daemon(async |_| {
        sleep(300 * SECOND).await;
        let round = host.report().last_round.unwrap();
        assert!(round.problems[0].contains("dead job stays"), "{round:?}");
        sleep(600 * SECOND).await;
    })
    .await;
    assert_eq!(host.left_of("dead-1"), [""; 0], "the next round tries again: {}", host.told());
    host.world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_ends_and_nothing_new_is_begun_when_the_daemon_is_to_end() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    for number in 0..20 {
        host.make_job(&format!("dead-{number:02}"), Some(&host.owner(41))).await;
    }
    host.dead.borrow_mut().insert(41);
    host.world.fake.removals_take(2 * SECOND);
    host.with_daemon(async |_| sleep(9 * SECOND).await).await;
    let done = host.report().total;
    assert!(done.containers > 0 && done.containers < 12, "{done:?}");
    let gone = 2 * 20 + 2 - host.world.fake.containers().len() as u64;
    assert_eq!(done.containers, gone, "what it did is written down");
    host.world.cleanup().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_daemon_older_than_the_store_says_so_once_and_does_nothing() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    host.make_job("dead-1", Some(&host.owner(41))).await;
    host.dead.borrow_mut().insert(41);
    let db = rusqlite::Connection::open(host.place().file()).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    host.world.fake.forget_calls();
    host.with_daemon(async |_| sleep(3600 * SECOND).await).await;
    assert_eq!(host.left_of("dead-1").len(), 4);
    assert_eq!(host.times_told("<3>this daemon is older than the store"), 1, "{}", host.told());
    let calls = host.world.calls();
    assert!(!calls.iter().any(|call| call.to_lowercase().contains("remove")), "{calls:?}");
    host.world.cleanup().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_used_keeps_nothing_from_being_reaped_and_everything_from_being_evicted() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    host.make_job("dead-1", Some(&host.owner(41))).await;
    host.make_job("ownerless-4", None).await;
    host.dead.borrow_mut().insert(41);
    let file = host.place().file();
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    host.room.set(Some(Room { bytes: 1000, free_bytes: 1, inodes: None, free_inodes: None }));
    host.with_daemon(async |_| sleep(3600 * SECOND).await).await;
    assert_eq!(host.left_of("dead-1"), [""; 0], "{}", host.told());
    assert_eq!(host.left_of("ownerless-4").len(), 4, "nobody knows how late it is: {}", host.told());
    assert_eq!(host.times_told("nothing is evicted until it can be used"), 1, "{}", host.told());
    assert_eq!(host.world.fake.count(Call::RemoveImage), 0);
    host.world.cleanup().await.unwrap();
}
