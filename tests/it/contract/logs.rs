//! Clauses on what the engine keeps of a container's output.

use std::time::Duration;

use futures_util::StreamExt;
use hearth::engine::fake::Behaviour;
use hearth::engine::{Engine, EngineError, LogsRequest};

use super::streams::{read, read_some, text};
use super::world::{World, on_podman};

/// A container that printed two lines, rested for three seconds, and printed a third and half a fourth.
async fn talker<E: Engine>(world: &World<E>) -> String {
    let behaviour = Behaviour::new().out("one\n").err("two\n").sleep(Duration::from_secs(3)).out("three\nfo");
    let script = "echo one; sleep 0.1; echo two >&2; sleep 3; printf 'three\\nfo'";
    world.start(&world.spec("talker", world.program(script, behaviour)).await).await
}

async fn logs<E: Engine>(world: &World<E>, name: &str, request: &LogsRequest) -> String {
    text(world.engine.logs(name, request).await.unwrap()).await
}

pub(super) async fn logs_have_all_lines<E: Engine>(world: &World<E>) {
    let name = talker(world).await;
    world.ended(&name).await;
    let all = world.engine.logs(&name, &LogsRequest::default()).await.unwrap();
    assert_eq!(read(all).await, (b"one\nthree\nfo".to_vec(), b"two\n".to_vec()));
}

pub(super) async fn logs_have_a_tail<E: Engine>(world: &World<E>) {
    let name = talker(world).await;
    world.ended(&name).await;
    // Podman ends a line that the container did not end, and joins it to the one before.
    let podman = [(9, "one\nthreefo\ntwo\n")];
    let docker = [(0, ""), (1, "fo"), (2, "three\nfo"), (9, "one\nthree\nfotwo\n")];
    for (tail, lines) in if on_podman(world).await { podman.to_vec() } else { docker.to_vec() } {
        let request = LogsRequest { tail: Some(tail), ..LogsRequest::default() };
        assert_eq!(logs(world, &name, &request).await, lines, "tail {tail}");
    }
}

pub(super) async fn logs_begin_at_a_time<E: Engine>(world: &World<E>) {
    let name = talker(world).await;
    let since = world.now() + 2;
    world.ended(&name).await;
    let request = LogsRequest { since, ..LogsRequest::default() };
    assert_eq!(logs(world, &name, &request).await, "three\nfo");
}

pub(super) async fn logs_may_bear_times<E: Engine>(world: &World<E>) {
    let name = talker(world).await;
    world.ended(&name).await;
    let request = LogsRequest { tail: Some(2), timestamps: true, ..LogsRequest::default() };
    let lines = logs(world, &name, &request).await;
    let (time, rest) = lines.split_once(' ').expect("a time");
    // Podman counts a line that was not ended with the one before, and has whole seconds.
    assert!(rest.starts_with("three\n") || on_podman(world).await, "{lines}");
    assert!(time.ends_with('Z') && time.contains('T') && time.len() >= 20, "{time}");
}

/// Whole lines, that is: Docker may drop an unfinished one when the container ends.
pub(super) async fn logs_follow_to_the_end<E: Engine>(world: &World<E>) {
    let pause = Duration::from_millis(500);
    let behaviour = Behaviour::new().out("one\n").sleep(pause).out("two\n").sleep(pause);
    let command = world.program("echo one; sleep 0.5; echo two; sleep 0.5", behaviour);
    let name = world.start(&world.spec("one", command).await).await;
    let request = LogsRequest { follow: true, ..LogsRequest::default() };
    let mut output = world.engine.logs(&name, &request).await.unwrap();
    assert_eq!(read_some(&mut output, 4).await, b"one\n");
    assert!(world.state(&name).await.running);
    assert_eq!(text(output).await, "two\n");
}

/// The stream may have to be read before it says so.
pub(super) async fn logs_of_a_gone_container_are_not_found<E: Engine>(world: &World<E>) {
    let error = match world.engine.logs(&world.name("nobody"), &LogsRequest::default()).await {
        Err(error) => error,
        Ok(mut output) => output.next().await.expect("an error").unwrap_err(),
    };
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
}
