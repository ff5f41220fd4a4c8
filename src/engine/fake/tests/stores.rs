//! What the three kinds of store keep of pulls, and by which digests they know images.

use std::time::Duration;

use tokio::time::timeout;

use super::super::{Fake, FakeImage};
use crate::engine::{Engine, EngineError, PullEvent, PullMeter, PullRequest, StoreKind, Tagging};

const NAME: &str = "registry.example/app:1";
const MEGABYTE: u64 = 1_000_000;
const KINDS: [StoreKind; 3] = [StoreKind::DockerClassic, StoreKind::Containerd, StoreKind::Podman];

/// An engine with a kind of store, and a registry with an image of 40 MB in two layers that comes with 1 MB/s.
fn slow(kind: StoreKind) -> Fake {
    let fake = Fake::new();
    fake.set_store(kind);
    fake.publish(NAME, FakeImage::new("app").layers(&[("base", 30 * MEGABYTE), ("app", 10 * MEGABYTE)]));
    fake.download_rate(MEGABYTE);
    fake
}

fn request(reference: &str, platform: &str) -> PullRequest {
    PullRequest { reference: reference.to_owned(), platform: platform.to_owned(), login: None }
}

async fn pull(fake: &Fake, reference: &str) -> Result<Vec<PullEvent>, EngineError> {
    let mut events = Vec::new();
    fake.pull(&request(reference, ""), &mut |event| events.push(event)).await?;
    Ok(events)
}

async fn digests(fake: &Fake, reference: &str) -> Vec<String> {
    fake.image(reference).await.unwrap().expect("it is here").repo_digests
}

#[tokio::test(start_paused = true)]
async fn each_leaves_something_else_when_a_pull_is_cut() {
    for (kind, bytes) in [
        (StoreKind::DockerClassic, 30 + 5 + 40),
        (StoreKind::Containerd, 30 + 10),
        (StoreKind::Podman, 30 + 5 + 10),
    ] {
        let fake = slow(kind);
        assert!(timeout(Duration::from_millis(35_500), pull(&fake, NAME)).await.is_err());
        pull(&fake, NAME).await.unwrap();
        assert_eq!(fake.downloaded(), bytes * MEGABYTE, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_stayed_is_only_unpacked() {
    let fake = slow(StoreKind::Containerd);
    fake.unpacking_takes(Duration::from_secs(7));
    assert!(timeout(Duration::from_secs(33), pull(&fake, NAME)).await.is_err());
    let events = pull(&fake, NAME).await.unwrap();
    assert_eq!(fake.fetches("base"), 1);
    let of_base = [PullEvent::Waiting("base".into()), PullEvent::Present("base".into())];
    assert!(events.windows(2).any(|pair| pair == of_base), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn layers_are_shared_by_pulls_of_different_images_but_not_on_podman() {
    for (kind, times) in KINDS.into_iter().zip([1, 1, 2]) {
        let fake = slow(kind);
        let other = "registry.example/other:1";
        fake.publish(other, FakeImage::new("other").layers(&[("base", 30 * MEGABYTE), ("o", MEGABYTE)]));
        let (one, two) = tokio::join!(pull(&fake, NAME), pull(&fake, other));
        assert!(one.is_ok() && two.is_ok());
        assert_eq!((fake.fetches("base"), fake.fetches("o")), (times, 1), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_dockers_own_store_tells_phases() {
    for (kind, phases, tells) in [
        (StoreKind::DockerClassic, true, true),
        (StoreKind::Containerd, false, true),
        (StoreKind::Podman, false, false),
    ] {
        let fake = slow(kind);
        let mut meter = PullMeter::default();
        let begun = tokio::time::Instant::now();
        let mut observe = |event: PullEvent| {
            meter.observe(&event, begun.elapsed());
        };
        fake.pull(&request(NAME, ""), &mut observe).await.unwrap();
        let totals = meter.totals(begun.elapsed());
        assert_eq!((totals.download.is_some(), totals.in_order), (phases, phases), "{kind:?}");
        assert_eq!(meter.digest().is_some(), tells, "{kind:?}");
        assert_eq!(totals.bytes().is_some(), tells, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_dead_may_come_back() {
    let fake = slow(StoreKind::DockerClassic);
    fake.freeze_downloads(true);
    assert!(timeout(Duration::from_secs(3600), pull(&fake, NAME)).await.is_err());
    assert_eq!(fake.downloaded(), 0);
    fake.freeze_downloads(false);
    pull(&fake, NAME).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_index_is_listed_as_each_store_does() {
    let multi = FakeImage::new("multi").index_of(&["linux/amd64", "linux/arm64"]);
    let own = multi.variant("linux/amd64").expect("it has one");
    let (index, manifest) = (multi.digest(), own.manifest_digest());
    let name = |digest: &str| format!("registry.example/app@{digest}");
    for kind in KINDS {
        let fake = slow(kind);
        fake.publish(NAME, multi.clone());
        pull(&fake, NAME).await.unwrap();
        let mut listed = match kind {
            StoreKind::DockerClassic | StoreKind::Containerd => vec![name(&index)],
            StoreKind::Podman => vec![name(&index), name(&manifest)],
        };
        listed.sort_unstable();
        assert_eq!(digests(&fake, NAME).await, listed, "{kind:?}");
        let id = fake.image(NAME).await.unwrap().unwrap().id;
        assert_eq!(id == index, kind == StoreKind::Containerd, "{kind:?}");
        // The manifest's own digest is a name only once it was asked for.
        let known = fake.image(&name(&manifest)).await.unwrap().is_some();
        assert_eq!(known, kind == StoreKind::Podman, "{kind:?}");
        pull(&fake, &name(&manifest)).await.unwrap();
        assert!(fake.image(&name(&manifest)).await.unwrap().is_some(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dockers_own_store_gives_a_digest_to_one_image() {
    let fake = slow(StoreKind::DockerClassic);
    let multi = FakeImage::new("multi").index_of(&["linux/amd64", "linux/arm64"]);
    let by_digest = format!("registry.example/app@{}", multi.digest());
    fake.publish(NAME, multi.clone());
    pull(&fake, NAME).await.unwrap();
    let error = fake.pull(&request(&by_digest, "linux/arm64"), &mut |_| {}).await.unwrap_err();
    assert_eq!(error.words(), format!("Cannot overwrite digest {}", multi.digest()));
    fake.pull(&request(NAME, "linux/arm64"), &mut |_| {}).await.unwrap();
    let foreign = fake.image(NAME).await.unwrap().expect("it is here");
    assert_eq!((foreign.architecture.as_str(), foreign.repo_digests.len()), ("arm64", 0));
    assert_eq!(fake.image(&by_digest).await.unwrap().expect("it stays").architecture, "amd64");
    let manifest = multi.variant("linux/arm64").expect("it has one").manifest_digest();
    pull(&fake, &format!("registry.example/app@{manifest}")).await.unwrap();
    assert_eq!(digests(&fake, NAME).await, [format!("registry.example/app@{manifest}")]);
}

#[tokio::test(start_paused = true)]
async fn containerds_store_has_all_platforms_of_an_index_in_one_image() {
    let multi = FakeImage::new("multi").index_of(&["linux/amd64", "linux/arm64"]);
    for order in [["linux/arm64", "linux/amd64"], ["linux/amd64", "linux/arm64"]] {
        let fake = slow(StoreKind::Containerd);
        fake.publish(NAME, multi.clone());
        let mut told = Vec::new();
        for platform in order {
            fake.pull(&request(NAME, platform), &mut |_| {}).await.unwrap();
            let facts = fake.image(NAME).await.unwrap().expect("it is here");
            assert_eq!(facts.id, multi.digest());
            told.push(facts.architecture);
        }
        // The engine's own is told of, once it is here.
        assert_eq!(told, [&order[0]["linux/".len()..], "amd64"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_given_by_hand_looks_like_an_origin_on_two_stores() {
    for kind in KINDS {
        let fake = slow(kind);
        pull(&fake, NAME).await.unwrap();
        let given = "other.example/secret:1";
        assert_eq!(fake.tag(NAME, given).await.unwrap(), Tagging::Tagged);
        let claims =
            digests(&fake, given).await.iter().any(|known| known.starts_with("other.example/secret@"));
        assert_eq!(claims, kind != StoreKind::DockerClassic, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_digest_names_what_a_tag_has_left() {
    let fake = slow(StoreKind::DockerClassic);
    let old = FakeImage::new("app").digest();
    fake.publish(NAME, FakeImage::new("newer"));
    pull(&fake, &format!("registry.example/app@{old}")).await.unwrap();
    assert_eq!(fake.image(NAME).await.unwrap(), None, "no tag was moved");
}
