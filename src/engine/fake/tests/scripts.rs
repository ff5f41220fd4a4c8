//! hearth's own scripts, as the fake plays them.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::super::{Behaviour, Fake, FakeImage};
use super::{engine, exec, run, spec, text};
use crate::engine::{Engine, ExecRunning};
use crate::plan::script::{self, READY_FILE, StageOptions, WaitFor};
use crate::plan::spec::{MountSpec, NetworkSpec, NetworkUse};

const SECOND: Duration = Duration::from_secs(1);

/// Begins a stage with a script.
async fn stage(fake: &Fake, options: &StageOptions, script: &str) -> ExecRunning {
    let mut running = fake.exec("one", &exec(script::stage(options))).await.unwrap();
    running.input.write_all(script.as_bytes()).await.unwrap();
    running.input.shutdown().await.unwrap();
    running
}

async fn code(fake: &Fake, running: ExecRunning) -> (String, Option<i64>) {
    let said = text(running.output).await;
    (said, fake.exec_state(&running.id).await.unwrap().exit_code)
}

#[tokio::test(start_paused = true)]
async fn a_stage_plays_what_the_test_says_of_its_script() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.script(|script| match script {
        b"make" => Behaviour::new().out("made\n"),
        _ => Behaviour::new().err("what?\n").exit(42),
    });
    let options = StageOptions::default();
    let running = stage(&fake, &options, "make").await;
    assert_eq!(code(&fake, running).await, ("made\n".to_owned(), Some(0)));
    let running = stage(&fake, &options, "break").await;
    assert_eq!(code(&fake, running).await, ("what?\n".to_owned(), Some(42)));
}

#[tokio::test(start_paused = true)]
async fn a_stage_without_an_end_of_stdin_waits_for_ever() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    let mut running = fake.exec("one", &exec(script::stage(&StageOptions::default()))).await.unwrap();
    running.input.write_all(b"make").await.unwrap();
    tokio::time::sleep(3600 * SECOND).await;
    assert!(fake.exec_state(&running.id).await.unwrap().running);
}

#[tokio::test(start_paused = true)]
async fn a_stage_ends_what_it_left_behind() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.exec_streams_linger(None);
    let forever = || Behaviour::new().forever();
    fake.script(move |script| match script {
        b"left" => Behaviour::new().child(forever()),
        _ => Behaviour::new().escaping_child(Behaviour::new().sleep(5 * SECOND)),
    });
    let begun = Instant::now();
    let running = stage(&fake, &StageOptions::default(), "left").await;
    assert_eq!(code(&fake, running).await, (String::new(), Some(0)));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let running = stage(&fake, &StageOptions::default(), "escaped").await;
    assert_eq!(code(&fake, running).await, (String::new(), Some(0)));
    assert_eq!(begun.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_stopped_by_term_or_by_kill() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.script(|script| match script {
        b"obeys" => Behaviour::new().forever(),
        b"cleans" => {
            Behaviour::new().forever().on_term(Behaviour::new().sleep(2 * SECOND).out("clean").exit(1))
        }
        _ => Behaviour::new().forever().ignoring_term(),
    });
    for (script, seconds, end) in
        [("obeys", 0, ("", Some(143))), ("cleans", 2, ("clean", Some(1))), ("ignores", 10, ("", Some(137)))]
    {
        let running = stage(&fake, &StageOptions::default(), script).await;
        tokio::time::sleep(SECOND).await;
        let begun = Instant::now();
        let stop = fake.exec("one", &exec(script::stop(100, ""))).await.unwrap();
        assert_eq!(code(&fake, stop).await, (String::new(), Some(0)));
        assert_eq!(begun.elapsed().as_secs(), seconds, "{script}");
        let (said, ended) = code(&fake, running).await;
        assert_eq!((said.as_str(), ended), end, "{script}");
        assert_eq!(fake.running_containers(), ["one"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_without_memory_says_so() {
    let fake = engine();
    run(&fake, &spec("one", "job:1", script::idle())).await;
    fake.script(|_| Behaviour::new().out_of_memory());
    let options = StageOptions { memory: "64 MiB".into(), ..StageOptions::default() };
    let running = stage(&fake, &options, "eat").await;
    let (said, ended) = code(&fake, running).await;
    assert!(said.contains("out of memory") && said.contains("64 MiB"), "{said}");
    assert_eq!(ended, Some(137));
}

#[tokio::test(start_paused = true)]
async fn a_stage_waits_for_the_helper_who_sweeps() {
    let fake = engine();
    fake.helper_takes(3 * SECOND);
    let mut helper = spec("one", "job:1", script::helper("/builds", true, "", "", &["/builds".to_owned()]));
    helper.entrypoint = Some(vec![String::new()]);
    helper.mounts =
        vec![MountSpec { source: "builds".into(), target: "/builds".into(), options: String::new() }];
    run(&fake, &helper).await;
    fake.script(|_| Behaviour::new().touch("/builds/p/file").touch("/builds/p.tmp/TOKEN"));
    let begun = Instant::now();
    let options = StageOptions { ready_file: READY_FILE.to_owned(), ..StageOptions::default() };
    let running = stage(&fake, &options, "get_sources").await;
    assert_eq!(code(&fake, running).await.1, Some(0));
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert_eq!(fake.volume_files("builds"), ["/p.tmp/TOKEN", "/p/file"]);
    fake.stop_container("one", 10 * SECOND).await.unwrap();
    assert_eq!(fake.container("one").await.unwrap().unwrap().exit_code, 0);
    assert_eq!(fake.volume_files("builds"), ["/p/file"]);
}

#[tokio::test(start_paused = true)]
async fn a_helper_without_a_runner_exits_with_its_code() {
    let fake = Fake::new();
    fake.image_here("helper:1", FakeImage::new("helper").without_runner());
    run(&fake, &spec("one", "helper:1", script::helper("/builds", true, "", "", &[]))).await;
    fake.until_ended("one").await;
    assert_eq!(fake.container("one").await.unwrap().unwrap().exit_code, script::EXIT_NO_RUNNER);
}

#[tokio::test(start_paused = true)]
async fn an_entrypoint_hands_over_through_stdin() {
    let fake = Fake::new();
    let entry = Behaviour::new().out("entry: busy\n").sleep(20 * SECOND);
    fake.image_here(
        "own:1",
        FakeImage::new("own").entrypoint(&["/entry.sh"], entry).hands_over_as("1000 1000 1000"),
    );
    fake.image_here("gone:1", FakeImage::new("gone").entrypoint(&["/entry.sh"], Behaviour::new().exit(3)));
    for (image, entrypoint) in [("own:1", None), ("own:1", Some(vec!["/bin/sh".to_owned(), "-c".to_owned()]))]
    {
        let mut build = spec("one", image, script::probe());
        build.entrypoint = entrypoint.clone();
        build.open_stdin = true;
        fake.create_container(&build).await.unwrap();
        let mut attached = fake.attach("one").await.unwrap();
        fake.start_container("one").await.unwrap();
        attached.input.write_all(script::handover("state-7").as_bytes()).await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\x1e") {
            said.extend_from_slice(&attached.output.next().await.unwrap().unwrap().bytes);
        }
        let busy = if entrypoint.is_none() { "entry: busy\n" } else { "" };
        assert_eq!(
            String::from_utf8(said).unwrap(),
            format!("{busy}\u{1e}hearth-handover 1000 1000 1000\u{1e}")
        );
        assert_eq!(fake.container_files("one"), ["/dev/shm/state-7"]);
        assert_eq!(fake.running_containers(), ["one"]);
        fake.remove_container("one").await.unwrap();
    }
    run(&fake, &spec("two", "gone:1", script::probe())).await;
    fake.until_ended("two").await;
    assert_eq!(fake.container("two").await.unwrap().unwrap().exit_code, 3);
}

#[tokio::test(start_paused = true)]
async fn services_are_waited_for_on_the_jobs_network() {
    let fake = engine();
    fake.image_here("db:1", FakeImage::new("db").listens(5432, 4 * SECOND));
    let network = NetworkSpec { name: "net".into(), ipv6: None, mtu: None, labels: Default::default() };
    fake.create_network(&network).await.unwrap();
    let on = |aliases: &[&str]| NetworkUse::Joined {
        network: "net".to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
    };
    let mut db = spec("job-db", "db:1", Vec::new());
    (db.command, db.network) = (None, on(&["postgres"]));
    run(&fake, &db).await;
    let mut helper = spec("one", "job:1", script::idle());
    helper.network = on(&[]);
    run(&fake, &helper).await;
    let wait = |index, host: &str, port| WaitFor { index, host: host.to_owned(), ports: vec![port] };
    // By an alias, and by the name of its container.
    let services = [wait(0, "postgres", 5432), wait(1, "nobody", 1), wait(2, "job-db", 5432)];
    let begun = Instant::now();
    let running = fake.exec("one", &exec(script::wait(9, &services))).await.unwrap();
    assert_eq!(code(&fake, running).await, ("ready 0\nready 2\n".to_owned(), Some(0)));
    assert_eq!(begun.elapsed(), 9 * SECOND);
}
