//! Questions about manifests, from the first request to the answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::exchange::Asked;
use super::line::{Line, Reply};
use super::place::Place;
use super::reply;
use super::tls::System;
use super::token::Tokens;
use super::{Insecure, RegistrySettings, asking, digest};
use crate::image::{Answer, Credentials, ImageRef};

/// The largest manifest that is read: as much as registries take.
const MAX_MANIFEST: usize = 4 << 20;
/// Which manifest of a repository is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version<'a> {
    /// What a tag names now.
    Tag(&'a str),
    /// The one with a digest.
    Digest(&'a str),
}

impl Version<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Version::Tag(text) | Version::Digest(text) => text,
        }
    }
}

/// An index or a manifest, as the registry sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its digest, which the body has.
    pub digest: String,
    /// Its media type; empty where neither the registry nor the manifest itself names one.
    pub media_type: String,
    /// The bytes.
    pub body: Bytes,
}

/// Asks registries. Cheap to make; what it learns on the way (schemes, challenges, tokens) it keeps while it lives.
pub struct Registry {
    settings: Arc<RegistrySettings>,
    system: Arc<System>,
    lines: Mutex<HashMap<String, Arc<Line>>>,
    hints: Mutex<HashMap<String, String>>,
    pub(super) tokens: Tokens,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One question.
pub(super) struct Question<'a> {
    /// The image's full name.
    pub(super) image: String,
    pub(super) repository: &'a str,
    pub(super) version: Version<'a>,
    pub(super) login: Option<&'a Credentials>,
}

impl Registry {
    /// Makes a client. Nothing is read and nothing is asked before a question comes.
    pub fn new(settings: RegistrySettings) -> Self {
        Self {
            settings: Arc::new(settings),
            system: Arc::default(),
            lines: Mutex::default(),
            hints: Mutex::default(),
            tokens: Tokens::default(),
        }
    }

    /// Takes what [`Registry::hint`] returned in an earlier process. It saves a request or two where it still holds and
    /// costs nothing where it does not; no login goes to a place that only a hint names.
    pub fn remember(&self, registry: &str, hint: &str) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        hints.insert(registry.to_owned(), hint.to_owned());
    }

    /// Returns what was learned of a registry (as images name it) in one line without secrets; `None` where nothing was.
    pub fn hint(&self, registry: &str) -> Option<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        asking::to_hint(&lines.get(registry)?.known())
    }

    /// Asks which manifest a name stands for now, and so whether `login` (`None`: anybody) may read it.
    ///
    /// It is one HEAD where the registry is open or known; a GET follows where HEAD is refused or names no digest. With
    /// a login that is refused there is no second try without one.
    pub async fn head(&self, image: &ImageRef, at: &Version<'_>, login: Option<&Credentials>) -> Answer {
        let asked = async |line: &Line, question: &Question<'_>| match self
            .exchange(line, question, Method::HEAD)
            .await
        {
            Ok(Asked::There(reply)) => match of_head(&reply, *at) {
                Some(answer) => answer,
                None => self.hashed(line, question).await,
            },
            Ok(Asked::HeadRefused) => self.hashed(line, question).await,
            Err(answer) => answer,
        };
        let timed = self.timed(image, *at, login, asked).await;
        timed.unwrap_or_else(|answer| answer)
    }

    /// Fetches an index or a manifest by its digest. The body is proved to have it.
    pub async fn manifest(
        &self,
        image: &ImageRef,
        digest: &str,
        login: Option<&Credentials>,
    ) -> Result<Manifest, Answer> {
        if !digest::is_digest(digest) {
            return Err(Answer::Unreachable(format!("{} is no digest", super::words::shown(digest, &[]))));
        }
        let asked = async |line: &Line, question: &Question<'_>| self.get(line, question).await;
        self.timed(image, Version::Digest(digest), login, asked).await?
    }

    /// Puts a question within the time that it may take.
    async fn timed<T>(
        &self,
        image: &ImageRef,
        version: Version<'_>,
        login: Option<&Credentials>,
        asked: impl AsyncFnOnce(&Line, &Question<'_>) -> T,
    ) -> Result<T, Answer> {
        let (Some(registry), Some(repository)) = (image.registry(), image.repository()) else {
            return Err(Answer::NotFound(format!("{image} is an image ID, which no registry knows")));
        };
        let sign = if matches!(version, Version::Tag(_)) { ':' } else { '@' };
        let image = format!("{registry}/{repository}{sign}{}", version.as_str());
        let question = Question { image, repository, version, login };
        let timeout = self.settings.timeout;
        let all = async {
            let line = self.line(registry).await;
            asked(&line, &question).await
        };
        tokio::time::timeout(timeout, all).await.map_err(|_| {
            let seconds = timeout.as_secs_f64();
            Answer::Unreachable(format!(
                "{registry} gave no answer for {} within {seconds} s",
                question.image
            ))
        })
    }

    async fn line(&self, registry: &str) -> Arc<Line> {
        let known = |lines: &Mutex<HashMap<String, Arc<Line>>>| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).get(registry).cloned()
        };
        if let Some(line) = known(&self.lines) {
            return line;
        }
        let place = Place::new(registry);
        let insecure = is_insecure(&self.settings.insecure, &place).await;
        let line = Line::new(&self.settings, place, insecure, &self.system);
        let hint = self.hints.lock().unwrap_or_else(PoisonError::into_inner).get(registry).cloned();
        if let Some(remembered) = hint.and_then(|hint| asking::from_hint(&line, &hint)) {
            line.learn(|known| *known = remembered);
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry(registry.to_owned()).or_insert_with(|| Arc::new(line)))
    }

    /// GETs a manifest and takes the digest of what came.
    async fn hashed(&self, line: &Line, question: &Question<'_>) -> Answer {
        match self.get(line, question).await {
            Ok(Manifest { digest, media_type, .. }) => Answer::Found { digest, media_type },
            Err(answer) => answer,
        }
    }

    async fn get(&self, line: &Line, question: &Question<'_>) -> Result<Manifest, Answer> {
        let Asked::There(reply) = self.exchange(line, question, Method::GET).await? else {
            return Err(Answer::Unreachable(format!("{} cannot be asked", line.place.name)));
        };
        let (host, named) = (reply.host.clone(), reply::media_type(reply.response.headers()));
        let body = reply::body(line, reply, MAX_MANIFEST).await;
        let body = body.map_err(|trouble| Answer::Unreachable(trouble.words))?;
        let image = &question.image;
        let digest = match question.version {
            Version::Digest(digest) if digest::has_digest(&body, digest) => digest.to_owned(),
            Version::Digest(_) => {
                return Err(Answer::Unreachable(format!(
                    "{host} sends something else for {image}: its content does not have this digest"
                )));
            }
            Version::Tag(_) => digest::sha256(&body),
        };
        let own = own_media_type(&body)
            .ok_or_else(|| Answer::Unreachable(format!("{host} sends no manifest for {image}")))?;
        // Some serve all files as plain JSON.
        let generic = named.is_empty() || !named.starts_with("application/vnd.");
        let media_type = if generic && !own.is_empty() { own } else { named };
        if media_type.contains("manifest.v1+") && media_type.contains(".docker.") {
            return Err(Answer::Unreachable(format!("{host} has {image} in Docker's oldest format only")));
        }
        Ok(Manifest { digest, media_type, body })
    }
}

/// Reads the answer to a HEAD; `None` where it does not say which manifest this is.
fn of_head(reply: &Reply, at: Version<'_>) -> Option<Answer> {
    let headers = reply.response.headers();
    let digest = reply::digest(headers)?;
    match at {
        Version::Digest(wanted) if wanted != digest => None,
        _ => Some(Answer::Found { digest, media_type: reply::media_type(headers) }),
    }
}

/// Reads the media type that a manifest names itself; empty where it names none, `None` where it is no manifest.
fn own_media_type(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        schema_version: u64,
        media_type: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    (body.schema_version > 0).then(|| body.media_type.unwrap_or_default())
}

/// Tells whether a registry may go without TLS, by its name or, where the engine lists networks, by its addresses.
async fn is_insecure(insecure: &Insecure, place: &Place) -> bool {
    if insecure.has(place) || !insecure.needs_addresses() {
        return insecure.has(place);
    }
    match tokio::net::lookup_host((place.host(), 0)).await {
        Ok(mut addresses) => addresses.any(|address| insecure.has_address(address.ip())),
        Err(_) => false,
    }
}
