//! Clauses on the names of images: what is listed, how names are taken away, and what goes with the last one.

use hearth::engine::{Engine, ImageSummary, Removal, StoreKind, Tagging};

use super::world::{Own, World, kind, on_podman, pull};

/// Pulls an image by its tag that nobody else knows.
async fn pulled<E: Engine>(world: &World<E>, what: &str) -> Own {
    let own = world.own(what).await;
    world.engine.pull(&pull(&own.reference), &mut |_| {}).await.unwrap();
    own
}

async fn removed<E: Engine>(world: &World<E>, name: &str) -> Removal {
    world.engine.remove_image(name).await.unwrap()
}

async fn id_of<E: Engine>(world: &World<E>, name: &str) -> Option<String> {
    world.engine.image(name).await.unwrap().map(|facts| facts.id)
}

async fn listed<E: Engine>(world: &World<E>, id: &str) -> Option<ImageSummary> {
    world.engine.images().await.unwrap().into_iter().find(|image| image.id == id)
}

pub(super) async fn images_are_listed_with_their_names<E: Engine>(world: &World<E>) {
    let own = pulled(world, "listed").await;
    let other = world.own_name("listed-too");
    assert_eq!(world.engine.tag(&own.reference, &other).await.unwrap(), Tagging::Tagged);
    let facts = world.engine.image(&own.reference).await.unwrap().expect("it was pulled");
    let listed = listed(world, &facts.id).await.expect("it is listed");
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    assert_eq!(sorted(listed.tags.clone()), sorted(vec![own.reference.clone(), other.clone()]));
    assert_eq!(sorted(facts.tags), sorted(listed.tags));
    assert!(facts.repo_digests.contains(&own.by_digest), "{:?}", facts.repo_digests);
    // Of an image with several names, containerd's store lists the digest of one.
    assert!(
        !listed.digests.is_empty() && listed.digests.iter().all(|name| facts.repo_digests.contains(name))
    );
    if kind(world).await == StoreKind::Containerd {
        assert!(listed.bytes > facts.bytes, "{} {}", listed.bytes, facts.bytes);
    } else {
        assert_eq!(listed.bytes, facts.bytes);
    }
    for name in [&own.reference, &other] {
        assert_eq!(removed(world, name).await, Removal::Removed, "{name}");
    }
}

pub(super) async fn an_image_goes_with_its_last_name<E: Engine>(world: &World<E>) {
    let own = pulled(world, "last").await;
    let id = id_of(world, &own.reference).await.expect("it was pulled");
    let (same, other) = (own.with_tag("2"), world.own_name("last-too"));
    for name in [&same, &other] {
        assert_eq!(world.engine.tag(&own.reference, name).await.unwrap(), Tagging::Tagged);
    }
    for name in [&same, &own.reference] {
        assert_eq!(removed(world, name).await, Removal::Removed, "{name}");
        assert_eq!(id_of(world, name).await, None);
        assert_eq!(id_of(world, &other).await.as_ref(), Some(&id));
        assert!(listed(world, &id).await.is_some_and(|image| !image.tags.contains(name)));
    }
    assert_eq!(removed(world, &other).await, Removal::Removed);
    assert_eq!(id_of(world, &id).await, None);
    assert_eq!(listed(world, &id).await, None);
}

pub(super) async fn an_image_goes_by_its_id_unless_it_has_two_names<E: Engine>(world: &World<E>) {
    let own = pulled(world, "by-id").await;
    let id = id_of(world, &own.reference).await.expect("it was pulled");
    let other = world.own_name("by-id-too");
    assert_eq!(world.engine.tag(&own.reference, &other).await.unwrap(), Tagging::Tagged);
    assert_eq!(removed(world, &id).await, Removal::InUse);
    for name in [&own.reference, &other] {
        assert_eq!(id_of(world, name).await.as_ref(), Some(&id), "{name}");
    }
    assert_eq!(removed(world, &other).await, Removal::Removed);
    assert_eq!(removed(world, &id).await, Removal::Removed);
    assert_eq!(id_of(world, &own.reference).await, None);
}

pub(super) async fn an_image_of_a_container_keeps_its_last_name<E: Engine>(world: &World<E>) {
    let own = pulled(world, "used").await;
    let id = id_of(world, &own.reference).await.expect("it was pulled");
    let other = world.own_name("used-too");
    assert_eq!(world.engine.tag(&own.reference, &other).await.unwrap(), Tagging::Tagged);
    let mut spec = world.spec("user", vec!["never".to_owned()]).await;
    // As hearth creates its own.
    spec.image.clone_from(&own.by_digest);
    let user = world.create(&spec).await;
    assert_eq!(removed(world, &own.reference).await, Removal::Removed, "it is not the last one");
    for name in [&other, &id] {
        assert_eq!(removed(world, name).await, Removal::InUse, "{name}");
        assert_eq!(id_of(world, name).await.as_ref(), Some(&id));
    }
    assert_eq!(world.engine.remove_container(&user).await.unwrap(), Removal::Removed);
    assert_eq!(removed(world, &other).await, Removal::Removed);
    assert_eq!(id_of(world, &id).await, None);
}

pub(super) async fn the_removal_of_a_name_is_idempotent<E: Engine>(world: &World<E>) {
    let own = pulled(world, "twice").await;
    let id = id_of(world, &own.reference).await.expect("it was pulled");
    assert_eq!(removed(world, &own.reference).await, Removal::Removed);
    for name in [&own.reference, &own.by_digest, &id, &world.own_name("never-there")] {
        assert_eq!(removed(world, name).await, Removal::Gone, "{name}");
    }
}

pub(super) async fn an_image_may_have_a_digest_for_its_only_name<E: Engine>(world: &World<E>) {
    let own = world.own("digest").await;
    world.engine.pull(&pull(&own.by_digest), &mut |_| {}).await.unwrap();
    let id = id_of(world, &own.by_digest).await.expect("it was pulled");
    let image = listed(world, &id).await.expect("it is listed");
    assert_eq!(image.tags, Vec::<String>::new());
    assert!(image.digests.contains(&own.by_digest), "{:?}", image.digests);
    assert_eq!(removed(world, &own.by_digest).await, Removal::Removed);
    assert_eq!(id_of(world, &id).await, None);
}

/// An image that was pulled by a tag and by its digest, and has one more tag in its repository and one elsewhere. Podman lists
/// digests that are no names of the image, and does not take them away.
pub(super) async fn all_names_are_taken_one_by_one<E: Engine>(world: &World<E>) {
    for digests_first in [true, false] {
        let own = pulled(world, "all").await;
        world.engine.pull(&pull(&own.by_digest), &mut |_| {}).await.unwrap();
        let id = id_of(world, &own.reference).await.expect("it was pulled");
        for name in [own.with_tag("2"), world.own_name("all-too")] {
            assert_eq!(world.engine.tag(&own.reference, &name).await.unwrap(), Tagging::Tagged);
        }
        let facts = world.engine.image(&id).await.unwrap().expect("it is here");
        let names = if digests_first {
            facts.repo_digests.iter().chain(&facts.tags).cloned().collect::<Vec<_>>()
        } else {
            facts.tags.iter().chain(&facts.repo_digests).cloned().collect()
        };
        for name in &names {
            let removal = removed(world, name).await;
            let may_stay = digests_first && on_podman(world).await && name.contains('@');
            assert!(removal != Removal::InUse || may_stay, "{name} of {names:?}: {removal:?}");
        }
        assert_eq!(id_of(world, &id).await, None, "{names:?}");
    }
}

/// Where a tag has moved to, and what it left.
pub(super) async fn an_image_that_lost_its_tag_is_still_listed<E: Engine>(world: &World<E>) {
    let (one, two) = (pulled(world, "moved").await, pulled(world, "moves").await);
    let id = id_of(world, &one.reference).await.expect("it was pulled");
    assert_eq!(world.engine.tag(&two.reference, &one.reference).await.unwrap(), Tagging::Tagged);
    let image = listed(world, &id).await.expect("it is listed");
    assert_eq!(image.tags, Vec::<String>::new());
    assert_eq!(removed(world, &id).await, Removal::Removed);
    assert_eq!(id_of(world, &id).await, None);
    for name in [&one.reference, &two.reference] {
        assert_eq!(removed(world, name).await, Removal::Removed, "{name}");
    }
}

/// The cache of a busy host is not to be touched: only the bounds that leave all of it are tried.
pub(super) async fn a_build_cache_within_its_bounds_stays<E: Engine>(world: &World<E>) {
    let pruned = world.engine.prune_build_cache(u64::MAX).await.unwrap();
    assert_eq!(pruned, if on_podman(world).await { None } else { Some(0) });
}
