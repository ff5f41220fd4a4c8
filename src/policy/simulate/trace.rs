//! A trace: which tags named which layers from when on, and which jobs asked for which tag.
//!
//! One JSON object a line, times in seconds from any zero, never going back:
//! `{"at":0.0,"moved":"python:3.6","layers":[["digest",compressed,unpacked],…]}` and
//! `{"at":45476.0,"job":"ruby:2.4"}`, the latter with `"project":7` and `"scheduled":true` where they are known.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::super::cost::{Cost, Size};
use super::super::history::Event;
use super::super::shelf::{LayerIx, TagIx};

/// Complaints after which reading stops.
const MOST_COMPLAINTS: usize = 10;

/// Bytes beyond which a layer's size is taken for a slip.
pub(super) const LARGEST_LAYER: u64 = 1 << 40;

/// What one line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Entry {
    /// The tag names this version from now on.
    Moved {
        /// When, in seconds.
        at: f64,
        /// Which tag.
        tag: TagIx,
        /// Which version, an index into [`Trace::versions`].
        version: usize,
    },
    /// A job needs the tag's image.
    Job {
        /// Which tag, and when.
        event: Event,
        /// The version that the tag names at that time.
        version: usize,
    },
}

impl Entry {
    /// Returns when it happens, in seconds.
    pub fn at(&self) -> f64 {
        match self {
            Self::Moved { at, .. } => *at,
            Self::Job { event, .. } => event.at,
        }
    }
}

/// A checked trace.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The names of the tags.
    pub tags: Vec<String>,
    /// The sizes of the layers.
    pub layers: Vec<Size>,
    /// What tags named: the layers of each version, the same version never twice.
    pub versions: Vec<Arc<[LayerIx]>>,
    /// What happened, in the order of time.
    pub entries: Vec<Entry>,
    /// What pulls of each tag cost; those without one cost what the replay says.
    pub costs: Vec<Cost>,
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// A text that is no trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTrace(pub Vec<Complaint>);

impl fmt::Display for BadTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.iter().map(|complaint| format!("line {}: {}", complaint.line, complaint.what));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for BadTrace {}

#[derive(Deserialize)]
struct Wire<'a> {
    at: Option<f64>,
    #[serde(borrow)]
    moved: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    layers: Option<Vec<(Cow<'a, str>, u64, u64)>>,
    #[serde(borrow)]
    job: Option<Cow<'a, str>>,
    project: Option<u64>,
    #[serde(default)]
    scheduled: Option<bool>,
}

/// Builds a trace entry by entry.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) trace: Trace,
    tags: HashMap<String, TagIx>,
    layers: HashMap<String, LayerIx>,
    versions: HashMap<(TagIx, Vec<LayerIx>), usize>,
    current: Vec<usize>,
    at: f64,
}

impl Trace {
    /// Reads a trace and checks it. Empty lines are passed over.
    ///
    /// # Errors
    /// The first lines that are not what they should be, with what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadTrace> {
        let mut reader = Reader { at: f64::NEG_INFINITY, ..Reader::default() };
        let mut complaints = Vec::new();
        let mut last = 1;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            last = number + 1;
            if let Err(what) = reader.line(line) {
                complaints.push(Complaint { line: last, what });
                if complaints.len() == MOST_COMPLAINTS {
                    break;
                }
            }
        }
        if complaints.is_empty() && reader.trace.jobs().next().is_none() {
            complaints.push(Complaint { line: last, what: "the trace ends without a job".to_owned() });
        }
        if complaints.is_empty() { Ok(reader.trace) } else { Err(BadTrace(complaints)) }
    }

    /// Returns the jobs with the version each needs.
    pub fn jobs(&self) -> impl Iterator<Item = (Event, usize)> + '_ {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Job { event, version } => Some((*event, *version)),
            Entry::Moved { .. } => None,
        })
    }

    /// Returns what pulls of a tag cost.
    pub fn cost(&self, tag: TagIx, usual: Cost) -> Cost {
        self.costs.get(tag).copied().unwrap_or(usual)
    }

    /// Returns the time of the first job; 0 if there is none.
    pub fn start(&self) -> f64 {
        self.jobs().next().map_or(0.0, |(event, _)| event.at)
    }

    /// Returns the bytes on disk of the distinct layers of every tag's version that a job used last.
    pub fn working_set(&self) -> u64 {
        let last: BTreeMap<TagIx, usize> = self.jobs().map(|(event, version)| (event.tag, version)).collect();
        let layers: HashSet<LayerIx> =
            last.values().flat_map(|&version| self.versions[version].iter().copied()).collect();
        layers.into_iter().fold(0, |sum: u64, layer| sum.saturating_add(self.layers[layer as usize].unpacked))
    }

    /// Returns the trace with only the jobs between two times; what tags name is known from before.
    #[must_use]
    pub fn window(mut self, from: f64, to: f64) -> Self {
        self.entries.retain(|entry| match entry {
            Entry::Moved { at, .. } => *at < to,
            Entry::Job { event, .. } => (from..to).contains(&event.at),
        });
        self
    }
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let wire: Wire<'_> = serde_json::from_str(line).map_err(|error| {
            let column = error.column();
            let text = error.to_string();
            format!("{} (column {column})", text.split(" at line ").next().unwrap_or_default())
        })?;
        let at = wire.at.ok_or("there is no \"at\"")?;
        if !at.is_finite() || at.abs() > 1e15 {
            return Err(format!("{at} is not a time in seconds"));
        }
        if at < self.at {
            return Err(format!("{at} is before {} on an earlier line: times must not go back", self.at));
        }
        let entry = match (wire.moved, wire.job) {
            (Some(tag), None) => self.moved(at, &tag, &wire.layers.unwrap_or_default())?,
            (None, Some(tag)) => self.job(at, &tag, wire.project, wire.scheduled.unwrap_or_default())?,
            (None, None) => return Err("there is neither \"moved\" nor \"job\"".to_owned()),
            (Some(_), Some(_)) => return Err("there are both \"moved\" and \"job\"".to_owned()),
        };
        self.at = at;
        self.trace.entries.push(entry);
        Ok(())
    }

    pub(super) fn job(
        &self,
        at: f64,
        name: &str,
        project: Option<u64>,
        scheduled: bool,
    ) -> Result<Entry, String> {
        let known = self.tags.get(name).copied();
        let tag = known.ok_or_else(|| {
            format!("the job's image {name:?} has no layers: no earlier line says what it names")
        })?;
        Ok(Entry::Job { event: Event { at, tag, project, scheduled }, version: self.current[tag] })
    }

    pub(super) fn moved(
        &mut self,
        at: f64,
        name: &str,
        wire: &[(Cow<'_, str>, u64, u64)],
    ) -> Result<Entry, String> {
        if wire.is_empty() {
            return Err(format!("{name:?} moved to an image without layers"));
        }
        let mut layers: Vec<LayerIx> = Vec::with_capacity(wire.len());
        for (digest, compressed, unpacked) in wire {
            let size = Size { compressed: *compressed, unpacked: *unpacked, inodes: 0 };
            if size.compressed.max(size.unpacked) > LARGEST_LAYER {
                return Err(format!("the layer {digest:?} is larger than 1 TiB"));
            }
            let layer = match self.layers.get(digest.as_ref()) {
                Some(&layer) => layer,
                None => {
                    let layer = self.trace.layers.len() as LayerIx;
                    self.layers.insert(digest.to_string(), layer);
                    self.trace.layers.push(size);
                    layer
                }
            };
            if self.trace.layers[layer as usize] != size {
                return Err(format!("the layer {digest:?} had another size on an earlier line"));
            }
            if !layers.contains(&layer) {
                layers.push(layer);
            }
        }
        let next = self.trace.tags.len();
        let tag = *self.tags.entry(name.to_owned()).or_insert(next);
        if tag == next {
            self.trace.tags.push(name.to_owned());
            self.current.push(0);
        }
        let next = self.trace.versions.len();
        let version = *self.versions.entry((tag, layers.clone())).or_insert(next);
        if version == next {
            self.trace.versions.push(layers.into());
        }
        self.current[tag] = version;
        Ok(Entry::Moved { at, tag, version })
    }
}
