//! A stage that is stopped: TERM, a grace, KILL, and what stays for the stages after it.

use std::time::Duration;

use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::outcome::Fault;

use crate::bench::Ran;
use crate::world::{SECOND, World};

/// When stages are stopped.
const STOP: Duration = Duration::from_secs(5);
/// What the last output may take until it is written, and a little for hearth itself.
const LITTLE: Duration = Duration::from_millis(700);

fn stopped(ran: &Ran, stage: &str) {
    let failure = ran.failed(Fault::Job);
    assert_eq!(failure.message, format!("stage {stage} was stopped by the runner"));
    assert_eq!(failure.exit_code, None);
}

/// Stops a stage that does `behaviour`; returns how it ended, and how long that took from the stop.
async fn stop(world: &World, stage: &str, behaviour: Behaviour) -> (Ran, Duration) {
    world.fake.script(move |_| behaviour.clone());
    world.prepare().await.fine();
    let ran = world.stage(stage).stop_after(STOP).run().await;
    stopped(&ran, stage);
    let took = ran.took.checked_sub(STOP).expect("it does not end by itself");
    (ran, took)
}

#[tokio::test(start_paused = true)]
async fn a_script_that_obeys_ends_at_once() {
    for stage in ["step_script", "get_sources"] {
        let world = World::warm();
        let behaviour = Behaviour::new().out("begun\n").child(Behaviour::new().forever()).forever();
        let (ran, took) = stop(&world, stage, behaviour).await;
        assert!(took <= LITTLE, "{took:?}");
        assert_eq!(ran.output, "begun\n");
        // Everything else of the job is still there, for after_script, cache and artifacts.
        assert_eq!(world.fake.running_containers().len(), 2);
        world.fake.script(|_| Behaviour::new().out("after\n"));
        for next in ["after_script", "upload_artifacts_on_failure"] {
            assert_eq!(world.stage(next).run().await.fine().output, "after\n");
        }
        assert_eq!(world.fake.count(Call::StartContainer), 2);
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_that_cleans_up_on_term_has_its_grace_and_is_heard() {
    let world = World::warm();
    let last = Behaviour::new().sleep(6 * SECOND).out("cleaned\n").exit(0);
    let (ran, took) =
        stop(&world, "step_script", Behaviour::new().out("begun\n").forever().on_term(last)).await;
    assert_eq!(ran.output, "begun\ncleaned\n");
    assert!(took >= 6 * SECOND && took <= 6 * SECOND + LITTLE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_script_that_does_not_listen_is_killed_after_the_grace() {
    for grace in [3, 10, 60] {
        for stage in ["step_script", "get_sources"] {
            let mut world = World::warm();
            world.settings.job.kill_grace = grace * SECOND;
            let (_, took) = stop(&world, stage, Behaviour::new().forever().ignoring_term()).await;
            assert!(took >= grace * SECOND && took <= grace * SECOND + LITTLE, "{took:?}");
            assert_eq!(world.fake.running_containers().len(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nothing_can_end_holds_up_no_stop() {
    for stage in ["step_script", "get_sources"] {
        let world = World::warm();
        world.fake.exec_streams_linger(None);
        let holder = Behaviour::new().forever().ignoring_term();
        let (_, took) = stop(&world, stage, Behaviour::new().escaping_child(holder).forever()).await;
        assert!(took <= 3 * SECOND + LITTLE, "{took:?}");
        assert_eq!(world.fake.running_containers().len(), 2, "{stage}");
        world.fake.script(|_| Behaviour::new());
        world.stage("after_script").run().await.fine();
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_waits_for_the_helper_is_stopped() {
    let world = World::warm();
    world.fake.helper_takes(300 * SECOND);
    world.prepare().await.fine();
    let ran = world.stage("get_sources").stop_after(STOP).run().await;
    stopped(&ran, "get_sources");
    assert!(ran.took <= STOP + LITTLE, "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_before_anything_began_is_obeyed() {
    for stage in ["step_script", "get_sources"] {
        let world = World::warm();
        world.fake.script(|_| Behaviour::new().forever());
        world.prepare().await.fine();
        let ran = world.stage(stage).stop_after(Duration::ZERO).run().await;
        stopped(&ran, stage);
        assert!(ran.took <= LITTLE, "{:?}", ran.took);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_an_entrypoint_that_does_not_hand_over() {
    let waits = Behaviour::new().out("waiting for the database\n").forever().ignoring_term();
    let world = World::with(FakeImage::new("app").entrypoint(&["/entry"], waits));
    world.prepare().await.fine();
    let ran = world.stage("step_script").stop_after(STOP).run().await;
    stopped(&ran, "step_script");
    assert_eq!(ran.output, "waiting for the database\n");
    assert!(ran.took <= STOP + LITTLE, "{:?}", ran.took);
    assert_eq!(world.fake.running_containers(), [world.names().helper()]);
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_holds_up_no_stop() {
    let world = World::warm();
    world.fake.script(|_| Behaviour::new().out_times(vec![b'x'; 64 << 10], 10_000).forever());
    world.prepare().await.fine();
    let ran = world.stage("step_script").unread().stop_after(STOP).run().await;
    stopped(&ran, "step_script");
    assert!(ran.took <= STOP + 3 * SECOND + LITTLE, "{:?}", ran.took);
    assert!(ran.output.len() < 10_000 * (64 << 10));
    world.fake.script(|_| Behaviour::new().out("after\n"));
    assert_eq!(world.stage("after_script").run().await.fine().output, "after\n");
}

#[tokio::test(start_paused = true)]
async fn a_script_that_just_ended_is_not_called_stopped_afterwards() {
    let world = World::warm();
    world.fake.script(|_| Behaviour::new().sleep(2 * SECOND).out("done\n").exit(0));
    world.prepare().await.fine();
    // The reader is slow with the last bytes; the stage is over all the same.
    let ran = world.stage("step_script").stop_after(3600 * SECOND).run().await.fine();
    assert_eq!(ran.output, "done\n");
}
