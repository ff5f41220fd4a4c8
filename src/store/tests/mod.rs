//! The store as a whole, on real files.

mod bounds;
mod claims;
mod cold;
mod damage;
mod facts;
mod opening;
mod processes;
mod seen;
mod troubles;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::{Batch, ContentKey, Sharing, Store, StorePlace, Trouble, Use};
use crate::moment::{Moment, Process};

/// A Tuesday.
pub(super) const NOW: Duration = Duration::from_secs(1_700_000_000);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A directory of one test's own, deleted when it ends.
pub(super) struct Dir(pub(super) PathBuf);

impl Dir {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hearth-store-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A place below it that is not there yet. It is patient: the machine may be busy.
    pub(super) fn place(&self) -> StorePlace {
        StorePlace {
            patience: Duration::from_secs(30),
            ..StorePlace::new(self.0.join("store"), Sharing::Group)
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens a store that must be in order.
pub(super) fn open(place: &StorePlace) -> Store {
    let (store, trouble) = Store::open(place, NOW);
    assert_eq!(trouble, None);
    assert!(store.is_working());
    store
}

/// Opens a store that must not be, and returns why.
pub(super) fn open_troubled(place: &StorePlace) -> (Store, Trouble) {
    let (store, trouble) = Store::open(place, NOW);
    (store, trouble.expect("a trouble"))
}

/// How many rows were changed through this store.
pub(super) fn changes(store: &Store) -> u64 {
    store.read(|db| Ok(db.total_changes()))
}

/// A second way to the file.
pub(super) fn raw(place: &StorePlace) -> Connection {
    Connection::open(place.file()).unwrap()
}

pub(super) fn digest(name: &str) -> String {
    format!("sha256:{name:0>64}")
}

pub(super) fn key(name: &str) -> ContentKey {
    ContentKey { digest: digest(name), platform: "linux/arm64".parse().unwrap() }
}

/// A use of an image by project `p`, without content.
pub(super) fn used(reference: &str) -> Use {
    Use {
        reference: reference.parse().unwrap(),
        project: Some("p".to_owned()),
        source: Some("push".to_owned()),
        content: None,
        waited: Duration::ZERO,
    }
}

pub(super) fn uses(uses: impl IntoIterator<Item = Use>) -> Batch {
    Batch { uses: uses.into_iter().collect(), ..Batch::default() }
}

/// Moments of one boot that began at NOW.
pub(super) fn moment(after: Duration) -> Moment {
    Moment { wall: NOW + after, boot: after, boot_id: "this".to_owned() }
}

pub(super) const ME: Process = Process { pid: 7, started: 70, space: 4_026_531_836 };

pub(super) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(super) fn skip(test: &str, reason: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED: {test}: {reason}");
}
