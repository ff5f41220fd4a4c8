//! A front before a registry: a weak, busy or lying way to it, by rules that a test sets and takes away as it goes.
//!
//! It is a reverse proxy on loopback, which engines take for a registry of their own. The first rule that fits a request
//! and is not used up applies to it; without one the request passes. All that is asked stands in its log.
//!
//! ```ignore
//! let front = Front::new("127.0.0.1:5501");
//! front.add(on("/blobs/").throttle(1 << 20).cut_after(300 << 10).times(1));
//! front.add(on("/manifests/").method("HEAD").answer(429).retry_after("7").times(2));
//! // … an engine or a driver asks front.address …
//! assert_eq!(front.count("HEAD", "/manifests/"), 1);
//! ```
#![allow(dead_code, unreachable_pub, reason = "a module of several targets, none of which uses all of it")]

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// How often a second a throttled answer goes on.
const TICKS: usize = 20;

/// One thing that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Whether somebody's login or token came with it.
    pub authorised: bool,
    /// What was answered; `None` as long as nothing was.
    pub status: Option<u16>,
    /// How much of the answer's body has gone so far.
    pub sent: u64,
    /// Whether the answer is over: all of it went, or whoever asked has hung up.
    pub over: bool,
}

/// A few words on all that was asked, for a test that fails.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.authorised { "with a login" } else { "without" };
        write!(f, "{} {} {who}: {:?}, {} bytes", self.method, self.path, self.status, self.sent)
    }
}

/// What happens to requests that fit. Made by [`on`].
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Its place among the front's rules.
    number: usize,
    path: String,
    method: Option<String>,
    left: Option<u32>,
    /// Whether a login must have come (`Some(true)`), or must not.
    authorised: Option<bool>,
    /// The `Authorization` that must have come.
    login: Option<String>,
    answer: Option<u16>,
    body: Option<Bytes>,
    headers: Vec<(String, String)>,
    without: Vec<String>,
    throttle: Option<usize>,
    stall_head: bool,
    stall_after: Option<u64>,
    trickle_after: Option<u64>,
    cut_after: Option<u64>,
    hang_up: bool,
}

/// A rule for all requests with `part` in their path, such as `/blobs/`, `/manifests/` or `/v2/my/app/`.
pub fn on(part: &str) -> Rule {
    Rule { path: part.to_owned(), ..Rule::default() }
}

impl Rule {
    /// Only requests of this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests that came with a login or token; with `false` only those without.
    pub fn authorised(mut self, authorised: bool) -> Self {
        self.authorised = Some(authorised);
        self
    }

    /// Only requests that came with just this login.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        self
    }

    /// Asks for a login, as a registry does that has accounts.
    pub fn asks_for_login(self) -> Self {
        self.answer(401).header("www-authenticate", "Basic realm=\"front\"")
    }

    /// Only the next `n` requests that fit. Where bodies are cut or stall, the next `n` that are long enough for that.
    pub fn times(mut self, n: u32) -> Self {
        self.left = Some(n);
        self
    }

    /// Answers with this status instead of asking the registry. 401, 403, 404 and 429 have the error that registries send.
    pub fn answer(mut self, status: u16) -> Self {
        self.answer = Some(status);
        self
    }

    /// Sends this body instead of the registry's, with its length; the digest header stays what it was.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets a header of the answer.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets `Retry-After`: seconds, or a date.
    pub fn retry_after(self, value: &str) -> Self {
        self.header("retry-after", value)
    }

    /// Takes a header out of the answer.
    pub fn without(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// Takes the digest's header out of the answer.
    pub fn without_digest(self) -> Self {
        self.without(DIGEST.as_str())
    }

    /// Claims this digest in the answer's header.
    pub fn digest(self, digest: &str) -> Self {
        self.header(DIGEST.as_str(), digest)
    }

    /// Lets this many bytes of a body pass in a second.
    pub fn throttle(mut self, bytes_per_second: usize) -> Self {
        self.throttle = Some(bytes_per_second.max(TICKS));
        self
    }

    /// Does not even begin to answer, until [`Front::release`].
    pub fn stall_head(mut self) -> Self {
        self.stall_head = true;
        self
    }

    /// Sends so many bytes of the body and then nothing, until [`Front::release`].
    pub fn stall_after(mut self, bytes: u64) -> Self {
        self.stall_after = Some(bytes);
        self
    }

    /// Sends so many bytes of the body and then a byte now and then, until [`Front::release`]: who asked is alive to it.
    pub fn trickle_after(mut self, bytes: u64) -> Self {
        self.trickle_after = Some(bytes);
        self
    }

    /// Cuts the connection after so many bytes of the body.
    pub fn cut_after(mut self, bytes: u64) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Closes the connection without an answer.
    pub fn hang_up(mut self) -> Self {
        self.hang_up = true;
        self
    }

    /// Whether it counts when a body is long enough, and not when it is asked for.
    fn counts_late(&self) -> bool {
        self.cut_after.is_some() || self.stall_after.is_some()
    }

    fn fits(&self, method: &str, path: &str, login: Option<&str>) -> bool {
        self.left != Some(0)
            && path.contains(&self.path)
            && self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.authorised.is_none_or(|wanted| wanted == login.is_some())
            && self.login.as_deref().is_none_or(|wanted| login == Some(wanted))
    }
}

/// The front; it is closed when it is dropped, with all its connections.
pub struct Front {
    /// Where it listens, `127.0.0.1:PORT`.
    pub address: String,
    shared: Arc<Shared>,
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: String,
    rules: Mutex<Vec<Rule>>,
    numbers: AtomicUsize,
    asked: Mutex<Vec<Asked>>,
    changed: Condvar,
    released: watch::Sender<u64>,
}

impl Front {
    /// Stands before a registry at `HOST:PORT`, without rules.
    pub fn new(upstream: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            rules: Mutex::default(),
            numbers: AtomicUsize::default(),
            asked: Mutex::default(),
            changed: Condvar::new(),
            released: watch::Sender::new(0),
        });
        let (close, closed) = oneshot::channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                tokio::select! {
                    () = serve(listener, of_thread) => {}
                    _ = closed => {}
                }
            });
        });
        Front { address: address.to_string(), shared, close: Some(close), thread: Some(thread) }
    }

    /// Stands before a registry with one rule.
    pub fn with(upstream: &str, rule: Rule) -> Self {
        let front = Self::new(upstream);
        front.add(rule);
        front
    }

    /// Adds a rule after those that are there.
    pub fn add(&self, mut rule: Rule) {
        let mut rules = lock(&self.shared.rules);
        rule.number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        rules.push(rule);
    }

    /// Takes all rules away. What stalls goes on stalling until [`Front::release`].
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Lets all that stalls now go on.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// Returns all that was asked so far, in order.
    pub fn log(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Begins the log anew.
    pub fn forget(&self) {
        lock(&self.shared.asked).clear();
    }

    /// Counts what was asked with this method (empty: any) and `part` in its path.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let fits =
            |asked: &&Asked| (method.is_empty() || asked.method == method) && asked.path.contains(part);
        lock(&self.shared.asked).iter().filter(fits).count()
    }

    /// Returns all that was asked as `METHOD PATH STATUS` (`-` for none).
    pub fn lines(&self) -> Vec<String> {
        let status = |asked: &Asked| asked.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        self.log().iter().map(|asked| format!("{} {} {}", asked.method, asked.path, status(asked))).collect()
    }

    /// Waits until the log is as the test wants it; panics with the log after `limit`.
    pub fn wait_until(&self, what: &str, limit: Duration, is_so: impl Fn(&[Asked]) -> bool) {
        let end = Instant::now() + limit;
        let mut asked = lock(&self.shared.asked);
        while !is_so(&asked) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not within {limit:?}: {what}\n{asked:#?}");
            let waited = self.shared.changed.wait_timeout(asked, left);
            asked = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a connection is closed.
#[derive(Debug)]
struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

type Upstream = Client<HttpConnector, http_body_util::combinators::BoxBody<Bytes, hyper::Error>>;

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let upstream: Upstream = Client::builder(TokioExecutor::new()).build_http();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
                async move { shared.answer(request, &upstream).await }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Shared {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        upstream: &Upstream,
    ) -> Result<Response<Way>, Broken> {
        let method = request.method().to_string();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let login = request.headers().get(hyper::header::AUTHORIZATION);
        let login = login.map(|login| String::from_utf8_lossy(login.as_bytes()).into_owned());
        // Podman sends an empty user with an empty password where it has none.
        let login = login.filter(|login| login != "Basic Og==");
        let entry = self.note(Asked {
            method: method.clone(),
            path: path.clone(),
            authorised: login.is_some(),
            status: None,
            sent: 0,
            over: false,
        });
        let entry = Entry { at: entry, shared: Arc::clone(&self) };
        let rule = self.rule(&method, &path, login.as_deref());
        if rule.hang_up {
            return Err(Broken("hung up".to_owned()));
        }
        let mut released = self.released.subscribe();
        if rule.stall_head {
            let _ = released.changed().await;
        }
        let mut response = match rule.answer {
            Some(status) => made(status),
            None => passed(&self.upstream, request, upstream).await?,
        };
        for name in &rule.without {
            response.headers_mut().remove(name.as_str());
        }
        for (name, value) in &rule.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| Broken(e.to_string()))?;
            let value = HeaderValue::from_str(value).map_err(|e| Broken(e.to_string()))?;
            response.headers_mut().insert(name, value);
        }
        if let Some(body) = &rule.body {
            response.headers_mut().remove(TRANSFER_ENCODING);
            response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
            *response.body_mut() = Full::new(body.clone()).map_err(never).boxed();
        }
        let status = response.status().as_u16();
        self.change(entry.at, |asked| asked.status = Some(status));
        let shared = self;
        Ok(response.map(|inner| Way {
            inner,
            rest: Bytes::new(),
            rule,
            sent: 0,
            entry,
            shared,
            pause: None,
            wait: None,
            trickle: None,
        }))
    }

    fn note(&self, asked: Asked) -> usize {
        let mut log = lock(&self.asked);
        log.push(asked);
        self.changed.notify_all();
        log.len() - 1
    }

    /// Changes an entry of the log, unless the log has begun anew since.
    fn change(&self, entry: usize, change: impl FnOnce(&mut Asked)) {
        if let Some(asked) = lock(&self.asked).get_mut(entry) {
            change(asked);
        }
        self.changed.notify_all();
    }

    fn rule(&self, method: &str, path: &str, login: Option<&str>) -> Rule {
        let mut rules = lock(&self.rules);
        let Some(rule) = rules.iter_mut().find(|rule| rule.fits(method, path, login)) else {
            return Rule::default();
        };
        let late = rule.counts_late();
        if let Some(left) = rule.left.as_mut().filter(|_| !late) {
            *left -= 1;
        }
        rule.clone()
    }

    /// Counts a rule whose time has come; `false` if it is used up or gone.
    fn take(&self, number: usize) -> bool {
        let mut rules = lock(&self.rules);
        match rules.iter_mut().find(|rule| rule.number == number) {
            None => false,
            Some(rule) => rule.left.as_mut().is_none_or(|left| {
                let some = *left > 0;
                *left = left.saturating_sub(1);
                some
            }),
        }
    }
}

type AnyBody = http_body_util::combinators::BoxBody<Bytes, hyper::Error>;

fn never(never: Infallible) -> hyper::Error {
    match never {}
}

/// Makes the answer that a registry would give.
fn made(status: u16) -> Response<AnyBody> {
    let code = match status {
        401 => "UNAUTHORIZED",
        403 => "DENIED",
        404 => "MANIFEST_UNKNOWN",
        429 => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    };
    let text = match status {
        200..=299 => String::new(),
        _ => format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"so says the front\"}}]}}"),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)).map_err(never).boxed());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

async fn passed(
    to: &str,
    request: Request<Incoming>,
    upstream: &Upstream,
) -> Result<Response<AnyBody>, Broken> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // The Host header stays, so the registry points to the front and not to itself.
    parts.uri = format!("http://{to}{path}").parse::<Uri>().map_err(|e| Broken(e.to_string()))?;
    parts.headers.remove(hyper::header::CONNECTION);
    let body = if matches!(parts.method, Method::GET | Method::HEAD) {
        Empty::new().map_err(never).boxed()
    } else {
        body.boxed()
    };
    let response =
        upstream.request(Request::from_parts(parts, body)).await.map_err(|e| Broken(e.to_string()))?;
    Ok(response.map(|body| body.boxed()))
}

/// A body on its way to whoever asked.
struct Way {
    inner: AnyBody,
    /// What came and has not gone yet.
    rest: Bytes,
    rule: Rule,
    sent: u64,
    entry: Entry,
    shared: Arc<Shared>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Ends when the stall does.
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Tells when no more than a byte now and then has an end.
    trickle: Option<watch::Receiver<u64>>,
}

impl Way {
    /// How many bytes may go now; `None` for all.
    fn most(&self) -> Option<u64> {
        if self.trickle.is_some() {
            return Some(1);
        }
        let until = [self.rule.cut_after, self.rule.stall_after, self.rule.trickle_after];
        let until = until.into_iter().flatten().min().map(|at| at.saturating_sub(self.sent));
        let tick = self.rule.throttle.map(|rate| (rate / TICKS) as u64);
        [until, tick].into_iter().flatten().min()
    }
}

/// A request's place in the log, as long as it is not over.
struct Entry {
    at: usize,
    shared: Arc<Shared>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.change(self.at, |asked| asked.over = true);
    }
}

impl Body for Way {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        loop {
            if let Some(wait) = &mut this.wait {
                std::task::ready!(wait.as_mut().poll(cx));
                this.wait = None;
            }
            if let Some(pause) = &mut this.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                this.pause = None;
            }
            if this.rule.cut_after.is_some_and(|at| this.sent >= at) {
                this.rule.cut_after = None;
                if this.shared.take(this.rule.number) {
                    return Poll::Ready(Some(Err(Broken("cut".to_owned()))));
                }
            }
            if this.rule.stall_after.is_some_and(|at| this.sent >= at) {
                this.rule.stall_after = None;
                if !this.shared.take(this.rule.number) {
                    continue;
                }
                let mut released = this.shared.released.subscribe();
                this.wait = Some(Box::pin(async move {
                    let _ = released.changed().await;
                }));
                continue;
            }
            if this.rule.trickle_after.is_some_and(|at| this.sent >= at) {
                this.rule.trickle_after = None;
                this.trickle = Some(this.shared.released.subscribe());
            }
            if this.trickle.as_ref().is_some_and(|released| released.has_changed().unwrap_or(true)) {
                this.trickle = None;
            }
            if this.rest.is_empty() {
                match std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => return Poll::Ready(Some(Err(Broken(error.to_string())))),
                    Some(Ok(frame)) => this.rest = frame.into_data().unwrap_or_default(),
                }
                continue;
            }
            let most = this.most().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
            let part = this.rest.split_to(most.min(this.rest.len()));
            if this.rule.throttle.is_some() || this.trickle.is_some() {
                let tick = Duration::from_millis(1000 / TICKS as u64);
                this.pause = Some(Box::pin(tokio::time::sleep(tick)));
            }
            let length = part.len() as u64;
            this.sent += length;
            this.shared.change(this.entry.at, |asked| asked.sent += length);
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rule.cut_after.is_none() && self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.inner.size_hint();
        if let Some(exact) = hint.exact() {
            hint.set_exact(exact + self.rest.len() as u64);
        }
        hint
    }
}
