//! Clauses on pulls: what they share, what they leave, and which names they move.

use std::cell::Cell;
use std::time::Duration;

use hearth::engine::{Engine, PullEvent, PullRequest, StoreKind};
use hearth::image::ImageFacts;

use super::world::{Slow, World, kind, pull};

/// How much of the top layer has to be on the host before a pull is cut: what is kept is kept in whole MiB.
const ENOUGH: u64 = 1 << 20;

/// What one client heard of the two layers.
#[derive(Default)]
struct Heard {
    /// The base is here for good, as far as this pull is concerned.
    base: Cell<bool>,
    /// So many bytes of the top layer came.
    top: Cell<u64>,
}

impl Heard {
    fn note(&self, event: &PullEvent, slow: &Slow, kind: StoreKind) {
        match event {
            PullEvent::Done(layer) | PullEvent::Present(layer) if *layer == slow.base => self.base.set(true),
            PullEvent::Downloaded(layer) if kind != StoreKind::DockerClassic && *layer == slow.base => {
                self.base.set(true);
            }
            PullEvent::Downloading { layer, done, .. } if *layer == slow.top => {
                self.top.set(self.top.get().max(*done));
            }
            _ => {}
        }
    }
}

/// Pulls until the base is here, enough of the top layer came and `other` holds, then leaves. The top layer only
/// trickles from half way on, so that there is all the time in the world for that.
async fn leave_half_way<E: Engine>(world: &World<E>, slow: &Slow, other: impl Fn() -> bool) {
    let kind = kind(world).await;
    let heard = Heard::default();
    let enough = || match kind {
        // It tells little of layers that are on their way.
        StoreKind::Podman => world.came(slow, &slow.top) >= ENOUGH,
        StoreKind::DockerClassic => heard.top.get() > 0,
        StoreKind::Containerd => heard.top.get() >= ENOUGH,
    };
    let request = pull(&slow.reference);
    let mut on_event = |event: PullEvent| heard.note(&event, slow, kind);
    let is_so = async || (heard.base.get() && enough() && other()).then_some(());
    tokio::select! {
        result = world.engine.pull(&request, &mut on_event) => panic!("it was to be cut: {result:?}"),
        () = world.until(is_so) => {}
    }
}

/// The first one leaves half way; the other came by digest, not by tag, and gets all of it.
pub(super) async fn a_transfer_lives_while_one_client_watches<E: Engine>(world: &World<E>) {
    let slow = world.slow().await;
    let kind = kind(world).await;
    let heard = Heard::default();
    let second_is_in = || match kind {
        // Both fetch for themselves.
        StoreKind::Podman => world.fetches(&slow, &slow.top) == 2,
        // It is told how far the other's transfer is.
        StoreKind::DockerClassic | StoreKind::Containerd => heard.top.get() > 0,
    };
    let first = async {
        leave_half_way(world, &slow, second_is_in).await;
        world.let_go(&slow);
    };
    let request = pull(&slow.by_digest);
    let mut on_event = |event: PullEvent| heard.note(&event, &slow, kind);
    let ((), second) = tokio::join!(first, world.engine.pull(&request, &mut on_event));
    assert_eq!(second, Ok(()));
    let (base, top) = (world.fetches(&slow, &slow.base), world.fetches(&slow, &slow.top));
    match kind {
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

/// Docker's own store forgets what came a moment after it has hung up, and tells nobody: it is given more of it each time.
pub(super) async fn what_a_pull_leaves_that_nobody_watches<E: Engine>(world: &World<E>) {
    let kind = kind(world).await;
    let wanted = match kind {
        StoreKind::DockerClassic => 2,
        StoreKind::Containerd | StoreKind::Podman => 1,
    };
    for moment in [3, 10, 30] {
        let slow = world.slow().await;
        leave_half_way(world, &slow, || true).await;
        world.until(async || world.hung_up(&slow).then_some(())).await;
        tokio::time::sleep(Duration::from_secs(moment)).await;
        world.let_go(&slow);
        assert_eq!(world.engine.image(&slow.reference).await.unwrap(), None);
        assert_eq!(world.engine.pull(&pull(&slow.reference), &mut |_| {}).await, Ok(()));
        let (base, top) = (world.fetches(&slow, &slow.base), world.fetches(&slow, &slow.top));
        assert_eq!(top, 2, "half of it had come");
        if kind == StoreKind::Containerd {
            assert!(world.went_on(&slow, &slow.top));
        }
        world.untag(&slow.reference).await;
        if base == wanted {
            return;
        }
        assert!(
            kind == StoreKind::DockerClassic && moment < 30,
            "fetched {base} times, {moment} s after the cut"
        );
    }
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
