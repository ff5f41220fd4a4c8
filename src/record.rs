//! What this host has on record, as a trace to replay.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::outcome::Failure;
use crate::policy::simulate::{Record, RecordedUse, Trace};
use crate::policy::{Cost, Layer, Size};
use crate::store::{Content, ContentKey, PullOutcome, Store, StorePlace, Tag, Trouble};
use crate::units::ByteSize;

const DAY: f64 = 86_400.0;
/// Uses below which a replay would say nothing.
const FEWEST_USES: usize = 20;
/// Seconds below which it would say nothing.
const SHORTEST: f64 = DAY;
/// Seconds below which it says little: what comes every week was seen once.
const SHORT: f64 = 14.0 * DAY;
/// Uses are on record for three months. What is much older, or ahead of the clock, was written by a wrong one.
const OLDEST: Duration = Duration::from_secs(200 * 24 * 3600);
const AHEAD: Duration = Duration::from_secs(24 * 3600);
/// Bytes on disk for each compressed byte, where no layer on record has both.
const USUAL_RATIO: f64 = 2.65;
/// Registries whose costs are named one by one.
const NAMED: usize = 3;
const NO_LAYERS: &str = "have no known layers and were left out (built or loaded here, or not looked at yet)";

/// What a host has on record.
#[derive(Debug, Clone)]
pub struct History {
    /// Its jobs.
    pub trace: Trace,
    /// Each of them with the seconds that it really waited, by time.
    pub waited: Vec<(f64, f64)>,
    /// What readers have to know to judge the figures, a sentence each.
    pub notes: Vec<String>,
}

/// Reads what a host has on record, and changes nothing. `None`: there is no place for facts.
///
/// # Errors
/// A store that is missing, cannot be read or knows too little: what, where, and what to do.
pub fn history(place: Option<&StorePlace>, now: Duration) -> Result<History, Failure> {
    let or_trace = "name a trace: hearth simulate --trace FILE";
    let place = place.ok_or_else(|| {
        Failure::system("there is no place for this host's store: neither [store] dir nor HOME is set")
            .hint(or_trace)
    })?;
    let file = place.file();
    let broken = |trouble: Trouble| Failure::system(trouble.words).hint(trouble.hint).hint(or_trace);
    let store = Store::open_existing(place, now).map_err(broken)?.ok_or_else(|| {
        Failure::system(format!("there is no store {}: no job has run here yet", file.display()))
            .hint("see [store] dir in the settings (--config FILE), and which user the runner's jobs have")
            .hint(or_trace)
    })?;
    let mut reading = Reading::new(&store, now);
    let known = reading.record.uses.len();
    let history = reading.history(&store);
    if let Some(trouble) = store.trouble() {
        return Err(broken(trouble));
    }
    let span = span(&history.trace);
    if known < FEWEST_USES || span < SHORTEST {
        let mut failure = Failure::system(format!(
            "the store {} knows {known} uses of images with known layers, over {}: too little to replay",
            file.display(),
            hours(span)
        ));
        for note in reading.left_out() {
            failure = failure.hint(note);
        }
        return Err(failure.hint(format!("try again after a few days of jobs, or {or_trace}")));
    }
    Ok(history)
}

/// What is read, and what had to be left out.
struct Reading {
    record: Record,
    waited: Vec<(f64, f64)>,
    uses: usize,
    unknown: usize,
    wrong_clock: usize,
    early: usize,
    folded: u64,
    layers: usize,
    estimated: usize,
    sizeless: usize,
}

impl Reading {
    fn new(store: &Store, now: Duration) -> Self {
        let contents = store.contents();
        let tags = store.tags();
        let (images, sizes) = images(&contents);
        let places: HashMap<&ContentKey, usize> =
            contents.iter().enumerate().map(|(place, content)| (&content.key, place)).collect();
        let mut reading = Self {
            record: Record { images, ..Record::default() },
            waited: Vec::new(),
            uses: 0,
            unknown: 0,
            wrong_clock: 0,
            early: 0,
            folded: store.folded_uses(now.saturating_sub(OLDEST)),
            layers: sizes.layers,
            estimated: sizes.estimated,
            sizeless: sizes.sizeless,
        };
        let since = complete_since(&tags);
        for tag in &tags {
            let platforms: BTreeSet<String> = tag
                .recent
                .iter()
                .filter_map(|one| one.content.as_ref().map(|key| key.platform.to_string()))
                .collect();
            for one in &tag.recent {
                reading.uses += 1;
                let place = one.content.as_ref().and_then(|key| places.get(key).copied());
                let place = place.filter(|&place| !reading.record.images[place].is_empty());
                if one.at > now.saturating_add(AHEAD) || one.at.saturating_add(OLDEST) < now {
                    reading.wrong_clock += 1;
                } else if one.at < since {
                    reading.early += 1;
                } else if let (Some(place), Some(key)) = (place, &one.content) {
                    let at = one.at.as_secs_f64();
                    reading.waited.push((at, one.waited.as_secs_f64()));
                    // One name on two platforms is two images side by side, not one that moves to and fro.
                    let tag = match platforms.len() {
                        0 | 1 => tag.name.clone(),
                        _ => format!("{} ({})", tag.name, key.platform),
                    };
                    let scheduled = one.source.as_deref() == Some("schedule");
                    let project = one.project;
                    reading.record.uses.push(RecordedUse { at, tag, image: place, project, scheduled });
                } else {
                    reading.unknown += 1;
                }
            }
        }
        reading.waited.sort_by(|a, b| a.0.total_cmp(&b.0));
        reading
    }

    fn history(&mut self, store: &Store) -> History {
        let (costs, mut notes) = costs(store, &self.record);
        self.record.costs = costs;
        let trace = self.record.trace();
        let span = span(&trace);
        if span < SHORT {
            notes.push(format!(
                "only {} are on record: what comes once a week is hardly seen, so judge again later",
                hours(span)
            ));
        }
        notes.extend(self.left_out());
        if self.early > 0 {
            notes.push(format!(
                "{} of {} uses are older than the oldest on record of the busiest images and were left out",
                self.early, self.uses
            ));
        }
        if self.folded > 0 {
            notes.push(format!(
                "{} uses of tags that came and went are only counted by repository and were left out: \
                 jobs wait longer, and need more room, than is said here",
                self.folded
            ));
        }
        if self.estimated > 0 {
            notes.push(format!("{} of {} layers have estimated sizes", self.estimated, self.layers));
        }
        if self.sizeless > 0 {
            notes.push(format!(
                "{} of {} layers have no known size and count as nothing",
                self.sizeless, self.layers
            ));
        }
        History { trace, waited: std::mem::take(&mut self.waited), notes }
    }

    fn left_out(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.unknown > 0 {
            notes.push(format!("{} of {} uses {NO_LAYERS}", self.unknown, self.uses));
        }
        if self.wrong_clock > 0 {
            notes.push(format!(
                "{} of {} uses were written by a wrong clock and were left out",
                self.wrong_clock, self.uses
            ));
        }
        notes
    }
}

/// Returns the time from which on the uses of all images are on record: of busy ones only the newest are kept.
fn complete_since(tags: &[Tag]) -> Duration {
    let cut = |tag: &&Tag| tag.recent.len() >= Store::MOST_RECENT_USES && tag.uses > tag.recent.len() as u64;
    let first = tags.iter().filter(cut).filter_map(|tag| tag.recent.first());
    first.map(|one| one.at).max().unwrap_or_default()
}

struct Sizes {
    layers: usize,
    estimated: usize,
    sizeless: usize,
}

/// Returns the layers of each content, those without a known size filled in from what the others have. A content that has
/// no known size at all has no layers.
fn images(contents: &[Content]) -> (Vec<Vec<Layer>>, Sizes) {
    let known: BTreeMap<&str, (Option<u64>, Option<u64>, bool)> = contents
        .iter()
        .flat_map(|content| &content.layers)
        .map(|layer| (layer.chain.as_str(), (layer.unpacked, layer.compressed, layer.estimated)))
        .collect();
    let both = known.values().filter_map(|(unpacked, compressed, _)| unpacked.zip(*compressed));
    let (unpacked, compressed) =
        both.fold((0_u64, 0_u64), |sum, both| (sum.0.saturating_add(both.0), sum.1.saturating_add(both.1)));
    let ratio =
        if unpacked > 0 && compressed > 0 { unpacked as f64 / compressed as f64 } else { USUAL_RATIO };
    let size = |unpacked: Option<u64>, compressed: Option<u64>| match (unpacked, compressed) {
        (None, None) => None,
        (Some(unpacked), Some(compressed)) => Some((unpacked, compressed)),
        (Some(unpacked), None) => Some((unpacked, (unpacked as f64 / ratio) as u64)),
        (None, Some(compressed)) => Some(((compressed as f64 * ratio) as u64, compressed)),
    };
    let mut sizes = Sizes { layers: known.len(), estimated: 0, sizeless: 0 };
    for (unpacked, compressed, estimated) in known.values() {
        match (unpacked, compressed) {
            (None, None) => sizes.sizeless += 1,
            (Some(_), Some(_)) if !estimated => {}
            _ => sizes.estimated += 1,
        }
    }
    let layers_of = |content: &Content| -> Vec<Layer> {
        let sizes = content.layers.iter().map(|layer| size(layer.unpacked, layer.compressed));
        if sizes.clone().all(|size| size.is_none()) {
            return Vec::new();
        }
        let sized = |(layer, size): (&crate::store::Layer, Option<(u64, u64)>)| {
            let (unpacked, compressed) = size.unwrap_or_default();
            Layer { id: layer.chain.clone(), size: Size { compressed, unpacked, inodes: 0 } }
        };
        content.layers.iter().zip(sizes).map(sized).collect()
    };
    (contents.iter().map(layers_of).collect(), sizes)
}

/// Returns what pulls by each name cost on this host, and says it.
fn costs(store: &Store, record: &Record) -> (HashMap<String, Cost>, Vec<String>) {
    let pulls = store.pulls(Duration::ZERO);
    let done: Vec<_> = pulls.iter().filter(|pull| pull.outcome == PullOutcome::Done).collect();
    let mut by_registry: BTreeMap<String, Cost> = BTreeMap::new();
    let mut costs = HashMap::new();
    for one in &record.uses {
        if costs.contains_key(&one.tag) {
            continue;
        }
        let name = one.tag.split(' ').next().unwrap_or_default();
        let registry = name.split('/').next().unwrap_or_default().to_owned();
        let cost = *by_registry.entry(registry).or_insert_with_key(|registry| {
            // The bytes come from where they came from last.
            let last = done.iter().rev().find(|pull| pull.registry == *registry);
            let from = last.and_then(|pull| pull.mirror.as_deref()).unwrap_or(registry);
            store.cost(from, Cost::default())
        });
        costs.insert(one.tag.clone(), cost);
    }
    let mut notes = Vec::new();
    if done.is_empty() && !costs.is_empty() {
        notes.push(format!("no pull is on record yet, so they are taken to cost {}", words(Cost::default())));
    } else {
        let said =
            |(registry, cost): (&String, &Cost)| format!("pulls from {registry} cost {}", words(*cost));
        notes.extend(by_registry.iter().take(NAMED).map(said));
        let more = by_registry.len().saturating_sub(NAMED);
        notes.extend(
            (more > 0).then(|| format!("pulls from {more} more registries cost what they did before")),
        );
    }
    (costs, notes)
}

fn words(cost: Cost) -> String {
    let rate = |bytes: f64| ByteSize(bytes as u64);
    format!(
        "{:.1} s + compressed bytes at {}/s + bytes on disk at {}/s",
        cost.overhead_seconds,
        rate(cost.download_bytes_per_second),
        rate(cost.unpack_bytes_per_second)
    )
}

fn span(trace: &Trace) -> f64 {
    trace.jobs().last().map_or(0.0, |(event, _)| event.at - trace.start())
}

fn hours(seconds: f64) -> String {
    if seconds < 2.0 * DAY {
        format!("{:.0} hours", seconds / 3600.0)
    } else {
        format!("{:.0} days", seconds / DAY)
    }
}
