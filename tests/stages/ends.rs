//! How stages end by themselves: where they run, what code they leave, and what they leave behind.

use std::pin::pin;

use hearth::engine::EngineError;
use hearth::engine::fake::{Behaviour, Call};
use hearth::outcome::Fault;
use hearth::plan::script::{self, StageOptions};
use hearth::plan::spec::ExecSpec;
use hearth::stage::exec::{Ending, Place, Stop};
use hearth::stage::output::JobOutput;
use tokio::time::{Duration, Instant};

use crate::bench::Seen;
use crate::world::{SECOND, World};

#[tokio::test(start_paused = true)]
async fn the_scripts_code_is_the_stages() {
    for code in [1, 2, 42, 125, 126, 127, 128, 137, 143, 255] {
        let world = World::warm();
        world.fake.script(move |_| Behaviour::new().out("ran\n").exit(code));
        world.prepare().await.fine();
        for stage in ["step_script", "get_sources"] {
            let ran = world.stage(stage).run().await;
            let failure = ran.failed(Fault::Job);
            assert_eq!(failure.exit_code.map(i64::from), Some(code), "{stage}");
            assert!(failure.quiet, "the runner says it: {failure}");
            assert_eq!(ran.output, "ran\n");
        }
        // A stage that failed leaves the job's containers to those that come after it.
        assert_eq!(world.fake.running_containers().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_runners_own_stages_run_in_the_helper_and_all_others_in_the_image() {
    let world = World::warm();
    let seen = Seen::on(&world.fake);
    world.prepare().await.fine();
    let (helper, build) = (world.names().helper(), world.names().build());
    for (stage, container) in [
        ("prepare_script", &helper),
        ("get_sources", &helper),
        ("clear_worktree", &helper),
        ("restore_cache", &helper),
        ("download_artifacts", &helper),
        ("build_script", &build),
        ("step_script", &build),
        ("step_release", &build),
        ("after_script", &build),
        ("something_new", &build),
        ("archive_cache", &helper),
        ("archive_cache_on_failure", &helper),
        ("upload_artifacts_on_success", &helper),
        ("upload_artifacts_on_failure", &helper),
        ("cleanup_file_variables", &helper),
    ] {
        world.stage(stage).script(stage).run().await.fine();
        assert_eq!(seen.containers().last(), Some(container), "{stage}");
        assert_eq!(seen.scripts().last().map(Vec::as_slice), Some(stage.as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn scripts_and_output_of_any_size_and_bytes_come_through_whole_and_in_order() {
    let world = World::warm();
    let talk = Behaviour::new().out("first\n").out_times(vec![b'x'; 64 << 10], 320).err("\u{fffd}last\n");
    world.fake.script(move |_| talk.clone());
    let seen = Seen::on(&world.fake);
    world.prepare().await.fine();
    let script: Vec<u8> = (0..3 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
    let ran = world.stage("step_script").script(script.clone()).run().await.fine();
    assert_eq!(ran.output.len(), 6 + (20 << 20) + 8);
    assert!(ran.output.starts_with("first\nx") && ran.output.ends_with("x\u{fffd}last\n"));
    assert!(seen.scripts() == [script], "the script came through changed");
}

#[tokio::test(start_paused = true)]
async fn states_of_execs_that_lag_keep_their_code() {
    for lag in [10, 300, 1500] {
        let world = World::warm();
        world.fake.exec_states_lag(Duration::from_millis(lag));
        world.fake.script(|_| Behaviour::new().exit(3));
        world.prepare().await.fine();
        let ran = world.stage("step_script").run().await;
        assert_eq!(ran.failed(Fault::Job).exit_code, Some(3), "{lag} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_the_engine_lost_is_no_success() {
    let world = World::warm();
    world.fake.script(|_| Behaviour::new().out("some\n").lost());
    world.prepare().await.fine();
    let ran = world.stage("step_script").run().await;
    let failure = ran.failed(Fault::System);
    assert!(failure.message.contains("lost the exit code of stage step_script"), "{failure}");
    assert_eq!(failure.exit_code, None);
}

#[tokio::test(start_paused = true)]
async fn an_exec_that_the_engine_forgot_is_the_hosts_fault() {
    let world = World::warm();
    world.fake.script(|_| Behaviour::new().sleep(20 * SECOND).exit(1));
    world.prepare().await.fine();
    let forget = async {
        tokio::time::sleep(10 * SECOND).await;
        let calls = world.fake.calls();
        let start = calls.iter().rfind(|made| made.call == Call::StartExec).unwrap();
        let asked = calls.iter().rfind(|made| made.call == Call::InspectExec).unwrap();
        assert_eq!(start.object, world.names().build());
        world.fake.forget_exec(&asked.object);
    };
    let (ran, ()) = tokio::join!(world.stage("step_script").run(), forget);
    let failure = ran.failed(Fault::System);
    assert!(failure.message.contains("No such exec instance"), "{failure}");
    assert_eq!(failure.exit_code, None);
}

/// Runs a script as a stage does, and tells how long it was until its end was known.
async fn until_known(world: &World, behaviour: Behaviour) -> (Result<Ending, EngineError>, Duration) {
    world.fake.script(move |_| behaviour.clone());
    world.prepare().await.fine();
    let container = world.names().build();
    let place =
        Place { engine: &world.fake, container: &container, mark: "", may_kill: true, grace: 10 * SECOND };
    let spec = ExecSpec {
        command: script::stage(&StageOptions::default()),
        user: String::new(),
        env: Vec::new(),
        stdin: true,
    };
    let out = JobOutput::new(std::fs::File::create(world.directory().join("out")).unwrap());
    let (_wish, mut stop) = Stop::new();
    let begin = Instant::now();
    let side = pin!(std::future::pending());
    let ending = place.run(&spec, b"true\n".to_vec(), &out, &mut stop, side).await;
    (ending, begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_background_process_that_holds_the_stream_does_not_hold_the_stage() {
    let holder = || Behaviour::new().forever();
    // One that the wrapper ends; one that it cannot end, but the engine lets go of; one that the engine waits for.
    for (behaviour, linger, most) in [
        (Behaviour::new().child(holder()), None, SECOND),
        (Behaviour::new().escaping_child(holder()), Some(2 * SECOND), 3 * SECOND),
        (Behaviour::new().escaping_child(holder()), None, 6 * SECOND),
    ] {
        let world = World::warm();
        world.fake.exec_streams_linger(linger);
        let (ending, took) = until_known(&world, behaviour.out("done\n").exit(4)).await;
        assert_eq!(ending, Ok(Ending::Exited(Some(4))));
        assert!(took <= most, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_background_process_that_goes_on_printing_does_not_hold_the_stage_either() {
    let mut talker = Behaviour::new();
    for _ in 0..100_000 {
        talker = talker.out("still here\n").sleep(SECOND / 4);
    }
    let world = World::warm();
    world.fake.exec_streams_linger(None);
    let (ending, took) = until_known(&world, Behaviour::new().escaping_child(talker).exit(0)).await;
    assert_eq!(ending, Ok(Ending::Exited(Some(0))));
    assert!(took <= 610 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_long_stage_is_noticed_within_half_a_minute() {
    let world = World::warm();
    world.fake.exec_streams_linger(None);
    let behaviour = Behaviour::new().escaping_child(Behaviour::new().forever()).sleep(3600 * SECOND).exit(2);
    let (ending, took) = until_known(&world, behaviour).await;
    assert_eq!(ending, Ok(Ending::Exited(Some(2))));
    assert!(took >= 3600 * SECOND && took <= 3632 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stage_without_a_word_for_hours_goes_on() {
    let world = World::warm();
    let (ending, took) = until_known(&world, Behaviour::new().sleep(5 * 3600 * SECOND).exit(9)).await;
    assert_eq!((ending, took.as_secs()), (Ok(Ending::Exited(Some(9))), 5 * 3600));
}
