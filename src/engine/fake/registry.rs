//! The registries that the fake engine pulls from.

use std::collections::{BTreeMap, VecDeque};

use super::asking::is_at_once;
use super::image::{Asked, FakeImage};
use super::store::same_repository;
use crate::engine::{EngineError, PullRequest};
use crate::image::{ImageRef, Platform};

/// What goes wrong with a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The registry has no such image.
    NotFound,
    /// The registry lets this login not read it.
    Denied,
    /// The registry answers with this status, such as 503 or 429.
    Status(u16),
    /// The registry is down: nobody listens there.
    Down,
    /// The connection breaks in the middle of a layer.
    Reset,
    /// The host's disk fills up while a layer is unpacked.
    NoSpace,
    /// Nothing more comes in the middle of a layer.
    Stall,
}

/// An image in a registry.
pub(super) struct Upstream {
    image: FakeImage,
    /// What the tag named before; a digest still does.
    older: Vec<FakeImage>,
    login: Option<(String, String)>,
    troubles: VecDeque<(Trouble, usize)>,
}

/// All registries.
#[derive(Default)]
pub(super) struct Registries {
    upstream: BTreeMap<String, Upstream>,
    /// What was asked of them, but for pulls.
    pub(super) asked: Vec<String>,
}

pub(super) fn refused(status: u16, message: String) -> EngineError {
    match status {
        404 => EngineError::NotFound { message },
        status => EngineError::Refused { call: "pull".to_owned(), status, message },
    }
}

fn name(reference: &str) -> String {
    reference.parse::<ImageRef>().map_or_else(|_| reference.to_owned(), |parsed| parsed.normalized())
}

impl Registries {
    pub(super) fn publish(&mut self, reference: &str, image: FakeImage) {
        let old = self.upstream.remove(&name(reference));
        let (login, troubles, older) = old
            .map(|u| (u.login, u.troubles, u.older.into_iter().chain([u.image]).collect()))
            .unwrap_or_default();
        self.upstream.insert(name(reference), Upstream { image, older, login, troubles });
    }

    pub(super) fn unpublish(&mut self, reference: &str) {
        self.upstream.remove(&name(reference));
    }

    pub(super) fn protect(&mut self, reference: &str, user: &str, password: &str) {
        if let Some(upstream) = self.upstream.get_mut(&name(reference)) {
            upstream.login = Some((user.to_owned(), password.to_owned()));
        }
    }

    pub(super) fn trouble(&mut self, reference: &str, trouble: Trouble, times: usize) {
        if let Some(upstream) = self.upstream.get_mut(&name(reference)) {
            upstream.troubles.push_back((trouble, times));
        }
    }

    pub(super) fn calm(&mut self, reference: &str) {
        if let Some(upstream) = self.upstream.get_mut(&name(reference)) {
            upstream.troubles.clear();
        }
    }

    /// Answers which platforms an image has.
    pub(super) fn platforms(&mut self, request: &PullRequest) -> Result<Vec<Platform>, EngineError> {
        Ok(match self.manifest(request)?.0 {
            Asked::Index(image) if !image.index.is_empty() => image.index,
            Asked::Index(image) | Asked::Manifest(image) => vec![image.facts.platform()],
        })
    }

    /// Answers for the manifest alone: troubles with layers are not its.
    pub(super) fn manifest_only(&mut self, request: &PullRequest) -> Result<Asked, EngineError> {
        Ok(self.answer(request, is_at_once)?.0)
    }

    /// Answers for the manifest: the image, and the trouble that comes after it.
    pub(super) fn manifest(
        &mut self,
        request: &PullRequest,
    ) -> Result<(Asked, Option<Trouble>), EngineError> {
        self.answer(request, |_| true)
    }

    fn answer(
        &mut self,
        request: &PullRequest,
        comes_now: impl Fn(Trouble) -> bool,
    ) -> Result<(Asked, Option<Trouble>), EngineError> {
        let reference = &request.reference;
        let parsed = reference.parse::<ImageRef>().ok();
        let missing = || {
            refused(404, format!("manifest for {reference} not found: manifest unknown: manifest unknown"))
        };
        let digest = parsed.as_ref().and_then(|p| p.digest().map(|d| (p, d.to_owned())));
        let found = match digest {
            None => self.upstream.get_mut(&name(reference)).map(|u| (Asked::Index(u.image.clone()), u)),
            Some((parsed, digest)) => self.upstream.iter_mut().find_map(|(name, upstream)| {
                name.parse::<ImageRef>().ok().filter(|known| same_repository(known, parsed))?;
                let of = |image: &FakeImage| image.with_digest(&digest);
                let asked = of(&upstream.image).or_else(|| upstream.older.iter().find_map(of))?;
                Some((asked, upstream))
            }),
        };
        let (asked, upstream) = found.ok_or_else(missing)?;
        let head = format!("Head \"https://{}\"", reference.replacen('/', "/v2/", 1));
        let login_refusal = match (&upstream.login, &request.login) {
            (None, _) => None,
            (Some(_), None) => Some("no basic auth credentials"),
            (Some((user, password)), Some(login))
                if login.username == *user && login.password.expose() == password =>
            {
                None
            }
            (Some(_), Some(_)) => Some("unauthorized: authentication required"),
        };
        // A registry that is out of order looks at no logins.
        let comes_now = |trouble| comes_now(trouble) && (login_refusal.is_none() || is_at_once(trouble));
        let first = upstream.troubles.front_mut().filter(|(trouble, _)| comes_now(*trouble));
        let trouble = first.map(|(trouble, times)| {
            *times = times.saturating_sub(1);
            *trouble
        });
        upstream.troubles.retain(|(_, times)| *times > 0);
        match trouble {
            None if let Some(words) = login_refusal => Err(refused(500, format!("{head}: {words}"))),
            Some(Trouble::Down) => {
                let host = parsed.as_ref().and_then(ImageRef::registry).unwrap_or_default();
                Err(refused(500, format!("{head}: dial tcp: {host}: connect: connection refused")))
            }
            Some(Trouble::NotFound) => Err(missing()),
            Some(Trouble::Denied) => Err(refused(
                404,
                format!(
                    "pull access denied for {reference}, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
                ),
            )),
            Some(Trouble::Status(429)) => {
                Err(refused(500, "toomanyrequests: You have reached your pull rate limit.".to_owned()))
            }
            Some(Trouble::Status(status)) => {
                let reason =
                    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
                Err(refused(500, format!("{head}: received unexpected HTTP status: {status} {reason}")))
            }
            trouble => Ok((asked, trouble)),
        }
    }
}
