//! What this host's jobs will want, learned from what they used: which images to bring back, and which tags to look up.

use std::collections::{HashMap, HashSet};
use std::f64::consts::LN_2;

use super::super::cost::{Cost, Size};
use super::super::guard::believed_time;
use super::super::history::History;
use super::super::prefetch::{Moves, chance_of_use, due, due_back, looked_after, worth_pulling};
use super::super::reading::Reading;
use super::super::rules::Rules;
use super::super::shelf::TagIx;
use super::super::snapshot::{Layer, Snapshot, Tag};
use super::candidate::{Candidate, Demand, Soon, Source};

/// How probable it must be that a pipeline that has begun brings an image, before that is bet on.
const FOLLOWS: f64 = 0.5;

/// How many times what images take beyond what is left for them, until room counts as scarce: a quarter of all.
const SCARCE: u64 = 3;

/// What is known of an image that may be brought.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Absent {
    /// What is missing of it; `None` if not known.
    pub missing: Option<Size>,
    /// What a pull of it costs.
    pub cost: Cost,
    /// How often its tag was seen to move.
    pub moves: Moves,
}

/// What is expected of all tags at one moment.
pub struct Foresight<'a> {
    tags: HashMap<&'a str, TagIx>,
    /// In the order of their names, as the history has them.
    known: Vec<&'a Tag>,
    here: HashSet<&'a str>,
    history: History,
    /// Whether there is so much room that it need not be asked whether others will need it.
    ample: bool,
    now: f64,
}

impl<'a> Foresight<'a> {
    /// Looks ahead from this moment. Tags need their recent uses.
    pub fn new(snapshot: &'a Snapshot, rules: &Rules, now: f64) -> Self {
        let now = believed_time(snapshot, rules, now);
        let mut known: Vec<&Tag> = snapshot.tags.iter().collect();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        let tags = known.iter().enumerate().map(|(place, tag)| (tag.name.as_str(), place)).collect();
        let of_content = |tag: &&&Tag| {
            snapshot.contents.iter().any(|content| match &tag.names {
                Some(id) => content.id == *id,
                None => content.tags.contains(&tag.name),
            })
        };
        let here = known.iter().filter(of_content).map(|tag| tag.name.as_str()).collect();
        let reading = Reading::new(snapshot, rules, true, now);
        let mut shelf = reading.shelf();
        reading.images.iter().for_each(|(item, _)| {
            shelf.put(item.clone());
        });
        let used = shelf.used().unpacked;
        let of_budget = rules.image_bytes.map(|water| water.start.saturating_sub(used));
        let of_disk = snapshot.disk.free_bytes.zip(rules.free_bytes);
        let of_disk = of_disk.map(|(free, water)| free.saturating_sub(water.start));
        let ample = of_budget.into_iter().chain(of_disk).all(|left| is_ample(left, used));
        Self { tags, known, here, history: reading.history, ample, now }
    }

    /// Returns what jobs used, will probably use again, and is not here. `absent` says what is known of a tag's image; `None`
    /// leaves it out.
    pub fn candidates(&self, mut absent: impl FnMut(&Tag) -> Option<Absent>) -> Vec<Candidate> {
        let mut known: HashMap<TagIx, Absent> = HashMap::new();
        for (place, tag) in self.known.iter().enumerate() {
            if !self.here.contains(tag.name.as_str()) {
                known.extend(absent(tag).map(|absent| (place, absent)));
            }
        }
        let moves = |tag: TagIx| known.get(&tag).map(|absent| absent.moves);
        let wishes = wishes(&self.history, moves, self.ample, self.now).into_iter();
        wishes.filter_map(|wish| Some(wish.of(&self.known[wish.tag].name, *known.get(&wish.tag)?))).collect()
    }

    /// Returns what a tag is worth that names another image by now; `None` if no job will probably come before it moves
    /// again, if none is expected for half a day, or if none ever used it.
    pub fn moved(&self, tag: &str, image: Absent) -> Option<Candidate> {
        let place = *self.tags.get(tag)?;
        let used = self.history.tag(place).last_use.is_some();
        let history = &self.history;
        if !used || !worth_pulling(history, place, image.moves, self.now) || !due(history, place, self.now) {
            return None;
        }
        let cold = chance_of_use(&self.history, place, image.moves, self.now);
        let wish =
            Wish { tag: place, source: Source::Moved, demand: demand(&self.history, place, self.now), cold };
        Some(wish.of(tag, image))
    }

    /// Returns the tags that are used often enough to look them up in their registries, by name.
    pub fn to_look_up(&self) -> Vec<&'a str> {
        let often = |(place, tag): (usize, &&'a Tag)| {
            looked_after(&self.history, place, self.now).then_some(tag.name.as_str())
        };
        self.known.iter().enumerate().filter_map(often).collect()
    }

    /// Returns how a job is expected to ask for a tag; `None` for one that none ever used.
    pub fn demand(&self, tag: &str) -> Option<Demand> {
        let place = *self.tags.get(tag)?;
        self.history.tag(place).last_use.map(|_| demand(&self.history, place, self.now))
    }
}

/// Returns what no image here holds of these layers.
pub fn missing(snapshot: &Snapshot, layers: &[Layer]) -> Size {
    let here: HashSet<&str> =
        snapshot.contents.iter().flat_map(|content| &content.layers).map(|layer| layer.id.as_str()).collect();
    let (mut seen, mut size) = (HashSet::new(), Size::default());
    for layer in layers.iter().filter(|layer| !here.contains(layer.id.as_str())) {
        if seen.insert(layer.id.as_str()) {
            size += layer.size;
        }
    }
    size
}

/// Says whether what is left is so much, beside what images take, that room is not scarce.
pub(in super::super) fn is_ample(left: u64, used: u64) -> bool {
    left.saturating_mul(SCARCE) >= used
}

/// One tag whose image is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Wish {
    pub(in super::super) tag: TagIx,
    pub(in super::super) source: Source,
    pub(in super::super) demand: Demand,
    pub(in super::super) cold: f64,
}

impl Wish {
    /// Makes a candidate of it.
    pub(in super::super) fn of(&self, name: &str, image: Absent) -> Candidate {
        Candidate {
            name: name.to_owned(),
            platform: String::new(),
            source: self.source,
            demand: self.demand,
            cold: self.cold,
            missing: image.missing,
            cost: image.cost,
            pipeline: None,
        }
    }
}

/// Returns what is wanted of the tags whose image is absent; `moves` says of those how often they moved, and `None` of the
/// others. A schedule says when; a pipeline that has begun, that it is soon; and the rest comes as often as it did: once its
/// hours are near, or at any time where room is `ample`.
pub(in super::super) fn wishes(
    history: &History,
    moves: impl Fn(TagIx) -> Option<Moves>,
    ample: bool,
    now: f64,
) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for tag in 0..history.tags().len() {
        let Some(moves) = moves(tag) else { continue };
        if let Some(at) = history.forecast().and_then(|forecast| forecast.next_run(tag, now)) {
            wishes.push(Wish { tag, source: Source::Schedule, demand: Demand::At(at), cold: 1.0 });
        }
        let follows = history.forecast().map_or(0.0, |forecast| forecast.follows(tag, now));
        if follows >= FOLLOWS {
            let demand = Demand::Soon(Soon::Stages(1));
            wishes.push(Wish { tag, source: Source::History, demand, cold: follows });
        } else if looked_after(history, tag, now)
            && worth_pulling(history, tag, moves, now)
            && (ample || due_back(history, tag, now))
        {
            let cold = chance_of_use(history, tag, moves, now);
            wishes.push(Wish { tag, source: Source::History, demand: demand(history, tag, now), cold });
        }
    }
    wishes
}

/// How a job is expected to ask for a tag: by the measure by which images on the disk are kept.
fn demand(history: &History, tag: TagIx, now: f64) -> Demand {
    let steady = |tag| history.rate(tag, now) * LN_2 / history.half_life;
    let foreseen = history.forecast().and_then(|forecast| forecast.outlook(tag, now, steady));
    Demand::Rate(foreseen.map_or_else(|| steady(tag), |outlook| outlook.nearness()))
}

#[cfg(test)]
mod tests {
    use super::super::super::rules::Water;
    use super::super::super::snapshot::{Content, Use};
    use super::*;

    const HOUR: f64 = 3600.0;
    const DAY: f64 = 24.0 * HOUR;
    /// A Monday at nine, by this clock.
    const NOW: f64 = 8.0 * 7.0 * DAY + 9.0 * HOUR;

    /// A tag that jobs used so many hours ago, and whose image is not here.
    fn tag(name: &str, hours_ago: impl IntoIterator<Item = f64>, scheduled: bool) -> Tag {
        let uses = hours_ago.into_iter().map(|hours| NOW - hours * HOUR);
        let recent: Vec<Use> = uses.map(|at| Use { at, project: None, scheduled }).collect();
        Tag { name: name.to_owned(), names: Some(format!("sha256:{name}")), recent, ..Tag::default() }
    }

    /// At some hour of each day.
    fn daily() -> impl Iterator<Item = f64> {
        (1..40).map(|day| f64::from(day * 24 - day * 5 % 11))
    }

    fn looked(snapshot: &Snapshot) -> Foresight<'_> {
        Foresight::new(snapshot, &Rules::default(), NOW)
    }

    fn found(snapshot: &Snapshot) -> Vec<(String, Source, Demand)> {
        let candidates = looked(snapshot).candidates(|_| Some(Absent::default()));
        candidates.into_iter().map(|c| (c.name, c.source, c.demand)).collect()
    }

    fn host(tags: Vec<Tag>) -> Snapshot {
        Snapshot { tags, ..Snapshot::default() }
    }

    #[test]
    fn what_is_used_daily_and_gone_is_wanted_and_what_is_rare_or_here_is_not() {
        let mut snapshot = host(vec![
            tag("daily", daily(), false),
            tag("here", daily(), false),
            tag("once", [900.0], false),
            tag("ended", daily().map(|hours| hours + 800.0), false),
        ]);
        snapshot.contents = vec![Content { id: "sha256:here".to_owned(), ..Content::default() }];
        let [(name, source, Demand::Rate(rate))] = &found(&snapshot)[..] else {
            panic!("{:?}", found(&snapshot))
        };
        assert_eq!((name.as_str(), *source), ("daily", Source::History));
        assert!((0.3..3.0).contains(&(rate * DAY)), "{rate}");
        // It is here by another digest only: a job would not get that.
        snapshot.contents[0].tags = vec!["daily".to_owned()];
        assert_eq!(found(&snapshot).len(), 1);
    }

    #[test]
    fn where_room_is_scarce_an_image_comes_back_once_its_hours_are_near() {
        // Four times from nine to one on each day, never at the same minute.
        let hours = |day: i32, job: i32| f64::from((day * 97 + job * 53) % 211) / 211.0 * 4.0;
        let mornings = (1..40).flat_map(|day| (0..4).map(move |job| f64::from(day * 24) - hours(day, job)));
        let mut snapshot = host(vec![tag("morning", mornings, false)]);
        let layer = Layer { id: "l".to_owned(), size: Size { compressed: 30, unpacked: 80, inodes: 1 } };
        snapshot.contents = vec![Content { layers: vec![layer], ..Content::default() }];
        let found_at = |hours: f64, budget| {
            let rules =
                Rules { image_bytes: Some(Water { start: budget, stop: budget }), ..Rules::default() };
            let foresight = Foresight::new(&snapshot, &rules, NOW + hours * HOUR);
            foresight.candidates(|_| Some(Absent::default())).len()
        };
        assert_eq!((found_at(-10.0, 100), found_at(-0.5, 100)), (0, 1));
        assert_eq!((found_at(-10.0, 120), found_at(-0.5, 120)), (1, 1));
    }

    #[test]
    fn a_schedule_says_when() {
        let nightly = (0..10).map(|night| f64::from(night) * 24.0 + 7.0);
        let candidates = found(&host(vec![tag("nightly", nightly, true)]));
        let first = (candidates[0].1, candidates[0].2);
        assert_eq!(first, (Source::Schedule, Demand::At(NOW + 17.0 * HOUR)), "{candidates:?}");
    }

    #[test]
    fn a_pipeline_that_has_begun_wants_what_follows_soon() {
        let first: Vec<f64> = daily().chain([0.005]).collect();
        let then = daily().map(|hours| hours - 0.01);
        let candidates = found(&host(vec![tag("lint", first, false), tag("test", then, false)]));
        let of_test = candidates.iter().find(|(name, ..)| name == "test");
        assert_eq!(of_test.map(|found| found.2), Some(Demand::Soon(Soon::Stages(1))), "{candidates:?}");
    }

    #[test]
    fn a_moved_tag_is_wanted_if_a_job_comes_before_the_next_move() {
        let snapshot = host(vec![tag("daily", daily(), false), tag("once", [900.0], false)]);
        let foresight = looked(&snapshot);
        let moved = |name, seen| {
            let image = Absent { moves: Moves { seen, over: 40.0 * DAY }, ..Absent::default() };
            foresight.moved(name, image)
        };
        let candidate = moved("daily", 2).unwrap();
        assert_eq!(candidate.source, Source::Moved);
        assert!((0.85..1.0).contains(&candidate.cold), "{candidate:?}");
        assert_eq!(moved("daily", 40), None);
        assert_eq!((moved("once", 1), moved("never", 1)), (None, None));
        assert_eq!(foresight.to_look_up(), ["daily"]);
        assert!(foresight.demand("once").is_some() && foresight.demand("never").is_none());
    }

    #[test]
    fn an_image_that_shares_its_base_lacks_only_the_rest() {
        let layer = |id: &str, bytes| Layer {
            id: id.to_owned(),
            size: Size { compressed: bytes, unpacked: 2 * bytes, inodes: 1 },
        };
        let content = Content { layers: vec![layer("base", 100)], ..Content::default() };
        let snapshot = Snapshot { contents: vec![content], ..Snapshot::default() };
        let layers = [layer("base", 100), layer("top", 7), layer("top", 7)];
        assert_eq!(missing(&snapshot, &layers), Size { compressed: 7, unpacked: 14, inodes: 1 });
    }
}
