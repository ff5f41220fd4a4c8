//! A job's checkout, told by its real stages and read in its real helper.

use std::path::Path;
use std::time::Duration;

use hearth::daemon::scanning::{candidates, read};
use hearth::engine::{Docker, endpoint};
use hearth::notice::{Inbox, Notice};
use hearth::runner::GitStrategy;
use hearth::store::{Sharing, StorePlace};

use crate::daemons::TheDaemon;
use crate::front::Front;
use crate::pulling::On;
use crate::site::Site;
use crate::world::{World, block_on};

/// Returns whether a text is in any file of a directory.
fn is_in_files(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir).expect("the store's directory");
    let holds = |path: &Path| std::fs::read(path).unwrap_or_default();
    files.map(|entry| entry.expect("an entry").path()).any(|path| {
        if path.is_dir() {
            is_in_files(&path, text)
        } else {
            holds(&path).windows(text.len()).any(|part| part == text.as_bytes())
        }
    })
}

#[test]
fn a_checkout_is_told_and_read_while_its_job_runs() {
    let Some(world) = World::new("scans") else { return };
    world.settings("volumes = [\"/cache\", \"/var/run/docker.sock:/var/run/docker.sock\"]\n");
    let store = world.dir.join("store");
    std::fs::create_dir_all(&store).expect("a directory");
    let pipeline = "stages: [build, test]\nlater: {stage: test, image: 'never.invalid/later:1', script: x}\n";
    let files = [(".gitlab-ci.yml", pipeline), ("Dockerfile", "FROM never.invalid/base:1\n")];
    block_on(async {
        let mut inbox = Inbox::bind(&StorePlace::new(&store, Sharing::Group)).expect("a socket");
        let job = world.job().script("sleep 6 || docker build .");
        let site = Site::with(&world, &[&job], &files).await;
        let mut job = site.attach(job, GitStrategy::Clone);
        job.pipeline_stage = "build".to_owned();
        let told = async {
            let mut said = Vec::new();
            let mut found = Vec::new();
            loop {
                let notice = inbox.recv().await.expect("a notice");
                said.push(format!("{notice:?}").split([' ', '(']).next().unwrap_or_default().to_owned());
                match notice {
                    Notice::Sources(sources) => {
                        let host = std::env::var("DOCKER_HOST").ok();
                        let engine =
                            Docker::new(&endpoint(None, host.as_deref()), Duration::from_secs(60), None);
                        let read = read(&engine.expect("an engine"), &sources).await.expect("it is read");
                        let (wishes, _) = candidates(&read, &sources);
                        found.extend(wishes.iter().map(|wish| wish.wish.reference.familiar().to_owned()));
                        assert!(sources.asker.tokens.contains(&job.token));
                    }
                    Notice::Over { .. } => return (said, found),
                    _ => {}
                }
            }
        };
        let (ran, (said, found)) = tokio::join!(world.run(&job), told);
        ran.succeeded();
        assert_eq!(found, ["never.invalid/base:1", "never.invalid/later:1"]);
        assert_eq!(
            (said.first().map(String::as_str), said.last().map(String::as_str)),
            (Some("Prepares"), Some("Over"))
        );
        assert_eq!(said.iter().filter(|word| *word == "Prepared").count(), 1, "{said:?}");
        assert!(!is_in_files(&store, job.token.expose()), "a token was written down");
    });
}

#[test]
fn what_a_dockerfile_builds_from_comes_while_its_job_still_does_other_things() {
    let Some(on) = On::docker("scan by a daemon") else { return };
    let front = Front::new(&on.world().parts.registry);
    let cold = on.cold(&front, &[40 << 10, 400 << 10]);
    let world = on.world();
    let signal = world.dir.join("signal");
    std::fs::create_dir_all(&signal).expect("a directory");
    let volumes =
        format!("[\"/var/run/docker.sock:/var/run/docker.sock\", \"{}:/signal\"]", signal.display());
    world.settings(&format!("volumes = {volumes}\n[cache]\nevict = false\n[daemon]\nwatch = 1\n"));
    let mut daemon = TheDaemon::start(world);
    daemon.round("the engine answers");
    let dockerfile = format!("FROM {}\n", cold.name);
    block_on(async {
        // It goes on once the image is here, and fails where it does not come.
        let waits = "for i in $(seq 90); do test -e /signal/go && exit 0; sleep 1; done; exit 1";
        let job = world.job().script(format!("true || docker build .\n{waits}"));
        let site = Site::with(world, &[&job], &[("Dockerfile", &dockerfile)]).await;
        let mut job = site.attach(job, GitStrategy::Clone);
        job.pipeline_stage = "build".to_owned();
        let name = cold.name.clone();
        let told = tokio::task::spawn_blocking(move || {
            daemon.tells(&format!("fetched {name} ahead (scan: Dockerfile:1)"));
            std::fs::write(signal.join("go"), "").expect("a file");
        });
        let (ran, told) = tokio::join!(world.run(&job), told);
        told.expect("the daemon told of it");
        ran.succeeded();
    });
    for layer in 0..2 {
        assert_eq!(cold.fetched(&front, layer), (1, cold.sizes[layer]), "{:#?}", front.lines());
    }
}
