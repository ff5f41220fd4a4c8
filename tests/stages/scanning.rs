//! The checkout of a running job, read by the daemon.

use std::time::Duration;

use hearth::daemon::scanning::{ScanFault, ScanWish, Scanned, candidates, read};
use hearth::engine::fake::{Behaviour, Call, Place};
use hearth::engine::{Engine, EngineError};
use hearth::notice::{Inbox, Notice, Sources};
use hearth::scan::MAX_FILE_BYTES;
use hearth::settings::VolumeSetting;
use hearth::store::{Sharing, StorePlace};
use serde_json::json;
use tokio::time::Instant;

use crate::world::World;

const DIR: &str = "/builds/group/project";
const PIPELINE: &str = "include: ci/more.yml\nstages: [build, test]\ntest: {stage: build, script: x}\n";
const MORE: &str = "check: {stage: test, image: 'later:1', script: x}\n";

/// A job that has its sources and builds an image, and what it told the daemon.
struct Job {
    world: World,
    sources: Sources,
}

impl Job {
    async fn new(script: &str) -> Self {
        let mut world = World::warm().variable("CI_PROJECT_DIR", DIR).variable("CI_JOB_STAGE", "build");
        world.settings.job.volumes.push(VolumeSetting::Bind {
            source: "/var/run/docker.sock".to_owned(),
            path: "/var/run/docker.sock".to_owned(),
            options: String::new(),
        });
        world.job["steps"] = json!([{"name": "script", "script": [script]}]);
        drop(world.store());
        let mut inbox = Inbox::bind(&StorePlace::new(&world.facts, Sharing::Group)).unwrap();
        world.prepare().await.fine();
        world.stage("get_sources").run().await.fine();
        let sources = loop {
            if let Notice::Sources(sources) = inbox.recv().await.unwrap() {
                break *sources;
            }
        };
        let job = Self { world, sources };
        job.has(".gitlab-ci.yml", PIPELINE);
        job.has("ci/more.yml", MORE);
        job.has("Dockerfile", "FROM base:1\n");
        job.world.fake.forget_calls();
        job
    }

    fn has(&self, path: &str, holds: impl Into<Vec<u8>>) {
        self.world.fake.checkout_has(&format!("{DIR}/{path}"), holds);
    }

    async fn read(&self) -> Result<Scanned, ScanFault> {
        read(&self.world.fake, &self.sources).await
    }

    async fn found(&self) -> (Vec<String>, Vec<String>) {
        let (wishes, notes) = candidates(&self.read().await.unwrap(), &self.sources);
        let line = |wish: &ScanWish| format!("{:?} {}", wish.soon, wish.wish.reference.familiar());
        (wishes.iter().map(line).collect(), notes)
    }
}

#[tokio::test(start_paused = true)]
async fn one_command_reads_a_round_of_files() {
    let job = Job::new("docker build .").await;
    let (wishes, notes) = job.found().await;
    assert_eq!((wishes, notes), (vec!["Now base:1".to_owned(), "Stages(1) later:1".to_owned()], Vec::new()));
    // The pipeline and the Dockerfile; then what the pipeline includes.
    let expected = ["inspect container", "version", "create exec", "start exec", "create exec", "start exec"];
    let calls: Vec<String> = job.world.calls().iter().map(|call| call.to_owned()).collect();
    assert_eq!(calls.len(), expected.len(), "{calls:?}");
    for (call, expected) in calls.iter().zip(expected) {
        assert!(call.starts_with(expected), "{calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_text_or_too_long_is_not_there() {
    let job = Job::new("docker build -f binary .; docker build -f long .; docker build -f most .").await;
    job.has("binary", &b"FROM \xff\xfe\n"[..]);
    job.has("long", format!("FROM long:1\n{}", "#".repeat(MAX_FILE_BYTES)));
    let fits = format!("FROM most:1\n{}", "#".repeat(MAX_FILE_BYTES - 12));
    assert_eq!(fits.len(), MAX_FILE_BYTES);
    job.has("most", fits);
    let (wishes, notes) = job.found().await;
    assert_eq!(wishes, ["Now most:1", "Stages(1) later:1"]);
    for file in ["binary", "long"] {
        assert!(notes.iter().any(|note| note.contains(file)), "{notes:?}");
    }
}

/// Thirty files of the largest size are more than is read of a checkout.
#[tokio::test(start_paused = true)]
async fn a_checkout_that_has_too_much_is_read_in_part() {
    let script: Vec<String> = (10..40).map(|n| format!("docker build -f f{n} .")).collect();
    let job = Job::new(&script.join("\n")).await;
    for n in 10..40 {
        job.has(&format!("f{n}"), format!("FROM a:{n}\n{}", "#".repeat(MAX_FILE_BYTES - 10)));
    }
    let (wishes, notes) = job.found().await;
    assert!((2..5).contains(&wishes.len()), "{wishes:?} {notes:?}");
    assert!(notes.iter().any(|note| note.contains("f39")), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn only_the_jobs_own_helper_is_looked_into() {
    let mut job = Job::new("docker build .").await;
    let names = job.world.names();
    for (container, of) in
        [(names.build(), None), (names.helper(), Some("hearth-tok-job-8 https://gitlab.test"))]
    {
        job.sources.helper = container.clone();
        if let Some(of) = of {
            of.clone_into(&mut job.sources.job);
        }
        assert_eq!(job.read().await.unwrap_err(), ScanFault::Stranger(container));
    }
    assert_eq!(job.world.fake.count(Call::CreateExec), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_ended_is_no_trouble() {
    let job = Job::new("docker build .").await;
    // It ends while its files are read.
    let (fake, helper) = (job.world.fake.clone(), job.world.names().helper());
    let ends = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fake.remove_behind(&helper).await;
    };
    job.world.fake.program(|run| (run.place == Place::Exec).then(|| Behaviour::new().forever()));
    let (read, ()) = tokio::join!(job.read(), ends);
    assert!(matches!(read, Err(ScanFault::Gone | ScanFault::Engine(_))), "{read:?}");
    assert_eq!(job.read().await.unwrap_err(), ScanFault::Gone);
    assert_eq!(job.world.fake.container(&helper).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_helper_that_hangs_is_left_alone() {
    let job = Job::new("docker build .").await;
    job.world.fake.program(|run| (run.place == Place::Exec).then(|| Behaviour::new().forever()));
    let begun = Instant::now();
    assert_eq!(job.read().await.unwrap_err(), ScanFault::Slow);
    assert!(begun.elapsed() <= Duration::from_secs(61));
}

#[tokio::test(start_paused = true)]
async fn a_helper_that_lies_is_not_believed() {
    let job = Job::new("docker build .").await;
    let endless = Behaviour::new().out_times("x".repeat(1 << 16), 100_000);
    for (says, fault) in [
        (Behaviour::new().exit(3), Some(ScanFault::NoCheckout(DIR.to_owned()))),
        (Behaviour::new().exit(1), Some(ScanFault::Broken)),
        (Behaviour::new().out("1\nFROM evil:1\nend\n"), Some(ScanFault::Broken)),
        (endless, None),
    ] {
        job.world.fake.program(move |run| (run.place == Place::Exec).then(|| says.clone()));
        match fault {
            Some(fault) => assert_eq!(job.read().await.unwrap_err(), fault),
            None => assert_eq!(job.found().await.0, [""; 0]),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_none_is_not_gone_to() {
    let mut job = Job::new("docker build .").await;
    for dir in ["", "/", "builds", "/builds/a\nb"] {
        dir.clone_into(&mut job.sources.dir);
        assert!(matches!(job.read().await, Err(ScanFault::NoCheckout(_))), "{dir:?}");
    }
    assert_eq!(job.world.fake.count(Call::CreateExec), 0);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_gone_is_said() {
    let job = Job::new("docker build .").await;
    job.world.fake.stop_engine();
    assert!(matches!(job.read().await, Err(ScanFault::Engine(EngineError::Unreachable { .. }))));
}
