//! A server that answers as a test tells it: a registry or a token server with a script, with TLS or without.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// What was asked of it.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Question {
    /// The whole Authorization header; empty for none.
    pub(crate) fn login(&self) -> &str {
        self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What it answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Says {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// Begins an answer.
pub(crate) fn says(status: u16) -> Says {
    Says { status, ..Says::default() }
}

impl Says {
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// The server; closed when dropped.
pub(crate) struct Scripted {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Question>>>,
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Script = dyn Fn(&Question) -> Says + Send + Sync;

impl Scripted {
    /// Serves without TLS. The script gets the server's own address first.
    pub(crate) fn new(script: impl Fn(&str, &Question) -> Says + Send + Sync + 'static) -> Self {
        Self::start(None, script)
    }

    /// Serves with TLS.
    pub(crate) fn with_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&str, &Question) -> Says + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(config), script)
    }

    fn start(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&str, &Question) -> Says + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address").to_string();
        let asked: Arc<Mutex<Vec<Question>>> = Arc::default();
        let own = address.clone();
        let script: Arc<Script> = {
            let asked = Arc::clone(&asked);
            Arc::new(move |request| {
                asked.lock().expect("no script panics").push(request.clone());
                script(&own, request)
            })
        };
        let (close, closed) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                tokio::select! {
                    () = serve(listener, tls, script) => {}
                    _ = closed => {}
                }
            });
        });
        Self { address, asked, close: Some(close), thread: Some(thread) }
    }

    /// Returns all that was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Question> {
        self.asked.lock().expect("no script panics").clone()
    }

    /// Returns all that was asked as `METHOD PATH`, without queries.
    pub(crate) fn lines(&self) -> Vec<String> {
        let path = |path: &str| path.split('?').next().unwrap_or_default().to_owned();
        self.asked().iter().map(|asked| format!("{} {}", asked.method, path(&asked.path))).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, tls: Option<Arc<ServerConfig>>, script: Arc<Script>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (script, tls) = (Arc::clone(&script), tls.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&script)));
            let http = hyper::server::conn::http1::Builder::new();
            match tls {
                None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                Some(config) => {
                    if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                        drop(http.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Script>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let asked = Question { method: parts.method.to_string(), path, headers: parts.headers, body };
    let says = script(&asked);
    let mut response = Response::new(Full::new(says.body));
    *response.status_mut() = StatusCode::from_u16(says.status).expect("a status");
    for (name, value) in says.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        response.headers_mut().append(name, HeaderValue::from_str(&value).expect("a header's value"));
    }
    Ok(response)
}

/// A server that sends raw bytes for each connection; its threads end with the connections.
pub(crate) fn raw(serve: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone()?);
                let mut line = String::from("-");
                while !line.trim().is_empty() {
                    line.clear();
                    reader.read_line(&mut line)?;
                }
                serve(&mut stream)?;
                stream.flush()
            });
        }
    });
    address
}
