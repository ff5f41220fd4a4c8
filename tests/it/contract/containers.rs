//! Clauses on the life of containers.

use std::time::Duration;

use hearth::engine::fake::Behaviour;
use hearth::engine::refusal::Refusal;
use hearth::engine::{Creation, Engine, EngineError, Health, Removal};
use hearth::plan::spec::NetworkUse;
use hearth::units::ByteSize;
use tokio::time::Instant;

use super::world::{World, made, on_podman};

pub(super) async fn a_name_is_taken_once<E: Engine>(world: &World<E>) {
    let spec = world.spec("one", world.stays()).await;
    assert_eq!(made(world.engine.create_container(&spec).await.unwrap()).id.len(), 64);
    assert_eq!(world.engine.create_container(&spec).await.unwrap(), Creation::NameTaken);
    assert_eq!(world.engine.remove_container(&spec.name).await.unwrap(), Removal::Removed);
    made(world.engine.create_container(&spec).await.unwrap());
}

pub(super) async fn a_container_needs_its_image<E: Engine>(world: &World<E>) {
    let mut spec = world.spec("one", world.stays()).await;
    spec.image = format!("{}/job/never-pushed:1", world.registry);
    assert_eq!(world.engine.create_container(&spec).await.unwrap(), Creation::ImageMissing);
    spec.image = format!("{}/job/busybox@sha256:{}", world.registry, "0".repeat(64));
    assert_eq!(world.engine.create_container(&spec).await.unwrap(), Creation::ImageMissing);
    assert_eq!(world.engine.container(&spec.name).await.unwrap(), None);
}

pub(super) async fn a_fresh_container_is_not_a_stopped_one<E: Engine>(world: &World<E>) {
    let mut spec = world.spec("one", world.program("exit 0", Behaviour::new())).await;
    spec.user = "1000:1000".to_owned();
    spec.limits.memory = Some(ByteSize(64 << 20));
    let name = world.create(&spec).await;
    let state = world.state(&name).await;
    assert!(state.fresh && !state.running);
    assert_eq!((state.user.as_str(), state.memory), ("1000:1000", 64 << 20));
    assert_eq!(state.labels, spec.labels);
    assert_eq!(world.state(&state.id).await, state, "it is found by its ID too");
    world.engine.start_container(&name).await.unwrap();
    let state = world.ended(&name).await;
    assert!(!state.fresh && !state.oom_killed);
    assert_eq!((state.exit_code, state.error.as_str()), (0, ""));
}

pub(super) async fn a_main_process_leaves_its_code<E: Engine>(world: &World<E>) {
    for code in [0, 1, 42, 137] {
        let command = world.program(&format!("exit {code}"), Behaviour::new().exit(code));
        let name = world.start(&world.spec(&format!("c{code}"), command).await).await;
        let state = world.ended(&name).await;
        assert_eq!((state.exit_code, state.oom_killed), (code, false));
    }
}

/// A container whose main process ended keeps its name and its files, and may be started again.
/// Which tells a container that was killed from one that a restart of the engine stopped.
pub(super) async fn what_ends_ends_after_the_engine_began<E: Engine>(world: &World<E>) {
    let Some(began) = world.engine.began().await.unwrap() else { return };
    let fresh = world.create(&world.spec("fresh", world.stays()).await).await;
    assert_eq!(world.state(&fresh).await.ended, None);
    let name = world.home().await;
    assert_eq!(world.state(&name).await.ended, None);
    // Two ends of the same container, the first by itself, so to say.
    for _ in 0..2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        world.engine.start_container(&name).await.unwrap();
        assert_eq!(world.state(&name).await.ended, None);
        world.engine.kill_container(&name).await.unwrap();
        let ended = world.ended(&name).await.ended.expect("it ended");
        assert!(ended > began, "{ended:?} {began:?}");
    }
    assert_eq!(world.engine.began().await.unwrap(), Some(began));
}

pub(super) async fn stopped_is_not_gone<E: Engine>(world: &World<E>) {
    let behaviour = Behaviour::new().if_file("/once", Behaviour::new().exit(4)).touch("/once").exit(3);
    let command = world.program("test -e /once && exit 4; touch /once; exit 3", behaviour);
    let spec = world.spec("one", command).await;
    let name = world.start(&spec).await;
    assert_eq!(world.ended(&name).await.exit_code, 3);
    assert_eq!(world.engine.create_container(&spec).await.unwrap(), Creation::NameTaken);
    world.engine.start_container(&name).await.unwrap();
    assert_eq!(world.ended(&name).await.exit_code, 4);
}

pub(super) async fn stop_kills_what_ignores_term<E: Engine>(world: &World<E>) {
    let name = world.home().await;
    let begun = Instant::now();
    world.engine.stop_container(&name, Duration::from_secs(1)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    let state = world.state(&name).await;
    assert_eq!((state.running, state.exit_code), (false, 137));
}

pub(super) async fn an_init_passes_term_on<E: Engine>(world: &World<E>) {
    let mut spec = world.spec("one", world.stays()).await;
    spec.init = true;
    let dies = world.start(&spec).await;
    let handles = Behaviour::new().out("up\n").forever().on_term(Behaviour::new().exit(5));
    spec.name = world.name("two");
    spec.command = Some(world.program("trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done", handles));
    let handles = world.start(&spec).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for (name, code) in [(dies, 143), (handles, 5)] {
        let begun = Instant::now();
        world.engine.stop_container(&name, Duration::from_secs(10)).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        assert_eq!(world.state(&name).await.exit_code, code);
    }
}

pub(super) async fn a_killed_container_has_137<E: Engine>(world: &World<E>) {
    let name = world.home().await;
    world.engine.kill_container(&name).await.unwrap();
    let state = world.ended(&name).await;
    assert_eq!((state.exit_code, state.oom_killed), (137, false));
}

pub(super) async fn starting_twice_is_fine<E: Engine>(world: &World<E>) {
    let name = world.home().await;
    world.engine.start_container(&name).await.unwrap();
    assert!(world.state(&name).await.running);
    let error = world.engine.start_container(&world.name("nobody")).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
}

pub(super) async fn what_is_gone_needs_no_ending<E: Engine>(world: &World<E>) {
    let fresh = world.create(&world.spec("fresh", world.stays()).await).await;
    let stopped = world.home().await;
    world.engine.kill_container(&stopped).await.unwrap();
    world.ended(&stopped).await;
    for name in [fresh, stopped, world.name("nobody")] {
        world.engine.stop_container(&name, Duration::from_secs(1)).await.unwrap();
        world.engine.kill_container(&name).await.unwrap();
    }
    assert_eq!(world.engine.container(&world.name("nobody")).await.unwrap(), None);
}

pub(super) async fn removal_is_idempotent<E: Engine>(world: &World<E>) {
    let name = world.home().await;
    assert_eq!(world.engine.remove_container(&name).await.unwrap(), Removal::Removed);
    assert_eq!(world.engine.remove_container(&name).await.unwrap(), Removal::Gone);
    assert_eq!(world.engine.container(&name).await.unwrap(), None);
    let fresh = world.create(&world.spec("fresh", world.stays()).await).await;
    assert_eq!(world.engine.remove_container(&fresh).await.unwrap(), Removal::Removed);
}

pub(super) async fn anonymous_volumes_go_with_their_container<E: Engine>(world: &World<E>) {
    let mut spec = world.spec("one", world.stays()).await;
    spec.image = world.image_here("volume").await;
    let name = world.start(&spec).await;
    let volumes = world.anonymous_volumes(&name).await;
    assert_eq!(volumes.len(), 1);
    assert!(world.has_volume(&volumes[0]).await);
    assert_eq!(world.engine.remove_container(&name).await.unwrap(), Removal::Removed);
    assert!(!world.has_volume(&volumes[0]).await);
}

/// The container is there, was not started, and says why.
pub(super) async fn a_missing_program_does_not_start<E: Engine>(world: &World<E>) {
    let name = world.create(&world.spec("one", vec!["no-such-program".to_owned()]).await).await;
    let error = world.engine.start_container(&name).await.unwrap_err();
    assert_eq!(Refusal::of(&error.words()), Some(Refusal::NoSuchProgram), "{error:?}");
    let state = world.state(&name).await;
    assert!(state.fresh && !state.running);
    if !on_podman(world).await {
        assert_eq!(state.exit_code, 127);
        assert_eq!(Refusal::of(&state.error), Some(Refusal::NoSuchProgram));
    }
}

pub(super) async fn a_main_process_may_be_killed_for_memory<E: Engine>(world: &World<E>) {
    let eats = world.program("exec tail /dev/zero", Behaviour::new().out_of_memory());
    let mut spec = world.spec("one", eats).await;
    spec.limits.memory = Some(ByteSize(16 << 20));
    spec.limits.memory_swap = Some(ByteSize(16 << 20));
    let name = world.start(&spec).await;
    let state = world.ended(&name).await;
    assert_eq!(state.exit_code, 137);
    // With the older cgroups, Podman does not see why.
    assert!(state.oom_killed || on_podman(world).await);
}

pub(super) async fn an_address_is_known_while_it_runs<E: Engine>(world: &World<E>) {
    let network = world.network("net");
    let id = made(world.engine.create_network(&network).await.unwrap()).id;
    for (what, by) in [("by-name", network.name.clone()), ("by-id", id)] {
        let mut spec = world.spec(what, world.stays()).await;
        spec.network = NetworkUse::Joined { network: by, aliases: vec!["build".to_owned()] };
        let name = world.create(&spec).await;
        assert!(world.state(&name).await.addresses.is_empty(), "{what}");
        world.engine.start_container(&name).await.unwrap();
        let addresses = world.state(&name).await.addresses;
        let networks: Vec<&String> = addresses.keys().collect();
        assert_eq!(networks, [&network.name], "{what}");
        assert!(addresses[&network.name].parse::<std::net::Ipv4Addr>().is_ok(), "{addresses:?}");
        world.engine.kill_container(&name).await.unwrap();
        assert!(world.ended(&name).await.addresses.is_empty(), "{what}");
    }
}

pub(super) async fn health_begins_with_the_start<E: Engine>(world: &World<E>) {
    let plain = world.home().await;
    assert_eq!(world.state(&plain).await.health, Health::None);
    if on_podman(world).await {
        return;
    }
    for (image, then) in [("web-healthy", Health::Healthy), ("web-unhealthy", Health::Unhealthy)] {
        let mut spec = world.spec(image, Vec::new()).await;
        spec.image = world.image_here(image).await;
        assert!(world.engine.image(&spec.image).await.unwrap().is_some_and(|facts| facts.has_healthcheck));
        spec.command = None;
        let name = world.create(&spec).await;
        assert_eq!(world.state(&name).await.health, Health::None, "{image}, fresh");
        world.engine.start_container(&name).await.unwrap();
        assert_eq!(world.state(&name).await.health, Health::Starting, "{image}, started");
        world.until(async || (world.state(&name).await.health == then).then_some(())).await;
        world.engine.kill_container(&name).await.unwrap();
        assert_eq!(world.ended(&name).await.health, Health::Unhealthy, "{image}, stopped");
    }
}
