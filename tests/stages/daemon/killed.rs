//! The daemon is killed at any point: the next one leaves nothing behind, and takes nothing from a job that lives.

use hearth::engine::fake::Call;
use serde_json::json;
use tokio::time::sleep;

use super::host::DaemonHost;
use crate::world::SECOND;

const ROUNDS: usize = 250;

#[tokio::test(start_paused = true)]
async fn after_a_kill_at_any_call_the_next_round_leaves_nothing_orphaned_and_nothing_wrongly_removed() {
    let mut host = DaemonHost::new();
    let long = 100 * 24 * 3600;
    host.world.job["runner_info"] = json!({"timeout": long});
    host.limit.set(long * SECOND);
    host.set(|settings| settings.daemon.longest_job = long * SECOND);
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
