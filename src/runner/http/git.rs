//! A repository over git's smart HTTP, answered by `git http-backend`: for reading only.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Body, text};

/// The largest request: what a client has and wants, a line for each commit.
const MOST_REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// The longest header that the backend may send.
const MOST_HEADER_LINES: usize = 64;

/// A git directory that is served.
#[derive(Debug, Clone)]
pub struct Repository {
    git_dir: PathBuf,
    env: Vec<(OsString, OsString)>,
}

/// The two requests of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// What refs there are.
    Refs,
    /// The commits themselves.
    Pack,
}

/// Returns which part of a fetch a request is; `None` for everything else, pushes among it.
pub(super) fn service_of(request: &Request<Incoming>) -> Option<Service> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    match *request.method() {
        Method::GET if path.ends_with(".git/info/refs") && query == "service=git-upload-pack" => {
            Some(Service::Refs)
        }
        Method::POST if path.ends_with(".git/git-upload-pack") => Some(Service::Pack),
        _ => None,
    }
}

impl Repository {
    /// Serves this git directory. `env` is for git itself: its PATH and HOME are used, nothing else.
    pub fn new(git_dir: impl Into<PathBuf>, env: &[(OsString, OsString)]) -> Self {
        let wanted = |(key, _): &&(OsString, OsString)| key == "PATH" || key == "HOME";
        Self { git_dir: git_dir.into(), env: env.iter().filter(wanted).cloned().collect() }
    }

    /// Returns a git command that works on this repository whoever owns it.
    pub fn git(&self) -> std::process::Command {
        let mut command = std::process::Command::new("git");
        command.env_clear().envs(self.env.iter().cloned());
        command.env("GIT_DIR", &self.git_dir).env("GIT_CONFIG_COUNT", "2");
        // Whoever runs `hearth try` on a directory trusts it; a detached commit can be fetched by its number.
        command.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
        command.env("GIT_CONFIG_KEY_1", "uploadpack.allowAnySHA1InWant").env("GIT_CONFIG_VALUE_1", "true");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// Returns the git directory.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    pub(super) async fn answer(&self, service: Service, request: Request<Incoming>) -> Response<Body> {
        match self.try_answer(service, request).await {
            Ok(response) => response,
            Err(status) => text(status, "git http-backend did not answer\n"),
        }
    }

    async fn try_answer(
        &self,
        service: Service,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, StatusCode> {
        let mut command = Command::from(self.git());
        command.arg("http-backend").env_remove("GIT_DIR").kill_on_drop(true);
        let path = match service {
            Service::Refs => "/info/refs",
            Service::Pack => "/git-upload-pack",
        };
        command.env("GIT_PROJECT_ROOT", &self.git_dir).env("GIT_HTTP_EXPORT_ALL", "1").env("PATH_INFO", path);
        command.env("REQUEST_METHOD", request.method().as_str());
        command.env("QUERY_STRING", request.uri().query().unwrap_or_default());
        command.env("REMOTE_USER", "job").env("REMOTE_ADDR", "127.0.0.1");
        for (header, name) in [
            ("content-type", "CONTENT_TYPE"),
            ("content-encoding", "HTTP_CONTENT_ENCODING"),
            ("git-protocol", "GIT_PROTOCOL"),
        ] {
            if let Some(value) = request.headers().get(header).and_then(|value| value.to_str().ok()) {
                command.env(name, value);
            }
        }
        let body = Limited::new(request.into_body(), MOST_REQUEST_BYTES).collect().await;
        let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
        command.env("CONTENT_LENGTH", body.len().to_string()).stdin(Stdio::piped());
        let mut child = command.spawn().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A backend that does not want all of it closes the pipe, which is its business.
            tokio::spawn(async move { stdin.write_all(&body).await });
        }
        let stdout = child.stdout.take().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        respond(child, BufReader::new(stdout)).await
    }
}

/// Turns the backend's output, headers first, into a response that streams.
async fn respond<R>(child: Child, mut output: BufReader<R>) -> Result<Response<Body>, StatusCode>
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let mut response = Response::new(());
    for _ in 0..MOST_HEADER_LINES {
        let mut line = String::new();
        let mut bounded = (&mut output).take(8 * 1024);
        bounded.read_line(&mut line).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        let line = match line.strip_suffix('\n') {
            Some(line) => line.trim_end_matches('\r'),
            None => return Err(StatusCode::BAD_GATEWAY),
        };
        if line.is_empty() {
            let chunks = stream::unfold((output, Some(child)), next_chunk);
            return Ok(response.map(|()| StreamBody::new(chunks).boxed_unsync()));
        }
        let (name, value) = line.split_once(':').ok_or(StatusCode::BAD_GATEWAY)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let status = value.get(..3).and_then(|code| code.parse().ok());
            *response.status_mut() = status.ok_or(StatusCode::BAD_GATEWAY)?;
        } else {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| StatusCode::BAD_GATEWAY)?;
            let value = HeaderValue::from_str(value).map_err(|_| StatusCode::BAD_GATEWAY)?;
            response.headers_mut().insert(name, value);
        }
    }
    Err(StatusCode::BAD_GATEWAY)
}

type Streaming<R> = (BufReader<R>, Option<Child>);

/// Reads on until the backend has ended. One that fails breaks the response off instead of ending it.
async fn next_chunk<R>(
    (mut output, mut child): Streaming<R>,
) -> Option<(io::Result<Frame<Bytes>>, Streaming<R>)>
where
    R: AsyncRead + Unpin,
{
    let mut chunk = vec![0; 64 * 1024];
    let result = match output.read(&mut chunk).await {
        Ok(0) => match child.take()?.wait().await {
            Ok(status) if status.success() => return None,
            Ok(status) => Err(io::Error::other(format!("git http-backend: {status}"))),
            Err(error) => Err(error),
        },
        Ok(count) => {
            chunk.truncate(count);
            Ok(Frame::data(Bytes::from(chunk)))
        }
        Err(error) => {
            child = None;
            Err(error)
        }
    };
    Some((result, (output, child)))
}
