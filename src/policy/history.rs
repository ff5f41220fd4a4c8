//! What is remembered of tags, also while their image is gone: how often, when last, and which layers they had.

use std::sync::Arc;

use super::forecast::Forecast;
use super::shelf::{LayerIx, TagIx};

/// A count that halves with every half-life.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Decayed {
    /// The count at that time.
    pub value: f64,
    /// When it was counted, in seconds.
    pub at: f64,
}

impl Decayed {
    /// Returns the count at a later time. An earlier time counts as no time: clocks step back.
    pub fn at(&self, now: f64, half_life: f64) -> f64 {
        self.value * (-(now - self.at).max(0.0) / half_life).exp2()
    }

    /// Counts one more.
    pub fn bump(&mut self, now: f64, half_life: f64) {
        *self = Self { value: self.at(now, half_life) + 1.0, at: now.max(self.at) };
    }
}

/// One use of a tag by a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// When, in seconds.
    pub at: f64,
    /// Which tag.
    pub tag: TagIx,
    /// The project; `None` where it is not known.
    pub project: Option<u64>,
    /// Whether a schedule started the pipeline.
    pub scheduled: bool,
}

/// What is remembered of one tag.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// Its decayed rate of uses.
    pub rate: Decayed,
    /// When a job used it last; `None` if none has.
    pub last_use: Option<f64>,
    /// How often jobs used it.
    pub uses: u64,
    /// The layers that it had when it was seen last; empty if they are not known.
    pub layers: Arc<[LayerIx]>,
}

/// What is remembered of all tags.
#[derive(Debug, Clone)]
pub struct History {
    /// Seconds in which a tag's rate halves.
    pub half_life: f64,
    tags: Vec<Demand>,
    forecast: Option<Forecast>,
}

impl History {
    /// Makes an empty memory. Patterns of use cost time, so only rules that look at them ask for `forecast`.
    pub fn new(tags: usize, half_life: f64, forecast: bool) -> Self {
        Self {
            half_life,
            tags: vec![Demand::default(); tags],
            forecast: forecast.then(|| Forecast::new(tags)),
        }
    }

    /// Remembers a use.
    pub fn note(&mut self, event: Event) {
        let tag = &mut self.tags[event.tag];
        tag.rate.bump(event.at, self.half_life);
        tag.last_use = Some(tag.last_use.map_or(event.at, |last| last.max(event.at)));
        tag.uses += 1;
        if let Some(forecast) = &mut self.forecast {
            forecast.note(event);
        }
    }

    /// Returns what is remembered of a tag.
    pub fn tag(&self, tag: TagIx) -> &Demand {
        &self.tags[tag]
    }

    /// Returns what is remembered of a tag, to set what is known from elsewhere.
    pub fn tag_mut(&mut self, tag: TagIx) -> &mut Demand {
        &mut self.tags[tag]
    }

    /// Returns the tags in their order.
    pub fn tags(&self) -> &[Demand] {
        &self.tags
    }

    /// Returns the patterns of use; `None` if they are not kept.
    pub fn forecast(&self) -> Option<&Forecast> {
        self.forecast.as_ref()
    }

    /// Returns a tag's decayed rate.
    pub fn rate(&self, tag: TagIx, now: f64) -> f64 {
        self.tags[tag].rate.at(now, self.half_life)
    }

    /// Returns when any of the tags was used last; negative infinity if none was.
    pub fn last_use(&self, tags: &[TagIx]) -> f64 {
        tags.iter().filter_map(|&tag| self.tags[tag].last_use).fold(f64::NEG_INFINITY, f64::max)
    }
}
