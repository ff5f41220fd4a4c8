//! Tokens: fetched from the server that a registry names, and kept for as long as they are good.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::Serializer;

use super::line::Ask;
use super::reply::{About, body};
use crate::image::{Answer, Credentials};
use crate::secret::Secret;

/// The largest answer of a token server.
const MAX_TOKEN: usize = 1 << 20;
/// How long a token is good whose server does not say.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// No token is kept longer; the daemon lives for weeks.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);
/// A token is not used so shortly before its end, nor for more than nine tenths of its life.
const SLACK: Duration = Duration::from_secs(10);
/// How many tokens are kept.
const MAX_KEPT: usize = 256;
/// The name under which tokens are asked for with an identity token.
const CLIENT: &str = "hearth";

/// What a token is for, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    realm: String,
    service: String,
    scope: String,
    /// A hash over the whole login: two jobs share the user's name of their tokens, and nothing else.
    /// `None` for nobody.
    account: Option<[u8; 32]>,
}

impl TokenKey {
    pub(super) fn new(realm: &Url, service: &str, scope: &str, login: Option<&Credentials>) -> Self {
        let account = login.map(|login| {
            let mut hash = Sha256::new();
            let identity = login.identity_token.as_ref().map_or("", Secret::expose);
            for part in [login.username.as_str(), login.password.expose(), identity] {
                hash.update(part.len().to_be_bytes());
                hash.update(part);
            }
            hash.finalize().into()
        });
        Self { realm: realm.to_string(), service: service.to_owned(), scope: scope.to_owned(), account }
    }
}

/// The tokens of one process.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<TokenKey, (Secret, Instant)>>);

impl Tokens {
    /// Returns a token that is still good.
    pub(super) fn get(&self, key: &TokenKey) -> Option<Secret> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|_, (_, end)| *end > now);
        kept.get(key).map(|(token, _)| token.clone())
    }

    /// Forgets a token that a registry did not take.
    pub(super) fn forget(&self, key: &TokenKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn keep(&self, key: &TokenKey, token: &Secret, life: Duration) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key.clone(), (token.clone(), Instant::now() + usable(life)));
    }

    /// Fetches a token and keeps it.
    pub(super) async fn fetch(
        &self,
        about: &About<'_>,
        realm: &Url,
        key: &TokenKey,
        login: Option<&Credentials>,
    ) -> Result<Secret, Answer> {
        let refresh = login.and_then(|login| login.identity_token.as_ref());
        let (url, ask) = match refresh {
            Some(identity) => (realm.clone(), by_identity(key, identity)),
            None => by_login(realm, key, login)?,
        };
        let unreachable = |words: String| Answer::Unreachable(words);
        let reply = about.line.ask_url(url, &ask).await.map_err(|trouble| unreachable(trouble.words))?;
        if !reply.response.status().is_success() {
            return Err(about.token_refusal(reply, refresh.is_some()).await);
        }
        let host = reply.host.clone();
        let body = body(about.line, reply, MAX_TOKEN).await.map_err(|trouble| unreachable(trouble.words))?;
        let (token, life) =
            read(&body).ok_or_else(|| unreachable(format!("{host} gives something that is no token")))?;
        self.keep(key, &token, life);
        Ok(token)
    }
}

fn usable(life: Duration) -> Duration {
    life.min(LONGEST_LIFE).saturating_sub(SLACK.min(life / 10))
}

fn by_login(realm: &Url, key: &TokenKey, login: Option<&Credentials>) -> Result<(Url, Ask), Answer> {
    let mut url = realm.clone();
    let mut headers = HeaderMap::new();
    {
        let mut query = url.query_pairs_mut();
        if !key.service.is_empty() {
            query.append_pair("service", &key.service);
        }
        query.append_pair("scope", &key.scope);
        if let Some(login) = login {
            query.append_pair("account", &login.username);
        }
    }
    if let Some(login) = login {
        headers.insert(AUTHORIZATION, basic(login)?);
    }
    Ok((url, Ask { method: Method::GET, headers, body: Bytes::new() }))
}

fn by_identity(key: &TokenKey, identity: &Secret) -> Ask {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token")
        .append_pair("service", &key.service)
        .append_pair("client_id", CLIENT)
        .append_pair("scope", &key.scope)
        .append_pair("refresh_token", identity.expose());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ask { method: Method::POST, headers, body: form.finish().into() }
}

/// Makes the header of a user and a password.
pub(super) fn basic(login: &Credentials) -> Result<HeaderValue, Answer> {
    if login.username.contains(':') {
        return Err(Answer::Denied(format!(
            "the login for {} cannot be sent: its user has a colon in it",
            login.server
        )));
    }
    let pair = pair(login);
    header("Basic", pair.expose())
        .ok_or_else(|| Answer::Denied(format!("the login for {} cannot be sent", login.server)))
}

/// Returns user and password as they are sent.
pub(super) fn pair(login: &Credentials) -> Secret {
    Secret::new(STANDARD.encode(format!("{}:{}", login.username, login.password.expose())))
}

/// Makes the header of a token; `None` where it is none that a header can hold.
pub(super) fn bearer(token: &Secret) -> Option<HeaderValue> {
    header("Bearer", token.expose())
}

fn header(scheme: &str, secret: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {secret}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads a token server's answer: the token, and how long it is good.
fn read(body: &[u8]) -> Option<(Secret, Duration)> {
    #[derive(Deserialize)]
    struct Body {
        token: Option<Secret>,
        access_token: Option<Secret>,
        expires_in: Option<f64>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let token = body.token.filter(|token| !token.is_empty()).or(body.access_token)?;
    if token.is_empty() || bearer(&token).is_none() {
        return None;
    }
    let life = body.expires_in.filter(|seconds| *seconds > 0.0);
    let life = life.and_then(|seconds| Duration::try_from_secs_f64(seconds.min(1e9)).ok());
    Some((token, life.unwrap_or(DEFAULT_LIFE)))
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
