//! How a job ends, and what its scripts see.

use hearth::runner::{FailureClass, Git, GitStrategy, JobDescription, RunnerVersion, Variable};

use crate::world::{World, block_on};

#[test]
fn the_exit_code_of_a_script_reaches_the_runner() {
    let Some(world) = World::new("exit codes") else { return };
    block_on(async {
        for code in [1, 42, 137] {
            let job = world.job().script(format!("exit {code}")).script("echo not reached");
            world.run(&job).await.failed_with(code).is_silent_about("\nnot reached");
        }
        // A process that was killed is the script's own failure, too.
        world.run(&world.job().script("sh -c 'kill -9 $$' || exit $?")).await.failed_with(137);
    });
}

#[test]
fn before_17_9_a_failed_script_is_just_a_failed_script() {
    let Some(world) = World::new("no exit code file") else { return };
    let job = world.job().version(RunnerVersion::new(17, 8, 0)).script("exit 42");
    block_on(world.run(&job)).failed_with(1);
}

#[test]
fn an_exit_code_that_an_earlier_stage_left_is_not_reported_for_a_later_one() {
    let Some(world) = World::new("stale exit code") else { return };
    // The ENTRYPOINT that never hands over is the job's fault without an exit code of a script.
    world.settings("entrypoint_timeout = 1");
    let runner = world.runner_through("[ \"$1\" = run ] && echo 99 >\"$BUILD_EXIT_CODE_FILE\"");
    block_on(async {
        let job = world.job().image(world.image("job/entry-ignores")).script("true");
        world.run_with(&runner, &job).await.failed_with(1);
        world.run_with(&runner, &world.job().script("exit 3")).await.failed_with(3);
        world.run_with(&runner, &world.job().script("true")).await.succeeded();
    });
}

#[test]
fn sources_that_cannot_be_had_fail_the_job_before_its_script() {
    let Some(world) = World::new("bad sources") else { return };
    let mut job = world.job().script("echo never").after_script("echo never either");
    job.git = Git {
        repo_url: "http://127.0.0.1:9/no/project.git".to_owned(),
        strategy: Some(GitStrategy::Fetch),
        ..Git::default()
    };
    let job = job.variable("GET_SOURCES_ATTEMPTS", "2");
    let ran = block_on(world.run(&job));
    ran.failed_as(FailureClass::Script).never_ran("build_script").never_ran("after_script");
    ran.says("127.0.0.1").is_silent_about("system failure");
    let names = ran.report.names();
    assert_eq!(names[3..6], ["get_sources", "clear_worktree", "get_sources"]);
}

#[test]
fn after_script_runs_whatever_came_and_changes_nothing() {
    let Some(world) = World::new("after_script") else { return };
    block_on(async {
        let job =
            world.job().script("echo kept >/srv/file").after_script("cat /srv/file; echo $CI_JOB_STATUS");
        world.run(&job).await.succeeded().says("\nkept\nsuccess\n");
        let job = world
            .job()
            .script("echo kept >/srv/file; exit 5")
            .after_script("cat /srv/file; echo $CI_JOB_STATUS");
        world.run(&job).await.failed_with(5).says("\nkept\nfailed\n");
        let job = world.job().script("true").after_script("exit 9");
        world.run(&job).await.succeeded().says("after_script failed, but job will continue unaffected");
    });
}

#[test]
fn further_steps_and_stages_of_names_that_nobody_knows_yet_run_in_the_jobs_image() {
    let Some(world) = World::new("stage names") else { return };
    let where_am_i = "if command -v git >/dev/null; then echo in-the-helper; else cat /srv/mark; fi";
    let mut job = world.job().script("echo in-the-build-container >/srv/mark");
    job.more_steps = vec![("release".to_owned(), vec![where_am_i.to_owned()])];
    block_on(async {
        let ran = world.run(&job).await;
        ran.succeeded().says("\nin-the-build-container\n").call("step_release");
        for name in ["step_script", "something_new"] {
            job.id = crate::world::unique();
            let rename = format!("[ \"$5\" = step_release ] && set -- \"$1\" \"$2\" \"$3\" \"$4\" {name}");
            let ran = world.run_with(&world.runner_through(&rename), &job).await;
            ran.succeeded().says("\nin-the-build-container\n");
        }
    });
}

#[test]
fn every_kind_of_runner_drives_a_job_to_its_end() {
    let Some(world) = World::new("runner versions") else { return };
    block_on(async {
        for (version, code) in
            [((15, 11), 1), ((16, 11), 1), ((17, 9), 42), ((18, 6), 42), ((19, 0), 42), ((19, 1), 42)]
        {
            let mut job = world.job().version(RunnerVersion::new(version.0, version.1, 0));
            job.null_arrays = true;
            job.image.name = format!("{}/job/$NAME:1", world.parts.registry);
            let job = job
                .variable("NAME", "busybox")
                .with_variable(Variable::plain("CONF", "in a file").as_file())
                .script("cat \"$CONF\"; exit 42")
                .after_script("echo; echo after $CI_JOB_STATUS");
            let ran = world.run(&job).await;
            ran.failed_with(code).says("in a file").says(if version.0 > 15 {
                "after failed"
            } else {
                "after"
            });
        }
    });
}

/// A script that fails unless each variable has its value, as a word quoted for the shell.
fn expecting(job: JobDescription, values: &[(&str, String)]) -> JobDescription {
    values.iter().fold(job, |job, (name, value)| {
        let quoted = format!("'{}'", value.replace('\'', r"'\''"));
        job.script(format!("if [ \"${name}\" != {quoted} ]; then echo {name} is not as given; exit 1; fi"))
    })
}

#[test]
fn a_job_sees_its_variables_whatever_is_in_them() {
    let Some(world) = World::new("variables") else { return };
    let values = [
        ("LINES", "one\ntwo\n\n  three\\\n".to_owned()),
        ("QUOTES", "a 'b' \"c\" `d` $(e) $$f \\ ! * #".to_owned()),
        ("SPACES", "  around  ".to_owned()),
        ("UNICODE", "Grüße, 世界 \u{1f525}".to_owned()),
        ("LARGE", "0123456789abcdef".repeat(6400)),
        ("EMPTY", String::new()),
        ("SECRET", "masked-but-seen-by-the-job".to_owned()),
    ];
    let mut job = world.job();
    for (name, value) in &values {
        let variable = Variable::plain(*name, value).as_raw();
        job = job.with_variable(if *name == "SECRET" { variable.as_masked() } else { variable });
    }
    let file = "line 1\n\"line\" 2 without an end";
    job = job.with_variable(Variable::plain("CONF", file).as_file().as_raw());
    job = job.variable("COMPOSED", "$SPACES|${CI_JOB_ID}");
    let mut expected = values.to_vec();
    expected.push(("COMPOSED", format!("  around  |{}", job.id)));
    let job = expecting(job, &expected)
        .script("case $CONF in \"$CI_PROJECT_DIR.tmp/\"*) ;; *) echo $CONF; exit 1 ;; esac")
        .script(format!("[ \"$(cat \"$CONF\")\" = '{file}' ] || exit 1"))
        // Processes that the script did not start see them, too: the container has them, not only the script.
        .script("tr '\\0' '\\n' </proc/1/environ | grep -c -e '^QUOTES=a ' -e '^CONF=.*/CONF$' | grep -x 2")
        .script("echo all seen");
    block_on(world.run(&job)).succeeded().says("\nall seen\n");
}

#[test]
fn five_hundred_variables_are_no_trouble() {
    let Some(world) = World::new("500 variables") else { return };
    let job =
        (0..500).fold(world.job(), |job, n| job.variable(format!("MANY_{n}"), format!("value {n} of many")));
    let job =
        job.script("env | grep -c '^MANY_[0-9]*=value [0-9]* of many$' | grep -x 500; echo \"$MANY_499\"");
    block_on(world.run(&job)).succeeded().says("\nvalue 499 of many\n");
}
