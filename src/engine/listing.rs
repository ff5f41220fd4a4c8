//! What exists on an engine, and what happens there: listings and events of the Docker API.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerSummaryStateEnum, EventMessage, EventMessageTypeEnum};
use bollard::query_parameters as query;
use futures_util::StreamExt;
use futures_util::future::{self, Either};

use super::api::{ContainerSummary, Event, EventKind, Events, ImageSummary, ObjectSummary};
use super::client::{Docker, STUMBLES, failure};
use super::convert::{self, NO_NAME};
use super::error::EngineError;
use super::moment::Moment;
use super::podman;

fn seconds(count: Option<i64>) -> Duration {
    Duration::from_secs(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

fn filter(name: &str, values: &[&str]) -> HashMap<String, Vec<String>> {
    HashMap::from([(name.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())])
}

fn time(text: Option<String>) -> Option<Duration> {
    let nanos = Moment::parse(text.as_deref().unwrap_or_default())?.0;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

impl Docker {
    /// Returns all images but those that are only layers of others.
    pub(super) async fn list_images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let client = self.client().await?;
        let ask = async || {
            let found = client.list_images(None::<query::ListImagesOptions>).await;
            found.map_err(|e| self.failed("list images", e))
        };
        let mut found = ask().await;
        for _ in 0..STUMBLES {
            // With containerd's store it stumbles over an image that goes just then; Podman does so in other words.
            let stumbles = match &found {
                Err(EngineError::NotFound { .. }) => true,
                Err(EngineError::Refused { message, .. }) => message.contains("image not known"),
                _ => false,
            };
            if !stumbles {
                break;
            }
            found = ask().await;
        }
        Ok(found?
            .into_iter()
            .map(|image| ImageSummary {
                id: image.id,
                tags: convert::tags(image.repo_tags),
                digests: image.repo_digests.into_iter().filter(|name| !name.contains(NO_NAME)).collect(),
                bytes: u64::try_from(image.size).unwrap_or_default(),
                created: seconds(Some(image.created)),
            })
            .collect())
    }

    /// Returns containers, running or not; `label`: only those with a label, `KEY` or `KEY=VALUE`.
    pub(super) async fn list_containers(
        &self,
        label: Option<&str>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = query::ListContainersOptionsBuilder::default().all(true);
        let options = match label {
            Some(label) => options.filters(&filter("label", &[label])),
            None => options,
        };
        let found = match self.client().await?.list_containers(Some(options.build())).await {
            Err(error) if podman::said_stopped(&error) => {
                self.with_stopped("list containers", podman::list_path(label)).await?
            }
            found => found.map_err(|e| self.failed("list containers", e))?,
        };
        Ok(found
            .into_iter()
            .map(|c| ContainerSummary {
                id: c.id.unwrap_or_default(),
                name: c
                    .names
                    .unwrap_or_default()
                    .first()
                    .map(|n| n.trim_start_matches('/').to_owned())
                    .unwrap_or_default(),
                labels: convert::labels(c.labels),
                image: c.image.unwrap_or_default(),
                image_id: c.image_id.unwrap_or_default(),
                running: matches!(
                    c.state,
                    Some(
                        ContainerSummaryStateEnum::RUNNING
                            | ContainerSummaryStateEnum::PAUSED
                            | ContainerSummaryStateEnum::RESTARTING
                    )
                ),
                created: seconds(c.created),
            })
            .collect())
    }

    /// Returns networks with a label, `KEY` or `KEY=VALUE`.
    pub(super) async fn list_networks(&self, label: &str) -> Result<Vec<ObjectSummary>, EngineError> {
        let options =
            query::ListNetworksOptionsBuilder::default().filters(&filter("label", &[label])).build();
        let found = self.client().await?.list_networks(Some(options)).await;
        let found = found.map_err(|e| self.failed("list networks", e))?;
        Ok(found
            .into_iter()
            .filter_map(|network| {
                Some(ObjectSummary {
                    id: network.id?,
                    name: network.name.unwrap_or_default(),
                    labels: convert::labels(network.labels),
                    created: time(network.created),
                })
            })
            .collect())
    }

    /// Returns volumes with a label, `KEY` or `KEY=VALUE`.
    pub(super) async fn list_volumes(&self, label: &str) -> Result<Vec<ObjectSummary>, EngineError> {
        let options = query::ListVolumesOptionsBuilder::default().filters(&filter("label", &[label])).build();
        let found = self.client().await?.list_volumes(Some(options)).await;
        let found = found.map_err(|e| self.failed("list volumes", e))?;
        Ok(found
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(|volume| ObjectSummary {
                id: volume.name.clone(),
                name: volume.name,
                labels: convert::labels(Some(volume.labels)),
                created: time(volume.created_at),
            })
            .collect())
    }

    /// Listens to what happens to images, containers and volumes.
    pub(super) async fn listen(&self) -> Result<Events, EngineError> {
        let client = self.client().await?;
        let options = query::EventsOptionsBuilder::default()
            .filters(&filter("type", &["image", "container", "volume"]));
        let (endpoint, timeout) = (self.endpoint.clone(), self.timeout);
        let stream = client.events(Some(options.build())).map(move |item| match item {
            Ok(message) => Ok(event(message)),
            Err(error) => Err(failure(&endpoint, timeout, "events", error)),
        });
        let mut stream: Events = Box::pin(stream);
        // bollard sends nothing before the stream is asked for its first event, which may be long in coming.
        let ping = Box::pin(client.ping());
        match future::select(stream.next(), ping).await {
            Either::Left((Some(first), _)) => {
                let first = first?;
                Ok(Box::pin(futures_util::stream::once(future::ready(Ok(first))).chain(stream)))
            }
            Either::Left((None, _)) => Err(EngineError::Lost {
                call: "events".to_owned(),
                reason: "the engine closed the stream".to_owned(),
            }),
            Either::Right((answer, _)) => {
                answer.map_err(|e| self.failed("events", e))?;
                Ok(stream)
            }
        }
    }
}

/// Reads an event.
fn event(message: EventMessage) -> Event {
    let kind = match message.typ {
        Some(EventMessageTypeEnum::IMAGE) => EventKind::Image,
        Some(EventMessageTypeEnum::CONTAINER) => EventKind::Container,
        Some(EventMessageTypeEnum::VOLUME) => EventKind::Volume,
        _ => EventKind::Other,
    };
    let actor = message.actor.unwrap_or_default();
    let labels = convert::labels(actor.attributes);
    let id = actor.id.filter(|id| !id.is_empty()).or_else(|| labels.get("name").cloned());
    Event {
        kind,
        action: podman::action(kind, message.action.unwrap_or_default()),
        id: podman::actor(kind, id.unwrap_or_default()),
        labels,
    }
}
