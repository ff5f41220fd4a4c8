//! Clauses on hearth's own scripts: what they do in a container is what the fake says they do.

use std::time::Duration;

use hearth::engine::fake::{Behaviour, Place};
use hearth::engine::{Engine, ExecRunning};
use hearth::plan::script::{self, READY_FILE, StageOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::streams::{read_some, text};
use super::world::{World, mount};

/// Begins a stage, and tells the fake what its script does.
async fn stage<E: Engine>(
    world: &World<E>,
    container: &str,
    options: &StageOptions,
    script: &'static str,
    behaviour: Behaviour,
) -> ExecRunning {
    world.answer(Place::Stage, script, behaviour);
    let mut running = world.exec(container, script::stage(options), true).await;
    running.input.write_all(script.as_bytes()).await.unwrap();
    running.input.shutdown().await.unwrap();
    running
}

async fn idle<E: Engine>(world: &World<E>) -> String {
    let mut spec = world.spec("idle", script::idle()).await;
    spec.init = true;
    world.start(&spec).await
}

pub(super) async fn a_stage_leaves_its_scripts_code<E: Engine>(world: &World<E>) {
    let home = idle(world).await;
    for (script, code) in [("echo made\nexit 0\n", 0), ("echo made\nexit 42\n", 42)] {
        let behaviour = Behaviour::new().out("made\n").exit(code);
        let running = stage(world, &home, &StageOptions::default(), script, behaviour).await;
        assert_eq!(text(running.output).await, "made\n");
        assert_eq!(world.code(&running.id).await, Some(code));
    }
}

pub(super) async fn a_stage_ends_what_it_left<E: Engine>(world: &World<E>) {
    let home = idle(world).await;
    let behaviour = Behaviour::new().child(Behaviour::new().forever()).out("left\n");
    let script = "sleep 600 &\nsetsid sleep 600 &\necho left\n";
    let begun = Instant::now();
    let running = stage(world, &home, &StageOptions::default(), script, behaviour).await;
    assert_eq!(text(running.output).await, "left\n");
    assert_eq!(world.code(&running.id).await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

pub(super) async fn a_stage_is_stopped<E: Engine>(world: &World<E>) {
    let home = idle(world).await;
    let up = || Behaviour::new().out("up\n");
    for (script, behaviour, code) in [
        ("echo up; sleep 600\n", up().forever(), 143),
        (
            "trap 'echo clean; exit 5' TERM; echo up; while :; do sleep 0.1; done\n",
            up().forever().on_term(Behaviour::new().out("clean\n").exit(5)),
            5,
        ),
        ("trap '' TERM; echo up; while :; do sleep 1; done\n", up().forever().ignoring_term(), 137),
    ] {
        let mut running = stage(world, &home, &StageOptions::default(), script, behaviour).await;
        assert_eq!(read_some(&mut running.output, 3).await, b"up\n");
        let stop = world.exec(&home, script::stop(10, ""), false).await;
        assert_eq!(text(stop.output).await, "");
        assert_eq!(world.code(&stop.id).await, Some(0));
        let said = text(running.output).await;
        assert_eq!(said.contains("clean"), code == 5, "{said}");
        assert_eq!(world.code(&running.id).await, Some(code), "{script}");
        assert!(world.state(&home).await.running);
    }
}

pub(super) async fn a_stage_that_waits_for_the_helper_is_stopped<E: Engine>(world: &World<E>) {
    let home = idle(world).await;
    let options = StageOptions { ready_file: READY_FILE.to_owned(), ..StageOptions::default() };
    let running = stage(world, &home, &options, "echo never\n", Behaviour::new().out("never\n")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let stop = world.exec(&home, script::stop(10, ""), false).await;
    assert_eq!(world.code(&stop.id).await, Some(0));
    assert_eq!(text(running.output).await, "");
    assert_eq!(world.code(&running.id).await, Some(143));
}

pub(super) async fn a_stop_ends_no_other_stage<E: Engine>(world: &World<E>) {
    let home = idle(world).await;
    let options = StageOptions { mark: "second".to_owned(), ..StageOptions::default() };
    let behaviour = Behaviour::new().out("up\n").sleep(Duration::from_secs(4)).out("unharmed\n");
    let script = "echo up; sleep 4; echo unharmed\n";
    let mut running = stage(world, &home, &options, script, behaviour).await;
    assert_eq!(read_some(&mut running.output, 3).await, b"up\n");
    let stop = world.exec(&home, script::stop(10, "first"), false).await;
    assert_eq!(text(stop.output).await, "");
    assert_eq!(world.code(&stop.id).await, Some(0));
    assert_eq!(text(running.output).await, "unharmed\n");
    assert_eq!(world.code(&running.id).await, Some(0));
}

pub(super) async fn a_helper_readies_sweeps_and_goes<E: Engine>(world: &World<E>) {
    let volume = world.volume("builds");
    world.engine.create_volume(&volume).await.unwrap();
    let mut spec = world
        .spec("helper", script::helper("/builds", false, "", "/builds/p.tmp", &["/builds".to_owned()]))
        .await;
    spec.entrypoint = Some(vec![String::new()]);
    spec.init = true;
    spec.mounts = vec![mount(&volume.name, "/builds")];
    let helper = world.start(&spec).await;
    let options = StageOptions { ready_file: READY_FILE.to_owned(), ..StageOptions::default() };
    let script = "mkdir -p /builds/p /builds/p.tmp; touch /builds/p/file /builds/p.tmp/TOKEN\n";
    let behaviour = Behaviour::new().touch("/builds/p/file").touch("/builds/p.tmp/TOKEN");
    let running = stage(world, &helper, &options, script, behaviour).await;
    assert_eq!(world.code(&running.id).await, Some(0));
    let begun = Instant::now();
    world.engine.stop_container(&helper, Duration::from_secs(10)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(world.state(&helper).await.exit_code, 0);
    let there = || Behaviour::new().exit(1);
    let looks = Behaviour::new()
        .if_file("/builds/p.tmp/TOKEN", there())
        .if_file("/builds/p/file", Behaviour::new())
        .exit(2);
    let script = "test -e /builds/p.tmp/TOKEN && exit 1; test -e /builds/p/file || exit 2";
    let mut spec = world.spec("looks", world.program(script, looks)).await;
    spec.mounts = vec![mount(&volume.name, "/builds")];
    let looks = world.start(&spec).await;
    assert_eq!(world.ended(&looks).await.exit_code, 0);
}

pub(super) async fn a_shell_takes_the_handover_and_stays<E: Engine>(world: &World<E>) {
    let mut spec = world.spec("build", script::probe()).await;
    spec.entrypoint = Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]);
    spec.open_stdin = true;
    spec.init = true;
    let name = world.create(&spec).await;
    let mut attached = world.engine.attach(&name).await.unwrap();
    world.engine.start_container(&name).await.unwrap();
    attached.input.write_all(script::handover("hearth-state").as_bytes()).await.unwrap();
    attached.input.flush().await.unwrap();
    let mut said = read_some(&mut attached.output, 1).await;
    while said.iter().filter(|byte| **byte == b'\x1e').count() < 2 {
        said.extend(read_some(&mut attached.output, 1).await);
    }
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("\u{1e}hearth-handover 0 0 "), "{said:?}");
    drop(attached);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.state(&name).await.running);
    let asked = world.exec(&name, script::identity("hearth-state"), false).await;
    assert!(text(asked.output).await.starts_with("0 0 "));
    let behaviour = Behaviour::new().if_file("/dev/shm/hearth-state", Behaviour::new()).exit(1);
    let options = StageOptions { state: "hearth-state".to_owned(), ..StageOptions::default() };
    let running = stage(world, &name, &options, "test -r /dev/shm/hearth-state || exit 1\n", behaviour).await;
    assert_eq!(world.code(&running.id).await, Some(0));
}
