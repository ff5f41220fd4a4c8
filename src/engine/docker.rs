//! The Docker API over bollard.

use std::time::Duration;

use bollard::models::ExecConfig;
use bollard::query_parameters as query;
use futures_util::StreamExt;

use super::api::{
    Attached, ContainerState, ContainerSummary, Created, Creation, Engine, EngineVersion, Events,
    ExecRunning, ExecState, ImageSummary, LogsRequest, ObjectSummary, Output, PullRequest, Removal, Tagging,
};
use super::client::{Api, Docker, MINIMUM_API, NEWEST_API, STUMBLES};
use super::convert;
use super::error::EngineError;
use super::info::{self, EngineInfo};
use super::moment::Moment;
use super::podman;
use super::progress::PullEvent;
use crate::image::{HistoryEntry, ImageFacts, Platform};
use crate::job::names::{LABEL_JOB, LABEL_ROLE};
use crate::plan::spec::{ContainerSpec, ExecSpec, NetworkSpec, VolumeSpec};

/// What engines without a default pool of IPv6 addresses (before Docker 27) say to a network without a subnet.
const NO_IPV6_POOL: &str = "IPv6 address pool";
/// The option by which Docker marks the bridge that it makes itself.
const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";

fn removal(result: Result<(), EngineError>) -> Result<Removal, EngineError> {
    match result {
        Ok(()) => Ok(Removal::Removed),
        Err(EngineError::NotFound { .. }) => Ok(Removal::Gone),
        Err(EngineError::Conflict { .. }) => Ok(Removal::InUse),
        Err(EngineError::Refused { status: 403, .. }) => Ok(Removal::InUse),
        Err(error) => Err(error),
    }
}

impl Engine for Docker {
    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    async fn version(&self) -> Result<EngineVersion, EngineError> {
        let found = self.client.version().await.map_err(|e| self.failed("version", e))?;
        let text = found.api_version.unwrap_or_default();
        let newest = Api::parse(&text).ok_or_else(|| EngineError::Refused {
            call: "version".to_owned(),
            status: 200,
            message: format!("it names the API version {text:?}"),
        })?;
        let oldest = found.min_api_version.as_deref().and_then(Api::parse).unwrap_or(MINIMUM_API);
        let api = newest.min(NEWEST_API);
        if api < MINIMUM_API {
            return Err(EngineError::TooOld { found: text, minimum: MINIMUM_API.to_string() });
        }
        if api < oldest {
            return Err(EngineError::TooNew { oldest: oldest.to_string(), newest: NEWEST_API.to_string() });
        }
        let api = *self.api.get_or_init(|| api);
        let product = found
            .components
            .unwrap_or_default()
            .into_iter()
            .find(|c| c.name.contains("Podman"))
            .map_or("Docker", |_| "Podman");
        Ok(EngineVersion {
            name: format!("{product} {}", found.version.unwrap_or_default()),
            api: api.to_string(),
            os: found.os.unwrap_or_default(),
            arch: found.arch.unwrap_or_default(),
        })
    }

    async fn info(&self) -> Result<EngineInfo, EngineError> {
        let found = self.client().await?.info().await;
        found.map(info::info).map_err(|e| self.failed("info", e))
    }

    async fn began(&self) -> Result<Option<Moment>, EngineError> {
        // The daemon makes its default bridge anew whenever it starts, unless containers outlived it; nothing else in
        // its API tells when that was, and its memory of events is short. Podman's network of that name means nothing.
        let found =
            self.client().await?.inspect_network("bridge", None::<query::InspectNetworkOptions>).await;
        match found.map_err(|e| self.failed("inspect network", e)) {
            Ok(bridge) => {
                let is_dockers = bridge.options.is_some_and(|options| options.contains_key(DEFAULT_BRIDGE));
                Ok(bridge.created.filter(|_| is_dockers).as_deref().and_then(Moment::parse))
            }
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError> {
        match self.client().await?.inspect_image(reference).await.map_err(|e| self.failed("inspect image", e))
        {
            Ok(image) => Ok(Some(convert::image(image))),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pull(
        &self,
        request: &PullRequest,
        on_event: &mut dyn FnMut(PullEvent),
    ) -> Result<(), EngineError> {
        let client = self.with_login(request.login.as_ref()).await?;
        let options = query::CreateImageOptionsBuilder::default()
            .from_image(&request.reference)
            .platform(&request.platform)
            .build();
        let mut stream = client.create_image(Some(options), None, None);
        while let Some(item) = stream.next().await {
            on_event(convert::pull_event(item.map_err(|e| self.failed("pull", e))?));
        }
        Ok(())
    }

    async fn image_history(&self, reference: &str) -> Result<Option<Vec<HistoryEntry>>, EngineError> {
        let found = self.client().await?.image_history(reference).await;
        match found.map_err(|e| self.failed("image history", e)) {
            Ok(found) => Ok(Some(convert::history(found))),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tag(&self, source: &str, target: &str) -> Result<Tagging, EngineError> {
        let (repository, tag) = target.rsplit_once(':').unwrap_or((target, "latest"));
        let options = query::TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        let tagged = self.client().await?.tag_image(source, Some(options)).await;
        match tagged.map_err(|e| self.failed("tag image", e)) {
            Ok(()) => Ok(Tagging::Tagged),
            Err(EngineError::NotFound { .. }) => Ok(Tagging::ImageMissing),
            Err(error) => Err(error),
        }
    }

    async fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        self.list_images().await
    }

    async fn remove_image(&self, name: &str) -> Result<Removal, EngineError> {
        let options = query::RemoveImageOptionsBuilder::default().force(false).noprune(false).build();
        let result = self.client().await?.remove_image(name, Some(options), None).await;
        removal(result.map(|_| ()).map_err(|e| self.failed("remove image", e)))
    }

    async fn prune_build_cache(&self, keep: u64) -> Result<Option<u64>, EngineError> {
        // bollard knows the word of newer versions of the API only, which older engines pass over.
        let keep = keep.min(i64::MAX as u64);
        let client = self.with_path(format!("/build/prune?all=true&keep-storage={keep}")).await?;
        let pruned = client.prune_build(None::<query::PruneBuildOptions>).await;
        match pruned.map_err(|e| self.failed("prune build cache", e)) {
            Ok(pruned) => {
                let freed = pruned.space_reclaimed.unwrap_or_default();
                Ok(Some(u64::try_from(freed).unwrap_or_default()))
            }
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn platforms(&self, request: &PullRequest) -> Result<Vec<Platform>, EngineError> {
        let client = self.with_login(request.login.as_ref()).await?;
        let found = client.inspect_registry_image(&request.reference, None).await;
        let found = match found.map_err(|e| self.failed("inspect registry image", e)) {
            // Podman has no such call; of an image, an engine says more.
            Err(EngineError::NotFound { message }) if message.trim() == "Not Found" => return Ok(Vec::new()),
            found => found?,
        };
        Ok(found
            .platforms
            .into_iter()
            .map(|p| {
                let part = |text: Option<String>| text.unwrap_or_default();
                Platform::new(&part(p.os), &part(p.architecture), &part(p.variant))
            })
            .collect())
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<Creation, EngineError> {
        let client = self.client().await?;
        let mut result = client.create_network(convert::network(spec, false)).await;
        for _ in 0..STUMBLES {
            if !result.as_ref().is_err_and(podman::stumbled) {
                break;
            }
            result = client.create_network(convert::network(spec, false)).await;
        }
        if spec.ipv6.is_some() && result.as_ref().is_err_and(|error| error.to_string().contains(NO_IPV6_POOL))
        {
            result = client.create_network(convert::network(spec, true)).await;
        }
        match result {
            // Engines before API 1.44 make a second network of one name and only warn; the first one is meant.
            Ok(made) if made.warning.contains("already exists") => {
                self.remove_network(&made.id).await?;
                Ok(Creation::NameTaken)
            }
            Ok(made) => {
                let warnings = Some(made.warning).filter(|w| !w.is_empty()).into_iter().collect();
                Ok(Creation::Made(Created { id: made.id, warnings }))
            }
            Err(error) => match self.failed("create network", error) {
                EngineError::Conflict { .. } => Ok(Creation::NameTaken),
                error => Err(error),
            },
        }
    }

    async fn remove_network(&self, name: &str) -> Result<Removal, EngineError> {
        let result = self.client().await?.remove_network(name).await;
        removal(result.map_err(|e| self.failed("remove network", e)))
    }

    async fn networks_labelled(&self, label: &str, value: &str) -> Result<Vec<String>, EngineError> {
        let found = self.list_networks(&format!("{label}={value}")).await?;
        Ok(found.into_iter().map(|network| network.id).collect())
    }

    async fn networks(&self) -> Result<Vec<ObjectSummary>, EngineError> {
        self.list_networks(LABEL_JOB).await
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), EngineError> {
        let made = self.client().await?.create_volume(convert::volume(spec)).await;
        match made.map_err(|e| self.failed("create volume", e)) {
            Err(error) if podman::made_at_once(&error) => Ok(()),
            made => made.map(|_| ()),
        }
    }

    async fn remove_volume(&self, name: &str) -> Result<Removal, EngineError> {
        let result = self.client().await?.remove_volume(name, None::<query::RemoveVolumeOptions>).await;
        removal(result.map_err(|e| self.failed("remove volume", e)))
    }

    async fn volumes_labelled(&self, label: &str, value: &str) -> Result<Vec<String>, EngineError> {
        let found = self.list_volumes(&format!("{label}={value}")).await?;
        Ok(found.into_iter().map(|volume| volume.name).collect())
    }

    async fn volumes(&self) -> Result<Vec<ObjectSummary>, EngineError> {
        self.list_volumes(LABEL_ROLE).await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<Creation, EngineError> {
        let options =
            query::CreateContainerOptionsBuilder::default().name(&spec.name).platform(&spec.platform).build();
        match self.client().await?.create_container(Some(options), convert::container(spec)).await {
            Ok(made) => Ok(Creation::Made(Created { id: made.id, warnings: made.warnings })),
            Err(error) => match self.failed("create container", error) {
                EngineError::Conflict { message } if message.contains("already in use") => {
                    Ok(Creation::NameTaken)
                }
                EngineError::NotFound { message }
                    if message.to_ascii_lowercase().contains("no such image") =>
                {
                    Ok(Creation::ImageMissing)
                }
                error => Err(error),
            },
        }
    }

    async fn start_container(&self, name: &str) -> Result<(), EngineError> {
        let started = self.client().await?.start_container(name, None::<query::StartContainerOptions>).await;
        started.map_err(|e| self.failed("start container", e))
    }

    async fn container(&self, name: &str) -> Result<Option<ContainerState>, EngineError> {
        let found =
            self.client().await?.inspect_container(name, None::<query::InspectContainerOptions>).await;
        let found = match found {
            Err(error) if podman::said_stopped(&error) => {
                self.with_stopped("inspect container", format!("/containers/{name}/json")).await
            }
            found => found.map_err(|e| self.failed("inspect container", e)),
        };
        match found {
            Ok(found) => Ok(Some(convert::state(found))),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn stop_container(&self, name: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = query::StopContainerOptionsBuilder::default().t(seconds).build();
        let stopped = self.client().await?.stop_container(name, Some(options)).await;
        match stopped.map_err(|e| self.failed("stop container", e)) {
            Ok(()) | Err(EngineError::NotFound { .. } | EngineError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn kill_container(&self, name: &str) -> Result<(), EngineError> {
        let killed = self.client().await?.kill_container(name, None::<query::KillContainerOptions>).await;
        match killed.map_err(|e| self.failed("kill container", e)) {
            Ok(()) | Err(EngineError::NotFound { .. } | EngineError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn remove_container(&self, name: &str) -> Result<Removal, EngineError> {
        let options = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let result = self.client().await?.remove_container(name, Some(options)).await;
        removal(result.map_err(|e| self.failed("remove container", e)))
    }

    async fn containers_labelled(
        &self,
        label: &str,
        value: &str,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        self.list_containers(Some(&format!("{label}={value}"))).await
    }

    async fn containers(&self) -> Result<Vec<ContainerSummary>, EngineError> {
        self.list_containers(None).await
    }

    async fn events(&self) -> Result<Events, EngineError> {
        self.listen().await
    }

    async fn logs(&self, name: &str, request: &LogsRequest) -> Result<Output, EngineError> {
        let tail = request.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = query::LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .follow(request.follow)
            .timestamps(request.timestamps)
            .since(i32::try_from(request.since).unwrap_or_default())
            .tail(&tail)
            .build();
        Ok(self.output(self.client().await?.logs(name, Some(options)), "read container log"))
    }

    async fn attach(&self, name: &str) -> Result<Attached, EngineError> {
        let options = query::AttachContainerOptionsBuilder::default()
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .stream(true)
            .build();
        let attached = self.client().await?.attach_container(name, Some(options)).await;
        let attached = attached.map_err(|e| self.failed("attach", e))?;
        Ok(Attached { output: self.output(attached.output, "attach"), input: attached.input })
    }

    async fn exec(&self, container: &str, spec: &ExecSpec) -> Result<ExecRunning, EngineError> {
        let client = self.client().await?;
        let config = ExecConfig {
            attach_stdin: Some(spec.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            cmd: Some(spec.command.clone()),
            user: (!spec.user.is_empty()).then(|| spec.user.clone()),
            env: (!spec.env.is_empty()).then(|| spec.env.clone()),
            ..Default::default()
        };
        let made = client.create_exec(container, config).await.map_err(|e| self.failed("create exec", e))?;
        let started = client.start_exec(&made.id, None).await.map_err(|e| self.failed("start exec", e))?;
        match started {
            bollard::exec::StartExecResults::Attached { output: stream, input } => {
                Ok(ExecRunning { id: made.id, output: self.output(stream, "exec"), input })
            }
            bollard::exec::StartExecResults::Detached => Err(EngineError::Lost {
                call: "start exec".to_owned(),
                reason: "the engine gave no stream".to_owned(),
            }),
        }
    }

    async fn exec_state(&self, id: &str) -> Result<ExecState, EngineError> {
        let found =
            self.client().await?.inspect_exec(id).await.map_err(|e| self.failed("inspect exec", e))?;
        let running = found.running.unwrap_or_default();
        // Podman names a code from the beginning.
        Ok(ExecState { running, exit_code: found.exit_code.filter(|_| !running) })
    }
}
