//! What scripts leave running, and what they run into.

use std::time::Duration;

use hearth::runner::JobDescription;

use crate::world::{Ran, World, block_on, docker};

/// Counts what should be gone by then, without any program that looks at processes.
const LEFT: &str = "echo left: $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^432[1]$')";

/// All ways to leave something behind, most of which hold the job log open.
const BACKGROUND: [&str; 6] = [
    "sleep 4321 &",
    "(trap '' HUP; exec sleep 4321) >/dev/null 2>&1 &",
    "setsid sleep 4321 &",
    "(sh -c 'sleep 4321 &' &)",
    "(setsid sh -c 'trap \"\" HUP TERM INT; (sleep 4321 & sleep 4321) & wait' &)",
    "sh -c 'sleep 4321 & exec sleep 4321 >/dev/null 2>&1' 2>&1 | cat &",
];

fn leaving(job: JobDescription) -> JobDescription {
    let job = BACKGROUND.iter().fold(job, |job, command| job.script(*command));
    // All of them run when the script ends.
    job.script(format!("until [ \"$({LEFT})\" = 'left: 8' ]; do sleep 0.1; done; echo all there"))
        .after_script(LEFT)
}

fn run(world: &World, job: &JobDescription) -> Ran {
    block_on(world.run(job))
}

#[test]
fn what_a_script_leaves_running_ends_with_it_and_holds_nothing_up() {
    let Some(world) = World::new("background processes") else { return };
    for image in ["job/busybox", "job/user", "job/entry-drops", "job/debian"] {
        let ran = run(&world, &leaving(world.job().image(world.image(image))));
        ran.succeeded().says("\nall there\n").says("\nleft: 0\n").took_at_most("build_script", 20);
    }
    // The script's own end counts, not that of what it left.
    let ran = run(&world, &leaving(world.job()).script("exit 8"));
    ran.failed_with(8).says("\nleft: 0\n").took_at_most("build_script", 20);
}

#[test]
fn images_need_no_programs_for_that() {
    let Some(world) = World::new("bare image") else { return };
    let bare = "cp /bin/busybox /srv/busybox; rm -f /bin/ps /bin/kill /bin/sleep /usr/bin/pkill /usr/bin/killall /bin/pidof";
    let job = world
        .job()
        .script(bare)
        .script("(setsid /srv/busybox sleep 4321 &)")
        .script("/srv/busybox sleep 4321 &")
        .script(format!("until [ \"$({LEFT})\" = 'left: 2' ]; do :; done; echo all there"))
        .after_script(LEFT);
    run(&world, &job).succeeded().says("\nall there\n").says("\nleft: 0\n").took_at_most("build_script", 20);
}

#[test]
fn predefined_stages_leave_nothing_running_either() {
    let Some(world) = World::new("background in the helper") else { return };
    let mut job =
        world.job().script("printf 'now %s\\n' running; until [ -e /tmp/seen ]; do sleep 0.1; done");
    job.before_sources = vec!["sleep 4321 & (setsid sleep 4321 &)".to_owned()];
    let (helper, build) = (world.container(&job, "helper"), world.container(&job, "build"));
    let mut left = String::new();
    let mut look = |log: &str| {
        if left.is_empty() && log.contains("now running") {
            left = docker(&["exec", &helper, "sh", "-c", LEFT]);
            docker(&["exec", &build, "touch", "/tmp/seen"]);
        }
    };
    let ran = block_on(world.run_watched(&world.runner(), &job, &mut look));
    ran.succeeded().took_at_most("get_sources", 20);
    assert_eq!(left, "left: 0\n");
}

#[test]
fn root_ends_the_processes_of_others_too() {
    let Some(world) = World::new("other users") else { return };
    let job = world
        .job()
        .script("su dev -c 'sleep 4321' & su dev -c '(setsid sleep 4321 &)'")
        .script(format!("until [ \"$({LEFT})\" = 'left: 2' ]; do sleep 0.1; done; echo all there"))
        .after_script(LEFT);
    run(&world, &job).succeeded().says("\nall there\n").says("\nleft: 0\n").took_at_most("build_script", 20);
}

#[test]
fn a_process_that_the_jobs_user_cannot_end_does_not_hold_the_job() {
    let Some(world) = World::new("setuid") else { return };
    // The ENTRYPOINT leaves a program that makes root of anybody, and becomes an ordinary user.
    let lines = "cp /usr/bin/perl /usr/bin/anyone-root && chmod 4755 /usr/bin/anyone-root; \
        exec perl -e '$) = \"1000 1000\"; $( = 1000; $> = $< = 1000; $< = 1000; exec @ARGV' \"$@\"";
    let mut job = world.job().image(world.image("job/debian"));
    job.image.entrypoint = Some(["/bin/sh", "-c", lines, "entry"].map(str::to_owned).to_vec());
    let job = job
        .script("id -u; anyone-root -e '$< = 0; $> = 0; %ENV = (); exec \"/bin/sleep\", \"4321\"' &")
        .script(format!("until [ \"$({LEFT})\" = 'left: 1' ]; do sleep 0.1; done; echo all there"))
        .script("ps -o uid= -C sleep | tr -d ' ' | sort -u")
        .after_script("echo after");
    let ran = run(&world, &job);
    ran.succeeded().says("\n1000\n").says("\nall there\n").says("\n0\n").says("\nafter\n");
    ran.took_at_most("build_script", 30).took_at_most("after_script", 30);
}

#[test]
fn an_eater_of_memory_is_named_in_the_log_and_fails_the_job() {
    let Some(world) = World::new("out of memory") else { return };
    world.settings("memory = \"64m\"");
    let eat = "awk 'BEGIN { s = \"x\"; while (1) s = s s }'";
    let says = "out of memory: the kernel killed a process of this stage (memory limit: 64";
    for image in ["job/busybox", "job/user"] {
        let job = world
            .job()
            .image(world.image(image))
            .script(format!("{eat} || exit $?"))
            .after_script("echo after");
        run(&world, &job).failed_with(137).says(says).says("\nafter\n");
    }
    // It is said, too, where the script gets over it; and only in the stage where it happened.
    let job = world.job().script(format!("{eat} || echo got over it")).after_script("echo after");
    let ran = run(&world, &job);
    ran.succeeded().says("\ngot over it\n").says(says);
    assert_eq!(ran.log.matches("out of memory").count(), 1, "{}", ran.log);
}

#[test]
fn a_main_process_that_ran_out_of_memory_is_named_too() {
    let Some(world) = World::new("main process out of memory") else { return };
    world.settings("memory = \"64m\"");
    let with = |lines: &str| {
        let mut job = world.job();
        job.image.entrypoint = Some(["/bin/sh", "-c", lines, "entry"].map(str::to_owned).to_vec());
        job
    };
    let eat = "exec awk 'BEGIN { s = \"x\"; while (1) s = s s }'";
    let ran = run(&world, &with(eat).script("true"));
    ran.failed_with(137).says("killed for lack of memory");
    // Here it hands over, and eats only when the script wants it to.
    let lines = format!("exec 3<&0; \"$@\" <&3 & until [ -e /tmp/eat ]; do sleep 0.1; done; {eat}");
    let ran = run(&world, &with(&lines).script("touch /tmp/eat; sleep 600"));
    ran.failed_with(137).says("for lack of memory").says("64").took_at_most("build_script", 60);
}

#[test]
fn a_fork_bomb_runs_into_the_limit_and_the_job_goes_on() {
    let Some(world) = World::new("fork bomb") else { return };
    world.settings("pids_limit = 50");
    let job = world.job().script("bomb() { bomb | bomb & }; bomb; sleep 1").after_script("echo still alive");
    let ran = run(&world, &job);
    ran.says("can't fork").says("\nstill alive\n").took_at_most("build_script", 60);
}

#[test]
fn twenty_jobs_at_the_same_time_do_not_disturb_each_other() {
    let Some(world) = World::new("twenty jobs") else { return };
    let jobs: Vec<JobDescription> = (0..20)
        .map(|slot| {
            let mut job =
                world.job().image(world.image(["job/busybox", "job/entry-exec"][slot as usize % 2]));
            (job.concurrent_id, job.concurrent_project_id) = (slot, slot);
            job.timeouts.prepare_retry = Duration::from_secs(1);
            job.cache("shared", &["file"])
                .script("echo $CI_JOB_ID >file; sleep 1; cat file; hostname")
                .after_script("echo bye")
        })
        .collect();
    let all = block_on(futures_util::future::join_all(jobs.iter().map(async |job| world.run(job).await)));
    for (job, ran) in jobs.iter().zip(&all) {
        let slot = job.concurrent_project_id;
        ran.succeeded()
            .says(&format!("\n{}\n", job.id))
            .says(&format!("-concurrent-{slot}\n"))
            .says("\nbye\n");
        assert_eq!(ran.report.attempts, 1, "{}", ran.log);
    }
}
