//! What a job costs: calls, container starts, and calls that wait for each other.

use hearth::engine::fake::{Call, FakeImage};
use hearth::settings::PullPolicy;

use crate::world::{APP, HELPER, SECOND, World};

const NINE_STAGES: [&str; 9] = [
    "prepare_script",
    "get_sources",
    "restore_cache",
    "download_artifacts",
    "step_script",
    "after_script",
    "archive_cache",
    "upload_artifacts_on_success",
    "cleanup_file_variables",
];

fn sorted(calls: &[String]) -> Vec<&str> {
    let mut calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    calls.sort_unstable();
    calls
}

#[tokio::test(start_paused = true)]
async fn a_plain_job_is_prepared_by_ten_calls_and_no_question() {
    let world = World::warm().used_before().await;
    let questions = world.fake.questions().len();
    world.prepare().await.fine();
    assert_eq!(world.fake.questions().len(), questions);
    let calls = world.calls();
    assert_eq!(calls[0], "version ");
    assert_eq!(
        sorted(&calls[1..6]),
        [
            "create network hearth-tok-job-7".to_owned(),
            "create volume hearth-tok-project-4-slot-0-builds".to_owned(),
            "create volume hearth-tok-project-4-volume-cache".to_owned(),
            format!("inspect image {HELPER}"),
            format!("inspect image {APP}"),
        ]
    );
    assert_eq!(
        sorted(&calls[6..]),
        [
            "create container hearth-tok-job-7-build",
            "create container hearth-tok-job-7-helper",
            "start container hearth-tok-job-7-build",
            "start container hearth-tok-job-7-helper",
        ]
    );
    for role in ["build", "helper"] {
        let at =
            |call: &str| calls.iter().position(|c| *c == format!("{call} container hearth-tok-job-7-{role}"));
        assert!(at("create") < at("start"), "{role}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_image_costs_one_question_and_no_call() {
    let mut world = World::new().used_before().await;
    world.settings.job.helper_pull_policy = vec![PullPolicy::Always];
    let questions = world.fake.questions().len();
    world.prepare().await.fine();
    assert_eq!(world.calls().len(), 10);
    assert_eq!(world.fake.questions().len() - questions, 2, "{:?}", world.fake.questions());
}

#[tokio::test(start_paused = true)]
async fn a_first_job_asks_the_engine_for_itself_and_learns_of_what_it_pulled() {
    let world = World::new();
    world.prepare().await.fine();
    // Info; the history of the image that was here; for the one that was pulled a look by digest and one at what came, its
    // history, its tag, and the pull itself.
    assert_eq!(world.calls().len(), 10 + 1 + 1 + 5, "{:#?}", world.calls());
    assert_eq!((world.fake.count(Call::Info), world.fake.count(Call::Pull)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_wanted_twice_is_asked_for_once() {
    let mut world = World::new();
    world.job["services"] = serde_json::json!([{"name": APP, "alias": "twin"}]);
    world.prepare().await.fine();
    assert_eq!(world.fake.count(Call::Pull), 1);
    assert_eq!(world.fake.containers().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn whole_jobs_stay_within_their_calls_and_starts() {
    let script_only = ["prepare_script", "get_sources", "step_script", "cleanup_file_variables"];
    for (stages, most) in [(&script_only[..], 30), (&NINE_STAGES[..], 45)] {
        let world = World::warm().used_before().await;
        world.prepare().await.fine();
        for stage in stages {
            world.stage(stage).run().await.fine();
        }
        world.cleans_up().await;
        let calls = world.calls();
        assert!(calls.len() <= most, "{} calls: {calls:#?}", calls.len());
        assert_eq!(world.fake.count(Call::StartContainer), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entrypoint_costs_no_further_start() {
    let entry = hearth::engine::fake::Behaviour::new();
    let world = World::with(FakeImage::new("app").entrypoint(&["/entry"], entry)).used_before().await;
    world.prepare().await.fine();
    assert_eq!(world.fake.running_containers(), [world.names().helper()]);
    for stage in NINE_STAGES {
        world.stage(stage).run().await.fine();
    }
    world.cleans_up().await;
    assert_eq!(world.fake.count(Call::StartContainer), 2);
    assert!(world.calls().len() <= 45, "{:#?}", world.calls());
}

#[tokio::test(start_paused = true)]
async fn what_can_run_side_by_side_does() {
    // Version; images, network and volumes; creates; starts.
    let world = World::warm().used_before().await;
    world.slow(SECOND);
    assert_eq!(world.prepare().await.fine().took, 4 * SECOND);

    // Services cost no more than a look whether they run.
    let services = || World::warm().service(FakeImage::new("db")).service(FakeImage::new("db"));
    let world = services().nothing_kept().used_before().await;
    world.slow(SECOND);
    assert_eq!(world.prepare().await.fine().took, 5 * SECOND);

    // Where the builds volume was used before, they wait for the helper: it is attached to, and started before them.
    let world = services().used_before().await;
    world.slow(SECOND);
    assert_eq!(world.prepare().await.fine().took, 7 * SECOND);

    // A pull by digest is looked for, followed by a look at what came, its history and its tag.
    let world = World::warm().used_before().await;
    world.fake.forget_image(APP);
    world.slow(SECOND);
    assert_eq!(world.prepare().await.fine().took, 9 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_slow_pull_holds_up_neither_network_nor_volumes() {
    let world = World::new();
    world.fake.publish(APP, FakeImage::new("app").layers(&[("big", 50 << 20)]));
    world.fake.download_rate(1 << 20);
    let half = async {
        tokio::time::sleep(SECOND).await;
        assert_eq!(world.fake.networks().len(), 1);
        assert_eq!(world.fake.volumes().len(), 2);
        assert_eq!(world.fake.containers(), [""; 0]);
    };
    let (prepared, ()) = tokio::join!(world.prepare(), half);
    assert_eq!(prepared.fine().took.as_secs(), 50);
}
