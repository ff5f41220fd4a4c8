//! The way to a host: directly or through a proxy, with or without TLS.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::place::is_loopback;

/// The proxies to hosts that are not this machine, as the usual variables name them.
#[derive(Clone, Default)]
pub struct Proxies {
    /// `HTTP_PROXY`: for hosts without TLS; empty for none.
    pub http: String,
    /// `HTTPS_PROXY`: for hosts with TLS; empty for none.
    pub https: String,
    /// `NO_PROXY`: hosts, domains and networks that are reached directly.
    pub no: String,
}

/// A proxy's URL may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("no", &self.no).finish_non_exhaustive()
    }
}

impl Proxies {
    /// Reads the usual variables, in capitals or small letters, with `ALL_PROXY` for what is not named.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let find = |name: &str| {
            let find = |name: &str| variable(name).filter(|value| !value.is_empty());
            find(&name.to_ascii_uppercase()).or_else(|| find(&name.to_ascii_lowercase()))
        };
        let or_all = |name: &str| find(name).or_else(|| find("all_proxy")).unwrap_or_default();
        Self {
            http: or_all("http_proxy"),
            https: or_all("https_proxy"),
            no: find("no_proxy").unwrap_or_default(),
        }
    }

    fn matcher(&self) -> Option<Matcher> {
        if self.http.is_empty() && self.https.is_empty() {
            return None;
        }
        let builder = Matcher::builder().http(self.http.clone()).https(self.https.clone());
        Some(builder.no(self.no.clone()).build())
    }
}

/// The TLS of one registry, made when it is needed. The error says which file is wrong.
pub(super) type MakeTls = dyn Fn() -> Result<Arc<ClientConfig>, String> + Send + Sync;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// No name, no route, refused, cut.
    #[error("no connection")]
    Way(#[source] Box<dyn StdError + Send + Sync>),
    /// The other side did not answer in time.
    #[error("it did not take the connection within {} s", .0.as_secs_f64())]
    Time(Duration),
    /// The other side cannot be trusted, or does not trust this one, or speaks no TLS.
    #[error("no TLS")]
    Tls(#[source] io::Error),
    /// What the operator gave for this host cannot be used.
    #[error("{0}")]
    Files(String),
    /// The proxy does not let through.
    #[error("the proxy {0}")]
    Proxy(String),
}

/// Makes connections for one registry and what it points to.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    proxies: Option<Arc<Matcher>>,
    tls: Arc<MakeTls>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(proxies: &Proxies, tls: Arc<MakeTls>, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Self { tcp, proxies: proxies.matcher().map(Arc::new), tls, timeout }
    }

    /// Returns the proxy that leads to a host; `None` for a direct way, and always for this machine.
    fn proxy(&self, to: &Uri) -> Option<Intercept> {
        let host = to.host()?.trim_matches(['[', ']']);
        if is_loopback(host) { None } else { self.proxies.as_ref()?.intercept(to) }
    }

    /// Returns what the proxy wants to see with a request that is not tunnelled; `None` where there is no such proxy.
    pub(super) fn proxy_login(&self, to: &Uri) -> Option<HeaderValue> {
        if to.scheme_str() == Some("https") { None } else { self.proxy(to)?.basic_auth().cloned() }
    }

    async fn connect(mut self, to: Uri) -> Result<Wire, NoConnection> {
        let with_tls = to.scheme_str() == Some("https");
        let proxy = self.proxy(&to);
        if let Some(proxy) = &proxy
            && proxy.uri().scheme_str() != Some("http")
        {
            return Err(NoConnection::Proxy(
                "is not spoken to by plain HTTP, and no other kind is known".into(),
            ));
        }
        let stream = match &proxy {
            None => self.tcp.call(to.clone()).await.map_err(|error| NoConnection::Way(error.into()))?,
            Some(proxy) if with_tls => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp);
                if let Some(login) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(login.clone());
                }
                let failed = |error| NoConnection::Proxy(format!("does not let through: {error}"));
                tunnel.call(to.clone()).await.map_err(failed)?
            }
            Some(proxy) => {
                let failed = |error| NoConnection::Proxy(format!("is not reached: {error}"));
                self.tcp.call(proxy.uri().clone()).await.map_err(failed)?
            }
        };
        let stream = stream.into_inner();
        if !with_tls {
            return Ok(Wire { stream: Box::new(stream), proxied: proxy.is_some() });
        }
        let config = (self.tls)().map_err(NoConnection::Files)?;
        let host = to.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| NoConnection::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(NoConnection::Tls)?;
        Ok(Wire { stream: Box::new(stream), proxied: false })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let timeout = this.timeout;
            match tokio::time::timeout(timeout, this.connect(to)).await {
                Ok(connected) => connected.map(TokioIo::new),
                Err(_) => Err(NoConnection::Time(timeout)),
            }
        })
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl Both for TcpStream {}
impl Both for tokio_rustls::client::TlsStream<TcpStream> {}

/// A connection, with TLS or without.
pub(super) struct Wire {
    stream: Box<dyn Both>,
    proxied: bool,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxied)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(proxies: Proxies) -> Connector {
        Connector::new(&proxies, Arc::new(|| Err("none".to_owned())), Duration::from_secs(1))
    }

    #[test]
    fn the_usual_variables_name_proxies_for_others_than_this_machine() {
        let variables = [
            ("https_proxy", "http://user:canary-pass@proxy.example:3128"),
            ("ALL_PROXY", "http://all.example:1"),
            ("NO_PROXY", "direct.example,10.0.0.0/8"),
            ("HTTP_PROXY", ""),
        ];
        let proxies = Proxies::read(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        });
        assert!(!format!("{proxies:?}").contains("canary"), "{proxies:?}");
        let connector = connector(proxies);
        for (url, proxy) in [
            ("https://a.example/v2/", Some("http://proxy.example:3128/")),
            ("http://a.example/v2/", Some("http://all.example:1/")),
            ("https://direct.example/v2/", None),
            ("https://10.1.1.1/v2/", None),
            ("https://127.0.0.1:5000/v2/", None),
            ("http://[::1]:5000/v2/", None),
            ("http://localhost:5000/v2/", None),
        ] {
            let found = connector.proxy(&url.parse().unwrap()).map(|p| p.uri().to_string());
            assert_eq!(found.as_deref(), proxy, "{url}");
        }
    }

    #[test]
    fn without_variables_every_way_is_direct() {
        let connector = connector(Proxies::read(|_| None));
        assert!(connector.proxy(&"https://a.example/".parse().unwrap()).is_none());
    }
}
