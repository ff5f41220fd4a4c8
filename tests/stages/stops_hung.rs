//! Stops that the engine does not help with: they end in time all the same.

use std::time::Duration;

use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::outcome::Fault;
use tokio::time::sleep;

use crate::bench::Ran;
use crate::world::{SECOND, World};

const STOP: Duration = Duration::from_secs(5);
const LITTLE: Duration = Duration::from_millis(700);
/// The longest that a stop may take beyond the grace of 10 s, whatever the engine does.
const BOUND: Duration = Duration::from_secs(20);

fn stopped_in_time(ran: &Ran, what: &str) {
    let failure = ran.failed(Fault::Job);
    assert!(failure.message.ends_with("was stopped by the runner"), "{what}: {failure}");
    let most = STOP + 10 * SECOND + BOUND + LITTLE;
    assert!(ran.took >= STOP && ran.took <= most, "{what}: {:?}", ran.took);
}

/// Stops a stage; `trouble` begins while its script runs, or, `before`, when it has not begun.
async fn stop_while(world: &World, stage: &str, before: &[Call], while_running: &[Call]) -> Ran {
    world.prepare().await.fine();
    world.fake.set_timeout(3600 * SECOND);
    before.iter().for_each(|call| world.fake.hang_next(*call));
    let trouble = async {
        sleep(SECOND).await;
        while_running.iter().for_each(|call| world.fake.hang_next(*call));
    };
    tokio::join!(world.stage(stage).stop_after(STOP).run(), trouble).0
}

#[tokio::test(start_paused = true)]
async fn a_script_that_is_never_started_is_stopped() {
    for stage in ["step_script", "get_sources"] {
        for call in [Call::CreateExec, Call::StartExec] {
            let world = World::warm();
            let ran = stop_while(&world, stage, &[call], &[]).await;
            stopped_in_time(&ran, call.name());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_script_whose_stop_is_never_answered_ends_in_time() {
    let kinds: [&[Call]; 5] = [
        &[Call::CreateExec],
        &[Call::StartExec],
        &[Call::CreateExec, Call::KillContainer],
        &[Call::StartExec, Call::KillContainer, Call::InspectContainer],
        &[Call::InspectExec],
    ];
    for stage in ["step_script", "get_sources"] {
        for calls in kinds {
            let world = World::warm();
            world.fake.script(|_| Behaviour::new().out("begun\n").forever().ignoring_term());
            let ran = stop_while(&world, stage, &[], calls).await;
            stopped_in_time(&ran, &format!("{stage} {calls:?}"));
            assert_eq!(ran.output, "begun\n");
            // What could not be ended goes with the build container; the helper is needed still.
            let names = world.names();
            let running = world.fake.running_containers();
            assert!(running.contains(&names.helper()), "{stage} {calls:?}");
            let unkillable = calls.contains(&Call::KillContainer) || calls == [Call::InspectExec];
            assert_eq!(running.contains(&names.build()), stage == "get_sources" || unkillable, "{calls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_entrypoint_that_is_never_started_is_stopped() {
    for calls in [
        &[Call::InspectContainer][..],
        &[Call::Attach],
        &[Call::StartContainer],
        &[Call::StartContainer, Call::KillContainer],
        &[Call::CreateExec],
    ] {
        let world = World::with(FakeImage::new("app").entrypoint(&["/entry"], Behaviour::new()));
        world.fake.script(|_| Behaviour::new().forever());
        let ran = stop_while(&world, "step_script", calls, &[]).await;
        stopped_in_time(&ran, &format!("{calls:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn without_hints_a_container_that_is_not_looked_at_is_stopped_too() {
    let mut world = World::warm();
    world.hints = false;
    let ran = stop_while(&world, "step_script", &[Call::InspectContainer], &[]).await;
    stopped_in_time(&ran, "inspect");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_around_a_stop_ends_it() {
    for (at, comes_back) in [(4, false), (5, false), (6, false), (6, true)] {
        let world = World::warm();
        world.fake.script(|_| Behaviour::new().forever().ignoring_term());
        world.prepare().await.fine();
        let trouble = async {
            sleep(at * SECOND).await;
            world.fake.stop_engine();
            if comes_back {
                sleep(2 * SECOND).await;
                world.fake.start_engine();
            }
        };
        let (ran, ()) = tokio::join!(world.stage("step_script").stop_after(STOP).run(), trouble);
        assert!(ran.result.is_err());
        assert!(ran.took <= STOP + 10 * SECOND + BOUND + LITTLE, "{:?}", ran.took);
        if !comes_back {
            world.fake.start_engine();
        }
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unread_log_and_a_hung_engine_together_end_in_time() {
    let world = World::warm();
    world.fake.script(|_| Behaviour::new().out_times(vec![b'x'; 64 << 10], 10_000).forever());
    world.prepare().await.fine();
    let trouble = async {
        sleep(SECOND).await;
        for call in [Call::CreateExec, Call::KillContainer, Call::InspectExec] {
            world.fake.hang_next(call);
        }
        world.fake.set_timeout(3600 * SECOND);
    };
    let (ran, ()) = tokio::join!(world.stage("step_script").unread().stop_after(STOP).run(), trouble);
    stopped_in_time(&ran, "unread");
}

#[tokio::test(start_paused = true)]
async fn service_logs_that_hang_hold_up_no_stop() {
    let world = World::warm().service(FakeImage::new("db")).variable("CI_DEBUG_SERVICES", "true");
    world.fake.script(|_| Behaviour::new().forever());
    // The first follows beside the script, the second catches up after it.
    let ran = stop_while(&world, "step_script", &[Call::Logs, Call::Logs], &[]).await;
    stopped_in_time(&ran, "logs");
}
