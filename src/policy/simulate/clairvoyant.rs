//! The rule of one who knows the trace to its end: what is needed last goes first. It says how much there is to win.

use super::super::cost::Size;
use super::super::room::{Order, Usual};
use super::super::shelf::{Item, Shelf};
use super::trace::Trace;

/// When each layer and each tag is used, counted in jobs.
#[derive(Debug, Clone, Default)]
pub struct Future {
    layers: Vec<Vec<u32>>,
    tags: Vec<Vec<u32>>,
}

impl Future {
    /// Reads the trace to its end.
    pub fn new(trace: &Trace) -> Self {
        let mut future =
            Self { layers: vec![Vec::new(); trace.layers.len()], tags: vec![Vec::new(); trace.tags.len()] };
        for (job, (event, version)) in trace.jobs().enumerate() {
            future.tags[event.tag].push(job as u32);
            trace.versions[version].iter().for_each(|&layer| future.layers[layer as usize].push(job as u32));
        }
        future
    }

    /// Returns one over the jobs until the next use; 0 if there is none.
    fn nearness(uses: &[u32], job: usize) -> f64 {
        let next = uses.get(uses.partition_point(|&at| at as usize <= job));
        next.map_or(0.0, |&at| 1.0 / (at as usize - job) as f64)
    }
}

/// The rule at work before one job.
pub struct Clairvoyant<'a> {
    /// What comes.
    pub future: &'a Future,
    /// The running job.
    pub job: usize,
}

impl Order for Clairvoyant<'_> {
    fn rank(&mut self, shelf: &Shelf, item: &Item, frees: Size, _: Usual) -> f64 {
        let mut worth: f64 =
            item.tags.iter().map(|&tag| Future::nearness(&self.future.tags[tag], self.job)).sum();
        worth *= item.cost.overhead_seconds;
        for &layer in item.layers.iter().filter(|&&layer| shelf.alone(layer)) {
            let seconds = item.cost.layer_seconds(shelf.layer(layer));
            worth += seconds * Future::nearness(&self.future.layers[layer as usize], self.job);
        }
        worth / (frees.unpacked as f64).max(1.0)
    }
}
