//! What the fake engine tells of all that it has, and of what happens.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::mpsc;

use super::container::Container;
use super::state::State;
use crate::engine::{ContainerSummary, EngineError, Event, EventKind, ImageSummary, ObjectSummary};
use crate::plan::spec::Labels;

/// A clock's nanoseconds as engines tell them in listings of containers and images: whole seconds.
fn whole_seconds(nanos: i128) -> Duration {
    Duration::from_secs(u64::try_from(nanos / 1_000_000_000).unwrap_or_default())
}

impl State {
    pub(super) fn list_images(&self) -> Vec<ImageSummary> {
        let summary = |host: &super::store::HostImage| ImageSummary {
            id: host.image.facts.id.clone(),
            tags: host.tags(self.info.store),
            digests: host.listed_digests(self.info.store),
            bytes: host.listed_bytes(self.info.store),
            created: host.image.created,
        };
        self.images.iter().map(summary).collect()
    }

    pub(super) fn list_containers(&self, which: impl Fn(&Labels) -> bool) -> Vec<ContainerSummary> {
        let summary = |c: &Container| ContainerSummary {
            id: c.id.clone(),
            name: c.spec.name.clone(),
            labels: c.spec.labels.clone(),
            image: c.spec.image.clone(),
            image_id: c.image.facts.id.clone(),
            running: c.running(),
            created: whole_seconds(c.created),
        };
        self.containers.iter().filter(|c| which(&c.spec.labels)).map(summary).collect()
    }

    pub(super) fn list_networks(&self, which: impl Fn(&Labels) -> bool) -> Vec<ObjectSummary> {
        let summary = |network: &super::state::Network| ObjectSummary {
            id: network.id.clone(),
            name: network.name.clone(),
            labels: network.labels.clone(),
            created: u64::try_from(network.created).ok().map(Duration::from_nanos),
        };
        self.networks.iter().filter(|n| which(&n.labels)).map(summary).collect()
    }

    pub(super) fn list_volumes(&self, which: impl Fn(&Labels) -> bool) -> Vec<ObjectSummary> {
        let found = self.volumes.iter().filter(|(_, volume)| which(&volume.labels));
        found
            .map(|(name, volume)| ObjectSummary {
                id: name.clone(),
                name: name.clone(),
                labels: volume.labels.clone(),
                created: Some(whole_seconds(volume.created)),
            })
            .collect()
    }

    /// Tells those who listen.
    pub(super) fn tell(&mut self, kind: EventKind, action: &str, id: &str, labels: &Labels) {
        let (action, id) = (action.to_owned(), id.to_owned());
        let event = Event { kind, action, id, labels: labels.clone() };
        self.listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }

    /// Adds one who listens.
    pub(super) fn listen(&mut self) -> Listening {
        let (listener, events) = mpsc::unbounded_channel();
        self.listeners.push(listener);
        Listening(Some(events))
    }
}

/// A client's end of a stream of events; it breaks with the engine.
pub(super) struct Listening(Option<mpsc::UnboundedReceiver<Event>>);

impl Stream for Listening {
    type Item = Result<Event, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(events) = self.0.as_mut() else { return Poll::Ready(None) };
        events.poll_recv(context).map(|event| match event {
            Some(event) => Some(Ok(event)),
            None => {
                self.0 = None;
                Some(Err(super::call::lost("events")))
            }
        })
    }
}
