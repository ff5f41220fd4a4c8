//! One registry's connections, and what was learned of it so far.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::header::{HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use super::RegistrySettings;
use super::asking::Asking;
use super::connect::Connector;
use super::place::{Place, Scheme, authority, is_near};
use super::tls::{self, System};
use super::trouble::Trouble;

/// How often a question may be sent elsewhere.
const MAX_REDIRECTS: usize = 5;
/// How long the head of an answer may be, and how many headers it may have.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
const AGENT: &str = concat!("hearth/", env!("CARGO_PKG_VERSION"));

/// One request.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Headers, the login among them.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The beginning of an answer, and where it came from.
pub(super) struct Reply {
    /// The host that answered, without anything else of its URL.
    pub(super) host: String,
    pub(super) response: Response<Incoming>,
}

/// A registry with its connections.
pub(super) struct Line {
    pub(super) place: Place,
    /// Where the operator would put this registry's certificates.
    pub(super) certs: String,
    pub(super) insecure: bool,
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
    known: Mutex<Known>,
}

/// What was learned of a registry.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The scheme that answered; `None` where none has.
    pub(super) scheme: Option<Scheme>,
    /// Whether that was in this process: an earlier one's word may be out of date.
    pub(super) sure: bool,
    /// What it asks for; `None` where that is not known.
    pub(super) asking: Option<Asking>,
}

impl Line {
    pub(super) fn new(
        settings: &Arc<RegistrySettings>,
        place: Place,
        insecure: bool,
        system: &Arc<System>,
    ) -> Self {
        let certs = settings.certs_dir.join(&place.name).display().to_string();
        let made = OnceLock::new();
        let tls = {
            let (settings, place, system) = (Arc::clone(settings), place.clone(), Arc::clone(system));
            move || made.get_or_init(|| tls::config(&settings, &place, insecure, &system)).clone()
        };
        let connector = Connector::new(&settings.proxies, Arc::new(tls), settings.connect_timeout);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_HEADERS)
            .build(connector.clone());
        Self { place, certs, insecure, connector, client, known: Mutex::default() }
    }

    pub(super) fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn learn(&self, learn: impl FnOnce(&mut Known)) {
        learn(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Asks the registry for a path, in the scheme that it speaks.
    pub(super) async fn ask(&self, path: &str, ask: &Ask) -> Result<Reply, Trouble> {
        let known = self.known();
        let schemes: &[Scheme] = match known.scheme {
            Some(Scheme::Http) if known.sure => &[Scheme::Http],
            Some(Scheme::Https) if known.sure => &[Scheme::Https],
            _ if !self.insecure => &[Scheme::Https],
            Some(Scheme::Http) => &[Scheme::Http, Scheme::Https],
            Some(Scheme::Https) => &[Scheme::Https, Scheme::Http],
            // Hardly any registry of this machine has TLS.
            None if self.place.is_loopback() => &[Scheme::Http, Scheme::Https],
            None => &[Scheme::Https, Scheme::Http],
        };
        let mut first: Option<Result<Reply, Trouble>> = None;
        for &scheme in schemes {
            let Some(url) = self.place.url(scheme, path) else {
                return Err(Trouble::nonsense(format!("{} is not the name of a host", self.place.name)));
            };
            let answer = self.ask_url(url, ask).await;
            // What speaks TLS only answers plain HTTP with 400.
            let doubtful = match &answer {
                Ok(reply) => scheme == Scheme::Http && reply.response.status() == StatusCode::BAD_REQUEST,
                Err(trouble) => trouble.unanswered,
            };
            if !doubtful {
                self.learn(|known| (known.scheme, known.sure) = (Some(scheme), true));
                return answer;
            }
            match (&first, &answer) {
                (None, _) | (Some(Err(_)), Ok(_)) => first = Some(answer),
                _ => {}
            }
        }
        first.unwrap_or_else(|| Err(Trouble::nonsense("no way to ask")))
    }

    /// Asks a URL, the registry's or its token server's, and follows where it points to.
    pub(super) async fn ask_url(&self, mut url: Url, ask: &Ask) -> Result<Reply, Trouble> {
        let mut ask = ask.clone();
        for _ in 0..=MAX_REDIRECTS {
            let host = authority(&url);
            let response = self.send(&url, &ask, &host).await?;
            let status = response.status();
            let moved = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.headers().get(LOCATION).filter(|_| moved) else {
                return Ok(Reply { host, response });
            };
            let bad = || Trouble::nonsense(format!("{host} points to a place that is none"));
            let next = location.to_str().ok().and_then(|to| url.join(to).ok()).ok_or_else(bad)?;
            self.may_follow(&url, &next, &host)?;
            if next.origin() != url.origin() {
                ask.headers.remove(http::header::AUTHORIZATION);
            }
            // Only questions are carried on: a login in a body stays where it was meant for.
            if ask.method == Method::POST {
                return Err(Trouble::nonsense(format!(
                    "{host} points elsewhere where it should give a token"
                )));
            }
            url = next;
        }
        Err(Trouble::nonsense(format!("{} points from place to place without end", authority(&url))))
    }

    fn may_follow(&self, from: &Url, to: &Url, host: &str) -> Result<(), Trouble> {
        let refused =
            |why: &str| Err(Trouble::nonsense(format!("{host} points to {}, {why}", authority(to))));
        match to.scheme() {
            "https" => {}
            "http" if from.scheme() == "http" || self.insecure => {}
            "http" => return refused("which is without TLS"),
            _ => return refused("which is no place for images"),
        }
        if is_near(to) && !is_near(from) {
            return refused("which would be this machine itself");
        }
        Ok(())
    }

    async fn send(&self, url: &Url, ask: &Ask, host: &str) -> Result<Response<Incoming>, Trouble> {
        // A login in a URL is not ours to use.
        let authority = authority(url);
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let uri: Uri = format!("{}://{authority}{path}", url.scheme())
            .parse()
            .map_err(|_| Trouble::nonsense(format!("{host} names a place that is none")))?;
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.headers_mut() = ask.headers.clone();
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Ok(value) = HeaderValue::from_str(&authority) {
            request.headers_mut().insert(HOST, value);
        }
        if let Some(login) = self.connector.proxy_login(&uri) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login);
        }
        *request.uri_mut() = uri;
        self.client.request(request).await.map_err(|error| Trouble::of(&error, host, &self.certs))
    }
}
