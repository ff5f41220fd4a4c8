//! An engine that is not there, not for us, not of our time, or does not stay.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hearth::runner::{Cancel, Canceller, Events, JobDescription, JobOutcome, JobReport, Service, Transcript};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::api_front::{ApiFront, Claim};
use crate::own_engine::OwnEngine;
use crate::pusher::Layer;
use crate::tools::{docker_quiet, systems_fault};
use crate::world::{Ran, World, block_on, docker, skip, write};

/// The engine that the tests share.
fn socket() -> String {
    let host = docker(&["context", "inspect", "-f", "{{.Endpoints.docker.Host}}"]);
    host.trim().strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned()
}

/// Writes the usual settings with another engine.
fn at_engine(world: &World, host: &str) {
    world.settings(&format!("[engine]\nhost = \"{host}\"\ntimeout = 10"));
}

#[test]
fn an_engine_that_does_not_answer_is_the_systems_fault_with_the_way_out() {
    let Some(world) = World::new("no engine") else { return };
    let dead = world.dir.join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("a socket"));
    let script = world.dir.join("script");
    write(&script, "true");
    for (host, reason) in [
        ("unix:///nonexistent/docker.sock".to_owned(), "there is no such socket"),
        (format!("unix://{}", dead.display()), "onnection refused"),
        ("tcp://127.0.0.1:9".to_owned(), "onnection refused"),
    ] {
        at_engine(&world, &host);
        let attempt = world.attempt(&world.job());
        let run = ["run", script.to_str().expect("a path"), "build_script"];
        for stage in [&["prepare"][..], &run, &["cleanup"]] {
            let called = world.call(stage, &attempt.env);
            called.failed_with(2, "no container engine answers at").failed_with(2, &host);
            called.failed_with(2, reason).failed_with(2, "hint: start it");
        }
    }
    world.settings("");
    let mut attempt = world.attempt(&world.job());
    attempt.env.push(crate::tools::pair("DOCKER_HOST", "unix:///named/by/variable.sock"));
    world.call(&["prepare"], &attempt.env).failed_with(2, "unix:///named/by/variable.sock");
}

#[test]
fn a_socket_that_is_not_for_this_user_is_told_with_the_group_to_join() {
    let Some(world) = World::new("permission denied") else { return };
    if !Uid::effective().is_root() {
        return skip("permission denied", "only root can become somebody else");
    }
    let attempt = world.attempt(&world.job());
    let driver = world.dir.join("hearth");
    // By another process: a descriptor of this one would make the copy a busy text for a moment.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_hearth")).arg(&driver).status();
    assert!(copied.is_ok_and(|status| status.success()), "a copy that all can read");
    for stage in ["prepare", "cleanup"] {
        let output = Command::new(&driver)
            .args([stage, "--config"])
            .arg(world.dir.join("config.toml"))
            .env_clear()
            .envs(attempt.env.iter().map(|(name, value)| (name, value)))
            .uid(65534)
            .gid(65534)
            .output()
            .expect("the driver runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("permission denied on the engine's socket"), "{text}");
        assert!(text.contains("usermod -aG docker"), "{text}");
    }
}

#[test]
fn an_engine_of_another_time_is_named_with_what_is_needed() {
    let Some(world) = World::new("versions") else { return };
    let attempt = world.attempt(&world.job());
    let old = Claim { oldest: "1.12", newest: "1.40", speaks: "1.40" };
    let front = ApiFront::new(&world.dir, &socket(), old);
    at_engine(&world, &front.host);
    for stage in ["prepare", "cleanup"] {
        let called = world.call(&[stage], &attempt.env);
        called.failed_with(2, "API 1.40").failed_with(2, "1.41").failed_with(2, "20.10");
    }
    assert!(front.asked().iter().all(|line| line.contains("/version")), "{:?}", front.asked());
    std::fs::remove_file(world.dir.join("front.sock")).expect("removed");
    let new = Claim { oldest: "1.90", newest: "1.99", speaks: "1.99" };
    let front = ApiFront::new(&world.dir, &socket(), new);
    at_engine(&world, &front.host);
    world.call(&["prepare"], &attempt.env).failed_with(2, "1.90").failed_with(2, "newer hearth");
}

#[test]
fn an_engine_that_speaks_only_a_newer_version_runs_a_whole_job() {
    let Some(world) = World::new("API 1.44") else { return };
    let claim = Claim { oldest: "1.44", newest: "1.44", speaks: "1.44" };
    let front = ApiFront::new(&world.dir, &socket(), claim);
    at_engine(&world, &front.host);
    let mut web = Service::named(world.image("job/web"));
    web.aliases.push("web".into());
    let job = world
        .job()
        .image(world.image("job/entry-exports"))
        .service(web)
        .variable("CI_DEBUG_SERVICES", "true")
        .script("wget -q -O - http://web/ && echo from entry: $FROM_ENTRY")
        .after_script("echo after it");
    let ran = block_on(world.run(&job));
    ran.succeeded().says("from entry: yes").says("after it");
    for line in front.asked() {
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(path == "/version" || path == "/_ping" || path.starts_with("/v1.44/"), "{line}");
    }
}

#[test]
fn leftovers_of_an_earlier_attempt_are_replaced() {
    let Some(world) = World::new("leftovers") else { return };
    let image = world.image("job/web");
    docker(&["pull", "-q", &image]);
    let job = world
        .job()
        .service(Service::named(&image))
        .script("echo fresh; cat /tmp/stale || echo no stale file");
    let key = format!("hearth-{}-job-{}", world.token, job.id);
    let label = format!("hearth.job={key}");
    docker(&["network", "create", "--label", &label, &key]);
    for role in ["build", "helper", "service-0"] {
        let name = world.container(&job, role);
        let script = "touch /tmp/stale; exec sleep 600";
        let args =
            ["run", "-d", "--name", &name, "--label", &label, "--network", &key, &image, "sh", "-c", script];
        assert!(docker_quiet(&args), "{name} is there");
    }
    docker(&["volume", "create", "--label", &label, &format!("{key}-builds")]);
    let ran = block_on(world.run(&job));
    ran.succeeded().says("fresh").says("no stale file");
    assert_eq!(ran.report.attempts, 1, "{}", ran.log);
}

/// Does something once when a text has come.
struct When<F> {
    transcript: Transcript,
    text: &'static str,
    act: Option<F>,
}

impl<F: FnOnce()> Events for When<F> {
    fn log(&mut self, bytes: &[u8]) {
        self.transcript.log(bytes);
        if self.act.is_some()
            && self.transcript.text().contains(self.text)
            && let Some(act) = self.act.take()
        {
            act();
        }
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.transcript.runner_log(bytes);
    }
}

/// Runs a job whose script says that it runs; then something happens. Returns the runner's own log too.
fn run_until(world: &World, job: &JobDescription, act: impl FnOnce(&Canceller)) -> (Ran, String) {
    let canceller = Canceller::new();
    let runner = world.runner().canceller(canceller.clone());
    let mut events =
        When { transcript: Transcript::default(), text: "script-runs", act: Some(|| act(&canceller)) };
    let report: JobReport = block_on(runner.run(job, &mut events));
    let Transcript { log, runner_log } = events.transcript;
    let runner_log = String::from_utf8_lossy(&runner_log).into_owned();
    (Ran { report, log: String::from_utf8_lossy(&log).into_owned(), bytes: log }, runner_log)
}

fn within(ran: &Ran, seconds: u64) {
    for call in &ran.report.calls {
        assert!(call.took < Duration::from_secs(seconds), "{} took {:?}\n{}", call.name, call.took, ran.log);
    }
}

#[test]
fn an_engine_that_goes_in_the_middle_is_the_systems_fault_and_cleanup_waits_for_it() {
    let Some(world) = World::new("engine goes") else { return };
    let Some(mut engine) = OwnEngine::start("engine goes", &world) else { return };
    engine.pull(&world.image("job/busybox"));
    engine.settings(&world, "kill_grace = 1");
    // The second word is put together: the echo of the command is no sign that it runs.
    let job = || world.job().script("echo script-\"runs\"; sleep 300");
    let cleaned = |engine: &OwnEngine, job: &JobDescription| {
        let called = world.call(&["cleanup"], &world.attempt(job).env);
        assert_eq!(called.code, Some(0), "{}", called.stderr);
        assert_eq!(engine.left(), [""; 0]);
    };

    // Killed: nothing answers any more.
    let killed = job();
    let (ran, runner_log) = run_until(&world, &killed, |_| engine.end(Signal::SIGKILL));
    systems_fault(&ran).says("engine").says("hint:");
    assert!(runner_log.contains("stay until the engine is back"), "{runner_log}");
    within(&ran, 20);
    engine.relaunch();
    cleaned(&engine, &killed);

    // Hung: it takes connections and answers nothing, while the runner cancels.
    let hung = job();
    let pid = engine.pid();
    let (ran, runner_log) = run_until(&world, &hung, |canceller| {
        kill(pid, Signal::SIGSTOP).expect("stopped");
        canceller.cancel(Cancel::Graceful);
    });
    assert!(matches!(ran.report.outcome, JobOutcome::Failed(_)), "{}", ran.log);
    assert!(runner_log.contains("did not answer within 5 s"), "{runner_log}");
    within(&ran, 30);
    kill(pid, Signal::SIGCONT).expect("goes on");
    cleaned(&engine, &hung);

    // Restarted: it stops all containers, and is there again a moment later.
    let restarted = job();
    let (ran, _) = run_until(&world, &restarted, |_| {
        engine.end(Signal::SIGTERM);
        engine.relaunch();
    });
    systems_fault(&ran);
    within(&ran, 20);
    cleaned(&engine, &restarted);
}

/// Stops the driver, so that it learns of something only when that is over.
fn asleep(world: &World, act: impl FnOnce()) {
    let pids: Vec<Pid> = world
        .driver_processes()
        .iter()
        .filter_map(|(path, _)| path.file_name()?.to_str()?.parse().ok().map(Pid::from_raw))
        .collect();
    assert!(!pids.is_empty(), "the driver runs");
    pids.iter().for_each(|pid| kill(*pid, Signal::SIGSTOP).expect("stopped"));
    act();
    pids.iter().for_each(|pid| kill(*pid, Signal::SIGCONT).expect("goes on"));
}

#[test]
fn an_engine_that_was_restarted_unseen_is_told_from_a_main_process_that_was_killed() {
    let Some(world) = World::new("restart unseen") else { return };
    let Some(engine) = OwnEngine::start("restart unseen", &world) else { return };
    restarted_or_killed(&world, engine, &[Signal::SIGTERM, Signal::SIGKILL]);
}

#[test]
fn so_is_one_with_containerds_store() {
    let Some(world) = World::new("newer engine, restart unseen") else { return };
    let engine = OwnEngine::start_with_containerds_store("newer engine, restart unseen", &world);
    let Some(engine) = engine else { return };
    restarted_or_killed(&world, engine, &[Signal::SIGTERM]);
}

fn restarted_or_killed(world: &World, mut engine: OwnEngine, signals: &[Signal]) {
    engine.pull(&world.image("job/busybox"));
    engine.settings(world, "kill_grace = 1");
    let job = || world.job().script("echo script-\"runs\"; sleep 300");
    for signal in signals {
        let (ran, _) = run_until(world, &job(), |_| {
            asleep(world, || {
                engine.end(*signal);
                engine.relaunch();
            });
        });
        systems_fault(&ran).says("the container engine was restarted, which stopped the build container");
        ran.is_silent_about("main process");
    }
    let killed = job();
    let build = world.container(&killed, "build");
    let (ran, _) = run_until(world, &killed, |_| {
        asleep(world, || assert!(engine.docker(&["kill", &build]).is_some(), "it is killed"));
    });
    crate::tools::jobs_fault(&ran).says("the main process of the build container was killed: exit code 137");
    assert_eq!(engine.left(), [""; 0]);
}

#[test]
fn a_full_disk_is_the_systems_fault_and_not_tried_again_within_the_stage() {
    let Some(world) = World::new("disk full") else { return };
    let data = OwnEngine::data(&world);
    std::fs::create_dir_all(&data).expect("a directory");
    if !mount_tmpfs(&data) {
        return skip("disk full", "no tmpfs can be mounted here");
    }
    let engine = OwnEngine::start("disk full", &world);
    if let Some(engine) = &engine {
        engine.pull(&world.image("job/busybox"));
        engine.settings(&world, "");
        let mut image = crate::image_policies::busybox();
        image.layers.push(Layer::random(64 << 20, crate::world::unique()).expect("a layer"));
        let own = world.push("huge", &[image]);
        let ran = block_on(world.run(&world.job().image(&own.name).script("true")));
        systems_fault(&ran).says("does not fit on the engine's disk").says("no space left on device");
        ran.says("docker system df").is_silent_about("try 2 of");
        assert_eq!(engine.left(), [""; 0]);
    }
    drop(engine);
    crate::own_engine::unmount_below(&data);
}

fn mount_tmpfs(at: &Path) -> bool {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(at).status();
    status.is_ok_and(|status| status.success())
}
