//! The way to an engine's socket: bollard's client, the API version in its paths, and its errors in our words.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use bollard::BollardRequest;
use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::{Stream, StreamExt};
use http::HeaderValue;

use super::api::{Chunk, Engine as _, Output, RegistryLogin};
use super::error::EngineError;
use super::podman;

/// The oldest API version that serves: Docker 20.10 and Podman 4 end there.
pub const MINIMUM_API: Api = Api(1, 41);
/// The newest API version whose changes hearth knows.
pub(super) const NEWEST_API: Api = Api(1, 47);
/// How often a call is made again over which the engine stumbled.
pub(super) const STUMBLES: usize = 5;
/// The file in the attempt's directory that tells later stages the API version. A hint: they ask where it is missing.
pub const API_HINT_FILE: &str = "hearth-api";

/// A version of the Docker API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api(u32, u32);

impl Api {
    pub(super) fn parse(text: &str) -> Option<Self> {
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
    pub(super) endpoint: String,
    pub(super) timeout: Duration,
    pub(super) client: bollard::Docker,
    pub(super) api: Arc<OnceLock<Api>>,
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

    pub(super) async fn client(&self) -> Result<&bollard::Docker, EngineError> {
        if self.api.get().is_none() {
            self.version().await?;
        }
        Ok(&self.client)
    }

    /// Returns a client whose requests carry a registry login.
    pub(super) async fn with_login(
        &self,
        login: Option<&RegistryLogin>,
    ) -> Result<bollard::Docker, EngineError> {
        let client = self.client().await?.clone();
        let Some(header) = login.and_then(auth_header) else { return Ok(client) };
        let settled = Arc::clone(&self.api);
        Ok(client.with_request_modifier(move |request| {
            let mut request = versioned(request, settled.get());
            request.headers_mut().insert("X-Registry-Auth", header.clone());
            request
        }))
    }

    /// Returns a client that asks for another path than bollard would.
    pub(super) async fn with_path(&self, path: String) -> Result<bollard::Docker, EngineError> {
        let settled = Arc::clone(&self.api);
        Ok(self.client().await?.clone().with_request_modifier(move |mut request| {
            if let Ok(path) = path.parse() {
                *request.uri_mut() = moved(request.uri(), path);
            }
            versioned(request, settled.get())
        }))
    }

    /// Asks again for what bollard could not read, since Podman says of a container that it is `stopped`.
    pub(super) async fn with_stopped<T: serde::de::DeserializeOwned>(
        &self,
        call: &str,
        path: String,
    ) -> Result<T, EngineError> {
        // The only call of bollard's that gives an answer as it came.
        let text = self.with_path(path).await?.ping().await.map_err(|e| self.failed(call, e))?;
        podman::read_stopped(&text).ok_or_else(|| EngineError::Refused {
            call: call.to_owned(),
            status: 200,
            message: "its answer cannot be read".to_owned(),
        })
    }

    pub(super) fn failed(&self, call: &str, error: Error) -> EngineError {
        failure(&self.endpoint, self.timeout, call, error)
    }

    pub(super) fn output(
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

pub(super) fn failure(endpoint: &str, timeout: Duration, call: &str, error: Error) -> EngineError {
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
