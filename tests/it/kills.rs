//! Processes that die without a word: the driver, the runner, the job's containers.

use std::time::Duration;

use futures_util::future::join_all;
use hearth::runner::{
    Cancel, Exit, FailureClass, JobDescription, JobOutcome, Mishap, Moment, StandIn, Transcript, Trouble,
};

use crate::world::{Ran, World, block_on, docker};

/// Numbers that look random: a seed gives the same ones again.
pub(crate) struct Random(u64);

impl Random {
    /// Starts from HEARTH_TEST_SEED, or else from the clock, and says which seed it is.
    pub(crate) fn new(test: &str) -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        let given = std::env::var("HEARTH_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(clock.as_nanos() as u64 | 1);
        eprintln!("{test}: HEARTH_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Kills a call, alone or with its group, at a moment of its first so many milliseconds.
    fn kill(&mut self, call: &str, within_ms: u64) -> Trouble {
        let at = Moment::After(Duration::from_millis(self.below(within_ms)));
        let what = if self.below(2) == 0 { Mishap::KillDriver } else { Mishap::KillGroup };
        Trouble::new(call, at, what)
    }
}

/// How many jobs are killed at the same time: what they wait for, they wait for together.
const AT_ONCE: usize = 5;

/// Runs jobs, each with its own trouble, a few at a time.
async fn run_all(world: &World, jobs: Vec<(JobDescription, Vec<Trouble>)>) -> Vec<(Vec<Trouble>, Ran)> {
    let mut done = Vec::new();
    for some in jobs.chunks(AT_ONCE) {
        let runs = some.iter().map(async |(job, troubles)| {
            let runner = troubles.iter().cloned().fold(world.runner(), StandIn::trouble);
            (troubles.clone(), world.run_with(&runner, job).await)
        });
        done.extend(join_all(runs).await);
    }
    done
}

fn was_killed(ran: &Ran, call: &str) -> bool {
    ran.call(call).exit == Exit::Signal(9)
}

#[test]
fn whenever_prepare_is_killed_nothing_stays_and_the_next_attempt_works() {
    let Some(world) = World::new("kill prepare") else { return };
    let mut random = Random::new("kill prepare");
    let jobs = (0..10).map(|round| {
        let image = ["job/busybox", "job/entry-exec"][round % 2];
        let job = world.job().image(world.image(image)).script("echo hello");
        (job, vec![random.kill("prepare", 1500)])
    });
    let jobs = jobs.collect();
    let done = block_on(run_all(&world, jobs));
    for (trouble, ran) in &done {
        ran.succeeded().says("\nhello\n");
        let attempts = if was_killed(ran, "prepare") { 2 } else { 1 };
        assert_eq!(ran.report.attempts, attempts, "{trouble:?}\n{}", ran.log);
    }
    assert!(done.iter().any(|(_, ran)| was_killed(ran, "prepare")), "no round hit prepare");
}

#[test]
fn a_prepare_that_is_killed_and_not_tried_again_leaves_nothing_either() {
    let Some(world) = World::new("kill prepare, no retry") else { return };
    let mut random = Random::new("kill prepare, no retry");
    // The engine goes on making what it was asked for: cleanup may find nothing at first.
    let jobs = (0..10).map(|_| {
        let kill = random.kill("prepare", 400);
        let cancel = Trouble::new("prepare", kill.at.clone(), Mishap::Cancel(Cancel::Graceful));
        (world.job().script("echo hello"), vec![kill, cancel])
    });
    let jobs: Vec<_> = jobs.collect();
    let done = block_on(run_all(&world, jobs.clone()));
    let mut seen_later: Vec<String> = Vec::new();
    for ((job, _), (trouble, ran)) in jobs.iter().zip(&done) {
        assert_eq!(ran.report.attempts, 1, "{trouble:?}\n{}", ran.log);
        seen_later.extend(world.left(job));
    }
    assert_eq!(seen_later, Vec::<String>::new());
}

#[test]
fn a_prepare_that_is_stopped_leaves_nothing_either() {
    let Some(world) = World::new("stop prepare") else { return };
    let mut random = Random::new("stop prepare");
    let jobs = (0..5).map(|_| {
        let at = Moment::After(Duration::from_millis(random.below(400)));
        let cancel = Trouble::new("prepare", at, Mishap::Cancel(Cancel::Graceful));
        (world.job().script("echo hello"), vec![cancel])
    });
    let jobs: Vec<_> = jobs.collect();
    for (trouble, ran) in block_on(run_all(&world, jobs.clone())) {
        ran.failed_as(FailureClass::Canceled).after("prepare", &["cleanup"]);
        assert_ne!(ran.call("prepare").exit, Exit::Code(1), "{trouble:?}");
    }
    assert!(jobs.iter().all(|(job, _)| world.left(job).is_empty()));
}

#[test]
fn whenever_a_stage_is_killed_nothing_stays_and_the_next_job_works() {
    let Some(world) = World::new("kill run") else { return };
    let mut random = Random::new("kill run");
    let calls = ["prepare_script", "get_sources", "build_script", "build_script", "after_script"];
    let jobs = (0..15).map(|round| {
        let image = ["job/busybox", "job/entry-exec"][round % 2];
        let job = world.job().image(world.image(image));
        let job = job.script("for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done").after_script("echo bye");
        let call = calls[round % calls.len()];
        (job, vec![random.kill(call, if call == "build_script" { 1500 } else { 400 })])
    });
    let jobs = jobs.collect();
    let done = block_on(run_all(&world, jobs));
    for (troubles, ran) in &done {
        let call = troubles[0].call.as_str();
        if was_killed(ran, call) && call != "after_script" {
            ran.failed_as(FailureClass::System);
        } else {
            ran.succeeded().says("\nline 5\n");
        }
    }
    assert!(done.iter().any(|(troubles, ran)| was_killed(ran, &troubles[0].call)), "no round hit a stage");
    // The same slot and volumes serve the next one.
    block_on(world.run(&world.job().script("echo hello"))).succeeded().says("\nhello\n");
}

/// Runs a job until its runner is gone.
async fn abandon(runner: StandIn, job: &JobDescription, call: &str, at: Moment) {
    let mut transcript = Transcript::default();
    let report = runner.trouble(Trouble::new(call, at, Mishap::RunnerDies)).run(job, &mut transcript).await;
    assert_eq!(report.outcome, JobOutcome::Abandoned, "{}", transcript.text());
}

#[test]
fn cleanup_by_hand_removes_what_a_dead_runner_left_and_may_be_repeated() {
    let Some(world) = World::new("dead runner") else { return };
    block_on(async {
        let job = world.job().script("while :; do printf 'still %s\\n' here; sleep 0.1; done");
        abandon(world.runner(), &job, "build_script", Moment::Output("still here".to_owned())).await;
        assert!(!world.left(&job).is_empty(), "the driver was not there yet");
        // The stage may still be dying.
        world.cleanup_by_hand(&job);
        assert_eq!(world.left(&job), Vec::<String>::new());
        world.cleanup_by_hand(&job);

        // A runner that dies in the middle of prepare: its driver goes on creating things for a moment.
        let job = world.job().script("true");
        abandon(world.runner(), &job, "prepare", Moment::Output("Using".to_owned())).await;
        while !world.driver_processes().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        world.cleanup_by_hand(&job);
        assert_eq!(world.left(&job), Vec::<String>::new());

        // Nothing was ever made.
        world.cleanup_by_hand(&world.job());
    });
}

#[test]
fn containers_that_are_removed_under_a_job_are_the_systems_fault_and_named() {
    let Some(world) = World::new("removed containers") else { return };
    for role in ["build", "helper"] {
        let mut job = world.job();
        let slow = "printf 'now %s\\n' running; sleep 600".to_owned();
        if role == "build" {
            job.script = vec![slow];
        } else {
            job.before_sources = vec![slow];
        }
        let container = world.container(&job, role);
        let mut removed = false;
        let mut remove = |log: &str| {
            if !removed && log.contains("now running") {
                removed = true;
                docker(&["rm", "-f", &container]);
            }
        };
        let ran = block_on(world.run_watched(&world.runner(), &job, &mut remove));
        ran.failed_as(FailureClass::System)
            .says(&format!("the {role} container was removed while the job ran"));
    }
}

#[test]
fn a_main_process_that_is_killed_fails_the_job_and_after_script_still_runs() {
    let Some(world) = World::new("killed container") else { return };
    for image in ["job/busybox", "job/entry-exports"] {
        let job = world.job().image(world.image(image));
        let job = job
            .script("echo kept >/srv/file; printf 'now %s\\n' running; sleep 600")
            .after_script("cat /srv/file; echo \"after: $CI_JOB_STATUS $FROM_ENTRY\"");
        let container = world.container(&job, "build");
        let mut killed = false;
        let mut kill = |log: &str| {
            if !killed && log.contains("now running") {
                killed = true;
                docker(&["kill", &container]);
            }
        };
        let ran = block_on(world.run_watched(&world.runner(), &job, &mut kill));
        ran.failed_with(137).says("the main process of the build container was killed").says("\nkept\n");
        ran.says(if image == "job/busybox" { "after: failed \n" } else { "after: failed yes\n" });
    }
}
