//! Clauses on listings of all that is there, and on what is told of changes.

use std::time::Duration;

use futures_util::StreamExt;
use hearth::engine::fake::Behaviour;
use hearth::engine::{Creation, Engine, Event, EventKind, Events, Removal, Tagging};
use hearth::job::names::{LABEL_JOB, LABEL_ROLE};

use super::streams::PATIENCE;
use super::world::{World, pull};

/// How far the clocks of the engine and of the tests may be apart.
const APART: u64 = 300;

fn is_now<E: Engine>(world: &World<E>, time: Duration) -> bool {
    time.as_secs().abs_diff(u64::try_from(world.now()).unwrap_or_default()) < APART
}

pub(super) async fn all_containers_are_listed_with_their_images<E: Engine>(world: &World<E>) {
    let busybox = world.image_here("busybox").await;
    let facts = world.engine.image(&busybox).await.unwrap().expect("it is here");
    let fresh = world.create(&world.spec("fresh", world.stays()).await).await;
    let running = world.home().await;
    let stopped = world.start(&world.spec("stopped", world.program("exit 0", Behaviour::new())).await).await;
    world.ended(&stopped).await;
    let found = world.engine.containers().await.unwrap();
    for (name, runs) in [(fresh, false), (running, true), (stopped, false)] {
        let one = found.iter().find(|c| c.name == name).expect("it is listed");
        assert_eq!((one.running, &one.image_id), (runs, &facts.id), "{one:?}");
        assert!(is_now(world, one.created), "{one:?}");
        assert_eq!(one.labels.get(world.label().0).map(String::as_str), Some(world.label().1));
        assert_eq!(one.image, busybox);
    }
}

pub(super) async fn networks_and_volumes_of_jobs_are_listed<E: Engine>(world: &World<E>) {
    let (mut network, mut volume) = (world.network("net"), world.volume("vol"));
    network.labels.insert(LABEL_JOB.to_owned(), "any".to_owned());
    volume.labels.insert(LABEL_ROLE.to_owned(), "any".to_owned());
    let Creation::Made(made) = world.engine.create_network(&network).await.unwrap() else {
        panic!("it is made");
    };
    world.engine.create_volume(&volume).await.unwrap();
    let (other_network, other_volume) = (world.network("other-net"), world.volume("other-vol"));
    world.engine.create_network(&other_network).await.unwrap();
    world.engine.create_volume(&other_volume).await.unwrap();

    let networks = world.engine.networks().await.unwrap();
    let one = networks.iter().find(|one| one.name == network.name).expect("it is listed");
    assert_eq!((&one.id, &one.labels), (&made.id, &network.labels));
    assert!(one.created.is_some_and(|time| is_now(world, time)), "{one:?}");
    assert!(networks.iter().all(|one| one.name != other_network.name));

    let volumes = world.engine.volumes().await.unwrap();
    let one = volumes.iter().find(|one| one.name == volume.name).expect("it is listed");
    assert_eq!((&one.id, &one.labels), (&volume.name, &volume.labels));
    assert!(one.created.is_some_and(|time| is_now(world, time)), "{one:?}");
    assert!(volumes.iter().all(|one| one.name != other_volume.name));
}

/// Somebody who listens, and forgets nothing.
struct Ears {
    events: Events,
    heard: Vec<Event>,
}

impl Ears {
    /// Waits for an event, which may have come already: engines keep to no order, and events of other tests come too.
    async fn wait_for(&mut self, kind: EventKind, action: &str, is_it: impl Fn(&Event) -> bool) {
        let fits = |event: &Event| event.kind == kind && event.action == action && is_it(event);
        while !self.heard.iter().any(fits) {
            match tokio::time::timeout(PATIENCE, self.events.next()).await {
                Ok(Some(Ok(event))) => self.heard.push(event),
                other => panic!("no {action} of {kind:?}: {other:?} after {:#?}", self.heard),
            }
        }
    }
}

pub(super) async fn a_change_is_told<E: Engine>(world: &World<E>) {
    let mut ears = Ears { events: world.engine.events().await.unwrap(), heard: Vec::new() };
    let own = world.own("events").await;
    world.engine.pull(&pull(&own.reference), &mut |_| {}).await.unwrap();
    ears.wait_for(EventKind::Image, "pull", |event| event.id == own.reference).await;
    let id = world.engine.image(&own.reference).await.unwrap().expect("it is here").id;
    let other = world.own_name("events-too");
    assert_eq!(world.engine.tag(&own.reference, &other).await.unwrap(), Tagging::Tagged);
    ears.wait_for(EventKind::Image, "tag", |event| event.id == id).await;

    let mut spec = world.spec("told", world.stays()).await;
    spec.labels.insert(LABEL_JOB.to_owned(), "told".to_owned());
    let name = world.start(&spec).await;
    let container = world.state(&name).await.id;
    let is_job = |event: &Event| event.labels.get(LABEL_JOB).is_some_and(|job| job == "told");
    ears.wait_for(EventKind::Container, "start", |event| event.id == container && is_job(event)).await;
    world.engine.kill_container(&name).await.unwrap();
    ears.wait_for(EventKind::Container, "die", |event| event.id == container && is_job(event)).await;
    assert_eq!(world.engine.remove_container(&name).await.unwrap(), Removal::Removed);
    ears.wait_for(EventKind::Container, "destroy", |event| event.id == container && is_job(event)).await;

    assert_eq!(world.engine.remove_image(&other).await.unwrap(), Removal::Removed);
    ears.wait_for(EventKind::Image, "untag", |event| event.id == id).await;
    assert_eq!(world.engine.remove_image(&own.reference).await.unwrap(), Removal::Removed);
    ears.wait_for(EventKind::Image, "delete", |event| event.id == id).await;

    let volume = world.volume("told");
    world.engine.create_volume(&volume).await.unwrap();
    ears.wait_for(EventKind::Volume, "create", |event| event.id == volume.name).await;
    assert_eq!(world.engine.remove_volume(&volume.name).await.unwrap(), Removal::Removed);
    ears.wait_for(EventKind::Volume, "destroy", |event| event.id == volume.name).await;
}
