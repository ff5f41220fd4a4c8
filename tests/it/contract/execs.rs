//! Clauses on commands in running containers.

use std::time::Duration;

use hearth::engine::fake::Behaviour;
use hearth::engine::{Engine, EngineError, Removal};
use tokio::io::AsyncWriteExt;

use super::streams::{read, read_some, text};
use super::world::{World, exec, on_podman};

pub(super) async fn an_exec_needs_a_running_container<E: Engine>(world: &World<E>) {
    let command = world.program("exit 0", Behaviour::new());
    let fresh = world.create(&world.spec("fresh", world.stays()).await).await;
    let stopped = world.home().await;
    world.engine.kill_container(&stopped).await.unwrap();
    world.ended(&stopped).await;
    for name in [&fresh, &stopped] {
        let error = world.engine.exec(name, &exec(command.clone(), false)).await.err().expect("no exec");
        assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
    }
    let error = world.engine.exec(&world.name("nobody"), &exec(command, false)).await.err().expect("no exec");
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
    let error = world.engine.exec_state(&"0".repeat(64)).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
}

pub(super) async fn an_exec_leaves_its_code<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    for code in [0, 1, 42, 137] {
        let command = world.program(
            &format!("echo {code}; exit {code}"),
            Behaviour::new().out(format!("{code}\n")).exit(code),
        );
        let running = world.exec(&home, command, false).await;
        assert_eq!(text(running.output).await, format!("{code}\n"));
        assert_eq!(world.code(&running.id).await, Some(code));
    }
}

/// Only a shutdown of the input ends it; what was written before comes first.
pub(super) async fn an_exec_sees_the_end_of_stdin_by_half_close<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let mut running =
        world.exec(&home, world.program("cat; echo over", Behaviour::new().cat().out("over\n")), true).await;
    running.input.write_all(b"one\n").await.unwrap();
    running.input.flush().await.unwrap();
    assert_eq!(read_some(&mut running.output, 4).await, b"one\n");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let state = world.engine.exec_state(&running.id).await.unwrap();
    assert_eq!((state.running, state.exit_code), (true, None));
    running.input.write_all(b"two\n").await.unwrap();
    running.input.shutdown().await.unwrap();
    assert_eq!(text(running.output).await, "two\nover\n");
    assert_eq!(world.code(&running.id).await, Some(0));
}

pub(super) async fn an_exec_without_stdin_is_at_its_end<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let running =
        world.exec(&home, world.program("cat; echo over", Behaviour::new().cat().out("over\n")), false).await;
    assert_eq!(text(running.output).await, "over\n");
}

pub(super) async fn output_is_byte_exact_and_in_order<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let odd: Vec<u8> = (0..=255u8).collect();
    let octal: String = odd.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let behaviour = (0..300).fold(Behaviour::new(), |behaviour, _| behaviour.out(odd.clone()));
    let script = format!("i=0; while [ $i -lt 300 ]; do printf '{octal}'; i=$((i+1)); done; printf err >&2");
    let running = world.exec(&home, world.program(&script, behaviour.err("err")), false).await;
    let (out, err) = read(running.output).await;
    assert_eq!(out.len(), 300 * 256);
    assert!(out == odd.repeat(300), "the bytes differ");
    assert_eq!(err, b"err");
}

/// The command ended, and its state says so; what it left in the background is still heard. How long, engines do not
/// agree on: Docker cuts the stream after two seconds, Podman at once.
pub(super) async fn a_background_holder_keeps_the_stream_open<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let behaviour = Behaviour::new()
        .child(Behaviour::new().sleep(Duration::from_secs(1)).out("late\n"))
        .out("done\n")
        .exit(7);
    let command = world.program("(sleep 1; echo late) & echo done; exit 7", behaviour);
    let mut running = world.exec(&home, command, false).await;
    assert_eq!(read_some(&mut running.output, 5).await, b"done\n");
    assert_eq!(world.code(&running.id).await, Some(7));
    let late = if on_podman(world).await { "" } else { "late\n" };
    assert_eq!(text(running.output).await, late);
}

pub(super) async fn an_exec_dies_with_its_container<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let stays = world.program("echo here; sleep 500", Behaviour::new().out("here\n").forever());
    let mut running = world.exec(&home, stays, false).await;
    assert_eq!(read_some(&mut running.output, 5).await, b"here\n");
    world.engine.kill_container(&home).await.unwrap();
    assert_eq!(text(running.output).await, "");
    assert_eq!(world.code(&running.id).await, Some(137));
}

/// The engine says it in the output, and with the code 126 or 127.
pub(super) async fn an_exec_of_a_missing_program_says_so<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let running = world.exec(&home, vec!["no-such-program".to_owned()], false).await;
    let words = text(running.output).await;
    assert!(words.contains("executable file not found"), "{words}");
    let code = world.code(&running.id).await;
    assert!(matches!(code, Some(126 | 127)), "{code:?}");
}

pub(super) async fn an_exec_of_a_removed_container_is_forgotten<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let stays = world.program("echo here; sleep 500", Behaviour::new().out("here\n").forever());
    let mut running = world.exec(&home, stays, false).await;
    assert_eq!(read_some(&mut running.output, 5).await, b"here\n");
    assert_eq!(world.engine.remove_container(&home).await.unwrap(), Removal::Removed);
    assert_eq!(text(running.output).await, "");
    let error = world.engine.exec_state(&running.id).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
}

/// A client that hangs up ends the input, not the command.
pub(super) async fn an_exec_goes_on_without_its_client<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let behaviour = Behaviour::new().out("here\n").cat().sleep(Duration::from_millis(500)).exit(9);
    let command = world.program("echo here; cat; sleep 0.5; exit 9", behaviour);
    let mut running = world.exec(&home, command, true).await;
    assert_eq!(read_some(&mut running.output, 5).await, b"here\n");
    let id = running.id.clone();
    drop(running);
    assert_eq!(world.code(&id).await, Some(9));
}

/// It goes on too, but Docker then has 126 for its code, whatever it was.
pub(super) async fn an_exec_that_prints_to_nobody_may_lose_its_code<E: Engine>(world: &World<E>) {
    let home = world.home().await;
    let pause = Duration::from_millis(500);
    let behaviour =
        Behaviour::new().out("here\n").cat().out("un\n").sleep(pause).out("heard\n").touch("/end").exit(9);
    let command =
        world.program("echo here; cat; echo un; sleep 0.5; echo heard; touch /end; exit 9", behaviour);
    let mut running = world.exec(&home, command, true).await;
    assert_eq!(read_some(&mut running.output, 5).await, b"here\n");
    let id = running.id.clone();
    drop(running);
    let code = world.code(&id).await;
    assert!(matches!(code, Some(9 | 126)), "{code:?}");
    let looks =
        world.program("test -e /end || exit 1", Behaviour::new().if_file("/end", Behaviour::new()).exit(1));
    let looks = world.exec(&home, looks, false).await;
    assert_eq!(world.code(&looks.id).await, Some(0), "it was played to its end");
}
