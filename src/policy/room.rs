//! Making room: images go one by one, each judged after the last has gone, until enough is free.
//!
//! The order of classes is the same for all rules but plain LRU: first what its tag has moved away from, then by rank, and
//! what would free almost nothing only if nothing else is left.

use super::cost::Size;
use super::history::History;
use super::reason::Reason;
use super::shelf::{Item, Shelf};

/// Bytes below which removing an image is not worth the later pull.
const CRUMB_BYTES: u64 = 1_000_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Bytes on disk.
    Bytes,
    /// Files and directories on disk.
    Inodes,
}

impl Measure {
    /// Returns that side of a size.
    pub fn of(self, size: Size) -> u64 {
        match self {
            Self::Bytes => size.unpacked,
            Self::Inodes => size.inodes,
        }
    }
}

/// What making room is usually about on this host. It does not depend on any limit: so plans for two limits begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// What is counted.
    pub measure: Measure,
    /// What the image that was used last holds alone: mostly it came just now, and that is what has to make room for.
    pub newest: u64,
    /// What all images take.
    pub all: u64,
}

impl Usual {
    fn of(shelf: &Shelf, measure: Measure) -> Self {
        let later = |a: &&Item, b: &&Item| a.last_use.total_cmp(&b.last_use).then(a.key.cmp(&b.key));
        let newest = shelf.items().iter().max_by(later).map_or(0, |item| measure.of(shelf.frees(item)));
        Self { measure, newest, all: measure.of(shelf.used()) }
    }
}

/// How images are ordered at one moment.
pub trait Order {
    /// Says whether moved images go first and crumbs last.
    fn tidies(&self) -> bool {
        true
    }

    /// Says whether to give back what turned out not to be needed.
    fn packs(&self) -> bool {
        false
    }

    /// Returns the rank; the lowest goes first.
    fn rank(&mut self, shelf: &Shelf, item: &Item, frees: Size, usual: Usual) -> f64;
}

/// An image that goes.
#[derive(Debug, Clone)]
pub struct Gone {
    /// The image.
    pub item: Item,
    /// Why.
    pub reason: Reason,
}

/// Takes images off the shelf until at most `target` is left, and returns them in their order. Less than that goes only
/// if what is left is guarded.
pub fn make_room(
    shelf: &mut Shelf,
    history: &History,
    order: &mut dyn Order,
    measure: Measure,
    target: u64,
) -> Vec<Gone> {
    let mut gone = Vec::new();
    let usual = Usual::of(shelf, measure);
    while measure.of(shelf.used()) > target {
        let Some((index, reason)) = next(shelf, history, order, usual) else { break };
        gone.push(Gone { item: shelf.take(index).0, reason });
    }
    if order.packs() {
        give_back(shelf, &mut gone, measure, target);
    }
    gone
}

fn next(shelf: &Shelf, history: &History, order: &mut dyn Order, usual: Usual) -> Option<(usize, Reason)> {
    let tidies = order.tidies();
    let mut best: Option<((u8, f64, f64, usize), usize)> = None;
    for (index, item) in shelf.items().iter().enumerate().filter(|(_, item)| !item.guarded) {
        let frees = shelf.frees(item);
        let (class, rank) = if tidies && item.moved {
            (0, history.last_use(&item.tags))
        } else if tidies && frees.unpacked < CRUMB_BYTES {
            (2, item.last_use)
        } else {
            // An empty sum is -0, which sorts before 0: adding 0 makes them one.
            (1, order.rank(shelf, item, frees, usual) + 0.0)
        };
        let key = (class, rank, item.last_use, item.key);
        let lower = best.as_ref().is_none_or(|(least, _)| {
            (key.0.cmp(&least.0))
                .then(key.1.total_cmp(&least.1))
                .then(key.2.total_cmp(&least.2))
                .then(key.3.cmp(&least.3))
                .is_lt()
        });
        if lower {
            best = Some((key, index));
        }
    }
    best.map(|((class, rank, ..), index)| match class {
        0 => (index, Reason::Moved),
        1 => (index, Reason::LeastWorth { rank }),
        _ => (index, Reason::Crumb),
    })
}

/// Puts back what fits again, the last first: a big image that went late often makes room for small ones before it.
fn give_back(shelf: &mut Shelf, gone: &mut Vec<Gone>, measure: Measure, target: u64) {
    for index in (0..gone.len().saturating_sub(1)).rev() {
        if gone[index].reason == Reason::Moved {
            continue;
        }
        shelf.put(gone[index].item.clone());
        if measure.of(shelf.used()) <= target {
            gone.remove(index);
        } else {
            shelf.take(shelf.items().len() - 1);
        }
    }
}
