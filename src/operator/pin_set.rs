//! What all pinned images take, and what they may.

use std::collections::HashMap;
use std::time::Duration;

use super::desk::Seen;
use super::find::{pinned_by, short};
use crate::outcome::Failure;
use crate::policy::standing::pinned;
use crate::policy::{Content, Layer, Snapshot};
use crate::settings::CacheSettings;
use crate::store::Store;
use crate::units::ByteSize;

/// The pinned images and those that shall be.
pub(super) struct PinSet {
    /// What all of them take together; those of which nothing is known count as nothing.
    pub(super) bytes: u64,
    sizes: HashMap<String, u64>,
}

/// What pinned images may take.
pub(super) struct Budget {
    /// The bytes.
    pub(super) bytes: u64,
    /// Where they come from, such as `[cache] images_high`.
    by: &'static str,
}

/// Returns what pinned images may take: as much as all images may, or as fits on the disk beside what shall be free.
/// `None`: there is no limit, or it cannot be seen.
pub(super) fn budget(cache: &CacheSettings, seen: Option<&Seen>) -> Option<Budget> {
    let images = cache.images.map(|marks| Budget { bytes: marks.start.0, by: "[cache] images_high" });
    let room = seen.and_then(|seen| seen.sight.room);
    let disk = room.zip(cache.free).map(|(room, free)| Budget {
        bytes: room.bytes.saturating_sub(free.start.of(room.bytes)),
        by: "the disk without [cache] free_low",
    });
    images.into_iter().chain(disk).min_by_key(|budget| budget.bytes)
}

impl PinSet {
    /// Adds these names to the pins in force.
    pub(super) fn of(store: &Store, seen: Option<&Seen>, more: &[String], now: Duration) -> Self {
        let mut names: Vec<String> = store.pins(now).into_iter().map(|pin| pin.name).collect();
        names.extend(more.iter().cloned());
        names.sort_unstable();
        names.dedup();
        let mut snapshot = seen.map_or_else(Snapshot::default, |seen| seen.sight.snapshot.clone());
        let mut sizes = HashMap::new();
        let recorded = Recorded::read(store);
        for name in names {
            let here = seen.map(|seen| pinned_by(&seen.sight, &name)).unwrap_or_default();
            if here.is_empty()
                && let Some(content) = recorded.content(&name)
            {
                sizes.insert(name, content.layers.iter().map(|layer| layer.size.unpacked).sum());
                if !snapshot.contents.iter().any(|known| known.id == content.id) {
                    snapshot.contents.push(content);
                }
                continue;
            }
            let ids: Vec<&str> = here.iter().map(|image| image.id.as_str()).collect();
            let mut only = Snapshot::default();
            for content in snapshot.contents.iter_mut().filter(|content| ids.contains(&content.id.as_str())) {
                content.pinned = true;
                only.contents.push(content.clone());
            }
            if !ids.is_empty() {
                sizes.insert(name, pinned(&only).unpacked);
            }
        }
        Self { bytes: pinned(&snapshot).unpacked, sizes }
    }

    /// Returns what one of them takes; `None`: that is not known.
    pub(super) fn size_of(&self, name: &str) -> Option<u64> {
        self.sizes.get(name).copied()
    }

    /// Says that they take too much, and which.
    pub(super) fn refusal(&self, budget: &Budget) -> Failure {
        let mut largest: Vec<(&String, &u64)> = self.sizes.iter().collect();
        largest.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let words = format!(
            "the pinned images would take {}, but they may take {} at most ({}): nothing was pinned",
            ByteSize(self.bytes),
            ByteSize(budget.bytes),
            budget.by
        );
        let failure = Failure::system(words);
        let each = largest
            .into_iter()
            .take(5)
            .map(|(name, bytes)| format!("{} takes {}", short(name), ByteSize(*bytes)));
        each.fold(failure, Failure::hint)
            .hint("unpin some (hearth unpin IMAGE), or let images take more ([cache])")
    }
}

/// The layers on record, by name and digest.
struct Recorded {
    tags: HashMap<String, String>,
    contents: HashMap<String, Vec<Layer>>,
}

impl Recorded {
    fn read(store: &Store) -> Self {
        let tags = store.tags().into_iter().filter_map(|tag| Some((tag.name, tag.content?.digest)));
        let layers = |content: crate::store::Content| {
            let layers = content.layers.iter().map(crate::store::Layer::for_policy).collect();
            (content.key.digest, layers)
        };
        Self { tags: tags.collect(), contents: store.contents().into_iter().map(layers).collect() }
    }

    /// Returns what a name meant last; `None`: its layers are not known.
    fn content(&self, name: &str) -> Option<Content> {
        let digest = name.rsplit_once('@').map_or(name, |(_, digest)| digest);
        let digest = self.tags.get(name).map_or(digest, String::as_str);
        let layers = self.contents.get(digest).filter(|layers| !layers.is_empty())?;
        Some(Content { id: digest.to_owned(), layers: layers.clone(), pinned: true, ..Content::default() })
    }
}
