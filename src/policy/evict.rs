//! The plan: from what is known, the rules and the time to an ordered list of what goes, each with its reason.

use super::cost::Size;
use super::guard::{believed_time, must_stay};
use super::locals;
use super::reading::Reading;
use super::reason::Reason;
use super::room::{Gone, Measure, make_room};
use super::rules::{Rules, Water};
use super::score::Ranking;
use super::shelf::Shelf;
use super::snapshot::Snapshot;

/// One image that goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal {
    /// Which, as [`Content::id`](super::snapshot::Content::id) has it.
    pub id: String,
    /// Why.
    pub reason: Reason,
    /// What its removal frees, after those before it in the plan.
    pub frees: Size,
}

/// How a plan ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// No limit was reached.
    NotNeeded,
    /// All limits are kept once the plan is carried out.
    Enough,
    /// Nothing is left that may go, and this much is still above a limit.
    NothingLeft {
        /// Bytes too many.
        bytes: u64,
        /// Inodes too many.
        inodes: u64,
    },
}

/// What shall go, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The images that go.
    pub removals: Vec<Removal>,
    /// How it ends.
    pub ending: Ending,
    /// The rank of what went last, to be kept for the next snapshot.
    pub inflation: f64,
    /// The time that was believed.
    pub as_of: f64,
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The pinned images alone take more than all images may.
    #[error(
        "the pinned images take {pinned} bytes, but all images may take {budget}: unpin some, or raise the budget"
    )]
    PinsBeyondBudget {
        /// Bytes of the pinned images.
        pinned: u64,
        /// Bytes that images may take.
        budget: u64,
    },
}

/// Plans what goes.
///
/// # Errors
/// Pinned images that are larger than the budget: every plan would end with too much on the disk.
pub fn plan(snapshot: &Snapshot, rules: &Rules, now: f64) -> Result<Plan, PlanError> {
    let now = believed_time(snapshot, rules, now);
    let reading = Reading::new(snapshot, rules, false, now);
    let id = |key: usize| &snapshot.contents[reading.images[key].1].id;
    let (mut shelf, mut rest, mut locals_gone) = (reading.shelf(), Vec::new(), Vec::new());
    for (item, place) in &reading.images {
        let content = &snapshot.contents[*place];
        match locals::goes(content, rules, now).filter(|_| !must_stay(content, rules, now)) {
            Some(reason) => locals_gone.push(Gone { item: item.clone(), reason }),
            None if content.pinned => {
                shelf.put(item.clone());
            }
            None => rest.push(item.clone()),
        }
    }
    let pinned = shelf.used().unpacked;
    if let Some(water) = rules.image_bytes.filter(|water| pinned > water.start) {
        return Err(PlanError::PinsBeyondBudget { pinned, budget: water.start });
    }
    rest.into_iter().for_each(|item| {
        shelf.put(item);
    });
    let kept = shelf.used();
    locals_gone.iter().for_each(|gone| {
        shelf.put(gone.item.clone());
    });
    let before = shelf.used();
    let mut start = shelf.clone();
    (0..locals_gone.len()).for_each(|_| {
        shelf.take(shelf.items().len() - 1);
    });
    let targets = Targets::new(snapshot, rules, before, kept);
    let mut ranking = Ranking::new(rules.score, &reading.history, &shelf, now);
    let mut gone = locals_gone;
    if let Some(target) = targets.bytes {
        gone.extend(make_room(&mut shelf, &reading.history, &mut ranking, Measure::Bytes, target.stay));
    }
    if let Some(target) = targets.inodes {
        gone.extend(make_room(&mut shelf, &reading.history, &mut ranking, Measure::Inodes, target.stay));
    }
    let ending = targets.ending(shelf.used());
    let inflation = gone.iter().fold(snapshot.inflation, |inflation, gone| match gone.reason {
        Reason::LeastWorth { rank } if rules.score.notes() => rank,
        _ => inflation,
    });
    let removals = gone.into_iter().map(|gone| Removal {
        id: id(gone.item.key).clone(),
        reason: gone.reason,
        frees: free(&mut start, gone.item.key),
    });
    Ok(Plan { removals: removals.collect(), ending, inflation, as_of: now })
}

/// How much images may take so that a limit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    /// How much may stay.
    stay: u64,
    /// What would be missing even if nothing stayed: other files fill the disk.
    short: u64,
}

impl Target {
    fn over(self, used: u64) -> u64 {
        used.saturating_sub(self.stay).saturating_add(self.short)
    }
}

/// The targets; `None` where no limit was reached.
struct Targets {
    bytes: Option<Target>,
    inodes: Option<Target>,
}

impl Targets {
    /// `before` is what lies on the disk, `kept` what is left of it without the local builds that go anyway.
    fn new(snapshot: &Snapshot, rules: &Rules, before: Size, kept: Size) -> Self {
        let by_use = rules.image_bytes.filter(|water| kept.unpacked > water.start);
        let by_use = by_use.map(|water| Target { stay: water.stop, short: 0 });
        let by_disk = below(rules.free_bytes, snapshot.disk.free_bytes, before.unpacked, kept.unpacked);
        let bytes = by_use
            .into_iter()
            .chain(by_disk)
            .reduce(|a, b| Target { stay: a.stay.min(b.stay), short: a.short.max(b.short) });
        let inodes = below(rules.free_inodes, snapshot.disk.free_inodes, before.inodes, kept.inodes);
        Self { bytes, inodes }
    }

    fn ending(&self, used: Size) -> Ending {
        let over = |target: Option<Target>, used: u64| target.map_or(0, |target| target.over(used));
        let (bytes, inodes) = (over(self.bytes, used.unpacked), over(self.inodes, used.inodes));
        match (self.bytes, self.inodes) {
            (None, None) => Ending::NotNeeded,
            _ if bytes == 0 && inodes == 0 => Ending::Enough,
            _ => Ending::NothingLeft { bytes, inodes },
        }
    }
}

/// Returns how much images may take so that enough is free; `None` if enough is.
fn below(water: Option<Water>, free: Option<u64>, before: u64, kept: u64) -> Option<Target> {
    let free_then = free?.saturating_add(before.saturating_sub(kept));
    let water = water.filter(|water| free_then < water.start)?;
    let wanted = water.stop.max(water.start).saturating_sub(free_then);
    Some(Target { stay: kept.saturating_sub(wanted), short: wanted.saturating_sub(kept) })
}

fn free(shelf: &mut Shelf, key: usize) -> Size {
    let index = shelf.items().iter().position(|item| item.key == key);
    index.map_or(Size::default(), |index| shelf.take(index).1)
}
