//! What stages tell the daemon, and that they never wait for it.

use hearth::engine::fake::FakeImage;
use hearth::host::Who;
use hearth::moment::{Moment, Process};
use hearth::notice::{Inbox, Notice, Sources};
use hearth::outcome::Fault;
use hearth::settings::{PullPolicy, VolumeSetting};
use hearth::store::{Sharing, StorePlace};
use serde_json::json;

use crate::world::{APP, SECOND, World};

const JOB: &str = "hearth-tok-job-7 https://gitlab.test";

/// A daemon that only listens.
fn inbox(world: &World) -> Inbox {
    drop(world.store());
    Inbox::bind(&StorePlace::new(&world.facts, Sharing::Group)).unwrap()
}

/// Takes what has come so far.
async fn taken(inbox: &mut Inbox) -> Vec<Notice> {
    let mut all = Vec::new();
    while let Ok(notice) = tokio::time::timeout(SECOND, inbox.recv()).await {
        all.push(notice.unwrap());
    }
    all
}

fn words(notices: &[Notice]) -> Vec<String> {
    let word = |notice: &Notice| match notice {
        Notice::Prepares { job, .. } => format!("{job} prepares"),
        Notice::Pulls { job, image, .. } => format!("{job} pulls {image}"),
        Notice::Prepared { job } => format!("{job} prepared"),
        Notice::Sources(sources) => format!("{} has sources", sources.job),
        Notice::Over { job } => format!("{job} over"),
    };
    notices.iter().map(word).collect()
}

fn sources(notices: Vec<Notice>) -> Option<Sources> {
    notices.into_iter().find_map(|notice| match notice {
        Notice::Sources(sources) => Some(*sources),
        _ => None,
    })
}

/// A job whose checkout can be found.
fn checked_out() -> World {
    World::warm().variable("CI_PROJECT_DIR", "/builds/group/project")
}

#[tokio::test(start_paused = true)]
async fn a_job_tells_what_it_does() {
    let world = World::new().variable("CI_PROJECT_DIR", "/builds/group/project");
    let mut inbox = inbox(&world);
    world.prepare().await.fine();
    for stage in ["prepare_script", "get_sources", "step_script"] {
        world.stage(stage).run().await.fine();
    }
    world.cleans_up().await;
    let expected = [
        format!("{JOB} prepares"),
        format!("{JOB} pulls registry.test/group/app@{}", FakeImage::new("app").digest()),
        format!("{JOB} prepared"),
        format!("{JOB} has sources"),
        format!("{JOB} over"),
    ];
    assert_eq!(words(&taken(&mut inbox).await), expected);
}

#[tokio::test(start_paused = true)]
async fn a_prepare_that_fails_or_is_stopped_says_its_end_too() {
    let world = World::new();
    let mut inbox = inbox(&world);
    world.fake.unpublish(APP);
    world.prepare().await.failed(Fault::Job);
    assert_eq!(words(&taken(&mut inbox).await), [format!("{JOB} prepares"), format!("{JOB} prepared")]);
    world.fake.publish(APP, FakeImage::new("app").layers(&[("big", 50 << 20)]));
    world.fake.download_rate(1 << 20);
    let _ = tokio::time::timeout(5 * SECOND, world.prepare()).await.map(|_| panic!("it was fast"));
    let said = words(&taken(&mut inbox).await);
    assert_eq!((said.len(), said.last()), (3, Some(&format!("{JOB} prepared"))));
}

#[tokio::test(start_paused = true)]
async fn a_checkout_is_told_with_the_jobs_own_rights_and_no_secret_variable() {
    let mut world = checked_out()
        .variable("CI_PIPELINE_ID", "900")
        .variable("CI_RUNNER_TAGS", "[\"arm\"]")
        .variable("CI_JOB_STAGE", "build")
        .variable("PUBLIC", "yes")
        .variable("PRIVATE", "s3cr3t")
        .variable("LEAKS", "https://u:t0ken@gitlab.test")
        .variable("DOCKER_AUTH_CONFIG", "{\"auths\":{}}")
        .service(FakeImage::new("db"));
    world.settings.job.volumes.push(VolumeSetting::Bind {
        source: "/var/run/docker.sock".to_owned(),
        path: "/var/run/docker.sock".to_owned(),
        options: String::new(),
    });
    let (process, moment) = (Process { pid: 40, started: 777, space: 0 }, |wall| Moment {
        wall: std::time::Duration::from_secs(wall),
        ..Moment::default()
    });
    let live = |_: Process| hearth::moment::Liveness::Runs;
    world.who = Who::new(process, process, move || moment(1_000_000_000), live);
    let variable = |key: &str, public: bool| json!({"key": key, "value": "", "public": public});
    world.job["variables"] =
        json!([variable("PUBLIC", true), variable("PRIVATE", false), variable("LEAKS", true)]);
    world.job["steps"] = json!([{"name": "script", "script": ["docker build .", "echo"]}, {"name": "after_script", "script": ["x"]}]);
    world.job["token"] = "t0ken".into();
    world.job["runner_info"] = json!({"timeout": 1800});
    world.job["credentials"] = json!([{"type": "registry", "url": "registry.test", "username": "gitlab-ci-token", "password": "t0ken"}]);
    let mut inbox = inbox(&world);
    world.prepare().await.fine();
    world.stage("get_sources").run().await.fine();
    let told = sources(taken(&mut inbox).await).unwrap();
    assert_eq!((told.job.as_str(), told.helper.as_str()), (JOB, "hearth-tok-job-7-helper"));
    assert_eq!(
        (told.dir.as_str(), told.pipeline.as_str()),
        ("/builds/group/project", "https://gitlab.test 900")
    );
    assert!(told.owner.starts_with("40/777/"), "{}", told.owner);
    assert_eq!(told.until, 1_000_000_000 + 1800 + 600);
    assert_eq!((told.number, told.project_key.as_str()), (7, "https://gitlab.test 4"));
    assert_eq!(told.own, [APP, "registry.test/group/db:1"]);
    let running = &told.running;
    assert_eq!((running.name.as_str(), running.stage.as_str(), running.socket), ("test", "build", true));
    assert_eq!(
        (&running.tags, &running.script),
        (&vec!["arm".to_owned()], &vec!["docker build .".to_owned(), "echo".to_owned()])
    );
    assert_eq!(running.variables.get("PUBLIC").map(String::as_str), Some("yes"));
    for secret in ["PRIVATE", "LEAKS", "DOCKER_AUTH_CONFIG"] {
        assert_eq!(running.variables.get(secret), None, "{secret}");
    }
    assert_eq!(told.credentials[0].password.expose(), "t0ken");
    assert_eq!(told.asker, *world.begun().job.asker());
    assert_eq!(told.docker_auth_config.unwrap().expose(), "{\"auths\":{}}");
}

#[tokio::test(start_paused = true)]
async fn a_checkout_is_told_with_what_the_settings_let_jobs_pull() {
    use PullPolicy::{Always, IfNotPresent, Never};
    for (policy, allowed, may_pull) in
        [(IfNotPresent, vec![], true), (Never, vec![], false), (Never, vec![Never, Always], true)]
    {
        let mut world = checked_out().used_before().await;
        world.settings.job.pull_policy = vec![policy];
        world.settings.job.allowed_pull_policies = allowed;
        let mut inbox = inbox(&world);
        world.prepare().await.fine();
        world.stage("get_sources").run().await.fine();
        assert_eq!(sources(taken(&mut inbox).await).unwrap().may_pull, may_pull, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_has_no_number_is_its_jobs_own() {
    for text in ["", "9\n0", "all of them"] {
        let world = checked_out().variable("CI_PIPELINE_ID", text);
        let mut inbox = inbox(&world);
        world.prepare().await.fine();
        world.stage("get_sources").run().await.fine();
        let told = sources(taken(&mut inbox).await).unwrap();
        assert_eq!(told.pipeline, "https://gitlab.test hearth-tok-job-7", "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_a_checkout_that_is_not_where_checkouts_are() {
    for dir in ["/etc", "/builds", "/builds/../etc", "/buildsx/p", "builds/p"] {
        let world = World::warm().variable("CI_PROJECT_DIR", dir);
        let mut inbox = inbox(&world);
        world.prepare().await.fine();
        world.stage("get_sources").run().await.fine();
        assert!(sources(taken(&mut inbox).await).is_none(), "{dir}");
    }
}

#[tokio::test(start_paused = true)]
async fn sources_that_were_not_got_are_not_told() {
    let world = checked_out();
    let mut inbox = inbox(&world);
    world.prepare().await.fine();
    world.fake.script(|_| hearth::engine::fake::Behaviour::new().exit(1));
    world.stage("get_sources").run().await.failed(Fault::Job);
    world.fake.script(|_| hearth::engine::fake::Behaviour::new());
    world.stage("step_script").run().await.fine();
    assert!(sources(taken(&mut inbox).await).is_none());
}

/// A whole job: what it asked of the engine, and what it wrote into its log.
async fn a_job(world: &World) -> (Vec<String>, String) {
    let mut log = world.prepare().await.fine().log.text();
    log.push_str(&world.stage("get_sources").run().await.fine().output);
    // How long ago somebody could read the images is told by a clock that does not stand still.
    let log: String = log.lines().filter_map(|line| line.split(", public ").next()).collect();
    world.cleans_up().await;
    (world.calls(), log)
}

#[tokio::test(start_paused = true)]
async fn whatever_is_at_the_other_end_a_job_is_the_same() {
    let alone = a_job(&checked_out().used_before().await).await;

    // A daemon that hangs: nobody takes what was sent, and there is room for little.
    let world = checked_out().used_before().await;
    let inbox = inbox(&world);
    for _ in 0..2000 {
        world.courier().over(&world.begun());
    }
    assert_eq!(a_job(&world).await, alone);
    drop(inbox);

    // What a daemon that was killed left, and what is no socket at all.
    let world = checked_out().used_before().await;
    drop(std::os::unix::net::UnixDatagram::bind(world.facts.join("daemon.sock")).unwrap());
    assert_eq!(a_job(&world).await, alone);
    let world = checked_out().used_before().await;
    std::fs::write(world.facts.join("daemon.sock"), "").unwrap();
    assert_eq!(a_job(&world).await, alone);
}
