//! What a warm image costs: one question, and no pull.

use crate::front::{Front, on as rule};
use crate::image_policies::busybox;
use crate::pulling::{Cold, On, Prepared, manifests};
use crate::pusher::{ImageSpec, Layer, Platform, Registry};
use crate::world::{skip, unique};

/// Counts what was asked since: manifests as HEAD and GET, and blobs.
fn asked(on: &On, front: &Front) -> (usize, usize, usize) {
    let (heads, gets) = manifests(on, front);
    let blobs = front.count("GET", "/blobs/");
    front.forget();
    (heads, gets, blobs)
}

fn always(on: &On, cold: &Cold<'_>) -> Prepared {
    on.prepare(&cold.job("always"))
}

/// An image that differs from all others.
fn other_image() -> ImageSpec {
    let mut image = busybox();
    image.layers.push(Layer::random(1 << 10, unique()).expect("a layer"));
    image
}

#[test]
fn a_warm_image_costs_one_head() {
    On::each("one head", |on| {
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[10 << 10]);
        always(on, &cold).got(&cold).says("pull policy always: pulled");
        let (heads, gets, blobs) = asked(on, &front);
        assert_eq!((heads, gets), (1, 1));
        assert!(blobs >= 1);
        for _ in 0..2 {
            always(on, &cold).got(&cold).says("pull policy always: up to date").is_silent_about("Pulling");
            assert_eq!(asked(on, &front), (1, 0, 0));
        }
        on.prepare(&cold.job("if-not-present")).got(&cold);
        on.prepare(&cold.job("never")).got(&cold);
        assert_eq!(asked(on, &front), (0, 0, 0));
    });
}

#[test]
fn another_index_around_the_same_manifest_is_noted_and_nothing_is_pulled() {
    On::each("moved index", |on| {
        let registry = Registry::new(&on.world().parts.registry);
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[10 << 10]);
        let foreign = |variant: &str| ImageSpec {
            platform: Platform::parse(&format!("linux/s390x/{variant}")).expect("a platform"),
            ..cold.image.clone()
        };
        let push = |variant: &str| {
            let images = [cold.image.clone(), foreign(variant)];
            registry.push_index(&cold.repository, "1", &images).expect("an index")
        };
        let first = push("a");
        always(on, &cold).got(&cold).says("pulled");
        asked(on, &front);
        let second = push("b");
        assert_ne!(first.digest, second.digest);
        let moved = always(on, &cold);
        moved.got(&cold).says("up to date").says(&second.digest).is_silent_about("Pulling");
        assert_eq!(asked(on, &front), (1, 1, 0));
        always(on, &cold).got(&cold).says("up to date");
        assert_eq!(asked(on, &front), (1, 0, 0), "it was noted");
    });
}

#[test]
fn a_registry_that_has_no_head_or_no_digest_is_asked_by_get() {
    On::each("no head", |on| {
        for rule in [rule("/manifests/").method("HEAD").answer(405), rule("/manifests/").without_digest()] {
            let front = Front::with(&on.world().parts.registry, rule);
            let cold = on.cold(&front, &[1 << 10]);
            always(on, &cold).got(&cold).says("pulled");
            asked(on, &front);
            always(on, &cold).got(&cold).says("up to date");
            assert_eq!(asked(on, &front), (1, 1, 0));
        }
    });
}

#[test]
fn a_tag_that_moved_is_pulled_and_the_old_image_never_runs() {
    On::each("moved tag", |on| {
        let registry = Registry::new(&on.world().parts.registry);
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[1 << 10]);
        always(on, &cold).got(&cold);
        let mut old = cold.pushed.clone();
        for _ in 0..2 {
            let moved = registry.push(&cold.repository, "1", &[other_image()]).expect("pushed");
            let prepared = always(on, &cold);
            on.forget(&std::mem::replace(&mut old, moved.clone()));
            prepared.got_id(&moved.image_ids[0]).says("always: pulled");
            // Also not under policies that ask nobody.
            on.prepare(&cold.job("never")).got_id(&moved.image_ids[0]);
        }
        on.forget(&old);
    });
}

#[test]
fn two_platforms_of_one_index_are_pulled_one_after_the_other() {
    let qemu = std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists();
    if !cfg!(target_arch = "x86_64") || !qemu {
        return skip("two platforms", "no emulation of arm64 on x86_64");
    }
    On::each("two platforms", |on| {
        on.settings("allow_emulation = true\n");
        let registry = Registry::new(&on.world().parts.registry);
        let front = Front::new(&on.world().parts.registry);
        for order in [["linux/amd64", "linux/arm64"], ["linux/arm64", "linux/amd64"]] {
            let cold = on.cold(&front, &[1 << 10]);
            // Its programs are not run here: the container is only made.
            let mut foreign = other_image();
            foreign.platform = Platform::parse("linux/arm64").expect("a platform");
            let pushed =
                registry.push(&cold.repository, "1", &[cold.image.clone(), foreign]).expect("an index");
            let id = |platform: &str| &pushed.image_ids[usize::from(platform == "linux/arm64")];
            for round in 0..2 {
                for platform in order {
                    let mut job = cold.job("always");
                    job.image.platform = platform.to_owned();
                    on.prepare(&job).got_id(id(platform)).is_silent_about("Cannot overwrite");
                    let (heads, _, blobs) = asked(on, &front);
                    assert_eq!(heads, 1, "{platform}, round {round}");
                    assert!(round == 0 || blobs == 0, "{platform} was pulled again");
                }
            }
            // Without a word on it, the engine's own.
            on.prepare(&cold.job("always")).got_id(id("linux/amd64"));
            on.forget(&pushed);
            front.forget();
        }
    });
}
