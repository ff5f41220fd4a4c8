//! Cancels, timeouts, and a runner that reads slowly or no more.

use std::time::Duration;

use hearth::runner::{
    Artifacts, Cache, Cancel, Exit, FailureClass, GitStrategy, JobDescription, Mishap, Moment, Pace, Service,
    Trouble, When,
};

use crate::site::Site;
use crate::world::{Ran, World, block_on};

/// Prints a word in two parts, so that it is found in the output and not in the command that the log shows.
fn print(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("printf '{first}%s\\n' '{rest}'")
}

/// Counts the processes that should be gone by then.
const LEFT: &str = "echo left: $(ps -o args | grep -c '[s]leep [0.]*4321')";

fn cancel(call: &str, word: &str, level: Cancel) -> Trouble {
    Trouble::new(call, Moment::Output(word.to_owned()), Mishap::Cancel(level))
}

fn run(world: &World, job: &JobDescription, trouble: Trouble) -> Ran {
    block_on(world.run_with(&world.runner().trouble(trouble), job))
}

#[test]
fn a_cancelled_script_is_followed_by_after_script_cache_and_artifacts() {
    let Some(world) = World::new("cancel, gracefully") else { return };
    block_on(async {
        let job = world.job();
        let site = Site::start(&world, &[&job]).await;
        let mut job = site
            .attach(job, GitStrategy::None)
            .script("echo half >file")
            .script(format!("{}; sleep 600; echo not reached", print("underway")))
            .after_script("echo after: $CI_JOB_STATUS $(cat file)");
        let paths = vec!["file".to_owned()];
        job.artifacts.push(Artifacts { paths: paths.clone(), when: When::Always, ..Artifacts::default() });
        job.cache.push(Cache { key: "k".to_owned(), paths, when: When::Always, ..Cache::default() });
        let runner = world.runner().trouble(cancel("build_script", "underway", Cancel::Graceful));
        let ran = world.run_with(&runner, &job).await;
        ran.failed_as(FailureClass::Canceled).says("after: canceled half").is_silent_about("\nnot reached");
        ran.took_at_most("build_script", 15).after(
            "after_script",
            &["archive_cache_on_failure", "upload_artifacts_on_failure", "cleanup_file_variables", "cleanup"],
        );
        assert!(site.server.artifacts(job.id).is_some(), "{}", ran.log);
    });
}

#[test]
fn a_cancel_from_a_server_that_waits_for_nothing_leaves_only_cleanup() {
    let Some(world) = World::new("cancel, hard") else { return };
    let job = world.job().script(format!("{}; sleep 600", print("underway"))).after_script("echo after");
    let ran = run(&world, &job, cancel("build_script", "underway", Cancel::Hard));
    ran.failed_as(FailureClass::Canceled)
        .after("build_script", &["cleanup"])
        .took_at_most("build_script", 15);
    let job = world.job().script("true").after_script(format!("{}; sleep 600", print("late")));
    let ran = run(&world, &job, cancel("after_script", "late", Cancel::Hard));
    ran.failed_as(FailureClass::Canceled)
        .after("after_script", &["cleanup"])
        .took_at_most("after_script", 15);
}

#[test]
fn a_cancel_before_the_script_stops_what_is_running_and_cleans_up() {
    let Some(world) = World::new("cancel, early") else { return };
    let at_once =
        |call: &str| Trouble::new(call, Moment::After(Duration::ZERO), Mishap::Cancel(Cancel::Graceful));
    let job = || world.job().script("echo never");
    let ran = run(&world, &job(), at_once("config"));
    ran.failed_as(FailureClass::Canceled).after("config", &["cleanup"]);

    let ran = run(&world, &job(), at_once("prepare"));
    ran.failed_as(FailureClass::Canceled).after("prepare", &["cleanup"]);

    let mut service = Service::named(world.image("job/web"));
    service.variables.push(hearth::runner::Variable::plain("WEB_DELAY", "600"));
    let ran =
        run(&world, &job().service(service), cancel("prepare", "Waiting for services", Cancel::Graceful));
    ran.failed_as(FailureClass::Canceled).after("prepare", &["cleanup"]).took_at_most("prepare", 15);
    assert_ne!(ran.call("prepare").exit, Exit::Code(0), "it would count as prepared");
    assert_ne!(ran.call("prepare").exit, Exit::Code(1), "it would count as the job's failure");

    let ran = run(&world, &job(), at_once("prepare_script"));
    ran.failed_as(FailureClass::Canceled).after("prepare_script", &["cleanup"]);

    let mut slow = job();
    slow.before_sources =
        vec![format!("trap 'echo git was told; exit 1' TERM; {}; sleep 600 & wait", print("fetching"))];
    let ran = run(&world, &slow, cancel("get_sources", "fetching", Cancel::Graceful));
    ran.failed_as(FailureClass::Canceled).after("get_sources", &["cleanup"]).took_at_most("get_sources", 15);
    ran.says("git was told\n");

    let cached = job().cache("k", &["file"]);
    let ran = run(&world, &cached, cancel("restore_cache", "Checking cache", Cancel::Graceful));
    ran.failed_as(FailureClass::Canceled)
        .after("restore_cache", &["cleanup"])
        .took_at_most("restore_cache", 15);
}

#[test]
fn a_cancel_after_the_script_comes_too_late_unless_it_is_a_hard_one() {
    let Some(world) = World::new("cancel, late") else { return };
    let job = || world.job().cache("k", &["file"]).script("echo x >file").after_script(print("ending"));
    let ran = run(&world, &job(), cancel("after_script", "ending", Cancel::Graceful));
    ran.succeeded().after("after_script", &["archive_cache", "cleanup_file_variables", "cleanup"]);
    let ran = run(&world, &job(), cancel("archive_cache", "Creating cache", Cancel::Graceful));
    ran.succeeded().says("Created cache");
    let ran = run(&world, &job(), cancel("archive_cache", "Creating cache", Cancel::Hard));
    ran.failed_as(FailureClass::Canceled).after("archive_cache", &["cleanup"]);
    let at_once =
        Trouble::new("cleanup_file_variables", Moment::After(Duration::ZERO), Mishap::Cancel(Cancel::Hard));
    let ran = run(&world, &job(), at_once);
    ran.after("cleanup_file_variables", &["cleanup"]);
}

#[test]
fn term_reaches_every_process_and_what_they_still_say_is_heard() {
    let Some(world) = World::new("cancel, tree") else { return };
    let child = "sh -c 'trap \"echo child was told; exit 0\" TERM; touch /tmp/child; while :; do sleep 0.4321; done' &";
    let orphan = "(setsid sh -c 'trap \"sleep 0.7; echo orphan was told; exit 0\" TERM; touch /tmp/orphan; while :; do sleep 0.4321; done' &)";
    let ready =
        format!("until [ -e /tmp/child ] && [ -e /tmp/orphan ]; do sleep 0.1; done; {}", print("ready"));
    for image in ["job/busybox", "job/user", "job/entry-drops"] {
        let job = world
            .job()
            .image(world.image(image))
            .script("trap 'echo script was told; exit 1' TERM")
            .script(format!("{child}\n{orphan}\n{ready}\nwhile :; do sleep 0.1; done"))
            .after_script(LEFT);
        let ran = run(&world, &job, cancel("build_script", "ready", Cancel::Graceful));
        ran.failed_as(FailureClass::Canceled).says("\nleft: 0\n");
        for who in ["script", "child", "orphan"] {
            ran.says(&format!("{who} was told\n"));
        }
    }
}

#[test]
fn who_ignores_term_is_killed_when_the_grace_is_over() {
    let Some(world) = World::new("cancel, deaf") else { return };
    world.settings("kill_grace = 2");
    for image in ["job/busybox", "job/user", "job/entry-exec"] {
        let job = world
            .job()
            .image(world.image(image))
            .script(format!(
                "trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 4321; done' & {}",
                print("deaf")
            ))
            .script("while :; do sleep 4321; done")
            .after_script(LEFT);
        let ran = run(&world, &job, cancel("build_script", "deaf", Cancel::Graceful));
        ran.failed_as(FailureClass::Canceled).says("\nleft: 0\n").took_at_most("build_script", 12);
        assert!(ran.call("build_script").took >= Duration::from_secs(2), "{:?}", ran.call("build_script"));
        assert!(matches!(ran.call("build_script").exit, Exit::Code(_)), "the runner had to kill it");
    }
}

#[test]
fn a_job_that_is_out_of_time_is_cleaned_up_and_nothing_else() {
    let Some(world) = World::new("job timeout") else { return };
    let job = world.job().script("sleep 600").after_script("echo after").timeout(Duration::from_secs(10));
    let ran = block_on(world.run(&job));
    ran.failed_as(FailureClass::Timeout).after("build_script", &["cleanup"]).took_at_most("build_script", 20);
}

#[test]
fn a_script_that_is_out_of_time_is_followed_by_after_script() {
    let Some(world) = World::new("script timeout") else { return };
    let mut job = world.job().script("sleep 600").after_script("echo after: $CI_JOB_STATUS");
    job.timeouts.script = Some(Duration::from_secs(2));
    let ran = block_on(world.run(&job));
    ran.failed_as(FailureClass::Timeout).says("after: timedout").took_at_most("build_script", 15);

    let mut job = world.job().script("true").after_script("sleep 600");
    job.timeouts.after_script = Duration::from_secs(2);
    let ran = block_on(world.run(&job));
    ran.succeeded().took_at_most("after_script", 15).says("after_script failed");
}

#[test]
fn a_runner_that_hangs_up_ends_the_stages_processes() {
    let Some(world) = World::new("hang up") else { return };
    let job = world
        .job()
        .script(format!("sleep 4321 & {}; while :; do echo and on; sleep 0.2; done", print("talking")))
        .after_script(LEFT);
    let trouble = Trouble::new("build_script", Moment::Output("talking".to_owned()), Mishap::HangUp);
    let ran = run(&world, &job, trouble);
    ran.took_at_most("build_script", 20).says("\nleft: 0\n").failed_as(FailureClass::System);
}

#[test]
fn a_slow_reader_gets_everything() {
    let Some(world) = World::new("slow reader") else { return };
    let job = world.job().script("seq 1000000 1500000").script("seq 1500001 1600000 >&2; echo end");
    let pace = Pace { chunk: 64 * 1024, pause: Duration::from_millis(25) };
    let ran = block_on(world.run_with(&world.runner().pace(pace), &job));
    ran.succeeded().says("\nend\n");
    let numbers: Vec<u32> = ran.log.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1_000_000..=1_600_000), "{} numbers", numbers.len());
}

#[test]
fn a_cancel_is_heard_while_the_reader_stands_still() {
    let Some(world) = World::new("standing reader") else { return };
    world.settings("kill_grace = 1");
    // The job log goes to a pipe that nobody reads. The reader that is not one ends with the driver's process group.
    let stall = "if [ \"$1\" = run ] && [ \"$5\" = build_script ]; then
        mkfifo \"$TMPDIR/full\"; sleep 600 <\"$TMPDIR/full\" >/dev/null 2>&1 & exec >\"$TMPDIR/full\"
    fi";
    let job = world.job().script("yes this fills every pipe").after_script("echo after: $CI_JOB_STATUS");
    let trouble =
        Trouble::new("build_script", Moment::After(Duration::from_secs(3)), Mishap::Cancel(Cancel::Graceful));
    let ran = block_on(world.run_with(&world.runner_through(stall).trouble(trouble), &job));
    ran.failed_as(FailureClass::Canceled).says("after: canceled").took_at_most("build_script", 3 + 15);
}
