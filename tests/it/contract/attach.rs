//! Clauses on clients of main processes.

use std::time::Duration;

use hearth::engine::Engine;
use hearth::engine::fake::Behaviour;
use tokio::io::AsyncWriteExt;

use super::streams::{read, read_some, text};
use super::world::World;

/// Nothing of the output is lost, and stdin reaches the process also if it was written before the start.
pub(super) async fn attached_before_start_sees_all<E: Engine>(world: &World<E>) {
    let command =
        world.program("echo first; cat; echo last >&2", Behaviour::new().out("first\n").cat().err("last\n"));
    let mut spec = world.spec("one", command).await;
    spec.open_stdin = true;
    let name = world.create(&spec).await;
    let mut attached = world.engine.attach(&name).await.unwrap();
    attached.input.write_all(b"early\n").await.unwrap();
    attached.input.flush().await.unwrap();
    world.engine.start_container(&name).await.unwrap();
    assert_eq!(read_some(&mut attached.output, 12).await, b"first\nearly\n");
    attached.input.write_all(b"late\n").await.unwrap();
    attached.input.shutdown().await.unwrap();
    assert_eq!(read(attached.output).await, (b"late\n".to_vec(), b"last\n".to_vec()));
    assert_eq!(world.ended(&name).await.exit_code, 0);
}

/// The process sees the end of its input when its one client hangs up.
pub(super) async fn stdin_once_is_closed_with_its_client<E: Engine>(world: &World<E>) {
    let mut spec = world.spec("one", world.program("cat; exit 6", Behaviour::new().cat().exit(6))).await;
    spec.open_stdin = true;
    let name = world.create(&spec).await;
    let attached = world.engine.attach(&name).await.unwrap();
    world.engine.start_container(&name).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.state(&name).await.running);
    drop(attached);
    assert_eq!(world.ended(&name).await.exit_code, 6);
}

pub(super) async fn an_attached_stream_ends_with_the_container<E: Engine>(world: &World<E>) {
    let behaviour = Behaviour::new().child(Behaviour::new().forever()).out("up\n").forever();
    let spec = world.spec("one", world.program("sleep 500 & echo up; sleep 500", behaviour)).await;
    let name = world.create(&spec).await;
    let mut attached = world.engine.attach(&name).await.unwrap();
    world.engine.start_container(&name).await.unwrap();
    assert_eq!(read_some(&mut attached.output, 3).await, b"up\n");
    world.engine.kill_container(&name).await.unwrap();
    assert_eq!(text(attached.output).await, "");
}

/// Who comes late sees what is printed from then on, and nothing of before.
pub(super) async fn attached_late_sees_the_rest<E: Engine>(world: &World<E>) {
    let behaviour = Behaviour::new().out("before\n").await_file("/go").out("after\n");
    let script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after";
    let name = world.start(&world.spec("one", world.program(script, behaviour)).await).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let attached = world.engine.attach(&name).await.unwrap();
    let go = world.exec(&name, world.program("touch /go", Behaviour::new().touch("/go")), false).await;
    assert_eq!(text(attached.output).await, "after\n");
    drop(go);
}
