//! Pulls of the fake engine: which clients share a transfer, and what is left of one when they have gone.
//!
//! As seen through a throttled front of a registry, on Docker 20.10, Docker 26.1 with containerd's store, and Podman 4.3.
//!
//! - Docker's own store: a layer is fetched once for all pulls that want it, under whatever name, for as long as one of
//!   their clients stays. With the last one all is lost, layers that were unpacked already too.
//! - containerd's: one pull fetches a layer, others that want it wait. All that came stays for a day (in whole MiB), and who
//!   goes on asks for the rest. Layers are told of in no order, those that are unpacked are not, nor is unpacking; a blob
//!   that is here is about to be fetched before it is said to be here.
//! - Podman's: nothing is shared, two pulls at once fetch everything twice. With the client its pull ends; the layers that
//!   were finished stay, the base first: one that came before the layer below it is lost like one half fetched. The
//!   engine tells of no unpacking and no digest, and counts the configuration as a layer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Fake;
use super::disk::{self, Taken};
use super::image::{Asked, FakeImage, unpacked};
use super::registry::{Trouble, refused};
use crate::engine::{EngineError, PullEvent, PullRequest, StoreKind};
use crate::image::Platform;

/// In how many pieces a layer comes.
const PIECES: u64 = 10;
/// How often those who share a link look how many they are.
const SHARING: Duration = Duration::from_millis(100);

/// The fetching of one layer. It ends with its last holder.
pub(super) struct Transfer {
    progress: watch::Receiver<Progress>,
    task: AbortHandle,
    /// Only held: the disk's room goes with it.
    _taken: Taken,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far it is.
#[derive(Clone, Default)]
struct Progress {
    events: Vec<PullEvent>,
    done: bool,
    failed: Option<EngineError>,
}

/// What is under way, what is left of it, and how fast it goes.
pub(super) struct Pulls {
    running: BTreeMap<String, Weak<Transfer>>,
    /// Layers and blobs that no image has, left by pulls that were cut, and their compressed bytes.
    pub(super) kept: BTreeMap<String, u64>,
    /// How much there is of blobs that were cut, in pieces.
    pub(super) begun: BTreeMap<String, u64>,
    /// What the transfers have of the disk.
    pub(super) taken: Vec<Weak<AtomicU64>>,
    /// Bytes a second that a layer comes with.
    pub(super) rate: u64,
    /// Bytes a second that the link has for all layers together; `None`: no such limit.
    pub(super) link: Option<u64>,
    /// The layers that come over the link at present: each holds one.
    pub(super) on_link: Arc<()>,
    /// Whether nothing comes at all.
    pub(super) frozen: bool,
    /// How long a layer is unpacked.
    pub(super) unpacking: Duration,
    /// The layers whose download was begun, in order.
    pub(super) fetches: Vec<String>,
    /// Bytes that came over the network so far.
    pub(super) downloaded: u64,
}

impl Default for Pulls {
    fn default() -> Self {
        Self {
            running: BTreeMap::new(),
            kept: BTreeMap::new(),
            begun: BTreeMap::new(),
            taken: Vec::new(),
            rate: u64::MAX,
            link: None,
            on_link: Arc::new(()),
            frozen: false,
            unpacking: Duration::ZERO,
            fetches: Vec::new(),
            downloaded: 0,
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
        let (asked, trouble, native, kind) = self.look(|state| {
            let native = Platform::new(&state.version.os, &state.version.arch, "");
            let kind = state.info.store;
            state.registries.manifest(request).map(|(asked, trouble)| (asked, trouble, native, kind))
        })?;
        on_event(PullEvent::Other);
        let image = match asked {
            Asked::Manifest(image) => image,
            Asked::Index(image) => image.for_platform(request.platform.parse().unwrap_or(native)).map_err(
                |wanted| match kind {
                    StoreKind::Containerd => {
                        refused(404, "no match for platform in manifest: not found".to_owned())
                    }
                    StoreKind::DockerClassic | StoreKind::Podman => {
                        refused(0, format!("no matching manifest for {wanted} in the manifest list entries"))
                    }
                },
            )?,
        };
        if let Some(trouble) = trouble {
            return self.fetch_in_vain(&image, trouble, on_event).await;
        }
        // Held until the image is there: what is fetched is lost with the last pull that wants it.
        let mut held = Vec::new();
        for (layer, bytes) in &image.layers {
            match self.transfer(layer, *bytes, kind) {
                None if kind == StoreKind::Containerd => {}
                None => on_event(PullEvent::Present(layer.clone())),
                Some(transfer) => {
                    self.watch(&transfer, on_event).await?;
                    held.push(transfer);
                }
            }
        }
        let digest = image.digest();
        if kind == StoreKind::Podman {
            let config: String = image.facts.id.chars().skip("sha256:".len()).take(12).collect();
            on_event(PullEvent::Waiting(config.clone()));
            on_event(PullEvent::Downloaded(config));
        } else {
            on_event(PullEvent::Digest(digest));
        }
        self.change(|state| state.arrived(&request.reference, image))
    }

    /// Joins the transfer of a layer, or begins it; `None`: it is here.
    fn transfer(&self, layer: &str, bytes: u64, kind: StoreKind) -> Option<Arc<Transfer>> {
        self.look(|state| {
            let here = state.has_layer(layer);
            let pulls = &mut state.pulls;
            let unpacked = here || kind == StoreKind::Podman && pulls.kept.contains_key(layer);
            if unpacked {
                return None;
            }
            let shared = kind != StoreKind::Podman;
            if let Some(running) = pulls.running.get(layer).and_then(Weak::upgrade).filter(|_| shared) {
                return Some(running);
            }
            let blob_here = pulls.kept.contains_key(layer);
            let (sender, progress) = watch::channel(Progress::default());
            let taken = Taken::default();
            pulls.taken.retain(|taken| taken.strong_count() > 0);
            pulls.taken.push(Arc::downgrade(&taken));
            let layer_way = LayerWay { layer: layer.to_owned(), total: bytes, kind, blob_here };
            let work = bring(self.clone(), layer_way, Arc::downgrade(&taken), sender);
            let task = tokio::spawn(work).abort_handle();
            let transfer = Arc::new(Transfer { progress, task, _taken: taken });
            if shared {
                pulls.running.insert(layer.to_owned(), Arc::downgrade(&transfer));
            }
            Some(transfer)
        })
    }

    /// Tells a client of a transfer until it is done.
    async fn watch(
        &self,
        transfer: &Transfer,
        on_event: &mut dyn FnMut(PullEvent),
    ) -> Result<(), EngineError> {
        let mut progress = transfer.progress.clone();
        let mut told = 0;
        loop {
            let (news, done, failed) = {
                let now = progress.borrow_and_update();
                (now.events.get(told..).unwrap_or_default().to_vec(), now.done, now.failed.clone())
            };
            told += news.len();
            news.into_iter().for_each(&mut *on_event);
            if let Some(error) = failed {
                return Err(error);
            }
            if done {
                return Ok(());
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
                Err(disk::full(self.look(|state| state.info.store)))
            }
            _ => Err(refused(
                0,
                "read tcp 127.0.0.1:40000->127.0.0.1:443: read: connection reset by peer".to_owned(),
            )),
        }
    }
}

/// A layer that comes.
struct LayerWay {
    layer: String,
    total: u64,
    kind: StoreKind,
    blob_here: bool,
}

/// Brings a layer to the host.
async fn bring(fake: Fake, way: LayerWay, taken: Weak<AtomicU64>, progress: watch::Sender<Progress>) {
    let LayerWay { layer, total, kind, blob_here } = way;
    let tell = |event: PullEvent| progress.send_modify(|p| p.events.push(event));
    let fail = || progress.send_modify(|p| p.failed = Some(disk::full(kind)));
    let set = |bytes| taken.upgrade().into_iter().for_each(|taken| taken.store(bytes, Ordering::Relaxed));
    tell(PullEvent::Waiting(layer.clone()));
    if blob_here {
        tell(PullEvent::Present(layer.clone()));
    } else {
        if !fake.look(|state| state.take(&taken, total)) {
            return fail();
        }
        download(&fake, &layer, total, kind, &tell).await;
    }
    match kind {
        StoreKind::DockerClassic => {
            tell(PullEvent::Downloaded(layer.clone()));
            tell(PullEvent::Extracting { layer: layer.clone(), done: total });
        }
        StoreKind::Containerd => {
            fake.look(|state| {
                state.pulls.kept.insert(layer.clone(), total);
                set(0);
            });
            if !blob_here {
                tell(PullEvent::Downloaded(layer.clone()));
            }
        }
        StoreKind::Podman => {}
    }
    if !fake.look(|state| state.take(&taken, unpacked(total))) {
        return fail();
    }
    let unpacking = fake.look(|state| state.pulls.unpacking);
    if !unpacking.is_zero() {
        tokio::time::sleep(unpacking).await;
    }
    match kind {
        StoreKind::DockerClassic => {
            set(unpacked(total));
            tell(PullEvent::Done(layer));
        }
        StoreKind::Containerd => {}
        StoreKind::Podman => {
            fake.look(|state| {
                state.pulls.kept.insert(layer.clone(), total);
                set(0);
            });
            tell(PullEvent::Downloaded(layer));
        }
    }
    progress.send_modify(|p| p.done = true);
}

/// Waits until so many bytes have come over the link, which all that come at the same time share alike.
async fn over_link(fake: &Fake, bytes: u64) {
    let mut left = bytes as f64;
    while left > 0.0 {
        let Some(link) = fake.look(|state| state.pulls.link) else { return };
        // One is the link's own.
        let sharers = fake.look(|state| Arc::strong_count(&state.pulls.on_link)) - 1;
        let share = link.max(1) as f64 / sharers.max(1) as f64;
        let time = Duration::from_secs_f64(left / share).min(SHARING);
        tokio::time::sleep(time).await;
        // The clock's grain is a millisecond: what is less than that has come.
        left -= share * time.as_secs_f64().max(0.001);
    }
}

async fn download(fake: &Fake, layer: &str, total: u64, kind: StoreKind, tell: &impl Fn(PullEvent)) {
    let begun = fake.look(|state| {
        state.pulls.fetches.push(layer.to_owned());
        state.pulls.begun.get(layer).copied().unwrap_or_default()
    });
    let _sharer = fake.look(|state| Arc::clone(&state.pulls.on_link));
    for piece in begun + 1..=PIECES {
        over_link(fake, total * piece / PIECES - total * (piece - 1) / PIECES).await;
        let rate = fake.look(|state| state.pulls.rate);
        if rate < u64::MAX {
            let seconds = total as f64 / PIECES as f64 / rate.max(1) as f64;
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        fake.until(|state| !state.pulls.frozen).await;
        let done = total * piece / PIECES;
        fake.look(|state| {
            state.pulls.downloaded += done - total * (piece - 1) / PIECES;
            if kind == StoreKind::Containerd {
                state.pulls.begun.insert(layer.to_owned(), piece);
            }
        });
        tell(PullEvent::Downloading { layer: layer.to_owned(), done, total });
    }
}
