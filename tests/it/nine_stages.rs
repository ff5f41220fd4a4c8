//! A job with everything: sources over HTTP, caches, artifacts, file variables.

use hearth::runner::{Artifacts, Cache, Dependency, Git, GitStrategy, JobDescription, Variable, When};

use crate::site::Site;
use crate::world::{World, block_on};

const ALL: [&str; 14] = [
    "config",
    "prepare",
    "prepare_script",
    "get_sources",
    "restore_cache",
    "download_artifacts",
    "build_script",
    "after_script",
    "archive_cache",
    "upload_artifacts_on_success",
    "cleanup_file_variables",
    "cleanup",
    "",
    "",
];

fn with_everything(job: JobDescription) -> JobDescription {
    job.with_variable(Variable::plain("CONF", "a file variable").as_file())
        .cache("vendor-$CI_COMMIT_REF_SLUG", &["vendor/"])
        .artifacts(&["out/*.txt"])
        .after_script("echo after: $(cat out/made.txt)")
}

#[test]
fn sources_cache_and_artifacts_come_and_go_between_two_jobs() {
    let Some(world) = World::new("nine stages") else { return };
    block_on(async {
        let (first, second) = (world.job(), world.job());
        let site = Site::start(&world, &[&first, &second]).await;

        let job = with_everything(site.attach(first, GitStrategy::Clone))
            .script("cat README; cat \"$CONF\"; echo; git --version || echo this is not the helper")
            .script("mkdir vendor out; echo cached >vendor/lib; echo made by $CI_JOB_ID >out/made.txt");
        let ran = world.run(&job).await;
        ran.succeeded().says("\nthe sources\n").says("a file variable").says("this is not the helper");
        ran.says(&format!("after: made by {}", job.id));
        let expected: Vec<&str> =
            ALL.into_iter().filter(|it| !it.is_empty() && *it != "download_artifacts").collect();
        assert_eq!(ran.report.names(), expected);
        let archive = site.server.artifacts(job.id).expect("artifacts were uploaded");

        let mut next = with_everything(site.attach(second, GitStrategy::Clone))
            .script("cat vendor/lib; cat out/made.txt; rm -r vendor out; mkdir out; echo 2 >out/made.txt");
        next.dependencies.push(Dependency {
            id: job.id,
            name: "first".to_owned(),
            token: job.token.clone(),
            filename: "artifacts.zip".to_owned(),
            size: archive.len() as u64,
        });
        let ran = world.run(&next).await;
        ran.succeeded().says("\ncached\n").says(&format!("\nmade by {}\n", job.id)).says("after: 2");
        assert_eq!(ran.report.names(), ALL[..12]);
    });
}

#[test]
fn a_checkout_is_kept_for_fetch_and_for_nothing_else() {
    let Some(world) = World::new("checkouts") else { return };
    block_on(async {
        let jobs: Vec<JobDescription> = (0..5).map(|_| world.job()).collect();
        let site = Site::start(&world, &jobs.iter().collect::<Vec<_>>()).await;
        // A commit of the job's own is what a later fetch finds in the repository and a clone does not.
        let look = "if [ -e .git/kept ]; then echo found: $(cat .git/kept); else echo found: nothing; fi";
        let leave = "echo $CI_JOB_ID >.git/kept";
        let [a, b, c, d, e] = <[JobDescription; 5]>::try_from(jobs).expect("five jobs");
        let first = site.attach(a, GitStrategy::Fetch).script(look).script(leave);
        world.run(&first).await.succeeded().says("found: nothing").says("Initialized empty");
        let again = site.attach(b, GitStrategy::Fetch).script(look);
        world
            .run(&again)
            .await
            .succeeded()
            .says(&format!("found: {}", first.id))
            .says("Reinitialized existing");
        let cloned = site.attach(c, GitStrategy::Clone).script(look).script(leave);
        world.run(&cloned).await.succeeded().says("found: nothing");
        let none = world.job().script("mkdir -p .git").script(look).script(leave);
        world.run(&none).await.succeeded().says("found: nothing");
        // Without GIT_STRATEGY the project's own setting decides; here it says fetch, then clone.
        let mut unset = site.attach(d, GitStrategy::Fetch).script(look);
        unset.git.strategy = None;
        world.run(&unset).await.succeeded().says(&format!("found: {}", first.id));
        let mut unset = site.attach(e, GitStrategy::Fetch).script(look);
        (unset.git.strategy, unset.git.allow_fetch) = (None, false);
        world.run(&unset).await.succeeded().says("found: nothing");
    });
}

#[test]
fn a_job_that_is_not_root_works_with_sources_cache_artifacts_and_files() {
    let Some(world) = World::new("not root") else { return };
    block_on(async {
        let jobs: Vec<JobDescription> = (0..3).map(|_| world.job()).collect();
        let site = Site::start(&world, &jobs.iter().collect::<Vec<_>>()).await;
        for (index, job) in jobs.into_iter().enumerate() {
            // The image says who, then the job does, then the image again: all on the same checkout and cache.
            let mut job = with_everything(site.attach(job, GitStrategy::Fetch));
            if index == 1 {
                job.image.user = "1000".to_owned();
            } else {
                job.image.name = world.image("job/user");
            }
            let job = job
                .script("echo I am $(id -u); cat \"$CONF\"; echo; echo changed >>README; echo new >mine")
                // What a cache holds comes back as root's: for others, as far as its mode lets them.
                .script("umask 0; mkdir -p vendor out; cat vendor/lib || true; echo cached by $CI_JOB_ID >vendor/lib")
                .script("echo made by $CI_JOB_ID >out/made.txt");
            let before = job.id - 1;
            let ran = world.run(&job).await;
            ran.succeeded().says("\nI am 1000\n").says("a file variable").says("Created cache");
            if index > 0 {
                ran.says(&format!("\ncached by {before}\n"));
            }
            assert!(site.server.artifacts(job.id).is_some(), "{}", ran.log);
        }
    });
}

#[test]
fn caches_and_artifacts_of_failed_jobs_go_where_the_job_says() {
    let Some(world) = World::new("failed jobs") else { return };
    block_on(async {
        let (first, second) = (world.job(), world.job());
        let site = Site::start(&world, &[&first, &second]).await;
        let mut job = site.attach(first, GitStrategy::None).script("echo x >file; exit 6");
        let paths = vec!["file".to_owned()];
        job.artifacts.push(Artifacts { paths: paths.clone(), when: When::Always, ..Artifacts::default() });
        job.cache.push(Cache {
            key: "k".to_owned(),
            paths: paths.clone(),
            when: When::OnFailure,
            ..Cache::default()
        });
        let ran = world.run(&job).await;
        ran.failed_with(6).after(
            "build_script",
            &["archive_cache_on_failure", "upload_artifacts_on_failure", "cleanup_file_variables", "cleanup"],
        );
        assert!(site.server.artifacts(job.id).is_some());
        let mut next = site.attach(second, GitStrategy::None).script("cat file");
        next.cache = job.cache;
        world.run(&next).await.succeeded().says("\nx\n");
    });
}

#[test]
fn without_the_helper_commands_a_job_runs_unless_it_needs_them() {
    let Some(world) = World::new("helper without gitlab-runner") else { return };
    let helper = world.image("job/busybox");
    world.write_settings(&format!("[job]\nhelper_image = \"{helper}\"\npull_policy = \"if-not-present\"\n"));
    block_on(async {
        let job = world.job().script("echo works");
        world.run(&job).await.succeeded().says("\nworks\n");
        let ran = world.run(&job.cache("k", &["vendor"])).await;
        ran.failed_as(hearth::runner::FailureClass::System).never_ran("build_script");
        ran.says("the helper image has no gitlab-runner").says("helper_binary");
    });
}

#[test]
fn sources_of_a_plain_address_are_cloned_too() {
    let Some(world) = World::new("no token") else { return };
    block_on(async {
        let job = world.job();
        let site = Site::start(&world, &[&job]).await;
        let job = site.attach(job, GitStrategy::Clone).script("git log || cat .git/HEAD; cat README");
        // An older runner writes the token into the URL itself, and an all-history clone asks for no depth.
        let mut job = job.version(hearth::runner::RunnerVersion::new(17, 9, 0));
        job.git = Git { depth: 0, ..job.git };
        world.run(&job).await.succeeded().says("\nthe sources\n").says(&site.sha);
    });
}
