//! Where each image on the host stands: what holds it, what it is worth, and when its turn to go would come.
//!
//! There is no second opinion here. The order is that of [`plan`]: first what it removes now, then what it would remove
//! next if all room were asked for; the rank of an image that is held is the one it would have if nothing were held.

use std::collections::HashMap;
use std::f64::consts::LN_2;

use super::cost::Size;
use super::evict::{Plan, PlanError, plan};
use super::guard::{Hold, believed_time, hold};
use super::history::Decayed;
use super::reason::Reason;
use super::rules::{Rules, Water};
use super::shelf::{Item, LayerIx, Shelf};
use super::snapshot::{Content, Disk, Snapshot, Tag};

const DAY: f64 = 86_400.0;

/// How one image stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Which, as [`Content::id`] has it.
    pub id: String,
    /// All its layers.
    pub whole: Size,
    /// The layers that no other image holds: what its removal alone would free.
    pub alone: Size,
    /// Seconds to pull what it alone holds.
    pub seconds: f64,
    /// Uses a day, by the decayed rate of the tags that name it.
    pub uses_per_day: f64,
    /// When a job used it last, in seconds; `None` if none has.
    pub last_use: Option<f64>,
    /// Why it must stay; `None` if it may go.
    pub hold: Option<Hold>,
    /// How many go before it; `None` if nothing makes it go as things are.
    pub place: Option<usize>,
    /// Why it goes at its turn; for one that is held, why it would if nothing were held. `None`: builds that stay.
    pub reason: Option<Reason>,
    /// What it frees at its turn; nothing if it has none.
    pub frees: Size,
    /// Whether the plan removes it now.
    pub goes: bool,
}

impl Standing {
    /// Returns its rank under the rule; `None` if it goes for another reason.
    pub fn rank(&self) -> Option<f64> {
        match self.reason {
            Some(Reason::LeastWorth { rank }) => Some(rank),
            _ => None,
        }
    }
}

/// How all images stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Standings {
    /// What goes now.
    pub plan: Result<Plan, PlanError>,
    /// The images: what would go first comes first, what is held or stays comes last.
    pub images: Vec<Standing>,
    /// What all layers take.
    pub used: Size,
    /// The time that was believed.
    pub as_of: f64,
}

impl Standings {
    /// Returns one image; `None` if it is not here.
    pub fn of(&self, id: &str) -> Option<&Standing> {
        self.images.iter().find(|standing| standing.id == id)
    }

    /// Returns what would have to come again once this image is gone: what none holds of those that the plan leaves.
    pub fn missing_after(&self, snapshot: &Snapshot, id: &str) -> Size {
        let gone = |content: &Content| self.of(&content.id).is_some_and(|standing| standing.goes);
        let stays = |content: &&Content| content.id == id || !gone(content);
        let left: Vec<&Content> = snapshot.contents.iter().filter(stays).collect();
        let shelf = shelf(&left);
        let item = left.iter().zip(shelf.items()).find(|(content, _)| content.id == id);
        item.map_or(Size::default(), |(_, item)| shelf.frees(item))
    }
}

/// Says how all images stand.
pub fn standings(snapshot: &Snapshot, rules: &Rules, now: f64) -> Standings {
    let as_of = believed_time(snapshot, rules, now);
    let planned = plan(snapshot, rules, now);
    let turns = turns(&planned, order(snapshot, rules, now));
    let free = order(&released(snapshot), &Rules { minimum_age: f64::NEG_INFINITY, ..rules.clone() }, now);
    let free: HashMap<&str, Reason> =
        free.removals.iter().map(|removal| (removal.id.as_str(), removal.reason)).collect();
    let contents: Vec<&Content> = snapshot.contents.iter().collect();
    let shelf = shelf(&contents);
    let mut images: Vec<Standing> = contents
        .iter()
        .zip(shelf.items())
        .map(|(content, item)| {
            let turn = turns.get(&content.id);
            let alone = shelf.frees(item);
            Standing {
                id: content.id.clone(),
                whole: whole(&shelf, item),
                alone,
                seconds: content.cost.pull_seconds(alone),
                uses_per_day: uses_per_day(snapshot, content, rules, as_of),
                last_use: content.last_use,
                hold: hold(content, rules, as_of),
                place: turn.map(|turn| turn.place),
                reason: turn.map(|turn| turn.reason).or_else(|| free.get(content.id.as_str()).copied()),
                frees: turn.map_or(Size::default(), |turn| turn.frees),
                goes: turn.is_some_and(|turn| turn.goes),
            }
        })
        .collect();
    let rank = |standing: &Standing| standing.rank().unwrap_or(f64::INFINITY);
    images.sort_by(|a, b| {
        (a.place.is_none().cmp(&b.place.is_none()))
            .then(a.place.cmp(&b.place))
            .then(rank(a).total_cmp(&rank(b)))
            .then_with(|| a.id.cmp(&b.id))
    });
    Standings { plan: planned, images, used: shelf.used(), as_of }
}

/// One image's turn.
struct Turn {
    place: usize,
    reason: Reason,
    frees: Size,
    goes: bool,
}

/// Numbers what goes now, and after that what would go next.
fn turns(planned: &Result<Plan, PlanError>, order: Plan) -> HashMap<String, Turn> {
    let now = planned.iter().flat_map(|plan| plan.removals.clone()).map(|removal| (removal, true));
    let mut turns: HashMap<String, Turn> = HashMap::new();
    for (removal, goes) in now.chain(order.removals.into_iter().map(|removal| (removal, false))) {
        let place = turns.len();
        let (reason, frees) = (removal.reason, removal.frees);
        turns.entry(removal.id).or_insert(Turn { place, reason, frees, goes });
    }
    turns
}

/// Plans as if all room were asked for: in bytes, unless only inodes have a limit.
fn order(snapshot: &Snapshot, rules: &Rules, now: f64) -> Plan {
    let all = Some(Water { start: u64::MAX, stop: u64::MAX });
    let by_inodes = rules.free_inodes.is_some() && rules.image_bytes.is_none() && rules.free_bytes.is_none();
    let disk = Disk { free_bytes: Some(0), free_inodes: Some(0) };
    let rules = Rules {
        image_bytes: None,
        free_bytes: all.filter(|_| !by_inodes),
        free_inodes: all.filter(|_| by_inodes),
        ..rules.clone()
    };
    let nothing = Plan {
        removals: Vec::new(),
        ending: super::evict::Ending::NotNeeded,
        inflation: snapshot.inflation,
        as_of: now,
    };
    // Without a limit on the images' bytes no pin is beyond it.
    plan(&Snapshot { disk, ..snapshot.clone() }, &rules, now).unwrap_or(nothing)
}

/// The same images, and nothing holds them. What was announced still counts in their rank.
fn released(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    for content in &mut snapshot.contents {
        (content.pinned, content.leased, content.running) = (false, false, false);
        content.claims.iter_mut().for_each(|claim| claim.grace = f64::NEG_INFINITY);
    }
    snapshot
}

/// Puts images on a shelf; its items are in their order.
fn shelf(contents: &[&Content]) -> Shelf {
    let mut places: HashMap<&str, LayerIx> = HashMap::new();
    let mut sizes: Vec<Size> = Vec::new();
    let items: Vec<Item> = contents
        .iter()
        .enumerate()
        .map(|(key, content)| {
            let mut layers: Vec<LayerIx> = Vec::with_capacity(content.layers.len());
            for layer in &content.layers {
                let place = *places.entry(&layer.id).or_insert_with(|| {
                    sizes.push(layer.size);
                    (sizes.len() - 1) as LayerIx
                });
                if !layers.contains(&place) {
                    layers.push(place);
                }
            }
            Item {
                key,
                tags: Vec::new(),
                layers: layers.into(),
                cost: content.cost,
                last_use: content.last_use.unwrap_or(f64::NEG_INFINITY),
                moved: false,
                guarded: false,
                priority: content.priority,
                claimed: 0.0,
            }
        })
        .collect();
    let mut shelf = Shelf::new(sizes);
    items.into_iter().for_each(|item| {
        shelf.put(item);
    });
    shelf
}

/// Returns what all pinned images together take.
pub fn pinned(snapshot: &Snapshot) -> Size {
    let pinned: Vec<&Content> = snapshot.contents.iter().filter(|content| content.pinned).collect();
    shelf(&pinned).used()
}

fn whole(shelf: &Shelf, item: &Item) -> Size {
    let mut size = Size::default();
    item.layers.iter().for_each(|&layer| size += shelf.layer(layer));
    size
}

/// Says whether a tag names an image now, as far as is known.
pub(super) fn names(tag: &Tag, content: &Content) -> bool {
    content.tags.contains(&tag.name) && tag.names.as_ref().is_none_or(|id| *id == content.id)
}

fn uses_per_day(snapshot: &Snapshot, content: &Content, rules: &Rules, now: f64) -> f64 {
    let half_life = rules.score.half_life();
    let count = |tag: &Tag| {
        let counted = || {
            let mut uses: Vec<f64> = tag.recent.iter().map(|use_| use_.at).collect();
            uses.sort_by(f64::total_cmp);
            let mut rate = Decayed::default();
            uses.into_iter().for_each(|at| rate.bump(at, half_life));
            rate
        };
        tag.rate.unwrap_or_else(counted).at(now, half_life)
    };
    let tags = snapshot.tags.iter().filter(|tag| names(tag, content));
    tags.map(count).sum::<f64>() * LN_2 * DAY / half_life
}
