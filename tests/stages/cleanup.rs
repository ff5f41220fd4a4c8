//! Cleanup: all of a job goes, in few steps, whatever is there and whatever the engine does.

use std::time::Duration;

use hearth::engine::EngineError;
use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::outcome::Fault;

use crate::world::{SECOND, World};

const BUILDS: &str = "hearth-tok-project-4-slot-0-builds";

fn refused(call: Call, message: &str) -> EngineError {
    EngineError::Refused { call: call.name().to_owned(), status: 500, message: message.to_owned() }
}

/// A job in full: build, helper, two services, a network, and volumes of its own.
async fn full() -> World {
    let world = World::warm().nothing_kept().service(FakeImage::new("db")).service(FakeImage::new("db"));
    world.prepare().await.fine();
    assert_eq!(world.left().len(), 4 + 1 + 2);
    world.fake.forget_calls();
    world
}

#[tokio::test(start_paused = true)]
async fn all_of_a_job_goes_in_four_steps() {
    let world = full().await;
    world.slow(2 * SECOND);
    let begin = tokio::time::Instant::now();
    world.cleans_up().await;
    assert_eq!(begin.elapsed(), 4 * 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_takes_too_long_is_cut_after_a_second() {
    let world = full().await;
    let helper = world.names().helper();
    world.fake.kill(&helper);
    world.fake.until_ended(&helper).await;
    world
        .fake
        .program(move |run| (run.container == helper).then(|| Behaviour::new().forever().ignoring_term()));
    hearth::engine::Engine::start_container(&world.fake, &world.names().helper()).await.unwrap();
    world.slow(2 * SECOND);
    let begin = tokio::time::Instant::now();
    world.cleans_up().await;
    assert_eq!(begin.elapsed(), 4 * 2 * SECOND + SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_helper_is_asked_before_it_is_removed_and_tokens_go_while_sources_stay() {
    let world = World::warm();
    world.fake.script(|_| {
        let checkout = "/builds/group/project";
        Behaviour::new().touch(format!("{checkout}/README")).touch(format!("{checkout}.tmp/CI_JOB_TOKEN"))
    });
    world.prepare().await.fine();
    world.stage("get_sources").run().await.fine();
    assert_eq!(world.fake.volume_files(BUILDS).len(), 2);
    world.cleans_up().await;
    assert_eq!(world.fake.volume_files(BUILDS), ["/group/project/README"]);
    let calls = world.calls();
    let at =
        |call: &str| calls.iter().position(|c| *c == format!("{call} container hearth-tok-job-7-helper"));
    assert!(at("stop").is_some() && at("stop") < at("remove"));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_a_dead_helper_left_go_before_anything_else_uses_the_volume() {
    let world = World::warm();
    world.fake.script(|_| Behaviour::new().touch("/builds/group/project.tmp/CI_JOB_TOKEN"));
    world.prepare().await.fine();
    world.stage("get_sources").run().await.fine();
    world.fake.kill(&world.names().helper());
    world.fake.until_ended(&world.names().helper()).await;
    world.cleans_up().await;
    assert_eq!(world.fake.volume_files(BUILDS).len(), 1);
    world.prepare().await.fine();
    let seen = world.fake.clone();
    world.fake.script(move |_| {
        assert_eq!(seen.volume_files(BUILDS), [""; 0]);
        Behaviour::new()
    });
    world.stage("get_sources").run().await.fine();
}

#[tokio::test(start_paused = true)]
async fn kept_volumes_stay_and_the_jobs_own_go() {
    for (world, kept) in [(World::warm(), 2), (World::warm().nothing_kept(), 0)] {
        world.prepare().await.fine();
        assert_eq!(world.fake.volumes().len(), 2);
        world.cleans_up().await;
        assert_eq!(world.fake.volumes().len(), kept);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_being_there_is_fine_again_and_again() {
    let world = World::warm();
    world.cleans_up().await;
    world.prepare().await.fine();
    for _ in 0..3 {
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_a_job_goes_as_well_as_all_of_it() {
    for index in 0..4 {
        let world = full().await;
        let gone = world.fake.containers()[index].clone();
        world.fake.remove_behind(&gone).await;
        world.fake.kill(&world.fake.containers()[index % 3]);
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn others_jobs_and_things_are_let_be() {
    let world = World::warm().nothing_kept();
    let mut other = World::warm().nothing_kept();
    other.fake = world.fake.clone();
    other.job["id"] = 77.into();
    world.prepare().await.fine();
    other.prepare().await.fine();
    assert_eq!(world.cleanup().await, Ok(()));
    assert_eq!(world.fake.running_containers().len(), 2);
    assert_eq!(world.left().len(), 5, "{:?}", world.left());
    other.stage("step_script").run().await.fine();
    other.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_is_removing_is_waited_for() {
    let world = full().await;
    world.fake.removals_take(Duration::from_millis(900));
    let build = world.names().build();
    let (_, result) = tokio::join!(world.fake.remove_behind(&build), world.cleanup());
    assert_eq!(result, Ok(()));
    assert_eq!(world.left(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_for_good_is_named_and_the_rest_goes() {
    let world = full().await;
    world.fake.removals_take(600 * SECOND);
    let build = world.names().build();
    let fake = world.fake.clone();
    let name = build.clone();
    let removing = tokio::spawn(async move { fake.remove_behind(&name).await });
    tokio::time::sleep(SECOND).await;
    world.fake.removals_take(Duration::ZERO);
    let begin = tokio::time::Instant::now();
    let failure = world.cleanup().await.unwrap_err();
    assert_eq!(failure.fault, Fault::System);
    assert!(failure.message.contains(&format!("{build} is still in use")), "{failure}");
    assert!(begin.elapsed() < 120 * SECOND, "{:?}", begin.elapsed());
    assert_eq!(world.fake.containers(), [build]);
    removing.await.unwrap();
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn errors_are_collected_and_stop_nothing() {
    let world = full().await;
    for ending in ["-build", "-service-1"] {
        let error = refused(Call::RemoveContainer, &format!("device of {ending} is busy"));
        world.fake.fail_next_on(Call::RemoveContainer, ending, error);
    }
    world.fake.fail_next_on(Call::RemoveVolume, "-volume-cache", refused(Call::RemoveVolume, "odd volume"));
    let failure = world.cleanup().await.unwrap_err();
    assert_eq!(failure.fault, Fault::System);
    for words in ["device of -build is busy", "device of -service-1 is busy", "odd volume"] {
        assert!(failure.message.contains(words), "{words}: {failure}");
    }
    assert!(failure.hints.iter().any(|hint| hint.contains("hearth.job=hearth-tok-job-7")), "{failure}");
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_or_hangs_is_one_clear_failure() {
    let world = full().await;
    world.fake.stop_engine();
    let failure = world.cleanup().await.unwrap_err();
    assert_eq!(failure.fault, Fault::System);
    assert_eq!(failure.message.matches("no container engine answers").count(), 1, "{failure}");
    assert_eq!(world.fake.calls().len(), 4, "{:?}", world.calls());
    world.fake.start_engine();
    world.cleans_up().await;

    let world = full().await;
    world.fake.hang_next(Call::StopContainer);
    world.fake.set_timeout(20 * SECOND);
    (0..3).for_each(|_| world.fake.hang_next(Call::RemoveContainer));
    let begin = tokio::time::Instant::now();
    let failure = world.cleanup().await.unwrap_err();
    assert_eq!(failure.message.matches("did not answer within 20 s").count(), 1, "{failure}");
    assert_eq!(begin.elapsed(), 20 * SECOND);
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_is_still_dying_is_no_hindrance() {
    let world = full().await;
    world.fake.script(|_| Behaviour::new().forever().ignoring_term());
    let stage = async {
        let ran = world.stage("step_script").stop_after(SECOND).run().await;
        assert!(ran.result.is_err());
    };
    let cleanup = async {
        tokio::time::sleep(2 * SECOND).await;
        world.cleans_up().await;
    };
    tokio::join!(stage, cleanup);
    assert_eq!(world.left(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_appears_late_is_found_by_its_label() {
    // Prepare is killed while a create is under way, which is done 500 ms later: after its name was looked for.
    for create in [Call::CreateNetwork, Call::CreateVolume, Call::CreateContainer] {
        let world = World::warm().nothing_kept();
        world.fake.delay(create, Duration::from_millis(500));
        let calls = match create {
            Call::CreateContainer => 8,
            _ => 6,
        };
        world.fake.cut_after(calls);
        assert!(crate::world::until_cut(&world.fake, world.prepare()).await.is_none());
        world.fake.heal();
        world.cleans_up().await;
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(world.left(), [""; 0], "{create:?}");
    }
}
