//! What the three kinds of store have on a disk that has an end, and how names are taken on Podman.

use std::time::Duration;

use super::super::{Fake, FakeImage};
use crate::engine::refusal::is_no_space;
use crate::engine::{Engine, EngineError, PullRequest, Removal, StoreKind};

const NAME: &str = "registry.example/app:1";
const OTHER: &str = "registry.example/other:1";
const MEGABYTE: u64 = 1_000_000;

/// An engine with 200 MB, and two images of 20 MB that unpack to 53 MB each and share 10 MB of them.
fn host(kind: StoreKind) -> Fake {
    let fake = Fake::new();
    fake.set_store(kind);
    fake.set_build_cache(None);
    fake.set_disk(200 * MEGABYTE);
    for (name, own) in [(NAME, "app"), (OTHER, "other")] {
        fake.publish(name, FakeImage::new(own).layers(&[("base", 10 * MEGABYTE), (own, 10 * MEGABYTE)]));
    }
    fake
}

async fn pull(fake: &Fake, reference: &str) -> Result<(), EngineError> {
    let request = PullRequest { reference: reference.to_owned(), platform: String::new(), login: None };
    fake.pull(&request, &mut |_| {}).await
}

/// Returns the bytes that are used, in units of 500 kB: 10 MB compressed are 20, unpacked 53.
fn used(fake: &Fake) -> u64 {
    (200 * MEGABYTE - fake.free_bytes().unwrap()) / (MEGABYTE / 2)
}

#[tokio::test(start_paused = true)]
async fn images_take_room_and_give_it_back() {
    for (kind, layer) in
        [(StoreKind::DockerClassic, 53), (StoreKind::Podman, 53), (StoreKind::Containerd, 53 + 20)]
    {
        let fake = host(kind);
        pull(&fake, NAME).await.unwrap();
        assert_eq!(used(&fake), 2 * layer, "{kind:?}");
        pull(&fake, OTHER).await.unwrap();
        assert_eq!(used(&fake), 3 * layer, "{kind:?}");
        assert_eq!(fake.remove_image(NAME).await, Ok(Removal::Removed));
        assert_eq!(used(&fake), 2 * layer, "what another image has stays: {kind:?}");
        assert_eq!(fake.remove_image(OTHER).await, Ok(Removal::Removed));
        assert_eq!(used(&fake), 0, "{kind:?}");
        pull(&fake, NAME).await.unwrap();
        assert_eq!(fake.fetches("app"), 2, "nothing of it was left: {kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_pulls_and_creations_until_there_is_room() {
    for kind in [StoreKind::DockerClassic, StoreKind::Containerd, StoreKind::Podman] {
        let fake = host(kind);
        fake.fill_disk(160 * MEGABYTE);
        let error = pull(&fake, NAME).await.unwrap_err();
        assert!(is_no_space(&error), "{error}");
        assert_eq!(fake.image(NAME).await.unwrap(), None);
        fake.fill_disk(0);
        pull(&fake, NAME).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_cut_pull_took_is_given_back_or_stays() {
    for (kind, left) in [(StoreKind::DockerClassic, 0), (StoreKind::Containerd, 20), (StoreKind::Podman, 53)]
    {
        let fake = host(kind);
        fake.download_rate(MEGABYTE);
        let cut = tokio::time::timeout(Duration::from_millis(15_500), pull(&fake, NAME)).await;
        assert!(cut.is_err(), "{kind:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(used(&fake), left, "{kind:?}");
    }
}

/// Of its own column in the contract Podman has none on the fake engine.
#[tokio::test(start_paused = true)]
async fn podman_takes_no_digest_away_that_is_no_name() {
    let fake = host(StoreKind::Podman);
    pull(&fake, NAME).await.unwrap();
    fake.tag(NAME, "registry.example/mine:1").await.unwrap();
    let facts = fake.image(NAME).await.unwrap().unwrap();
    let digest = facts.repo_digests.first().unwrap();
    assert_eq!(fake.remove_image(digest).await, Ok(Removal::InUse));
    assert_eq!(fake.remove_image(&facts.id).await, Ok(Removal::InUse));
    assert_eq!(fake.remove_image(NAME).await, Ok(Removal::Removed));
    let left = fake.image(&facts.id).await.unwrap().unwrap();
    assert_eq!(left.tags, ["registry.example/mine:1"]);
    assert_eq!(fake.remove_image(left.repo_digests.first().unwrap()).await, Ok(Removal::Removed));
    assert_eq!(fake.images().await, Ok(Vec::new()));
}
