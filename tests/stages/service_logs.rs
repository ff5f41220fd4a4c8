//! CI_DEBUG_SERVICES: what services say is in the job log, each line once, whichever stage is there to hear it.

use std::time::Duration;

use hearth::engine::fake::{Behaviour, FakeImage};

use crate::world::{SECOND, World};

const LINES: u32 = 1000;
/// How long stages take: that of two lines.
const STAGE: Duration = Duration::from_secs(2000);

/// A world whose service says a line every quarter of an hour, in turn to stdout and stderr.
fn world(debug: &str) -> World {
    let mut talk = Behaviour::new();
    for line in 0..LINES {
        let text = format!("line {line:04}\n");
        talk = if line % 2 == 0 { talk.out(text) } else { talk.err(text) };
        talk = talk.sleep(Duration::from_secs(890));
    }
    let world = World::warm().service(FakeImage::new("db").command(talk.forever()));
    world.fake.script(|_| Behaviour::new().out("script\n").sleep(STAGE));
    world.variable("CI_DEBUG_SERVICES", debug)
}

/// Lets the clock run no faster than a thread writes the job log: half a minute takes it a millisecond or more.
fn hold_the_clock() {
    tokio::spawn(async {
        loop {
            tokio::time::sleep(30 * SECOND).await;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

fn lines(output: &str) -> Vec<&str> {
    output.lines().filter_map(|line| Some(&line[line.find("line ")?..][..9])).collect()
}

#[tokio::test(start_paused = true)]
async fn every_line_is_heard_once_and_in_order_over_all_stages() {
    let world = world("true");
    hold_the_clock();
    world.prepare().await.fine();
    let mut output = String::new();
    let mut heard_by = 0;
    for stage in ["prepare_script", "get_sources", "step_script", "after_script", "archive_cache"] {
        let ran = world.stage(stage).run().await.fine();
        heard_by += usize::from(!lines(&ran.output).is_empty());
        output.push_str(&ran.output);
        // Between stages, the runner takes its time.
        tokio::time::sleep(STAGE).await;
    }
    assert_eq!(heard_by, 5, "{output}");
    let heard = lines(&output);
    let all: Vec<String> = (0..heard.len()).map(|line| format!("line {line:04}")).collect();
    assert_eq!(heard, all);
    assert!(output.contains("[service:db]"), "{output}");
    assert_eq!(output.matches("script\n").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn without_the_switch_services_are_not_heard() {
    let world = world("false");
    world.prepare().await.fine();
    let ran = world.stage("step_script").run().await.fine();
    assert_eq!(ran.output, "script\n");
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_was_stopped_leaves_no_hole() {
    let world = world("1");
    hold_the_clock();
    world.prepare().await.fine();
    let first = world.stage("step_script").stop_after(STAGE / 2).run().await;
    assert!(first.result.is_err());
    tokio::time::sleep(STAGE).await;
    let second = world.stage("after_script").run().await.fine();
    let (before, after) = (lines(&first.output), lines(&second.output));
    assert!(before.len() >= 2 && after.len() >= 3, "{before:?} {after:?}");
    let all: Vec<String> = (0..before.len() + after.len()).map(|line| format!("line {line:04}")).collect();
    assert_eq!([before, after].concat(), all);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ended_ends_no_stage() {
    let world = World::warm()
        .service(FakeImage::new("db").command(Behaviour::new().out("line 0000\n").exit(1)))
        .variable("CI_DEBUG_SERVICES", "true");
    world.fake.script(|_| Behaviour::new().sleep(60 * SECOND).out("script\n"));
    world.prepare().await.fine();
    let ran = world.stage("step_script").run().await.fine();
    assert_eq!(lines(&ran.output), ["line 0000"]);
    assert!(ran.output.ends_with("script\n"));
}
