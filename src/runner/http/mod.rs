//! A small GitLab for one job: the repository over git's HTTP, and the artifacts API.
//!
//! It listens on one address, knows one job's tokens, lets nobody write into the repository and holds artifacts in memory.

mod artifacts;
mod git;

pub use git::Repository;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::secret::Secret;
use artifacts::Store;

/// The longest request line and headers.
const MOST_HEADER_BYTES: usize = 64 * 1024;
/// How long a client may take to send them.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// How many connections are served at once; a job has few.
const MOST_CONNECTIONS: usize = 32;
/// A repository that is always there, empty and open to all, by which a job can try whether it reaches the server.
const PROBE: &str = "/reach.git/";

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What is served, and to whom.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// The repository, offered as the path of any project; `None` offers none.
    pub repository: Option<Repository>,
    /// The job tokens that may read it and use the artifacts API.
    pub tokens: Vec<Secret>,
}

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    served: Served,
    store: Mutex<Store>,
    requests: AtomicU64,
}

impl HttpServer {
    /// Listens on a free port of that address.
    pub async fn start(address: IpAddr, served: Served) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let address = listener.local_addr()?;
        let store = Mutex::new(Store::default());
        let shared = Arc::new(Shared { served, store, requests: AtomicU64::new(0) });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Returns the server's URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many requests have arrived, good or bad: none means that nobody reached the server.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Returns the artifacts that a job has uploaded.
    pub fn artifacts(&self, job: u64) -> Option<Bytes> {
        self.shared.store().get(job)
    }

    /// Puts artifacts there for a later job to download.
    pub fn put_artifacts(&self, job: u64, archive: Bytes) {
        self.shared.store().put(job, archive);
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        // The store is whole after every step, even one that panicked.
        self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn knows(&self, token: &str) -> bool {
        !token.is_empty() && self.served.tokens.iter().any(|it| it.expose() == token)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    serve(stream, shared).await;
                    drop(slot);
                });
            }
            // Out of file descriptors or the like: it passes, or the job's own time ends it.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(MOST_HEADER_BYTES);
    // An error here is the client's, which has gone or sent nonsense; there is nobody to tell.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Body> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path().to_owned();
    if let Some(rest) = path.strip_prefix(PROBE) {
        return if rest == "info/refs" { text(StatusCode::OK, "") } else { text(StatusCode::NOT_FOUND, "") };
    }
    if let Some(job) = artifacts::job_of(&path) {
        let token =
            request.headers().get("JOB-TOKEN").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !shared.knows(token) {
            return text(StatusCode::UNAUTHORIZED, "unknown job token\n");
        }
        return match *request.method() {
            Method::POST => match artifacts::receive(request).await {
                Ok(archive) => {
                    shared.store().put(job, archive);
                    text(StatusCode::CREATED, "{}")
                }
                Err((status, message)) => text(status, message),
            },
            Method::GET => match shared.store().get(job) {
                Some(archive) => whole(StatusCode::OK, archive),
                None => text(StatusCode::NOT_FOUND, "no artifacts\n"),
            },
            _ => text(StatusCode::METHOD_NOT_ALLOWED, ""),
        };
    }
    match (&shared.served.repository, git::service_of(&request)) {
        (Some(repository), Some(service)) => {
            if !basic_password(&request).is_some_and(|password| shared.knows(&password)) {
                let mut response = text(StatusCode::UNAUTHORIZED, "");
                response
                    .headers_mut()
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hearth try\""));
                return response;
            }
            repository.answer(service, request).await
        }
        _ => text(StatusCode::NOT_FOUND, "not here\n"),
    }
}

/// Returns the password of a request with basic authorisation.
fn basic_password(request: &Request<Incoming>) -> Option<String> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let encoded = header.strip_prefix("Basic ")?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

fn text(status: StatusCode, message: &'static str) -> Response<Body> {
    whole(status, Bytes::from_static(message.as_bytes()))
}

fn whole(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
