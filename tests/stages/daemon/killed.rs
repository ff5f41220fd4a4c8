//! The daemon is killed at any point: the next one leaves nothing behind, and takes nothing from a job that lives.

use std::time::Duration;

use hearth::engine::Engine as _;
use hearth::engine::fake::{Call, FakeImage};
use hearth::settings::{Marks, Scope};
use hearth::units::ByteSize;
use serde_json::json;
use tokio::time::sleep;

use super::host::DaemonHost;
use crate::world::{APP, HELPER, SECOND};

const ROUNDS: usize = 200;

#[tokio::test(start_paused = true)]
async fn after_a_kill_at_any_call_the_next_round_leaves_nothing_orphaned_and_nothing_wrongly_removed() {
    let mut host = DaemonHost::new();
    let long = 100 * 24 * 3600;
    host.world.job["runner_info"] = json!({"timeout": long});
    host.limit.set(long * SECOND);
    host.set(|settings| {
        settings.daemon.longest_job = long * SECOND;
        settings.prefetch.enabled = false;
    });
    host.world.prepare().await.fine();
    let of_living = host.world.left();
    host.make_job("busy-2", Some(&host.owner(42))).await;
    let mut removed_before_the_kill = 0;
    for round in 0..ROUNDS {
        let pid = 50_000 + u32::try_from(round).unwrap();
        let job = format!("dead-{round}");
        host.make_job(&job, Some(&host.owner(pid))).await;
        host.dead.borrow_mut().insert(pid);
        // Its first round has a dozen calls; each is the last one in turn.
        host.world.fake.cut_after(round % 12);
        host.until_cut().await;
        removed_before_the_kill += 4 - host.left_of(&format!("{job}-")).len().min(4);
        host.world.fake.heal();
        host.with_daemon(async |_| sleep(5 * SECOND).await).await;
        assert_eq!(host.left_of("dead-"), [""; 0], "round {round}: {}", host.told());
        assert_eq!(host.left_of("busy-2").len(), 4, "round {round}: {}", host.told());
        assert!(of_living.iter().all(|name| host.world.left().contains(name)), "round {round}");
        assert_eq!(host.report().last_round.unwrap().problems, [""; 0], "round {round}");
    }
    assert!(removed_before_the_kill > ROUNDS, "kills came in the midst of removals");
    assert!(host.world.fake.count(Call::RemoveContainer) > ROUNDS);
}

/// What images may take, before and after: three of the spare ones' bytes, and one.
const MARKS: Marks<ByteSize> = Marks { start: ByteSize(14 << 20), stop: ByteSize(9 << 20) };

#[tokio::test(start_paused = true)]
async fn after_a_kill_in_an_eviction_the_next_round_goes_on_and_takes_nothing_that_is_used() {
    let host = DaemonHost::new();
    host.set(|settings| {
        settings.prefetch.enabled = false;
        settings.cache.scope = Scope::All;
        settings.cache.minimum_age = Duration::ZERO;
        settings.cache.images = Some(MARKS);
        settings.cache.free = None;
        settings.cache.free_inodes = None;
    });
    host.world.prepare().await.fine();
    let fake = &host.world.fake;
    let mut killed_in_removals = 0;
    for round in 0..ROUNDS {
        for number in 0..5 {
            let name = format!("registry.test/spare/{round}-{number}");
            let image = FakeImage::new(&name);
            fake.image_here(&format!("{name}:1"), image.clone());
            fake.image_here(&format!("{name}:2"), image);
        }
        fake.forget_calls();
        // A round asks some ten times before it removes anything, and then some thirty times for five images.
        fake.cut_after(6 + round % 32);
        host.until_cut().await;
        killed_in_removals += usize::from(fake.count(Call::RemoveImage) > 0);
        fake.heal();
        host.with_daemon(async |_| sleep(5 * SECOND).await).await;
        let images = fake.images().await.unwrap();
        let bytes: u64 = images.iter().map(|image| image.bytes).sum();
        assert!(bytes <= MARKS.start.0, "round {round}: {bytes} bytes in {images:#?}\n{}", host.told());
        for used in [APP, HELPER] {
            let there = fake.image(used).await.unwrap();
            assert!(there.is_some(), "round {round}: {used} is used\n{}", host.told());
        }
        let store = host.world.store();
        assert_eq!(store.removals(&hearth::daemon::World::moment(&host)), [], "round {round}");
    }
    assert!(killed_in_removals > ROUNDS / 4, "{killed_in_removals} kills came in the midst of removals");
    host.world.cleans_up().await;
}
