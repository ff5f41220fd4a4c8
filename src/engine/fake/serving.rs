//! The trait's methods on the fake engine.

use std::time::Duration;

use super::call::Call;
use super::image::FakeImage;
use super::state::State;
use super::{Fake, lifecycle};
use crate::engine::{
    Attached, ContainerState, ContainerSummary, Creation, Engine, EngineError, EngineInfo, EngineVersion,
    Events, ExecRunning, ExecState, ImageSummary, LogsRequest, Moment, ObjectSummary, Output, PullEvent,
    PullRequest, Removal, Tagging,
};
use crate::image::{HistoryEntry, ImageFacts, Platform};
use crate::job::names::{LABEL_JOB, LABEL_ROLE};
use crate::plan::spec::{ContainerSpec, ExecSpec, Labels, NetworkSpec, VolumeSpec};

fn has(labels: &Labels, label: &str, value: &str) -> bool {
    labels.get(label).is_some_and(|found| found == value)
}

impl Fake {
    /// Answers a call that takes no time of its own.
    async fn answer<T: Send + 'static>(
        &self,
        call: Call,
        object: &str,
        work: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let engine = self.clone();
        self.serve(call, object, async move { work(&engine) }).await
    }

    async fn list<T: Send + 'static>(
        &self,
        call: Call,
        (label, value): (&str, &str),
        list: impl FnOnce(&super::state::State, &str, &str) -> Vec<T> + Send + 'static,
    ) -> Result<Vec<T>, EngineError> {
        let (l, v) = (label.to_owned(), value.to_owned());
        self.answer(call, &format!("{label}={value}"), move |fake| Ok(fake.look(|state| list(state, &l, &v))))
            .await
    }
}

impl Engine for Fake {
    fn endpoint(&self) -> &str {
        "fake"
    }

    async fn version(&self) -> Result<EngineVersion, EngineError> {
        self.answer(Call::Version, "", |fake| Ok(fake.look(|state| state.version.clone()))).await
    }

    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.answer(Call::Info, "", |fake| Ok(fake.look(|state| state.info.clone()))).await
    }

    async fn began(&self) -> Result<Option<Moment>, EngineError> {
        self.answer(Call::InspectNetwork, "bridge", |fake| Ok(Some(fake.look(|state| state.began)))).await
    }

    async fn image_history(&self, reference: &str) -> Result<Option<Vec<HistoryEntry>>, EngineError> {
        let name = reference.to_owned();
        self.answer(Call::ImageHistory, reference, move |fake| {
            Ok(fake.look(|state| state.image(&name).map(FakeImage::history)))
        })
        .await
    }

    async fn tag(&self, source: &str, target: &str) -> Result<Tagging, EngineError> {
        let (from, to) = (source.to_owned(), target.to_owned());
        self.answer(Call::TagImage, target, move |fake| Ok(fake.change(|state| state.tag(&from, &to)))).await
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError> {
        let name = reference.to_owned();
        self.answer(
            Call::InspectImage,
            reference,
            move |fake| Ok(fake.look(|state| state.image_facts(&name))),
        )
        .await
    }

    async fn pull(
        &self,
        request: &PullRequest,
        on_event: &mut dyn FnMut(PullEvent),
    ) -> Result<(), EngineError> {
        self.answer(Call::Pull, &request.reference, |_| Ok(())).await?;
        self.fetch(request, on_event).await
    }

    async fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        self.answer(Call::ListImages, "", |fake| Ok(fake.look(|state| state.list_images()))).await
    }

    async fn remove_image(&self, name: &str) -> Result<Removal, EngineError> {
        let own = name.to_owned();
        self.answer(Call::RemoveImage, name, move |fake| fake.change(|state| state.remove_image(&own))).await
    }

    async fn prune_build_cache(&self, keep: u64) -> Result<Option<u64>, EngineError> {
        self.answer(Call::PruneBuildCache, "", move |fake| {
            Ok(fake.change(|state| {
                let cache = state.build_cache.as_mut()?;
                let freed = cache.saturating_sub(keep);
                *cache -= freed;
                Some(freed)
            }))
        })
        .await
    }

    async fn platforms(&self, request: &PullRequest) -> Result<Vec<Platform>, EngineError> {
        let own = request.clone();
        self.answer(Call::Platforms, &request.reference, move |fake| {
            fake.look(|state| state.registries.platforms(&own))
        })
        .await
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<Creation, EngineError> {
        let own = spec.clone();
        self.answer(Call::CreateNetwork, &spec.name, move |fake| Ok(fake.change(|s| s.create_network(&own))))
            .await
    }

    async fn remove_network(&self, name: &str) -> Result<Removal, EngineError> {
        let own = name.to_owned();
        self.answer(Call::RemoveNetwork, name, move |fake| Ok(fake.change(|s| s.remove_network(&own)))).await
    }

    async fn networks_labelled(&self, label: &str, value: &str) -> Result<Vec<String>, EngineError> {
        self.list(Call::ListNetworks, (label, value), |state, label, value| {
            state.list_networks(|labels| has(labels, label, value)).into_iter().map(|n| n.id).collect()
        })
        .await
    }

    async fn networks(&self) -> Result<Vec<ObjectSummary>, EngineError> {
        self.answer(Call::ListNetworks, LABEL_JOB, |fake| {
            Ok(fake.look(|state| state.list_networks(|labels| labels.contains_key(LABEL_JOB))))
        })
        .await
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), EngineError> {
        let own = spec.clone();
        self.answer(Call::CreateVolume, &spec.name, move |fake| {
            fake.change(|state| state.create_volume(&own));
            Ok(())
        })
        .await
    }

    async fn remove_volume(&self, name: &str) -> Result<Removal, EngineError> {
        let own = name.to_owned();
        self.answer(Call::RemoveVolume, name, move |fake| Ok(fake.change(|s| s.remove_volume(&own)))).await
    }

    async fn volumes_labelled(&self, label: &str, value: &str) -> Result<Vec<String>, EngineError> {
        self.list(Call::ListVolumes, (label, value), |state, label, value| {
            state.list_volumes(|labels| has(labels, label, value)).into_iter().map(|v| v.name).collect()
        })
        .await
    }

    async fn volumes(&self) -> Result<Vec<ObjectSummary>, EngineError> {
        self.answer(Call::ListVolumes, LABEL_ROLE, |fake| {
            Ok(fake.look(|state| state.list_volumes(|labels| labels.contains_key(LABEL_ROLE))))
        })
        .await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<Creation, EngineError> {
        let own = spec.clone();
        self.answer(Call::CreateContainer, &spec.name, move |fake| fake.change(|s| s.create_container(&own)))
            .await
    }

    async fn start_container(&self, name: &str) -> Result<(), EngineError> {
        let own = name.to_owned();
        self.answer(Call::StartContainer, name, move |fake| fake.start(&own)).await
    }

    async fn container(&self, name: &str) -> Result<Option<ContainerState>, EngineError> {
        let own = name.to_owned();
        self.answer(Call::InspectContainer, name, move |fake| {
            Ok(fake.look(|state| state.container(&own).map(super::container::Container::state)))
        })
        .await
    }

    async fn stop_container(&self, name: &str, grace: Duration) -> Result<(), EngineError> {
        let (engine, own) = (self.clone(), name.to_owned());
        self.serve(Call::StopContainer, name, async move {
            engine.end(&own, Some(grace)).await;
            Ok(())
        })
        .await
    }

    async fn kill_container(&self, name: &str) -> Result<(), EngineError> {
        let (engine, own) = (self.clone(), name.to_owned());
        self.serve(Call::KillContainer, name, async move {
            engine.end(&own, None).await;
            Ok(())
        })
        .await
    }

    async fn remove_container(&self, name: &str) -> Result<Removal, EngineError> {
        let (engine, own) = (self.clone(), name.to_owned());
        self.serve(Call::RemoveContainer, name, async move { Ok(engine.remove(&own).await) }).await
    }

    async fn containers_labelled(
        &self,
        label: &str,
        value: &str,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        self.list(Call::ListContainers, (label, value), |state, label, value| {
            state.list_containers(|labels| has(labels, label, value))
        })
        .await
    }

    async fn containers(&self) -> Result<Vec<ContainerSummary>, EngineError> {
        self.answer(Call::ListContainers, "", |fake| Ok(fake.look(|state| state.list_containers(|_| true))))
            .await
    }

    async fn events(&self) -> Result<Events, EngineError> {
        let listening = self.answer(Call::Events, "", |fake| Ok(fake.look(State::listen))).await?;
        Ok(Box::pin(listening))
    }

    async fn logs(&self, name: &str, request: &LogsRequest) -> Result<Output, EngineError> {
        self.answer(Call::Logs, name, |_| Ok(())).await?;
        self.read_log(name, request)
    }

    async fn attach(&self, name: &str) -> Result<Attached, EngineError> {
        self.answer(Call::Attach, name, |_| Ok(())).await?;
        self.join(name).map(lifecycle::attached)
    }

    async fn exec(&self, container: &str, spec: &ExecSpec) -> Result<ExecRunning, EngineError> {
        let (name, own) = (container.to_owned(), spec.clone());
        let made = move |fake: &Self| fake.change(|state| Self::create_exec(state, &name, &own));
        let id = self.answer(Call::CreateExec, container, made).await?;
        let (exec, own) = (id.clone(), spec.clone());
        let started = move |fake: &Self| fake.change(|state| fake.start_exec(state, &exec, &own));
        Ok(self.answer(Call::StartExec, container, started).await?.into_running(id))
    }

    async fn exec_state(&self, id: &str) -> Result<ExecState, EngineError> {
        let own = id.to_owned();
        self.answer(Call::InspectExec, id, move |fake| {
            let found = fake.look(|state| {
                let exec = state.execs.get(&own)?;
                Some(ExecState { running: exec.running, exit_code: exec.exit_code })
            });
            found.ok_or_else(|| EngineError::NotFound { message: format!("No such exec instance: {own}") })
        })
        .await
    }
}
