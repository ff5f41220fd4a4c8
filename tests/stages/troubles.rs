//! What happens to containers and engine under a stage, and whose fault that is.

use hearth::engine::EngineError;
use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::outcome::Fault;
use tokio::time::sleep;

use crate::bench::{Ran, Seen};
use crate::world::{SECOND, World};

/// Runs a stage that stays, while something happens to it after 5 s.
async fn run_while(world: &World, stage: &str, trouble: impl AsyncFnOnce()) -> Ran {
    world.fake.script(|_| Behaviour::new().out("begun\n").forever());
    world.prepare().await.fine();
    let trouble = async {
        sleep(5 * SECOND).await;
        trouble().await;
    };
    let (ran, ()) = tokio::join!(world.stage(stage).run(), trouble);
    assert!(ran.worked <= 12 * SECOND, "{:?}", ran.worked);
    assert_eq!(ran.output, "begun\n");
    ran
}

#[tokio::test(start_paused = true)]
async fn a_main_process_that_was_killed_is_the_jobs_fault_with_its_code() {
    let world = World::warm();
    let build = world.names().build();
    let ran = run_while(&world, "step_script", async || world.fake.kill(&build)).await;
    let failure = ran.failed(Fault::Job);
    assert_eq!(failure.exit_code, Some(137));
    assert!(failure.message.contains("main process of the build container was killed"), "{failure}");
    assert!(!failure.message.contains("memory"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn one_killed_for_lack_of_memory_says_so_with_the_limit() {
    let mut world = World::warm();
    world.settings.job.limits.memory = Some(hearth::units::ByteSize(256 << 20));
    let build = world.names().build();
    let ran = run_while(&world, "step_script", async || world.fake.kill_for_memory(&build)).await;
    let failure = ran.failed(Fault::Job);
    assert_eq!(failure.exit_code, Some(137));
    assert!(failure.message.contains("for lack of memory (limit 256 MiB)"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_script_out_of_memory_fails_with_its_code_and_a_word_in_the_log() {
    let mut world = World::warm();
    world.settings.job.limits.memory = Some(hearth::units::ByteSize(64 << 20));
    world.fake.script(|_| Behaviour::new().out("eating\n").out_of_memory());
    world.prepare().await.fine();
    let ran = world.stage("step_script").run().await;
    assert_eq!(ran.failed(Fault::Job).exit_code, Some(137));
    assert!(ran.output.contains("out of memory") && ran.output.contains("64 MiB"), "{}", ran.output);
    assert_eq!(world.fake.running_containers().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn containers_that_somebody_removes_are_the_hosts_fault() {
    for (stage, role) in [("step_script", "build"), ("get_sources", "helper")] {
        let world = World::warm();
        let names = world.names();
        let container = if role == "build" { names.build() } else { names.helper() };
        let ran = run_while(&world, stage, async || world.fake.remove_behind(&container).await).await;
        let failure = ran.failed(Fault::System);
        assert!(failure.message.contains(&format!("the {role} container was removed")), "{failure}");
        // The next stage that needs it says so too.
        let next = world.stage(stage).run().await;
        assert!(next.failed(Fault::System).message.contains("was removed"));
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_helper_that_ends_is_the_hosts_fault() {
    let world = World::warm();
    let helper = world.names().helper();
    let ran = run_while(&world, "get_sources", async || world.fake.kill(&helper)).await;
    let failure = ran.failed(Fault::System);
    assert!(failure.message.contains("the helper container ended with exit code 137"), "{failure}");
    assert_eq!(failure.exit_code, None);
    let next = world.stage("upload_artifacts_on_failure").run().await;
    assert!(next.failed(Fault::System).message.contains("the helper container ended"));
}

#[tokio::test(start_paused = true)]
async fn after_script_finds_a_main_process_again() {
    let entry = Behaviour::new();
    for (image, user) in [
        (FakeImage::new("plain"), ""),
        (FakeImage::new("entry").entrypoint(&["/e"], entry).hands_over_as("1000 1000 1000"), "1000:1000"),
    ] {
        let world = World::with(image);
        let build = world.names().build();
        let ran = run_while(&world, "step_script", async || world.fake.kill(&build)).await;
        assert_eq!(ran.failed(Fault::Job).exit_code, Some(137));
        world.fake.script(|_| Behaviour::new().out("after\n"));
        let seen = Seen::on(&world.fake);
        let after = world.stage("after_script").run().await.fine();
        assert_eq!(after.output, "after\n");
        assert_eq!((seen.containers(), seen.users()), (vec![build.clone()], vec![user.to_owned()]));
        assert_eq!(world.fake.starts(&build), 2);
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_under_a_stage_is_the_hosts_fault() {
    for stage in ["step_script", "get_sources"] {
        let world = World::warm();
        let ran = run_while(&world, stage, async || world.fake.stop_engine()).await;
        let failure = ran.failed(Fault::System);
        assert!(failure.message.contains("no container engine answers"), "{failure}");
        assert_eq!(failure.exit_code, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_restarted_under_a_stage_is_the_hosts_fault() {
    for stage in ["step_script", "get_sources"] {
        let world = World::warm();
        let ran = run_while(&world, stage, async || {
            world.fake.stop_engine();
            sleep(2 * SECOND).await;
            world.fake.start_engine();
        })
        .await;
        let failure = ran.failed(Fault::System);
        assert_eq!(failure.exit_code, None, "{failure}");
        world.cleans_up().await;
    }
}

/// As real restarts do it: the containers are stopped, and by the next question the engine is there again.
#[tokio::test(start_paused = true)]
async fn a_restart_that_nobody_notices_is_no_killed_main_process() {
    for (stage, role) in [("step_script", "build"), ("get_sources", "helper")] {
        let world = World::warm();
        let ran = run_while(&world, stage, async || {
            world.fake.stop_engine();
            world.fake.start_engine();
        })
        .await;
        let failure = ran.failed(Fault::System);
        assert_eq!(failure.exit_code, None, "{failure}");
        let words = format!("the container engine was restarted, which stopped the {role} container");
        assert!(failure.message.contains(&words), "{failure}");
        assert_eq!(world.fake.count(Call::InspectNetwork), 1);
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_restart_is_no_excuse_for_a_killed_main_process() {
    let world = World::warm();
    world.fake.stop_engine();
    world.fake.start_engine();
    let build = world.names().build();
    let ran = run_while(&world, "step_script", async || world.fake.kill(&build)).await;
    assert_eq!(ran.failed(Fault::Job).exit_code, Some(137));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_tell_when_it_began_is_taken_at_its_word() {
    let world = World::warm();
    world.fake.fail_next(Call::InspectNetwork, EngineError::NotFound { message: "no such network".into() });
    let build = world.names().build();
    let ran = run_while(&world, "step_script", async || world.fake.kill(&build)).await;
    assert_eq!(ran.failed(Fault::Job).exit_code, Some(137));
}

#[tokio::test(start_paused = true)]
async fn a_stage_on_an_engine_that_is_away_ends_at_once() {
    let world = World::warm();
    world.prepare().await.fine();
    world.fake.stop_engine();
    for stage in ["step_script", "get_sources"] {
        let ran = world.stage(stage).run().await;
        let failure = ran.failed(Fault::System);
        assert!(failure.message.contains("no container engine answers"), "{failure}");
        assert!(ran.took <= SECOND, "{:?}", ran.took);
    }
}

#[tokio::test(start_paused = true)]
async fn stages_without_a_prepare_say_what_is_missing() {
    let world = World::warm();
    for stage in ["step_script", "get_sources"] {
        let ran = world.stage(stage).run().await;
        assert!(ran.failed(Fault::System).message.contains("container was removed"));
    }
    assert_eq!(world.fake.count(Call::CreateContainer), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_hangs_up_ends_the_stage() {
    let world = World::warm();
    world.fake.script(|_| Behaviour::new().out_times("noise\n", 100_000).forever());
    world.prepare().await.fine();
    let ran = world.stage("step_script").hung_up().run().await;
    let failure = ran.failed(Fault::System);
    assert!(failure.message.contains("the reader of the job log hung up"), "{failure}");
    assert_eq!(world.fake.running_containers().len(), 2);
    world.cleans_up().await;
}
