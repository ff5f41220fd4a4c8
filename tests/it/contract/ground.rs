//! Clauses on networks and volumes.

use hearth::engine::fake::Behaviour;
use hearth::engine::{Creation, Engine, EngineError, Removal};
use hearth::plan::spec::NetworkUse;

use super::world::{World, made, mount, on_podman};

fn joined(network: &str) -> NetworkUse {
    NetworkUse::Joined { network: network.to_owned(), aliases: Vec::new() }
}

pub(super) async fn a_network_is_made_once_and_goes_once<E: Engine>(world: &World<E>) {
    let spec = world.network("net");
    let id = made(world.engine.create_network(&spec).await.unwrap()).id;
    assert_eq!(world.engine.create_network(&spec).await.unwrap(), Creation::NameTaken);
    let (label, value) = world.label();
    assert_eq!(world.engine.networks_labelled(label, value).await.unwrap(), [id]);
    assert_eq!(world.engine.remove_network(&spec.name).await.unwrap(), Removal::Removed);
    assert_eq!(world.engine.remove_network(&spec.name).await.unwrap(), Removal::Gone);
    let id = made(world.engine.create_network(&spec).await.unwrap()).id;
    assert_eq!(world.engine.remove_network(&id).await.unwrap(), Removal::Removed);
}

/// It is in use by containers that run; one that is fresh or stopped does not hold it, but on Podman it does.
pub(super) async fn a_network_in_use_stays<E: Engine>(world: &World<E>) {
    let network = world.network("net");
    made(world.engine.create_network(&network).await.unwrap());
    let mut spec = world.spec("on", world.stays()).await;
    spec.network = joined(&network.name);
    let name = world.start(&spec).await;
    assert_eq!(world.engine.remove_network(&network.name).await.unwrap(), Removal::InUse);
    world.engine.kill_container(&name).await.unwrap();
    world.ended(&name).await;
    if on_podman(world).await {
        assert_eq!(world.engine.remove_network(&network.name).await.unwrap(), Removal::InUse);
        assert_eq!(world.engine.remove_container(&name).await.unwrap(), Removal::Removed);
    }
    assert_eq!(world.engine.remove_network(&network.name).await.unwrap(), Removal::Removed);
}

pub(super) async fn a_container_without_its_network_does_not_start<E: Engine>(world: &World<E>) {
    let network = world.network("net");
    made(world.engine.create_network(&network).await.unwrap());
    let mut spec = world.spec("on", world.stays()).await;
    spec.network = joined(&network.name);
    let name = world.create(&spec).await;
    if on_podman(world).await {
        assert_eq!(world.engine.remove_network(&network.name).await.unwrap(), Removal::InUse);
        return;
    }
    assert_eq!(world.engine.remove_network(&network.name).await.unwrap(), Removal::Removed);
    let error = world.engine.start_container(&name).await.unwrap_err();
    assert!(matches!(error, EngineError::NotFound { .. }), "{error:?}");
    assert!(!world.state(&name).await.running);
}

pub(super) async fn a_volume_may_be_made_twice<E: Engine>(world: &World<E>) {
    let spec = world.volume("vol");
    world.engine.create_volume(&spec).await.unwrap();
    world.engine.create_volume(&spec).await.unwrap();
    let (label, value) = world.label();
    assert_eq!(world.engine.volumes_labelled(label, value).await.unwrap(), std::slice::from_ref(&spec.name));
    assert_eq!(world.engine.remove_volume(&spec.name).await.unwrap(), Removal::Removed);
    assert_eq!(world.engine.remove_volume(&spec.name).await.unwrap(), Removal::Gone);
}

pub(super) async fn a_volume_may_be_made_by_two_at_once<E: Engine>(world: &World<E>) {
    let spec = world.volume("vol");
    for _ in 0..10 {
        let make = || world.engine.create_volume(&spec);
        let made = futures_util::future::join4(make(), make(), make(), make()).await;
        assert_eq!(made, (Ok(()), Ok(()), Ok(()), Ok(())));
        assert_eq!(world.engine.remove_volume(&spec.name).await.unwrap(), Removal::Removed);
    }
}

/// It is in use by every container that exists, running or not.
pub(super) async fn a_mounted_volume_stays<E: Engine>(world: &World<E>) {
    let volume = world.volume("vol");
    world.engine.create_volume(&volume).await.unwrap();
    let mut spec = world.spec("on", world.program("exit 0", Behaviour::new())).await;
    spec.mounts = vec![mount(&volume.name, "/vol")];
    let name = world.create(&spec).await;
    assert_eq!(world.engine.remove_volume(&volume.name).await.unwrap(), Removal::InUse);
    world.engine.start_container(&name).await.unwrap();
    world.ended(&name).await;
    assert_eq!(world.engine.remove_volume(&volume.name).await.unwrap(), Removal::InUse);
    assert_eq!(world.engine.remove_container(&name).await.unwrap(), Removal::Removed);
    assert!(world.has_volume(&volume.name).await, "a named volume outlives its containers");
    assert_eq!(world.engine.remove_volume(&volume.name).await.unwrap(), Removal::Removed);
}

pub(super) async fn objects_are_listed_by_label<E: Engine>(world: &World<E>) {
    let (label, value) = world.label();
    let fresh = world.create(&world.spec("fresh", world.stays()).await).await;
    let running = world.home().await;
    let stopped = world.start(&world.spec("stopped", world.program("exit 0", Behaviour::new())).await).await;
    world.ended(&stopped).await;
    let mut unlike = world.spec("unlike", world.stays()).await;
    unlike.labels.insert(label.to_owned(), format!("{value}-not"));
    let unlike = world.create(&unlike).await;
    let found = world.engine.containers_labelled(label, value).await.unwrap();
    let mut names: Vec<&str> = found.iter().map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [&fresh, &running, &stopped]);
    let one = found.iter().find(|c| c.name == running).expect("it is listed");
    assert_eq!(one.id, world.state(&running).await.id);
    assert_eq!(one.labels.get(label).map(String::as_str), Some(value));
    assert_eq!(world.engine.containers_labelled(label, "nobody").await.unwrap(), []);
    assert_eq!(world.engine.networks_labelled(label, "nobody").await.unwrap(), Vec::<String>::new());
    assert_eq!(world.engine.volumes_labelled(label, "nobody").await.unwrap(), Vec::<String>::new());
    assert_eq!(world.engine.remove_container(&unlike).await.unwrap(), Removal::Removed);
}

pub(super) async fn a_volume_keeps_its_files<E: Engine>(world: &World<E>) {
    let volume = world.volume("vol");
    world.engine.create_volume(&volume).await.unwrap();
    let write = world.program("touch /vol/file", Behaviour::new().touch("/vol/file"));
    let find = world.program(
        "test -e /vol/file || exit 9",
        Behaviour::new().if_file("/vol/file", Behaviour::new()).exit(9),
    );
    for (what, command) in [("writer", write), ("reader", find)] {
        let mut spec = world.spec(what, command).await;
        spec.mounts = vec![mount(&volume.name, "/vol")];
        let name = world.start(&spec).await;
        assert_eq!(world.ended(&name).await.exit_code, 0, "{what}");
        assert_eq!(world.engine.remove_container(&name).await.unwrap(), Removal::Removed);
    }
}
