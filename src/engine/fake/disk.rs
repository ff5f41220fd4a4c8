//! The disk of the fake engine: what lies on it follows from what exists.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::image::{FakeImage, unpacked};
use super::state::State;
use crate::engine::{EngineError, StoreKind};

/// What a container takes besides its image.
const CONTAINER: u64 = 32 << 10;

/// A disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    /// All that it holds.
    pub(super) bytes: u64,
    /// What others than the engine have on it.
    pub(super) others: u64,
}

/// What a layer takes that is on its way. It is given back with the last pull that wants it.
pub(super) type Taken = Arc<AtomicU64>;

impl State {
    /// Returns the bytes that are free; `None`: the disk has no end.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let disk = self.disk?;
        Some(disk.bytes.saturating_sub(disk.others).saturating_sub(self.used_bytes()))
    }

    fn used_bytes(&self) -> u64 {
        let kind = self.info.store;
        let mut layers = BTreeMap::new();
        // What a container has stays, even where its image was taken from under it.
        let images =
            self.images.iter().map(|host| &host.image).chain(self.containers.iter().map(|c| &c.image));
        for (layer, bytes) in images.flat_map(|image: &FakeImage| &image.layers) {
            let blob = if kind == StoreKind::Containerd { *bytes } else { 0 };
            layers.insert(layer.as_str(), unpacked(*bytes) + blob);
        }
        for (layer, bytes) in &self.pulls.kept {
            let left = if kind == StoreKind::Containerd { *bytes } else { unpacked(*bytes) };
            layers.entry(layer).or_insert(left);
        }
        let on_the_way = self.pulls.taken.iter().filter_map(Weak::upgrade);
        layers.values().sum::<u64>()
            + on_the_way.map(|taken| taken.load(Ordering::Relaxed)).sum::<u64>()
            + self.containers.len() as u64 * CONTAINER
            + self.build_cache.unwrap_or_default()
    }

    /// Takes room for a layer on its way; `false`: there is not so much.
    pub(super) fn take(&self, taken: &Weak<AtomicU64>, bytes: u64) -> bool {
        let Some(taken) = taken.upgrade() else { return true };
        let fits = self.free_bytes().is_none_or(|free| free >= bytes);
        if fits {
            taken.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Refuses what makes files if nothing more fits.
    pub(super) fn room_for_container(&self) -> Result<(), EngineError> {
        if self.free_bytes().is_none_or(|free| free >= CONTAINER) {
            return Ok(());
        }
        let root = &self.info.data_root;
        Err(EngineError::Refused {
            call: "create container".to_owned(),
            status: 500,
            message: format!("mkdir {root}/overlay2/7f-init: no space left on device"),
        })
    }
}

/// Returns what a pull says that fills the disk.
pub(super) fn full(kind: StoreKind) -> EngineError {
    let message = match kind {
        StoreKind::DockerClassic => {
            "failed to register layer: Error processing tar file(exit status 1): write /bin/big: no space left on device"
        }
        StoreKind::Containerd => "failed to extract layer: write /bin/big: no space left on device: unknown",
        StoreKind::Podman => {
            "writing blob: storing blob to file \"/var/tmp/storage1/1\": no space left on device"
        }
    };
    EngineError::Refused { call: "pull".to_owned(), status: 0, message: message.to_owned() }
}
