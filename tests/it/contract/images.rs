//! Clauses on images and pulls.

use hearth::engine::{Engine, EngineError, PullEvent, PullMeter, StoreKind, Tagging};
use hearth::image::layers;

use super::world::{World, kind, on_podman, pull};

pub(super) async fn the_engine_says_what_it_is<E: Engine>(world: &World<E>) {
    let version = world.engine.version().await.unwrap();
    assert_eq!(version.os, "linux");
    assert!(!version.arch.is_empty());
    assert!(version.api.starts_with("1."), "{}", version.api);
    assert!(version.name.contains(' '), "{}", version.name);
}

/// The tests' registries are on loopback, without TLS.
pub(super) async fn the_engine_says_what_it_keeps_images_in<E: Engine>(world: &World<E>) {
    let info = world.engine.info().await.unwrap();
    assert!(!info.storage_driver.is_empty() && info.data_root.starts_with('/'), "{info:?}");
    let insecure = &info.insecure;
    let known = insecure.cidrs.iter().any(|range| range == "127.0.0.0/8");
    // Podman's settings may name a host for all its ports.
    let named = |host: &String| world.registry.starts_with(host.as_str());
    assert!(known || insecure.hosts.iter().any(named), "{insecure:?}");
}

pub(super) async fn an_absent_image_is_none<E: Engine>(world: &World<E>) {
    let absent = format!("{}/job/never-pushed:1", world.registry);
    assert_eq!(world.engine.image(&absent).await.unwrap(), None);
    assert_eq!(world.engine.image_history(&absent).await.unwrap(), None);
    let target = format!("{}/job/never-tagged:1", world.registry);
    assert_eq!(world.engine.tag(&absent, &target).await.unwrap(), Tagging::ImageMissing);
}

pub(super) async fn a_pulled_image_has_facts<E: Engine>(world: &World<E>) {
    let reference = world.image("busybox");
    world.engine.pull(&pull(&reference), &mut |_| {}).await.unwrap();
    let facts = world.engine.image(&reference).await.unwrap().expect("it was pulled");
    assert!(facts.id.starts_with("sha256:"), "{}", facts.id);
    assert_eq!(facts.os, "linux");
    assert_eq!(facts.entrypoint, Vec::<String>::new());
    assert!(!facts.has_healthcheck);
    assert!(facts.env.iter().any(|line| line.starts_with("PATH=")), "{:?}", facts.env);
    let digest = format!("{}/job/busybox@sha256:", world.registry);
    assert!(facts.repo_digests.iter().any(|known| known.starts_with(&digest)), "{:?}", facts.repo_digests);
}

pub(super) async fn an_image_tells_its_layers<E: Engine>(world: &World<E>) {
    let reference = world.image_here("busybox").await;
    let facts = world.engine.image(&reference).await.unwrap().expect("it is here");
    let history = world.engine.image_history(&reference).await.unwrap().expect("it is here");
    let layers = layers(&facts.diff_ids, &history);
    assert!(!layers.is_empty() && layers[0].chain_id == facts.diff_ids[0], "{layers:?}");
    let bytes: u64 = layers.iter().map(|layer| layer.bytes.expect("the history fits")).sum();
    match kind(world).await {
        // It counts what the registry sent.
        StoreKind::Containerd => assert!((1..=bytes).contains(&facts.bytes), "{bytes} of {}", facts.bytes),
        StoreKind::DockerClassic | StoreKind::Podman => {
            assert!(bytes > 0 && facts.bytes >= bytes, "{bytes} of {}", facts.bytes);
        }
    }
}

/// A name moves to the image that it is given to; digests stay.
pub(super) async fn a_name_is_given<E: Engine>(world: &World<E>) {
    let one = world.image_here("busybox").await;
    let other = world.image_here("volume").await;
    let name = format!("{}/{}:1", world.registry, world.name("named"));
    let id = async |name: &str| world.engine.image(name).await.unwrap().expect("it is here").id;
    for source in [id(&one).await, other.clone(), one.clone()] {
        assert_eq!(world.engine.tag(&source, &name).await.unwrap(), Tagging::Tagged);
        assert_eq!(id(&name).await, id(&source).await, "{source}");
    }
    let facts = world.engine.image(&name).await.unwrap().expect("it is here");
    let (_, digest) = facts.repo_digests[0].split_once('@').expect("a digest");
    let by_digest = format!("{}/job/busybox@{digest}", world.registry);
    assert_eq!(world.engine.tag(&by_digest, &name).await.unwrap(), Tagging::Tagged);
    assert_eq!(id(&name).await, id(&one).await);
    world.untag(&name).await;
}

pub(super) async fn an_image_is_found_by_tag_digest_and_id<E: Engine>(world: &World<E>) {
    let reference = world.image_here("busybox").await;
    let facts = world.engine.image(&reference).await.unwrap().expect("it is here");
    for name in facts.repo_digests.iter().chain([&facts.id]) {
        let found = world.engine.image(name).await.unwrap();
        assert_eq!(found.map(|f| f.id), Some(facts.id.clone()), "{name}");
    }
}

pub(super) async fn a_pull_tells_the_digest<E: Engine>(world: &World<E>) {
    let reference = world.image("busybox");
    let mut meter = PullMeter::default();
    let mut count = 0;
    let mut on_event = |event: PullEvent| {
        count += 1;
        meter.observe(&event, std::time::Duration::ZERO);
    };
    world.engine.pull(&pull(&reference), &mut on_event).await.unwrap();
    assert!(count > 0);
    if on_podman(world).await {
        // It tells no digest: the image has to be looked at.
        assert_eq!(meter.digest(), None);
        return;
    }
    let digest = meter.digest().expect("a digest").to_owned();
    let facts = world.engine.image(&reference).await.unwrap().expect("it was pulled");
    assert!(
        facts.repo_digests.iter().any(|known| known.ends_with(&digest)),
        "{digest}: {:?}",
        facts.repo_digests
    );
}

pub(super) async fn a_missing_tag_is_said_so<E: Engine>(world: &World<E>) {
    for name in ["busybox:nope", "never-pushed:1"] {
        let reference = format!("{}/job/{name}", world.registry);
        let error = world.engine.pull(&pull(&reference), &mut |_| {}).await.unwrap_err();
        assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
        let words = error.words();
        let said = words.contains("not found") || words.contains("manifest unknown");
        assert!(said && words.contains(name), "{words}");
    }
}

pub(super) async fn a_missing_platform_is_said_so<E: Engine>(world: &World<E>) {
    let reference = world.image("foreign-only");
    let error = world.engine.pull(&pull(&reference), &mut |_| {}).await.unwrap_err();
    let words = error.words();
    if kind(world).await == StoreKind::Containerd {
        // It has not begun its answer by then.
        assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
        assert!(words.contains("no match for platform in manifest"), "{words}");
        return;
    }
    assert!(matches!(error, EngineError::Refused { status: 0, .. }), "{error:?}");
    let said = words.contains("no matching manifest for linux/")
        || words.contains("no image found in manifest list");
    assert!(said, "{words}");
}

pub(super) async fn a_registrys_platforms_are_told<E: Engine>(world: &World<E>) {
    if on_podman(world).await {
        assert_eq!(world.engine.platforms(&pull(&world.image("multi"))).await, Ok(Vec::new()));
        return;
    }
    for (name, least) in [("multi", 2), ("busybox", 1)] {
        let has = world.engine.platforms(&pull(&world.image(name))).await.unwrap();
        assert!(has.len() >= least && has.iter().all(|p| p.is_known() && p.os == "linux"), "{name}: {has:?}");
    }
    let missing = format!("{}/job/never-pushed:1", world.registry);
    let error = world.engine.platforms(&pull(&missing)).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
}
