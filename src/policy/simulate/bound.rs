//! What no rule can save: an upper bound on the seconds that evictions, however well chosen, can spare.
//!
//! Keeping a layer from one use to the next is an interval that takes its bytes at every job in between and spares its
//! seconds at the end. While a job runs, its image's bytes are there, so the kept intervals that span the job have the
//! rest of the budget. Prices on that room (one a job, none below zero) make it a sum of independent choices; whatever
//! the prices, the sum is an upper bound (weak duality). A projected subgradient looks for prices that make it low.

use super::super::cost::Cost;
use super::super::shelf::LayerIx;
use super::trace::Trace;

/// Rounds of the search. More lower the bound by well under 1 %.
pub const ROUNDS: u32 = 500;
/// Rounds without progress after which steps are halved.
const PATIENCE: u32 = 12;

/// Seconds of all pulls if nothing were ever kept, and of those, what can be spared at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// Seconds if nothing were kept.
    pub total: f64,
    /// Seconds that can be spared at most.
    pub savings: f64,
}

impl Bound {
    /// Returns the seconds below which no rule comes.
    pub fn seconds(self) -> f64 {
        self.total - self.savings
    }
}

#[derive(Debug, Clone, Copy)]
struct Interval {
    from: u32,
    to: u32,
    bytes: f64,
    seconds: f64,
}

/// The problem without a budget: read once, used for each budget.
#[derive(Debug, Clone, Default)]
pub struct Problem {
    intervals: Vec<Interval>,
    /// Bytes of the running image, a job each.
    running: Vec<f64>,
    total: f64,
    /// Seconds of intervals between neighbours: they span no job and are always kept.
    free: f64,
}

impl Problem {
    /// Reads the intervals from a trace. `usual` is what pulls cost where the trace does not say.
    pub fn new(trace: &Trace, usual: Cost) -> Self {
        let mut problem = Self::default();
        let mut last: Vec<Option<u32>> = vec![None; trace.layers.len()];
        for (job, (event, version)) in trace.jobs().enumerate() {
            let cost = trace.cost(event.tag, usual);
            let layers = &trace.versions[version];
            let unpacked = |layer: LayerIx| trace.layers[layer as usize].unpacked as f64;
            let image: f64 = layers.iter().map(|&layer| unpacked(layer)).sum();
            problem.running.push(image);
            for &layer in layers.iter() {
                let bytes = unpacked(layer);
                let seconds = cost.layer_seconds(trace.layers[layer as usize])
                    + cost.overhead_seconds * if image > 0.0 { bytes / image } else { 0.0 };
                problem.total += seconds;
                let to = job as u32;
                match last[layer as usize].replace(to) {
                    Some(from) if from + 1 == to => problem.free += seconds,
                    Some(from) => problem.intervals.push(Interval { from, to, bytes, seconds }),
                    None => {}
                }
            }
        }
        problem.intervals.sort_by_key(|interval| (interval.from, interval.to));
        problem
    }

    /// Returns the seconds of all pulls if nothing were ever kept.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Returns the bound for a budget. `reachable` is what some rule is known to spare: the search aims there.
    pub fn bound(&self, budget: u64, reachable: f64, rounds: u32) -> Bound {
        let room: Vec<f64> = self.running.iter().map(|image| (budget as f64 - image).max(0.0)).collect();
        let jobs = room.len();
        let (mut prices, mut sums, mut load) = (vec![0.0; jobs], vec![0.0; jobs + 1], vec![0.0; jobs + 1]);
        let mut best = f64::INFINITY;
        let (mut step, mut waited) = (1.0, 0);
        for _ in 0..rounds {
            let value = self.free + self.value(&room, &prices, &mut sums, &mut load);
            waited = if value < best * (1.0 - 1e-5) { 0 } else { waited + 1 };
            best = best.min(value);
            if waited >= PATIENCE {
                (step, waited) = (step / 2.0, 0);
            }
            let slope: f64 = load
                .iter()
                .zip(&room)
                .zip(&prices)
                .map(|((load, room), price)| {
                    let slope = load - room;
                    if *price > 0.0 || slope > 0.0 { slope * slope } else { 0.0 }
                })
                .sum();
            if slope <= 0.0 || value <= reachable {
                break;
            }
            let length = step * (value - reachable) / slope;
            for ((price, load), room) in prices.iter_mut().zip(&load).zip(&room) {
                *price = (*price + length * (load - room)).max(0.0);
            }
        }
        Bound { total: self.total, savings: best }
    }

    /// Returns the dual value at these prices, and in `load` the bytes of the intervals that are worth theirs.
    fn value(&self, room: &[f64], prices: &[f64], sums: &mut [f64], load: &mut [f64]) -> f64 {
        let mut value = 0.0;
        load.fill(0.0);
        for (job, price) in prices.iter().enumerate() {
            sums[job + 1] = sums[job] + price;
            value += price * room[job];
        }
        for interval in &self.intervals {
            let (from, to) = (interval.from as usize + 1, interval.to as usize);
            let gain = interval.seconds - interval.bytes * (sums[to] - sums[from]);
            if gain > 0.0 {
                value += gain;
                load[from] += interval.bytes;
                load[to] -= interval.bytes;
            }
        }
        let mut running = 0.0;
        for load in load.iter_mut() {
            running += *load;
            *load = running;
        }
        value
    }
}
