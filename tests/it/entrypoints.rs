//! Images that have an ENTRYPOINT: what it hands over is what the job's scripts get.

use std::time::Duration;

use hearth::runner::{FailureClass, JobDescription, Variable};

use crate::world::{Ran, World, block_on};

fn entry(world: &World, kind: &str) -> JobDescription {
    world.job().image(world.image(&format!("job/entry-{kind}")))
}

/// Makes a job's ENTRYPOINT a shell that runs these lines.
fn with_entrypoint(mut job: JobDescription, lines: &str) -> JobDescription {
    job.image.entrypoint = Some(["/bin/sh", "-c", lines, "entry"].map(str::to_owned).to_vec());
    job
}

fn run(world: &World, job: &JobDescription) -> Ran {
    block_on(world.run(job))
}

#[test]
fn entrypoints_that_hand_over_run_the_script_and_keep_out_of_its_way() {
    let Some(world) = World::new("handing over") else { return };
    for kind in ["exec", "shell"] {
        let job = entry(&world, kind).script("echo hello; false || exit 7").after_script("echo bye");
        run(&world, &job).failed_with(7).says("\nhello\n").says("\nbye\n");
    }
    let mut cleared = entry(&world, "exits").script("echo hello").after_script("echo bye");
    cleared.image.entrypoint = Some(vec![String::new()]);
    run(&world, &cleared).succeeded().says("\nhello\n").says("\nbye\n");
    let mut named = world.job().script("echo hello");
    named.image.entrypoint = Some(["/bin/sh", "-c"].map(str::to_owned).to_vec());
    run(&world, &named).succeeded().says("\nhello\n");
}

#[test]
fn what_an_entrypoint_prints_is_in_the_job_log_before_the_script() {
    let Some(world) = World::new("printing") else { return };
    let ran = run(&world, &entry(&world, "prints").script("echo script"));
    ran.succeeded().says("entry: out\n").says("entry: err\n").is_silent_about("handover");
    let place = |text: &str| ran.log.find(text).expect("it is said");
    assert!(
        place("entry: out") < place("\nscript\n") && place("entry: err") < place("\nscript\n"),
        "{}",
        ran.log
    );
    assert_eq!(ran.log.matches("entry: out").count(), 1, "{}", ran.log);
}

#[test]
fn what_an_entrypoint_exports_is_seen_by_script_and_after_script() {
    let Some(world) = World::new("exporting") else { return };
    let look = "echo \"$FROM_ENTRY|$FROM_ENTRY_LINES|$PATH|${HEARTH_CWD-no}\"";
    let ran = run(&world, &entry(&world, "exports").script(look).after_script(look));
    ran.succeeded();
    let seen =
        "\nyes|one\ntwo|/opt/entry/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|no\n";
    assert_eq!(ran.log.matches(seen).count(), 2, "{}", ran.log);
    // An image with bash, where sh is another shell.
    let lines = "export FROM_ENTRY=yes FROM_ENTRY_LINES='one\ntwo' ODD=\"$(printf '\\001 \\t \\\\ \\047 \\042 $x')\"; exec \"$@\"";
    let look = "echo \"$FROM_ENTRY|$FROM_ENTRY_LINES|${BASH_VERSION:+bash}|$ODD|\"";
    let job =
        with_entrypoint(world.job().image(world.image("job/debian")), lines).script(look).after_script(look);
    let ran = run(&world, &job);
    ran.succeeded().is_silent_about("not found");
    let seen = "\nyes|one\ntwo|bash|\u{1} \t \\ ' \" $x|\n";
    assert_eq!(ran.log.matches(seen).count(), 2, "{}", ran.log);
    // What it takes away is gone as well.
    let job = with_entrypoint(world.job().variable("TAKEN", "x"), "export A='x y' B=; cd /srv; exec \"$@\"");
    let ran = run(&world, &job.script("echo \"[$A|${B-unset}]\""));
    ran.succeeded().says("\n[x y|]\n");
}

#[test]
fn umask_and_working_directory_are_those_that_the_entrypoint_left() {
    let Some(world) = World::new("state") else { return };
    let job = entry(&world, "state").script("umask; echo $OLDPWD").after_script("umask");
    let ran = run(&world, &job);
    ran.succeeded().says("\n0027\n/srv\n");
    assert_eq!(ran.log.matches("\n0027\n").count(), 2, "{}", ran.log);
}

#[test]
fn scripts_run_as_the_user_that_the_entrypoint_became() {
    let Some(world) = World::new("dropping") else { return };
    let job = entry(&world, "drops")
        .with_variable(Variable::plain("CONF", "readable").as_file())
        .script("id; cat \"$CONF\"; echo; echo mine >file; cat file; touch /root/x || echo no root")
        .after_script("id -u; id -G");
    let ran = run(&world, &job);
    ran.succeeded().says("\nuid=1000(dev) gid=1000(dev) groups=1000(dev),2000(shared)\n");
    ran.says("\nreadable\n").says("\nmine\n").says("\nno root\n").says("\n1000\n1000 2000\n");
}

#[test]
fn a_daemon_of_the_entrypoint_lives_on_and_one_of_the_script_does_not() {
    let Some(world) = World::new("daemons") else { return };
    let ask = |port: u16| format!("wget -q -O - http://127.0.0.1:{port}/ || echo nobody on {port}");
    let job = entry(&world, "daemon")
        .script("httpd -p 127.0.0.1:8098 -h /srv/daemon")
        .script(ask(8099))
        .script(ask(8098))
        .after_script(ask(8099))
        .after_script(ask(8098));
    let ran = run(&world, &job);
    ran.succeeded().says("\nnobody on 8098\n").is_silent_about("\nnobody on 8099");
    assert_eq!(ran.log.matches("\ndaemon\n").count(), 3, "{}", ran.log);
}

#[test]
fn an_entrypoint_may_take_its_time_but_not_for_ever() {
    let Some(world) = World::new("slow") else { return };
    let ran = run(&world, &entry(&world, "slow").variable("ENTRY_SECONDS", "3").script("echo went on"));
    ran.succeeded().says("entry: busy").says("\nwent on\n");
    assert!(ran.call("build_script").took >= Duration::from_secs(3));

    world.settings("entrypoint_timeout = 1");
    let ran = run(&world, &entry(&world, "slow").variable("ENTRY_SECONDS", "600").script("echo went on"));
    ran.failed_with(1).is_silent_about("\nwent on").took_at_most("build_script", 20);
    ran.says("handed over to no shell within 1 s").says("entrypoint_timeout");
    assert_eq!(ran.report.attempts, 1);
}

#[test]
fn an_entrypoint_that_gives_up_fails_the_job_with_its_code() {
    let Some(world) = World::new("giving up") else { return };
    let ran = run(&world, &entry(&world, "exits").variable("ENTRY_CODE", "23").script("true"));
    ran.failed_with(23).says("entry: giving up").says("ENTRYPOINT ended with exit code 23").says("hint");
    assert_eq!(ran.report.attempts, 1);
}

#[test]
fn an_entrypoint_that_runs_no_shell_is_named_and_the_way_out_too() {
    let Some(world) = World::new("no shell run") else { return };
    world.settings("entrypoint_timeout = 1");
    for (kind, says) in
        [("sleep", "ENTRYPOINT ended with exit code 1"), ("ignores", "handed over to no shell")]
    {
        let ran = run(&world, &entry(&world, kind).script("echo went on"));
        ran.failed_as(FailureClass::Script)
            .says(says)
            .says("entrypoint: [\"\"]")
            .is_silent_about("\nwent on");
        assert_eq!(ran.report.attempts, 1);
    }
}

#[test]
fn an_image_without_a_shell_is_the_jobs_fault() {
    let Some(world) = World::new("no shell") else { return };
    for init in ["", "no_init_images = [\"**\"]"] {
        world.settings(init);
        let ran = run(&world, &world.job().image(world.image("job/no-shell")).script("true"));
        ran.failed_as(FailureClass::Script).says("sh").says("hint");
        assert_eq!(ran.report.attempts, 1, "{}", ran.log);
    }
}

#[test]
fn the_entrypoint_has_the_jobs_variables_files_and_sources() {
    let Some(world) = World::new("what entrypoints see") else { return };
    let lines = "echo \"entry: $GREETING\"; cat \"$CONF\"; cat \"$CI_PROJECT_DIR/source\"; exec \"$@\"";
    let mut job = with_entrypoint(world.job(), lines)
        .variable("GREETING", "hello $CI_JOB_ID")
        .with_variable(Variable::plain("CONF", "from a file\n").as_file())
        .script("echo script");
    job.before_sources =
        vec!["mkdir -p \"$CI_PROJECT_DIR\"; echo from the sources >\"$CI_PROJECT_DIR/source\"".into()];
    let ran = run(&world, &job);
    ran.succeeded().says(&format!("entry: hello {}\nfrom a file\nfrom the sources\n", job.id));
}

#[test]
fn the_operator_may_forbid_that_jobs_replace_an_entrypoint() {
    let Some(world) = World::new("no overwrite") else { return };
    world.settings("disable_entrypoint_overwrite = true");
    let mut job = entry(&world, "prints").script("echo script");
    job.image.entrypoint = Some(vec![String::new()]);
    run(&world, &job)
        .succeeded()
        .says("WARNING: image:entrypoint is ignored")
        .says("entry: out")
        .says("\nscript\n");
}

/// What hearth would say to itself if uid and gid 0 had been handed over.
const FORGED: &str = "printf '\\036hearth-handover 0 0 0 \\036'";

#[test]
fn nothing_that_an_entrypoint_prints_or_writes_makes_its_user_root() {
    let Some(world) = World::new("forged handover") else { return };
    let state = "export -p >$d/.hearth-$T-job-$CI_JOB_ID; echo 'HEARTH_IDENTITY=\"0 0 0\"' >>$d/.hearth-$T-job-$CI_JOB_ID";
    let lines = format!("{FORGED}; T={}; for d in /dev/shm /tmp; do {state}; done; exec \"$@\"", world.token);
    for user in ["1000", "dev", "1000:1000"] {
        let mut job = with_entrypoint(world.job(), &lines).script("echo I am $(id -u):$(id -g)");
        job.image.user = user.to_owned();
        let job = job.after_script("echo then I am $(id -u):$(id -g)");
        // With and without the hint that the first stage leaves for the second.
        for driver in ["", "rm -f \"$TMPDIR\"/hearth-*"] {
            let ran = block_on(world.run_with(&world.runner_through(driver), &job));
            ran.succeeded().says("\nI am 1000:1000\n").says("\nthen I am 1000:1000\n");
        }
    }
    world.settings("user = \"1000\"");
    let job = with_entrypoint(world.job(), &lines).script("echo I am $(id -u)");
    run(&world, &job).succeeded().says("\nI am 1000\n");
}

#[test]
fn an_init_process_is_there_unless_the_image_insists_on_being_the_first() {
    let Some(world) = World::new("init") else { return };
    let orphans =
        "for i in 1 2 3; do (sleep 0.01 &); done; sleep 0.5; echo zombies: $(ps -o stat | grep -c ^Z)";
    let job = world.job().script("cat /proc/1/comm").script(orphans);
    run(&world, &job).succeeded().says("\ndocker-init\n").says("\nzombies: 0\n");
    world.settings("no_init_images = [\"**/job/busybox*\"]");
    run(&world, &job).succeeded().is_silent_about("docker-init");
    run(&world, &entry(&world, "exec").script("cat /proc/1/comm")).succeeded().says("\ndocker-init\n");
}

#[test]
fn the_notes_that_stages_leave_for_each_other_may_get_lost() {
    let Some(world) = World::new("lost hints") else { return };
    let runner = world.runner_through("rm -f \"$TMPDIR\"/hearth-*");
    let with = |job: &JobDescription| block_on(world.run_with(&runner, job));
    let job = world.job().script("echo hello; exit 4").after_script("echo bye");
    with(&job).failed_with(4).says("\nhello\n").says("\nbye\n");
    let job =
        entry(&world, "exports").script("echo \"$FROM_ENTRY\"").after_script("echo \"still $FROM_ENTRY\"");
    with(&job).succeeded().says("\nyes\n").says("\nstill yes\n");
    let job = entry(&world, "drops").script("id -u").after_script("echo still $(id -u) $(id -G)");
    with(&job).succeeded().says("\n1000\n").says("\nstill 1000 1000 2000\n");
    let job = entry(&world, "prints").script("echo script").after_script("echo bye");
    let ran = with(&job);
    assert_eq!(ran.succeeded().log.matches("entry: out").count(), 1, "started twice: {}", ran.log);
}
