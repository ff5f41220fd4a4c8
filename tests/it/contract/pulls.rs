//! Clauses on pulls: what they share, what they leave, and which names they move.

use std::cell::Cell;
use std::time::Duration;

use hearth::engine::{Engine, PullEvent, PullRequest, StoreKind};
use hearth::image::ImageFacts;
use tokio::sync::Notify;

use super::world::{Slow, World, kind, pull};

/// Tells whether a layer is here for good, as far as its pull is concerned.
fn is_here(event: &PullEvent, layer: &str, kind: StoreKind) -> bool {
    match event {
        PullEvent::Done(done) | PullEvent::Present(done) => done == layer,
        PullEvent::Downloaded(done) => kind != StoreKind::DockerClassic && done == layer,
        _ => false,
    }
}

/// Tells whether something of the top layer is here that this kind of store keeps.
fn has_begun(event: &PullEvent, layer: &str, kind: StoreKind) -> bool {
    kind != StoreKind::Containerd
        || matches!(event, PullEvent::Downloading { layer: moved, done, .. } if moved == layer && *done > 0)
}

/// Pulls until the base is here, the top one on its way and `other` holds, then leaves.
async fn leave_half_way<E: Engine>(world: &World<E>, slow: &Slow, other: impl Fn() -> bool) {
    let kind = kind(world).await;
    let (base, top, enough) = (Cell::new(false), Cell::new(false), Notify::new());
    let mut on_event = |event: PullEvent| {
        base.set(base.get() || is_here(&event, &slow.base, kind));
        top.set(top.get() || has_begun(&event, &slow.top, kind));
        if base.get() && top.get() && other() {
            enough.notify_one();
        }
    };
    let request = pull(&slow.reference);
    tokio::select! {
        result = world.engine.pull(&request, &mut on_event) => panic!("it was to be cut: {result:?}"),
        () = enough.notified() => {}
    }
}

/// The first one leaves half way; the other came by digest, not by tag, and gets all of it.
pub(super) async fn a_transfer_lives_while_one_client_watches<E: Engine>(world: &World<E>) {
    let slow = world.slow().await;
    let second_is_in = Cell::new(false);
    let first = leave_half_way(world, &slow, || second_is_in.get());
    let mut on_event = |event: PullEvent| {
        let of_layer = !matches!(event, PullEvent::Other | PullEvent::Digest(_));
        second_is_in.set(second_is_in.get() || of_layer);
    };
    let request = pull(&slow.by_digest);
    let ((), second) = tokio::join!(first, world.engine.pull(&request, &mut on_event));
    assert_eq!(second, Ok(()));
    let (base, top) = (world.fetches(&slow, &slow.base), world.fetches(&slow, &slow.top));
    match kind(world).await {
        // What the first had finished when the second came, it need not fetch.
        StoreKind::Podman => assert!((1..=2).contains(&base) && top == 2, "{base} {top}"),
        StoreKind::DockerClassic => assert_eq!((base, top), (1, 1)),
        // The second waited for the first one's connection, and then asked for the rest.
        StoreKind::Containerd => {
            assert!(base == 1 && (1..=2).contains(&top), "{base} {top}");
            assert!(top == 1 || world.went_on(&slow, &slow.top));
        }
    }
    assert!(world.engine.image(&slow.by_digest).await.unwrap().is_some());
    assert_eq!(world.engine.image(&slow.reference).await.unwrap(), None, "nobody got it by its tag");
    world.untag(&slow.by_digest).await;
}

pub(super) async fn what_a_pull_leaves_that_nobody_watches<E: Engine>(world: &World<E>) {
    let slow = world.slow().await;
    leave_half_way(world, &slow, || true).await;
    // The engine has to notice.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.engine.image(&slow.reference).await.unwrap(), None);
    assert_eq!(world.engine.pull(&pull(&slow.reference), &mut |_| {}).await, Ok(()));
    let base = match kind(world).await {
        StoreKind::DockerClassic => 2,
        StoreKind::Containerd | StoreKind::Podman => 1,
    };
    assert_eq!(world.fetches(&slow, &slow.base), base);
    if kind(world).await == StoreKind::Containerd {
        assert!(world.went_on(&slow, &slow.top));
    }
    // On a busy machine the other layer had not even been asked for when the first pull was cut.
    let top = world.fetches(&slow, &slow.top);
    assert!((1..=2).contains(&top), "{top}");
    world.untag(&slow.reference).await;
}

/// Pulls by a digest under which an image is listed; returns the name. Podman lists digests that the repository never had:
/// all by which the image is known, for each of its names.
async fn pull_listed<E: Engine>(
    world: &World<E>,
    facts: &ImageFacts,
    repository: &str,
    platform: &str,
) -> String {
    for name in facts.repo_digests.iter().filter(|known| known.starts_with(&format!("{repository}@"))) {
        let request = PullRequest { platform: platform.to_owned(), ..pull(name) };
        match world.engine.pull(&request, &mut |_| {}).await {
            Ok(()) => return name.clone(),
            Err(error) => assert_eq!(kind(world).await, StoreKind::Podman, "{error}"),
        }
    }
    panic!("no digest of {repository} is to be had: {:?}", facts.repo_digests)
}

pub(super) async fn a_pull_by_digest_moves_no_tag<E: Engine>(world: &World<E>) {
    let busybox = world.image_here("busybox").await;
    let other = world.image_here("volume").await;
    let id = async |name: &str| world.engine.image(name).await.unwrap().expect("it is here").id;
    let facts = world.engine.image(&busybox).await.unwrap().expect("it is here");
    let repository = busybox.trim_end_matches(":1");
    let tag = format!("{repository}:{}", world.name("own"));
    world.engine.tag(&other, &tag).await.unwrap();
    let by_digest = pull_listed(world, &facts, repository, "").await;
    assert_eq!(id(&tag).await, id(&other).await);
    assert_eq!(id(&by_digest).await, facts.id);
    world.untag(&tag).await;
}

pub(super) async fn a_digest_is_pulled_for_a_platform<E: Engine>(world: &World<E>) {
    let reference = world.image("foreign-only");
    let request = |reference: &str| PullRequest { platform: "linux/arm64".to_owned(), ..pull(reference) };
    world.engine.pull(&request(&reference), &mut |_| {}).await.unwrap();
    let facts = world.engine.image(&reference).await.unwrap().expect("it was pulled");
    let by_digest = pull_listed(world, &facts, reference.trim_end_matches(":1"), "linux/arm64").await;
    let again = world.engine.image(&by_digest).await.unwrap().expect("it was pulled");
    assert_eq!((again.id, again.architecture.as_str()), (facts.id, "arm64"));
}
