//! A snapshot as rules see it: tags and layers by number, the history of uses, and each image with what holds it.

use std::collections::HashMap;
use std::sync::Arc;

use super::cost::Size;
use super::guard::{faded_claims, must_stay};
use super::history::{Event, History};
use super::rules::Rules;
use super::shelf::{Item, LayerIx, Shelf};
use super::snapshot::{Class, Content, Layer, Snapshot, Tag};

/// All that a snapshot says, by number. The order of what it lists does not matter.
pub(super) struct Reading {
    /// What is remembered of the tags, which are numbered in the order of their names.
    pub(super) history: History,
    /// The images in the order of their names, each with its place in the snapshot. An item's key is its place here.
    pub(super) images: Vec<(Item, usize)>,
    /// The sizes of the layers by number, those of images that are gone included.
    layers: Vec<Size>,
}

impl Reading {
    /// Reads a snapshot. `patterns` asks for the patterns of use, also where the rule does not look at them.
    pub(super) fn new(snapshot: &Snapshot, rules: &Rules, patterns: bool, now: f64) -> Self {
        let mut layers = Layers::default();
        let half_life = rules.score.half_life();
        let mut history = match patterns {
            true => History::new(snapshot.tags.len(), half_life, true),
            false => rules.score.history(snapshot.tags.len()),
        };
        let tags = remember(snapshot, &mut history, &mut layers);
        let mut order: Vec<usize> = (0..snapshot.contents.len()).collect();
        order.sort_by(|&a, &b| snapshot.contents[a].id.cmp(&snapshot.contents[b].id));
        let image = |(key, place): (usize, usize)| {
            let content = &snapshot.contents[place];
            let (named_by, moved) = naming(snapshot, &tags, content);
            let item = Item {
                key,
                tags: named_by,
                layers: layers.intern(&content.layers),
                cost: content.cost,
                last_use: content.last_use.unwrap_or(f64::NEG_INFINITY),
                moved,
                guarded: must_stay(content, rules, now) || content.class != Class::Pulled,
                priority: content.priority,
                claimed: faded_claims(content, now, half_life),
            };
            (item, place)
        };
        let images = order.into_iter().enumerate().map(image).collect();
        Self { history, images, layers: layers.sizes }
    }

    /// Makes an empty shelf that knows the layers.
    pub(super) fn shelf(&self) -> Shelf {
        Shelf::new(self.layers.iter().copied())
    }
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
