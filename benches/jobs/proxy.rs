//! A proxy in front of the engine's socket: it passes everything on unchanged and keeps a list of the calls.
//!
//! Connections that the engine hands over to a stream (attach, exec) are passed on byte by byte from there.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::Result;

type Body = BoxBody<Bytes, hyper::Error>;

/// One call of the API.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The driver call during which it arrived.
    pub phase: String,
    /// Its method and path, names and IDs as `*`.
    pub kind: String,
    /// The status of the answer.
    pub status: u16,
    /// From the request to the head of the answer.
    pub took: Duration,
}

impl Call {
    /// Returns whether it started a container.
    pub(crate) fn is_start(&self) -> bool {
        self.kind == "POST containers/*/start" && self.status == 204
    }
}

/// The proxy. Dropping it ends it.
pub(crate) struct Proxy {
    path: PathBuf,
    ledger: Arc<Ledger>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Ledger {
    phase: Mutex<String>,
    calls: Mutex<Vec<Call>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Listens on a socket of its own for an engine's, `unix://PATH`.
    pub(crate) fn start(path: PathBuf, engine: &str) -> Result<Self> {
        let engine = engine.strip_prefix("unix://").ok_or("calls can be counted only at a unix socket")?;
        let engine: Arc<Path> = Path::new(engine).into();
        let listener = UnixListener::bind(&path)?;
        let ledger = Arc::new(Ledger::default());
        let task = tokio::spawn(accept(listener, engine, Arc::clone(&ledger)));
        Ok(Self { path, ledger, task })
    }

    /// Returns the endpoint that it listens on.
    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Says which driver call is running.
    pub(crate) fn phase(&self, name: &str) {
        name.clone_into(&mut locked(&self.ledger.phase));
    }

    /// Returns the calls since the last time.
    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut locked(&self.ledger.calls))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, engine: Arc<Path>, ledger: Arc<Ledger>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (engine, ledger) = (Arc::clone(&engine), Arc::clone(&ledger));
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (engine, ledger) = (Arc::clone(&engine), Arc::clone(&ledger));
                async move { Ok::<_, Infallible>(answer(request, &engine, &ledger).await) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            // An error here is a client's that went away.
            let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

async fn answer(request: Request<Incoming>, engine: &Path, ledger: &Ledger) -> Response<Body> {
    let (phase, began) = (locked(&ledger.phase).clone(), Instant::now());
    let kind = kind(request.method(), request.uri().path());
    let response = match pass(request, engine).await {
        Ok(response) => response,
        Err(error) => {
            let text = Full::new(Bytes::from(format!("{{\"message\":\"the bench's proxy: {error}\"}}")));
            let mut response = Response::new(text.map_err(|never| match never {}).boxed());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    };
    let call = Call { phase, kind, status: response.status().as_u16(), took: began.elapsed() };
    locked(&ledger.calls).push(call);
    response
}

async fn pass(mut request: Request<Incoming>, engine: &Path) -> Result<Response<Body>> {
    let asked = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let stream = UnixStream::connect(engine).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await?;
    let Some(client) = asked.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) else {
        // The connection lives as long as its sender or its answer's body.
        return Ok(response.map(|body| body.boxed()));
    };
    let engine = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        if let (Ok(client), Ok(engine)) = futures_util::join!(client, engine) {
            let (mut client, mut engine) = (TokioIo::new(client), TokioIo::new(engine));
            let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
        }
    });
    Ok(response.map(|body| body.boxed()))
}

/// Returns method and path of a call without version, names and IDs, such as `POST containers/*/start`.
fn kind(method: &Method, path: &str) -> String {
    let path = path.trim_start_matches('/');
    let path = match path.split_once('/') {
        Some((version, rest)) if version.starts_with('v') && version.contains('.') => rest,
        _ => path,
    };
    let Some((object, rest)) = path.split_once('/') else { return format!("{method} {path}") };
    let verb = rest.rsplit_once('/').map(|(_, verb)| verb);
    match (rest, verb) {
        ("create" | "json" | "prune" | "search", _) => format!("{method} {object}/{rest}"),
        (_, Some(verb)) => format!("{method} {object}/*/{verb}"),
        (_, None) => format!("{method} {object}/*"),
    }
}
