//! What dead jobs left goes, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use hearth::engine::Engine as _;
use hearth::engine::fake::Call;
use hearth::moment::Process;
use hearth::plan::spec::VolumeSpec;
use hearth::store::{Lease, LeaseKind, Mark, Removal};
use tokio::time::sleep;

use super::host::DaemonHost;
use crate::world::SECOND;

const DAY: i64 = 24 * 3600;

#[tokio::test(start_paused = true)]
async fn what_a_dead_job_left_goes_and_a_living_job_keeps_all_it_has() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    let of_living = host.world.left();
    host.make_job("dead-1", Some(&host.owner(41))).await;
    host.make_job("busy-2", Some(&host.owner(42))).await;
    host.dead.borrow_mut().insert(41);
    host.with_daemon(async |_| sleep(5 * SECOND).await).await;
    assert_eq!(host.left_of("dead-1"), [""; 0], "{}", host.told());
    assert_eq!(host.left_of("busy-2").len(), 4, "{}", host.told());
    assert!(of_living.iter().all(|name| host.world.left().contains(name)), "{}", host.told());
    assert!(
        host.told().contains("<5>removed container dead-1-build: its runner has ended"),
        "{}",
        host.told()
    );
    let done = host.report().last_round.unwrap().done;
    assert_eq!((done.containers, done.networks, done.volumes), (2, 1, 1));
    // Tokens lie where the helper deletes them when it is asked to end.
    let calls = host.world.calls();
    let helper_ends =
        calls.iter().position(|call| call.starts_with("StopContainer") || call.starts_with("stop container"));
    assert!(helper_ends.is_some(), "{calls:#?}");
    host.world.cleanup().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_dies_is_noticed_between_rounds_without_a_call() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    host.with_daemon(async |_| {
        sleep(20 * SECOND).await;
        host.make_job("soon-dead-3", Some(&host.owner(43))).await;
        // Its image came with it, which is news.
        sleep(20 * SECOND).await;
        host.world.fake.forget_calls();
        sleep(120 * SECOND).await;
        assert_eq!(host.world.calls(), [""; 0], "nothing is asked while all live");
        host.dead.borrow_mut().insert(43);
        sleep(40 * SECOND).await;
        assert_eq!(host.left_of("soon-dead-3"), [""; 0], "{}", host.told());
    })
    .await;
    assert_eq!(host.report().last_round.unwrap().why, "a job's runner has died");
    host.world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_containers_unlabelled_volume_goes_with_its_job() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    host.make_job("dead-1", Some(&host.owner(41))).await;
    let late = VolumeSpec { name: "dead-1-builds".to_owned(), kept: false, labels: BTreeMap::new() };
    host.world.fake.create_volume(&late).await.unwrap();
    host.dead.borrow_mut().insert(41);
    host.with_daemon(async |_| sleep(5 * SECOND).await).await;
    assert_eq!(host.left_of("dead-1"), [""; 0], "{}", host.told());
    host.world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_older_version_made_goes_by_age_and_only_by_a_clock_that_is_believed() {
    // The engine's clock is years behind, so that all it has is old.
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    host.make_job("ownerless-4", None).await;
    host.set.set(Some(false));
    host.with_daemon(async |_| {
        host.world.fake.set_timeout(5 * SECOND);
        sleep(60 * SECOND).await;
    })
    .await;
    let believed_anyway = host.report().clock.is_none();
    if !believed_anyway {
        assert_eq!(host.left_of("ownerless-4").len(), 4, "{}", host.told());
    }
    host.set.set(Some(true));
    host.set(|settings| settings.daemon.longest_job = Duration::from_secs(100 * 365 * DAY.unsigned_abs()));
    let young = !believed_anyway;
    host.with_daemon(async |_| sleep(5 * SECOND).await).await;
    assert_eq!(host.left_of("ownerless-4").len(), if young { 4 } else { 0 }, "{}", host.told());
    host.set(|_| {});
    host.with_daemon(async |_| sleep(5 * SECOND).await).await;
    assert_eq!(host.left_of("ownerless-4"), [""; 0], "{}", host.told());
    host.world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_by_three_weeks_takes_nothing_from_a_running_job() {
    for weeks in [-3, 3] {
        let host = DaemonHost::new();
        host.world.prepare().await.fine();
        host.make_job("busy-2", Some(&host.owner(42))).await;
        let before = host.world.left();
        host.with_daemon(async |_| {
            sleep(30 * SECOND).await;
            host.step.set(weeks * 7 * DAY);
            // Every round until the job's own time is nearly over.
            sleep(3000 * SECOND).await;
        })
        .await;
        assert_eq!(host.world.left(), before, "{}", host.told());
        let doubt = host.report().clock;
        match weeks {
            -3 => assert!(doubt.unwrap().contains("20 days behind"), "{}", host.told()),
            _ => assert_eq!(doubt, None),
        }
        host.with_daemon(async |_| sleep(3600 * SECOND).await).await;
        assert_eq!(host.left_of("busy-2"), [""; 0], "its own time is over: {}", host.told());
        host.world.cleanup().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_at_the_same_things_and_the_daemon_do_not_trip_over_each_other() {
    let host = DaemonHost::new();
    host.world.prepare().await.fine();
    host.world.fake.removals_take(3 * SECOND);
    let runner = hearth::host::runner().pid;
    host.with_daemon(async |_| {
        sleep(SECOND).await;
        host.dead.borrow_mut().insert(runner);
        let cleanup = async {
            // The daemon begins at the same time: its watch comes every 30 seconds.
            sleep(28_900 * SECOND / 1000).await;
            host.world.cleanup().await
        };
        assert_eq!(cleanup.await, Ok(()), "{}", host.told());
        sleep(60 * SECOND).await;
    })
    .await;
    assert_eq!(host.world.left(), [""; 0], "{}", host.told());
    assert_eq!(host.report().last_round.unwrap().problems, [""; 0], "{}", host.told());
    assert!(host.world.fake.count(Call::RemoveContainer) >= 2);
}

#[tokio::test(start_paused = true)]
async fn leases_of_dead_jobs_and_marks_of_dead_removers_go_and_others_stay() {
    let host = DaemonHost::new();
    // An evictor takes away all marks, since it is the only one that makes any.
    host.set(|settings| settings.cache.evict = false);
    host.world.prepare().await.fine();
    let now = hearth::daemon::World::moment(&host);
    let process = |pid| Process { pid, started: 1, ..Process::default() };
    let lease = |job: &str, pid| Lease {
        job: format!("{job} gitlab.test"),
        kind: LeaseKind::Reference,
        name: "registry.test/group/other:1".to_owned(),
        taken: now.clone(),
        owner: process(pid),
        lasts: 3600 * SECOND,
    };
    let removal =
        |name: &str, pid| Removal { names: vec![name.to_owned()], since: now.clone(), by: process(pid) };
    let store = host.world.store();
    let before = store.leases(&now).len();
    store.lease(&[lease("dead-1", 41), lease("busy-2", 42)]);
    for (name, pid) in [("sha256:dead", 41), ("sha256:busy", 42)] {
        assert_eq!(store.mark_removal(&removal(name, pid), |_| true), Mark::Made);
    }
    host.dead.borrow_mut().insert(41);
    host.with_daemon(async |_| sleep(5 * SECOND).await).await;
    let store = host.world.store();
    let jobs: Vec<String> = store.leases(&now).into_iter().map(|lease| lease.job).collect();
    assert_eq!(jobs.len(), before + 1, "{jobs:?}");
    assert!(jobs.contains(&"busy-2 gitlab.test".to_owned()), "{jobs:?}");
    let marks: Vec<_> = store.removals(&now).into_iter().map(|removal| removal.names).collect();
    assert_eq!(marks, [["sha256:busy"]]);
    host.world.cleanup().await.unwrap();
}
