//! The Docker API over bollard.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use bollard::BollardRequest;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::ExecConfig;
use bollard::query_parameters as query;
use futures_util::{Stream, StreamExt};
use http::HeaderValue;

use super::api::{
    Attached, Chunk, ContainerState, ContainerSummary, Created, Creation, Engine, EngineVersion, ExecRunning,
    ExecState, LogsRequest, Output, PullRequest, RegistryLogin, Removal, Tagging,
};
use super::convert;
use super::error::EngineError;
use super::info::{self, EngineInfo};
use super::moment::Moment;
use super::podman;
use super::progress::PullEvent;
use crate::image::{HistoryEntry, ImageFacts, Platform};
use crate::plan::spec::{ContainerSpec, ExecSpec, NetworkSpec, VolumeSpec};

/// The oldest API version that serves: Docker 20.10 and Podman 4 end there.
pub const MINIMUM_API: Api = Api(1, 41);
/// The newest API version whose changes hearth knows.
const NEWEST_API: Api = Api(1, 47);
/// The file in the attempt's directory that tells later stages the API version. A hint: they ask where it is missing.
pub const API_HINT_FILE: &str = "hearth-api";

/// What engines without a default pool of IPv6 addresses (before Docker 27) say to a network without a subnet.
const NO_IPV6_POOL: &str = "IPv6 address pool";
/// How often a call is made again over which Podman stumbled.
const STUMBLES: usize = 5;
/// The option by which Docker marks the bridge that it makes itself.
const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";

/// A version of the Docker API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api(u32, u32);

impl Api {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Chooses the endpoint: the settings', else DOCKER_HOST, else the usual socket.
pub fn endpoint(setting: Option<&str>, docker_host: Option<&str>) -> String {
    setting
        .filter(|host| !host.is_empty())
        .or(docker_host.filter(|host| !host.is_empty()))
        .unwrap_or("unix:///var/run/docker.sock")
        .to_owned()
}

/// An engine behind a socket.
pub struct Docker {
    endpoint: String,
    timeout: Duration,
    client: bollard::Docker,
    api: Arc<OnceLock<Api>>,
}

impl Docker {
    /// Makes a client for an endpoint; nothing is sent yet. `hint` is an API version that an earlier stage settled on.
    pub fn new(endpoint: &str, timeout: Duration, hint: Option<&str>) -> Result<Self, EngineError> {
        let version = bollard::ClientVersion { major_version: 1, minor_version: 41 };
        let seconds = timeout.as_secs().max(1);
        let client = match endpoint.split_once("://") {
            Some(("unix", path)) => bollard::Docker::connect_with_unix(path, seconds, &version),
            Some(("tcp" | "http", _)) => bollard::Docker::connect_with_http(endpoint, seconds, &version),
            _ => Err(Error::UnsupportedURISchemeError { uri: endpoint.to_owned() }),
        }
        .map_err(|error| unreachable_endpoint(endpoint, &error))?;
        let api = Arc::new(OnceLock::new());
        if let Some(hint) = hint.and_then(Api::parse).filter(|api| (MINIMUM_API..=NEWEST_API).contains(api)) {
            let _ = api.set(hint);
        }
        let settled = Arc::clone(&api);
        let client = client.with_request_modifier(move |request| versioned(request, settled.get()));
        Ok(Self { endpoint: endpoint.to_owned(), timeout, client, api })
    }

    async fn client(&self) -> Result<&bollard::Docker, EngineError> {
        if self.api.get().is_none() {
            self.version().await?;
        }
        Ok(&self.client)
    }

    /// Returns a client whose requests carry a registry login.
    async fn with_login(&self, login: Option<&RegistryLogin>) -> Result<bollard::Docker, EngineError> {
        let client = self.client().await?.clone();
        let Some(header) = login.and_then(auth_header) else { return Ok(client) };
        let settled = Arc::clone(&self.api);
        Ok(client.with_request_modifier(move |request| {
            let mut request = versioned(request, settled.get());
            request.headers_mut().insert("X-Registry-Auth", header.clone());
            request
        }))
    }

    /// Asks again for what bollard could not read, since Podman says of a container that it is `stopped`.
    async fn with_stopped<T: serde::de::DeserializeOwned>(
        &self,
        call: &str,
        path: String,
    ) -> Result<T, EngineError> {
        let settled = Arc::clone(&self.api);
        let client = self.client().await?.clone().with_request_modifier(move |mut request| {
            if let Ok(path) = path.parse() {
                *request.uri_mut() = moved(request.uri(), path);
            }
            versioned(request, settled.get())
        });
        // The only call of bollard's that gives an answer as it came.
        let text = client.ping().await.map_err(|e| self.failed(call, e))?;
        podman::read_stopped(&text).ok_or_else(|| EngineError::Refused {
            call: call.to_owned(),
            status: 200,
            message: "its answer cannot be read".to_owned(),
        })
    }

    fn failed(&self, call: &str, error: Error) -> EngineError {
        failure(&self.endpoint, self.timeout, call, error)
    }

    fn output(
        &self,
        stream: impl Stream<Item = Result<LogOutput, Error>> + 'static,
        call: &'static str,
    ) -> Output {
        let (endpoint, timeout) = (self.endpoint.clone(), self.timeout);
        Box::pin(stream.map(move |item| match item {
            Ok(LogOutput::StdErr { message }) => Ok(Chunk { stderr: true, bytes: message }),
            Ok(
                LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message },
            ) => Ok(Chunk { stderr: false, bytes: message }),
            Err(error) => Err(failure(&endpoint, timeout, call, error)),
        }))
    }
}

fn failure(endpoint: &str, timeout: Duration, call: &str, error: Error) -> EngineError {
    let call = call.to_owned();
    podman::error(match error {
        Error::DockerResponseServerError { status_code: 404, message } => EngineError::NotFound { message },
        Error::DockerResponseServerError { status_code: 409, message } => EngineError::Conflict { message },
        Error::DockerResponseServerError { status_code: status, message } => {
            EngineError::Refused { call, status, message }
        }
        Error::DockerStreamError { error } => EngineError::Refused { call, status: 0, message: error },
        Error::RequestTimeoutError => EngineError::Timeout { call, seconds: timeout.as_secs() },
        Error::SocketNotFoundError(_) => unreachable_endpoint(endpoint, &error),
        Error::HyperLegacyError { ref err } if err.is_connect() => unreachable_endpoint(endpoint, &error),
        other => EngineError::Lost { call, reason: innermost(&other) },
    })
}

/// bollard leaves the version out of its paths; the engine shall hold to the one that was settled.
fn versioned(mut request: BollardRequest, api: Option<&Api>) -> BollardRequest {
    let Some(api) = api else { return request };
    let mut parts = request.uri().clone().into_parts();
    if let Some(path) = parts.path_and_query.take() {
        parts.path_and_query = format!("/v{api}{path}").parse().ok().or(Some(path));
    }
    if let Ok(uri) = http::Uri::from_parts(parts) {
        tracing::debug!(method = %request.method(), path = %uri.path(), "engine call");
        *request.uri_mut() = uri;
    }
    request
}

/// Returns an address with another path.
fn moved(uri: &http::Uri, path: http::uri::PathAndQuery) -> http::Uri {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    http::Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

fn innermost(error: &Error) -> String {
    let mut source = error.source();
    let mut text = error.to_string();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

fn unreachable_endpoint(endpoint: &str, error: &Error) -> EngineError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if inner
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied)
        {
            return EngineError::Forbidden { endpoint: endpoint.to_owned() };
        }
        source = inner.source();
    }
    let reason = match error {
        Error::SocketNotFoundError(_) => "there is no such socket".to_owned(),
        other => innermost(other),
    };
    EngineError::Unreachable { endpoint: endpoint.to_owned(), reason }
}

/// The engine wants URL-safe base64 in this header; bollard writes the other alphabet.
fn auth_header(login: &RegistryLogin) -> Option<HeaderValue> {
    let json = if login.identity_token.expose().is_empty() {
        serde_json::json!({
            "username": login.username,
            "password": login.password.expose(),
            "serveraddress": login.server,
        })
    } else {
        serde_json::json!({ "identitytoken": login.identity_token.expose(), "serveraddress": login.server })
    };
    let text = base64::engine::general_purpose::URL_SAFE.encode(json.to_string());
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn removal(result: Result<(), EngineError>) -> Result<Removal, EngineError> {
    match result {
        Ok(()) => Ok(Removal::Removed),
        Err(EngineError::NotFound { .. }) => Ok(Removal::Gone),
        Err(EngineError::Conflict { .. }) => Ok(Removal::InUse),
        Err(EngineError::Refused { status: 403, .. }) => Ok(Removal::InUse),
        Err(error) => Err(error),
    }
}

fn label_filter(label: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{label}={value}")])])
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
        let options =
            query::ListNetworksOptionsBuilder::default().filters(&label_filter(label, value)).build();
        let found = self.client().await?.list_networks(Some(options)).await;
        let found = found.map_err(|e| self.failed("list networks", e))?;
        Ok(found.into_iter().filter_map(|n| n.id).collect())
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
        let options =
            query::ListVolumesOptionsBuilder::default().filters(&label_filter(label, value)).build();
        let found = self.client().await?.list_volumes(Some(options)).await;
        let found = found.map_err(|e| self.failed("list volumes", e))?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(|v| v.name).collect())
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
        let options = query::ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&label_filter(label, value))
            .build();
        let found = match self.client().await?.list_containers(Some(options)).await {
            Err(error) if podman::said_stopped(&error) => {
                self.with_stopped("list containers", podman::list_path(label, value)).await?
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
            })
            .collect())
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
