//! What authors say bounds nothing: bytes, logins and time that their wishes may cost.

use std::time::Duration;

use hearth::engine::StoreKind;
use hearth::engine::fake::Trouble;
use hearth::settings::ScanMode;
use hearth::store::{AheadOutcome, Announced};
use hearth::units::ByteSize;
use serde_json::json;
use tokio::time::sleep;

use super::host::DaemonHost;
use super::prefetch::{LIST, MIB, image, list, listing};
use super::prefetch_scans::{BASE, TOOL, building};
use crate::world::{SECOND, World};

/// Makes the operator's `config.json`, with a login for the registry.
fn operators_login(host: &mut DaemonHost) {
    let dir = host.world.facts.join("operator");
    std::fs::create_dir_all(&dir).unwrap();
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    std::fs::write(dir.join("config.json"), auth).unwrap();
    host.world.operator_dir = Some(dir);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_larger_than_it_says_is_stopped_and_does_not_come_again() {
    for (pipeline, month) in [(Some(15), None), (None, Some(15)), (Some(100), Some(100))] {
        let host = building();
        let blob = format!("sha256:{}", "1".repeat(64));
        host.world.fake.publish(BASE, image("one", 60).claims(&[(&blob, 10)]));
        host.set(|settings| {
            settings.prefetch.pipeline = pipeline.map(|limit| ByteSize(limit * MIB));
            settings.prefetch.monthly = month.map(|limit| ByteSize(limit * MIB));
        });
        host.with_daemon(async |_| {
            host.gets_sources().await;
            sleep(600 * SECOND).await;
            host.job_ends().await;
        })
        .await;
        let aheads = host.aheads();
        let came: u64 = aheads.iter().filter_map(|ahead| ahead.bytes).sum();
        if pipeline == Some(100) {
            assert_eq!((aheads[0].outcome, came), (AheadOutcome::Done, 70 * MIB), "{}", host.told());
        } else {
            assert_eq!((aheads.len(), aheads[0].outcome), (1, AheadOutcome::Cut), "{}", host.told());
            assert!((15 * MIB..25 * MIB).contains(&came), "{came}: {}", host.told());
            assert_eq!(host.times_told("larger than its registry says"), 1, "{}", host.told());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_does_not_tell_of_is_counted_all_the_same() {
    for kind in [StoreKind::Podman, StoreKind::Containerd, StoreKind::DockerClassic] {
        let host = DaemonHost::new();
        host.world.fake.set_store(kind);
        host.world.fake.publish(LIST[1].0, image("large", 50));
        host.set(|settings| list(settings, &[LIST[1].0]));
        // All of it is there at once.
        host.with_daemon(async |_| sleep(60 * SECOND).await).await;
        let aheads = host.aheads();
        assert_eq!(aheads.len(), 1, "{kind:?} {}", host.told());
        assert!(aheads[0].bytes >= Some(50 * MIB), "{kind:?} {aheads:?}");
        assert!(host.world.store().ahead_bytes(Duration::ZERO) >= 50 * MIB);
    }
}

#[tokio::test(start_paused = true)]
async fn the_operators_login_serves_jobs_only_by_the_settings_and_never_one_that_is_over() {
    for (by_settings, here) in [(true, vec![BASE]), (false, vec![])] {
        let mut host = building();
        operators_login(&mut host);
        host.world.fake.protect(BASE, "user", "pass");
        host.world.fake.protect(TOOL, "user", "pass");
        let dir = host.world.operator_dir.clone().filter(|_| by_settings);
        host.set(|settings| settings.pull.docker_config_dir = dir);
        host.with_daemon(async |_| {
            host.gets_sources().await;
            sleep(10 * SECOND).await;
            host.job_ends().await;
            sleep(280 * SECOND).await;
        })
        .await;
        assert_eq!(host.came(), here, "{by_settings}: {}", host.told());
    }
}

#[tokio::test(start_paused = true)]
async fn what_everybody_may_read_comes_after_the_job_too_and_is_kept_for_two_hours_at_most() {
    let mut host = building();
    host.world.job["runner_info"]["timeout"] = json!(10 * 3600);
    host.with_daemon(async |_| {
        host.gets_sources().await;
        sleep(10 * SECOND).await;
        host.job_ends().await;
        sleep(60 * SECOND).await;
        assert_eq!(host.came(), [BASE, TOOL], "{}", host.told());
        let announced = host.world.store().announced();
        assert_eq!(announced.len(), 2);
        for one in announced {
            assert!((3600 * SECOND..=7200 * SECOND).contains(&one.grace), "{one:?}");
        }
    })
    .await;
}

/// Ends a job beside which others run.
async fn end(world: &World) {
    world.cleanup().await.unwrap();
    let begun = world.begun();
    world.store().drop_leases(&format!("{} {}", begun.names.key(), begun.job.server));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_has_no_jobs_is_forgotten() {
    for (minutes, came) in [(1, 2), (10, 0)] {
        let host = building();
        host.set(|settings| settings.prefetch.scan = ScanMode::Idle);
        let other = host.world.another(8);
        host.with_daemon(async |_| {
            host.gets_sources().await;
            other.prepare().await.fine();
            sleep(5 * SECOND).await;
            end(&host.world).await;
            sleep(minutes * 60 * SECOND).await;
            assert_eq!(host.came(), [""; 0], "another job runs: {}", host.told());
            end(&other).await;
            sleep(200 * SECOND).await;
        })
        .await;
        assert_eq!(host.came().len(), came, "{minutes} min: {}", host.told());
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_takes_no_announcement_of_others_with_it() {
    let host = listing();
    let name = LIST[1].0;
    host.set(|settings| list(settings, &[name]));
    host.world.fake.trouble(name, Trouble::Reset, 100);
    let now = Duration::from_secs(hearth::daemon::World::moment(&host).wall.as_secs());
    let other = Announced { name: name.to_owned(), at: now + 7200 * SECOND, grace: 24 * 3600 * SECOND };
    host.world.store().announce(&other, now).unwrap();
    host.with_daemon(async |_| sleep(600 * SECOND).await).await;
    assert!(host.times_told("did not come ahead") > 0, "{}", host.told());
    assert_eq!(host.world.store().announced(), [other]);
}
