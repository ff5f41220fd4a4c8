//! A storm of images that come ahead is not felt by jobs.

use std::time::Duration;

use hearth::engine::StoreKind;
use hearth::engine::fake::FakeImage;
use hearth::settings::PullPolicy;
use tokio::time::sleep;

use super::host::DaemonHost;
use super::prefetch::{MIB, image, list};
use crate::world::{APP, SECOND};

const JOBS: u64 = 50;

/// How long the prepares of fifty jobs take that each pull an image of their own, with pauses in which a list of large images
/// comes, or nothing. Also how many of the list have come.
async fn prepares(kind: StoreKind, ahead: bool) -> (Vec<Duration>, usize) {
    let mut host = DaemonHost::new();
    host.world.fake.set_store(kind);
    host.world.fake.link_rate(MIB);
    host.world.settings.job.pull_policy = vec![PullPolicy::Always];
    let names: Vec<String> = (0..40).map(|number| format!("registry.test/storm/{number}:1")).collect();
    for name in &names {
        host.world.fake.publish(name, image(name, 30));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    host.set(|settings| {
        list(settings, &names);
        settings.prefetch.enabled = ahead;
    });
    let mut took = Vec::new();
    host.with_daemon(async |_| {
        for job in 0..JOBS {
            sleep(Duration::from_secs(5 + job * 7 % 40)).await;
            let seed = format!("own {job}");
            host.world.fake.publish(APP, FakeImage::new(&seed).layers(&[(&seed, 10 * MIB)]));
            took.push(host.world.prepare().await.fine().took);
            sleep(5 * SECOND).await;
            host.job_ends().await;
        }
    })
    .await;
    (took, host.came().len())
}

fn median(times: &[Duration]) -> f64 {
    let mut times: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::test(start_paused = true)]
async fn fifty_jobs_beside_a_storm_are_as_fast_as_without() {
    for kind in [StoreKind::DockerClassic, StoreKind::Containerd, StoreKind::Podman] {
        let (alone, _) = prepares(kind, false).await;
        let (beside, came) = prepares(kind, true).await;
        assert!(came >= 5, "{kind:?}: {came} images came meanwhile");
        let (quiet, noisy) = (median(&alone), median(&beside));
        assert!(noisy <= quiet * 1.05, "{kind:?}: {noisy} s instead of {quiet} s");
        for (job, (alone, beside)) in alone.iter().zip(&beside).enumerate() {
            assert!(
                beside.as_secs_f64() <= alone.as_secs_f64() * 1.1,
                "{kind:?}, {job}: {beside:?} instead of {alone:?}"
            );
        }
    }
}
