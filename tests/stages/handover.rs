//! Images with an ENTRYPOINT: started at the first user stage, waited for, and what it hands over is what stages get.

use hearth::engine::fake::{Behaviour, FakeImage, Place};
use hearth::outcome::Fault;
use tokio::time::Duration;

use crate::bench::{Ran, Seen};
use crate::world::{SECOND, World};

const MARK: &str = "\u{1e}hearth-handover ";

fn entry(behaviour: Behaviour) -> FakeImage {
    FakeImage::new("app").entrypoint(&["/entry"], behaviour)
}

/// A world whose build container's main process does `behaviour`, whatever it is given.
fn main_process(behaviour: Behaviour) -> World {
    let world = World::with(entry(Behaviour::new()));
    let build = world.names().build();
    world
        .fake
        .program(move |run| (run.place == Place::Main && run.container == build).then(|| behaviour.clone()));
    world
}

async fn first_stage(world: &World) -> Ran {
    world.prepare().await.fine();
    world.stage("step_script").run().await
}

#[tokio::test(start_paused = true)]
async fn it_is_started_once_by_the_first_user_stage_and_heard_in_the_job_log() {
    let world = World::with(entry(Behaviour::new().out("hello from entry\n")));
    let build = world.names().build();
    world.fake.script(|_| Behaviour::new().out("script\n"));
    world.prepare().await.fine();
    world.stage("get_sources").run().await.fine();
    assert_eq!(world.fake.starts(&build), 0);
    for output in ["hello from entry\nscript\n", "script\n"] {
        assert_eq!(world.stage("step_script").run().await.fine().output, output);
    }
    assert_eq!(world.fake.starts(&build), 1);
}

#[tokio::test(start_paused = true)]
async fn the_marker_is_never_seen_however_the_stream_is_cut() {
    let text = format!("before {MARK}1000 1000 1000 \u{1e}behind");
    for first in [1, 7, 8, 15, 24, 25, 30, 40] {
        for second in [first, first + 1, 44] {
            let (one, rest) = text.split_at(first);
            let (two, three) = rest.split_at(second - first);
            let pieces = [one, two, three].map(str::to_owned);
            let main = pieces
                .iter()
                .fold(Behaviour::new(), |main, piece| main.out(piece.clone()).sleep(SECOND / 10));
            let world = main_process(main.forever());
            let seen = Seen::on(&world.fake);
            let ran = first_stage(&world).await.fine();
            let behind = ran.output.strip_prefix("before ").expect(&ran.output);
            assert!("behind".starts_with(behind), "{behind:?}");
            assert_eq!(seen.users(), ["1000:1000"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_it_hands_over_as_is_who_stages_run_as() {
    for (image, identity, user) in [
        ("", "0 0 0", ""),
        ("", "1000 1000 1000", "1000:1000"),
        ("root", "1000 1000 1000 27 /1000", "1000"),
        ("0:0", "65534 65534 ", "65534:65534"),
        // Nobody but root can have become somebody else, whatever is printed.
        ("1000", "0 0 0", ""),
        ("dev", "0 0 0", ""),
        ("1000:1000", "1001 1001 1001", ""),
        // And no odd text is a user.
        ("", "root root root", ""),
        ("", "-1 0 0", ""),
        ("", "", ""),
    ] {
        let image = entry(Behaviour::new()).user(image).hands_over_as(identity);
        let world = World::with(image);
        let seen = Seen::on(&world.fake);
        first_stage(&world).await.fine();
        world.stage("after_script").run().await.fine();
        assert_eq!(seen.users(), [user, user], "{identity}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_gives_its_code_and_a_hint() {
    for (code, told) in [(0, 1), (1, 1), (7, 7), (127, 127)] {
        let world = World::with(entry(Behaviour::new().err("no database\n").exit(code)));
        let ran = first_stage(&world).await;
        let failure = ran.failed(Fault::Job);
        assert_eq!(failure.exit_code, Some(told));
        assert!(failure.message.contains(&format!("ended with exit code {code} before")), "{failure}");
        assert!(failure.hints.iter().any(|hint| hint.contains("entrypoint: [\"\"]")), "{failure}");
        assert_eq!(ran.output, "no database\n");
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_is_begun_and_not_ended_is_printed_in_the_end() {
    let said = format!("odd {MARK}10");
    let world = main_process(Behaviour::new().out(said.clone()).exit(3));
    let ran = first_stage(&world).await;
    assert_eq!(ran.failed(Fault::Job).exit_code, Some(3));
    assert_eq!(ran.output, said);
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_its_time_is_waited_for_and_one_that_takes_too_long_is_not() {
    let world = World::with(entry(Behaviour::new().sleep(20 * SECOND).out("ready\n")));
    world.fake.script(|_| Behaviour::new().out("script\n"));
    assert_eq!(first_stage(&world).await.fine().output, "ready\nscript\n");

    let mut world = World::with(entry(Behaviour::new().sleep(20 * SECOND).out("ready\n")));
    world.settings.job.entrypoint_timeout = 15 * SECOND;
    let ran = first_stage(&world).await;
    let failure = ran.failed(Fault::Job);
    assert!(failure.message.contains("handed over to no shell within 15 s"), "{failure}");
    assert!(ran.took >= 15 * SECOND && ran.took <= 16 * SECOND, "{:?}", ran.took);
    assert_eq!(world.fake.running_containers(), [world.names().helper()]);
}

#[tokio::test(start_paused = true)]
async fn one_that_runs_no_shell_gets_no_input_it_could_take_for_a_script() {
    // It copies its input, as `cat` does: the script on it has no marker in it.
    let world = main_process(Behaviour::new().cat().forever());
    let ran = first_stage(&world).await;
    let failure = ran.failed(Fault::Job);
    assert!(failure.message.contains("handed over to no shell"), "{failure}");
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_started_is_the_jobs_fault() {
    let words = "exec: \"/entry\": stat /entry: no such file or directory: unknown";
    let world = World::with(entry(Behaviour::new()).fails_to_start(400, 127, words));
    let ran = first_stage(&world).await;
    let failure = ran.failed(Fault::Job);
    assert!(failure.message.contains("no such file or directory"), "{failure}");
    assert!(!failure.hints.is_empty());
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn lost_hints_change_nothing() {
    let with_entry = entry(Behaviour::new()).hands_over_as("1000 1000 1000");
    for (image, user) in [(FakeImage::new("app"), ""), (with_entry, "1000:1000")] {
        let mut world = World::with(image);
        let build = world.names().build();
        let seen = Seen::on(&world.fake);
        world.hints = false;
        world.prepare().await.fine();
        for stage in ["get_sources", "step_script", "after_script", "archive_cache"] {
            world.stage(stage).run().await.fine();
        }
        assert_eq!(world.fake.starts(&build), 1);
        let users: Vec<String> = seen.users();
        assert_eq!([&users[1], &users[2]], [user, user]);
        world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn hints_that_somebody_wrote_over_are_none() {
    for text in ["user root", "user 0:0; rm", "idle\nentrypoint", "", "\u{0}"] {
        let world = World::with(entry(Behaviour::new()).hands_over_as("1000 1000 1000"));
        let seen = Seen::on(&world.fake);
        first_stage(&world).await.fine();
        let hint = world.directory().join("hearth-build");
        assert!(hint.exists());
        std::fs::write(&hint, text).unwrap();
        world.stage("after_script").run().await.fine();
        assert_eq!(seen.users(), ["1000:1000", "1000:1000"], "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_stage_that_was_killed_in_the_handover_is_no_loss_for_the_next() {
    let world = World::with(entry(Behaviour::new().sleep(3 * SECOND)).hands_over_as("1000 1000 1000"));
    world.prepare().await.fine();
    let first = tokio::time::timeout(Duration::from_secs(2), world.stage("step_script").run()).await;
    assert!(first.is_err(), "it was still in the handover");
    let seen = Seen::on(&world.fake);
    // Nobody knows what became of the first start: the ENTRYPOINT runs once more, before anything else does.
    world.stage("after_script").run().await.fine();
    assert_eq!(seen.users(), ["1000:1000"]);
    assert_eq!(world.fake.starts(&world.names().build()), 2);
}
