//! What is kept from job to job, and who may see it.

use hearth::runner::{GitStrategy, JobDescription, Mishap, Moment, Service, Trouble, Variable};

use crate::site::Site;
use crate::world::{World, block_on, docker, unique};

/// Looks for what earlier jobs left in the volumes, then leaves something.
fn marking(job: JobDescription) -> JobDescription {
    job.script("echo builds: $(cat /builds/mark 2>/dev/null || echo empty)")
        .script("echo cache: $(cat /cache/mark 2>/dev/null || echo empty)")
        .script("echo $CI_JOB_ID >/builds/mark; echo $CI_JOB_ID >/cache/mark")
}

fn found(builds: &str, cache: &str) -> String {
    format!(
        "builds: {builds}\n\u{1b}[32;1m$ echo cache: $(cat /cache/mark 2>/dev/null || echo empty)\u{1b}[0;m\ncache: {cache}\n"
    )
}

#[test]
fn protected_and_other_refs_never_share_volumes() {
    let Some(world) = World::new("protected refs") else { return };
    block_on(async {
        let jobs: Vec<JobDescription> = (0..6).map(|_| world.job()).collect();
        let site = Site::start(&world, &jobs.iter().collect::<Vec<_>>()).await;
        let mut jobs = jobs.into_iter().map(|job| marking(site.attach(job, GitStrategy::Fetch)));
        let mut next = || jobs.next().expect("a job");

        let mut protected = next();
        protected.git.protected = Some(true);
        world.run(&protected).await.succeeded().says(&found("empty", "empty"));
        let other = next();
        world.run(&other).await.succeeded().says(&found("empty", "empty"));
        let mut again = next();
        again.git.protected = Some(true);
        let id = protected.id.to_string();
        world.run(&again).await.succeeded().says(&found(&id, &id));

        // GitLab before 18.3 says it by a variable, and the author's own of that name does not count.
        let mut forged = next().variable("CI_COMMIT_REF_PROTECTED", "true");
        forged.git.protected = None;
        let id = other.id.to_string();
        world.run(&forged).await.succeeded().says(&found(&id, &id));
        let mut disowned = next().variable("CI_COMMIT_REF_PROTECTED", "false");
        (disowned.git.protected, disowned.git.ref_protected) = (None, true);
        let id = again.id.to_string();
        world.run(&disowned).await.succeeded().says(&found(&id, &id));
        let plain = next().variable("CI_COMMIT_REF_PROTECTED", "true");
        let id = forged.id.to_string();
        world.run(&plain).await.succeeded().says(&found(&id, &id));
    });
}

#[test]
fn a_job_that_forges_its_identity_gets_volumes_of_its_own() {
    let Some(world) = World::new("forged identity") else { return };
    block_on(async {
        let jobs: Vec<JobDescription> = (0..4).map(|_| world.job()).collect();
        let site = Site::start(&world, &jobs.iter().collect::<Vec<_>>()).await;
        let mut jobs = jobs.into_iter().map(|job| marking(site.attach(job, GitStrategy::Fetch)));
        let victim = jobs.next().expect("a job");
        world.run(&victim).await.succeeded().says(&found("empty", "empty"));
        let id = victim.id.to_string();
        // The slot names the builds volume; the token names all.
        let slot = jobs.next().expect("a job").variable("CI_CONCURRENT_PROJECT_ID", "0");
        let ran = world.run(&slot).await;
        ran.succeeded().says("CI_CONCURRENT_PROJECT_ID is set by the job").says(&found("empty", &id));
        let mut token = jobs.next().expect("a job").variable("CI_RUNNER_SHORT_TOKEN", &world.token);
        token.short_token = format!("other{}", world.token);
        let ran = world.run(&token).await;
        ran.succeeded().says("CI_RUNNER_SHORT_TOKEN is set by the job").says(&found("empty", "empty"));
        let last = jobs.next().expect("a job");
        let (builds, cache) = (victim.id.to_string(), slot.id.to_string());
        world.run(&last).await.succeeded().says(&found(&builds, &cache));
    });
}

#[test]
fn two_runners_with_the_same_project_slot_and_job_number_do_not_meet() {
    let (Some(one), Some(two)) = (World::new("one runner"), World::new("another runner")) else { return };
    let id = unique();
    let job = |world: &World| {
        let mut job = world.job();
        job.id = id;
        let token = world.token.clone();
        job.cache("k", &["file"])
            .script(format!("echo {token} >/cache/mark; echo {token} >/builds/mark; echo {token} >/srv/mark"))
            .script("until [ $(date +%s) -ge $UNTIL ]; do sleep 0.2; done")
            .script("cat /cache/mark /builds/mark /srv/mark | sort -u; hostname")
            .after_script("cat /srv/mark")
    };
    block_on(async {
        // Both are in their script when the later one of them goes on.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        let until = (now.as_secs() + 8).to_string();
        let (first, second) = (job(&one).variable("UNTIL", &until), job(&two).variable("UNTIL", &until));
        let (first_runner, second_runner) = (one.runner(), two.runner());
        let mut logs = [hearth::runner::Transcript::default(), hearth::runner::Transcript::default()];
        let [first_log, second_log] = &mut logs;
        let (a, b) = futures_util::future::join(
            first_runner.run(&first, first_log),
            second_runner.run(&second, second_log),
        )
        .await;
        for (report, log, world) in [(a, &logs[0], &one), (b, &logs[1], &two)] {
            assert!(report.succeeded(), "{}", log.text());
            let token = &world.token;
            assert!(log.text().contains(&format!("\n{token}\nrunner-{token}-")), "{}", log.text());
        }
        assert_eq!((one.left(&first), two.left(&second)), (vec![], vec![]));
    });
}

/// Lists the temporary directories, where tokens lie, in the volumes that a world keeps.
fn temporary_directories(world: &World) -> String {
    let volumes = docker(&["volume", "ls", "-q", "--filter", &format!("name=hearth-{}-", world.token)]);
    let mut found = String::new();
    for volume in volumes.lines() {
        let image = world.image("job/busybox");
        let mount = format!("{volume}:/v");
        found += &docker(&["run", "--rm", "-v", &mount, &image, "find", "/v", "-name", "*.tmp", "-prune"]);
    }
    assert!(!volumes.is_empty(), "nothing was kept at all");
    found
}

#[test]
fn tokens_do_not_stay_in_kept_volumes() {
    let Some(world) = World::new("tokens") else { return };
    block_on(async {
        let (job, after_crash) = (world.job(), world.job());
        let site = Site::start(&world, &[&job, &after_crash]).await;
        let secret = |job| {
            site.attach(job, GitStrategy::Fetch).with_variable(Variable::plain("KEY", "s3cr3t").as_file())
        };
        let tmp = "ls -d \"$CI_PROJECT_DIR.tmp\" && cat \"$KEY\"";
        world.run(&secret(job).script(tmp)).await.succeeded().says("project.tmp").says("s3cr3t");
        assert_eq!(temporary_directories(&world), "");

        // Now everything dies at once: runner, driver, containers.
        let dies = Trouble::new("build_script", Moment::Output("s3cr3t".to_owned()), Mishap::RunnerDies);
        let killed = secret(after_crash).script(tmp).script("sleep 1000");
        let mut transcript = hearth::runner::Transcript::default();
        world.runner().trouble(dies).run(&killed, &mut transcript).await;
        for role in ["helper", "build"] {
            docker(&["rm", "-f", &world.container(&killed, role)]);
        }
        assert!(temporary_directories(&world).contains("project.tmp"), "{}", transcript.text());

        // The next job of that slot is another one without that variable; it looks before its sources come.
        let mut next = world.job();
        next.before_sources =
            vec!["ls -A /builds/try /builds/try/*.tmp; ls /builds/try/*.tmp/KEY || echo swept".to_owned()];
        next.git = killed.git.clone();
        // Services see the same volume from their first moment on.
        let looks = "echo $(cd /builds/try; ls -d *.tmp) and no more >/tmp/saw; exec httpd -f -h /tmp";
        let mut service = Service::named(world.image("job/busybox"));
        service.command = Some(["sh", "-c", looks].map(str::to_owned).to_vec());
        service.aliases.push("looker".to_owned());
        service.variables.push(Variable::plain("HEALTHCHECK_TCP_PORT", "80"));
        let mut next = next.service(service);
        next.before_sources.push(
            "exec 3<>/dev/tcp/looker/80; printf 'GET /saw HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3 | sed 's/^/service: /'"
                .to_owned(),
        );
        next.git.repo_url = "http://127.0.0.1:9/x.git".to_owned();
        let ran = world.run(&next).await;
        ran.says("\nservice: and no more\n");
        ran.says("\nswept\n").is_silent_about("/KEY\nswept");
        world.cleanup_by_hand(&killed);
    });
}
