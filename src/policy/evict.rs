//! The plan: from what is known, the rules and the time to an ordered list of what goes, each with its reason.

use std::collections::HashMap;
use std::sync::Arc;

use super::cost::Size;
use super::guard::{believed_time, faded_claims, must_stay};
use super::history::{Event, History};
use super::locals;
use super::reason::Reason;
use super::room::{Gone, Measure, make_room};
use super::rules::{Rules, Water};
use super::score::Ranking;
use super::shelf::{Item, LayerIx, Shelf};
use super::snapshot::{Class, Content, Layer, Snapshot, Tag};

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
    let mut layers = Layers::default();
    let mut history = rules.score.history(snapshot.tags.len());
    let tags = remember(snapshot, &mut history, &mut layers);
    let mut order: Vec<usize> = (0..snapshot.contents.len()).collect();
    order.sort_by(|&a, &b| snapshot.contents[a].id.cmp(&snapshot.contents[b].id));
    let (mut items, mut locals_gone) = (Vec::new(), Vec::new());
    for (key, &index) in order.iter().enumerate() {
        let content = &snapshot.contents[index];
        let stays = must_stay(content, rules, now);
        let (named_by, moved) = naming(snapshot, &tags, content);
        let item = Item {
            key,
            tags: named_by,
            layers: layers.intern(&content.layers),
            cost: content.cost,
            last_use: content.last_use.unwrap_or(f64::NEG_INFINITY),
            moved,
            guarded: stays || content.class != Class::Pulled,
            priority: content.priority,
            claimed: faded_claims(content, now, rules.score.half_life()),
        };
        match locals::goes(content, rules, now).filter(|_| !stays) {
            Some(reason) => locals_gone.push(Gone { item, reason }),
            None => items.push((item, content.pinned)),
        }
    }
    let mut shelf = Shelf::new(layers.sizes);
    for (item, _) in items.iter().filter(|(_, pinned)| *pinned) {
        shelf.put(item.clone());
    }
    let pinned = shelf.used().unpacked;
    if let Some(water) = rules.image_bytes.filter(|water| pinned > water.start) {
        return Err(PlanError::PinsBeyondBudget { pinned, budget: water.start });
    }
    items.into_iter().filter(|(_, pinned)| !pinned).for_each(|(item, _)| {
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
    let mut ranking = Ranking::new(rules.score, &history, &shelf, now);
    let mut gone = locals_gone;
    if let Some(target) = targets.bytes {
        gone.extend(make_room(&mut shelf, &history, &mut ranking, Measure::Bytes, target.stay));
    }
    if let Some(target) = targets.inodes {
        gone.extend(make_room(&mut shelf, &history, &mut ranking, Measure::Inodes, target.stay));
    }
    let ending = targets.ending(shelf.used());
    let inflation = gone.iter().fold(snapshot.inflation, |inflation, gone| match gone.reason {
        Reason::LeastWorth { rank } if rules.score.notes() => rank,
        _ => inflation,
    });
    let removals = gone.into_iter().map(|gone| Removal {
        id: snapshot.contents[order[gone.item.key]].id.clone(),
        reason: gone.reason,
        frees: free(&mut start, gone.item.key),
    });
    Ok(Plan { removals: removals.collect(), ending, inflation, as_of: now })
}

/// Gives layers their place, by id.
#[derive(Default)]
struct Layers<'a> {
    places: HashMap<&'a str, LayerIx>,
    sizes: Vec<Size>,
}

impl<'a> Layers<'a> {
    fn intern(&mut self, layers: &'a [Layer]) -> Arc<[LayerIx]> {
        let mut places: Vec<LayerIx> = Vec::with_capacity(layers.len());
        for layer in layers {
            let next = self.sizes.len() as LayerIx;
            let place = *self.places.entry(layer.id.as_str()).or_insert(next);
            if place == next {
                self.sizes.push(layer.size);
            }
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places.into()
    }
}

/// Fills the history, whatever order tags and uses come in, and returns the tags' places by name.
fn remember<'a>(
    snapshot: &'a Snapshot,
    history: &mut History,
    layers: &mut Layers<'a>,
) -> HashMap<&'a str, usize> {
    let mut names: Vec<&Tag> = snapshot.tags.iter().collect();
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let places = names.iter().enumerate().map(|(place, tag)| (tag.name.as_str(), place)).collect();
    let mut uses: Vec<Event> = Vec::new();
    for (tag, known) in names.iter().enumerate() {
        uses.extend(known.recent.iter().map(|use_| Event {
            at: use_.at,
            tag,
            project: use_.project,
            scheduled: use_.scheduled,
        }));
    }
    uses.sort_by(|a, b| {
        (a.at.total_cmp(&b.at))
            .then(a.tag.cmp(&b.tag))
            .then(a.project.cmp(&b.project))
            .then(a.scheduled.cmp(&b.scheduled))
    });
    uses.into_iter().for_each(|event| history.note(event));
    for (place, tag) in names.into_iter().enumerate() {
        let here = snapshot.contents.iter().find(|content| tag.names.as_ref() == Some(&content.id));
        let known = layers.intern(here.map_or(&tag.layers, |content| &content.layers));
        let demand = history.tag_mut(place);
        demand.layers = known;
        demand.last_use = tag.last_use.or(demand.last_use);
        demand.rate = tag.rate.unwrap_or(demand.rate);
    }
    places
}

/// Returns the places of the tags that still name the image, and whether there are none left. An image that no known tag
/// named stays in the ordinary order.
fn naming(snapshot: &Snapshot, places: &HashMap<&str, usize>, content: &Content) -> (Vec<usize>, bool) {
    let named = |tag: &&Tag| content.tags.contains(&tag.name);
    let still = |tag: &&Tag| tag.names.as_ref().is_none_or(|id| *id == content.id);
    let place = |tag: &Tag| places.get(tag.name.as_str()).copied();
    let mut all: Vec<usize> = snapshot.tags.iter().filter(named).filter_map(place).collect();
    let mut now: Vec<usize> = snapshot.tags.iter().filter(named).filter(still).filter_map(place).collect();
    all.sort_unstable();
    now.sort_unstable();
    let moved = now.is_empty() && !all.is_empty();
    (if moved { all } else { now }, moved)
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
