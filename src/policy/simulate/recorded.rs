//! A trace from what a host has on record: which image each job got, and when.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::cost::Cost;
use super::super::snapshot::Layer;
use super::trace::{LARGEST_LAYER, Reader, Trace};

/// One use on record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedUse {
    /// When, in seconds.
    pub at: f64,
    /// The name that the job asked for.
    pub tag: String,
    /// What it got, an index into [`Record::images`].
    pub image: usize,
    /// The project; `None` where it is not known.
    pub project: Option<u64>,
    /// Whether a schedule started the pipeline.
    pub scheduled: bool,
}

/// What a host has on record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The uses, in any order.
    pub uses: Vec<RecordedUse>,
    /// The layers of each image.
    pub images: Vec<Vec<Layer>>,
    /// What pulls by a name cost; names that are missing cost what the replay says.
    pub costs: HashMap<String, Cost>,
}

impl Record {
    /// Returns the trace. Uses of images without layers are left out.
    ///
    /// A host sees that a tag moved when a job gets the new image, or when it looks. The registry moved it at some time
    /// between the last use that got the old image and that one: halfway, as far as anybody knows.
    pub fn trace(&self) -> Trace {
        let layers_of = |image: usize| self.images.get(image).map_or(&[][..], Vec::as_slice);
        let mut uses: Vec<&RecordedUse> =
            self.uses.iter().filter(|one| one.at.is_finite() && !layers_of(one.image).is_empty()).collect();
        uses.sort_by(|a, b| {
            (a.at.total_cmp(&b.at)).then_with(|| a.tag.cmp(&b.tag)).then(a.project.cmp(&b.project))
        });
        let mut last: HashMap<&str, &RecordedUse> = HashMap::new();
        let mut steps: Vec<(f64, bool, &RecordedUse)> = Vec::with_capacity(uses.len() * 2);
        for one in uses {
            let moved = match last.insert(&one.tag, one) {
                None => Some(one.at),
                Some(before) if before.image != one.image => Some(before.at.midpoint(one.at)),
                Some(_) => None,
            };
            steps.extend(moved.map(|at| (at, false, one)));
            steps.push((one.at, true, one));
        }
        // Stable: what is alike stays in the order of the uses, a move before the job that saw it.
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut reader = Reader::default();
        for (at, is_job, one) in steps {
            let entry = if is_job {
                reader.job(at, &one.tag, one.project, one.scheduled)
            } else {
                let layers: Vec<_> = layers_of(one.image).iter().map(wire).collect();
                reader.moved(at, &one.tag, &layers)
            };
            reader.trace.entries.extend(entry);
        }
        let mut trace = reader.trace;
        let cost = |tag: &String| self.costs.get(tag).copied().unwrap_or_default();
        trace.costs = trace.tags.iter().map(cost).collect();
        trace
    }
}

fn wire(layer: &Layer) -> (Cow<'_, str>, u64, u64) {
    let size = layer.size;
    (Cow::Borrowed(&layer.id), size.compressed.min(LARGEST_LAYER), size.unpacked.min(LARGEST_LAYER))
}
