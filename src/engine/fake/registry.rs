//! The registries that the fake engine pulls from, and its pulls: joined, and lost with their last client.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Fake;
use super::image::{FakeImage, HostImage, by_digest, same_repository};
use crate::engine::{EngineError, PullEvent, PullRequest};
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
    login: Option<(String, String)>,
    troubles: VecDeque<(Trouble, usize)>,
}

/// How far a pull is.
#[derive(Clone, Default)]
struct Progress {
    events: Vec<PullEvent>,
    result: Option<Result<(), EngineError>>,
}

/// All registries.
pub(super) struct Registries {
    upstream: BTreeMap<String, Upstream>,
    running: BTreeMap<String, Arc<watch::Sender<Progress>>>,
    /// Bytes a second that a layer comes with.
    pub(super) rate: u64,
    /// How long a layer is unpacked.
    pub(super) unpacking: Duration,
    /// Bytes that came over the network so far.
    pub(super) downloaded: u64,
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            upstream: BTreeMap::new(),
            running: BTreeMap::new(),
            rate: u64::MAX,
            unpacking: Duration::ZERO,
            downloaded: 0,
        }
    }
}

fn refused(status: u16, message: String) -> EngineError {
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
        let (login, troubles) = old.map(|u| (u.login, u.troubles)).unwrap_or_default();
        self.upstream.insert(name(reference), Upstream { image, login, troubles });
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

    /// Answers which platforms an image has.
    pub(super) fn platforms(&mut self, request: &PullRequest) -> Result<Vec<Platform>, EngineError> {
        let (image, _) = self.manifest(request)?;
        Ok(if image.index.is_empty() { vec![image.facts.platform()] } else { image.index })
    }

    /// Answers for the manifest: the image, and the trouble that comes after it.
    fn manifest(&mut self, request: &PullRequest) -> Result<(FakeImage, Option<Trouble>), EngineError> {
        let reference = &request.reference;
        let parsed = reference.parse::<ImageRef>().ok();
        let missing = || {
            refused(404, format!("manifest for {reference} not found: manifest unknown: manifest unknown"))
        };
        let digest = parsed.as_ref().and_then(|p| p.digest().map(|d| (p, d.to_owned())));
        let found = match digest {
            None => self.upstream.get_mut(&name(reference)),
            Some((parsed, digest)) => self.upstream.iter_mut().find_map(|(name, upstream)| {
                let here = name.parse::<ImageRef>().is_ok_and(|known| same_repository(&known, parsed));
                (here && upstream.image.digest() == digest).then_some(upstream)
            }),
        };
        let upstream = found.ok_or_else(missing)?;
        let head = format!("Head \"https://{}\"", reference.replacen('/', "/v2/", 1));
        if let Some((user, password)) = &upstream.login {
            match &request.login {
                None => return Err(refused(500, format!("{head}: no basic auth credentials"))),
                Some(login) if &login.username != user || login.password.expose() != password => {
                    return Err(refused(500, format!("{head}: unauthorized: authentication required")));
                }
                Some(_) => {}
            }
        }
        let trouble = upstream.troubles.front_mut().map(|(trouble, times)| {
            *times = times.saturating_sub(1);
            *trouble
        });
        upstream.troubles.retain(|(_, times)| *times > 0);
        match trouble {
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
            trouble => Ok((upstream.image.clone(), trouble)),
        }
    }
}

impl Fake {
    /// Pulls, after the call was let in.
    pub(super) async fn fetch(
        &self,
        request: &PullRequest,
        on_event: &mut dyn FnMut(PullEvent),
    ) -> Result<(), EngineError> {
        let (image, trouble, native) = self.look(|state| {
            let native = Platform::new(&state.version.os, &state.version.arch, "");
            state.registries.manifest(request).map(|(image, trouble)| (image, trouble, native))
        })?;
        on_event(PullEvent::Other);
        let image = image.for_platform(request.platform.parse().unwrap_or(native)).map_err(|wanted| {
            refused(0, format!("no matching manifest for {wanted} in the manifest list entries"))
        })?;
        if let Some(trouble) = trouble {
            return self.fetch_in_vain(&image, trouble, on_event).await;
        }
        let transfer_name = format!("{} {}", request.reference, request.platform);
        let mut progress = self.look(|state| match state.registries.running.get(&transfer_name) {
            Some(running) => running.subscribe(),
            None => {
                let (sender, progress) = watch::channel(Progress::default());
                let sender = Arc::new(sender);
                state.registries.running.insert(transfer_name.clone(), Arc::clone(&sender));
                let work = transfer(self.clone(), request.reference.clone(), image, sender);
                let fake = self.clone();
                tokio::spawn(async move {
                    work.await;
                    fake.look(|state| state.registries.running.remove(&transfer_name));
                });
                progress
            }
        });
        let mut told = 0;
        loop {
            let (news, result) = {
                let now = progress.borrow_and_update();
                (now.events.get(told..).unwrap_or_default().to_vec(), now.result.clone())
            };
            told += news.len();
            news.into_iter().for_each(&mut *on_event);
            if let Some(result) = result {
                return result;
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() { return Err(super::call::lost("pull")) },
                () = self.down() => return Err(super::call::lost("pull")),
            }
        }
    }

    async fn fetch_in_vain(
        &self,
        image: &FakeImage,
        trouble: Trouble,
        on_event: &mut dyn FnMut(PullEvent),
    ) -> Result<(), EngineError> {
        let Some((layer, total)) = image.layers.first().cloned() else { return Ok(()) };
        on_event(PullEvent::Waiting(layer.clone()));
        on_event(PullEvent::Downloading { layer: layer.clone(), done: total / 2, total });
        match trouble {
            Trouble::Stall => {
                self.down().await;
                Err(super::call::lost("pull"))
            }
            Trouble::NoSpace => {
                on_event(PullEvent::Downloaded(layer.clone()));
                on_event(PullEvent::Extracting { layer, done: total / 2 });
                let words = "failed to register layer: Error processing tar file(exit status 1): write /bin/big: no space left on device";
                Err(refused(0, words.to_owned()))
            }
            _ => Err(refused(
                0,
                "read tcp 127.0.0.1:40000->127.0.0.1:443: read: connection reset by peer".to_owned(),
            )),
        }
    }
}

/// Downloads an image for as long as a client listens; without one its layers are lost.
async fn transfer(fake: Fake, reference: String, image: FakeImage, progress: Arc<watch::Sender<Progress>>) {
    let work = async {
        for (layer, total) in &image.layers {
            fetch_layer(&fake, layer, *total, &progress).await;
        }
        let digest = image.digest();
        fake.change(|state| state.arrived(&reference, image.clone()));
        progress.send_modify(|p| {
            p.events.push(PullEvent::Digest(digest));
            p.result = Some(Ok(()));
        });
    };
    tokio::select! {
        () = work => {}
        () = progress.closed() => {}
        () = fake.down() => {}
    }
}

async fn fetch_layer(fake: &Fake, layer: &str, total: u64, progress: &watch::Sender<Progress>) {
    const PIECES: u64 = 10;
    let tell = |event: PullEvent| progress.send_modify(|p| p.events.push(event));
    let layer = layer.to_owned();
    let (present, rate, unpacking) =
        fake.look(|state| (state.has_layer(&layer), state.registries.rate, state.registries.unpacking));
    if present {
        return tell(PullEvent::Present(layer));
    }
    tell(PullEvent::Waiting(layer.clone()));
    for piece in 1..=PIECES {
        if rate < u64::MAX {
            tokio::time::sleep(Duration::from_secs_f64(total as f64 / PIECES as f64 / rate.max(1) as f64))
                .await;
        }
        tell(PullEvent::Downloading { layer: layer.clone(), done: total * piece / PIECES, total });
    }
    fake.look(|state| state.registries.downloaded += total);
    tell(PullEvent::Downloaded(layer.clone()));
    tell(PullEvent::Extracting { layer: layer.clone(), done: total });
    if !unpacking.is_zero() {
        tokio::time::sleep(unpacking).await;
    }
    tell(PullEvent::Done(layer));
}

/// Puts an image on the host under a name, which it takes from the image that had it.
pub(super) fn settle(images: &mut Vec<HostImage>, reference: &str, image: FakeImage) {
    let Ok(parsed) = reference.parse::<ImageRef>() else { return };
    let known = by_digest(&parsed, &image.digest());
    let tag = parsed.digest().is_none().then(|| parsed.normalized());
    if let Some(tag) = &tag {
        images.iter_mut().for_each(|host| host.names.retain(|name| name != tag));
    }
    let at = images.iter().position(|host| host.image.facts.id == image.facts.id).unwrap_or_else(|| {
        images.push(HostImage { image, names: Vec::new() });
        images.len() - 1
    });
    let host = &mut images[at];
    host.names.extend(tag);
    if let Some(known) = known
        && !host.image.facts.repo_digests.contains(&known)
    {
        host.image.facts.repo_digests.push(known);
    }
}
