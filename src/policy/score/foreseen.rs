//! The foreseen next use × the seconds to pull what would go ÷ the bytes it frees, as far as they are needed.
//!
//! Three things beyond the decayed rate. The next use is foreseen by [`Forecast`](crate::policy::forecast::Forecast), which
//! listens to that rate, too. A layer is wanted by every tag that has it, also by those whose image is gone: a base that
//! ten tags share is kept. And bytes far beyond what is asked for count no more: to free 50 MB, a big image is a bad choice
//! even if its bytes are cheap.

use std::f64::consts::LN_2;

use super::super::cost::Size;
use super::super::forecast::Outlook;
use super::super::history::History;
use super::super::room::Asked;
use super::super::shelf::{Item, Shelf};

/// Freed bytes count up to so many times the bytes that are missing. 2 to 4 are nearly alike; 1 leaves a shelf of crumbs.
const OVERSHOOT: f64 = 2.5;
/// And up to so much of the whole budget on top: the next pull will want room, too.
const SLACK: f64 = 0.01;

/// What is expected of each tag and each layer at one moment.
pub struct Foreseen {
    tags: Vec<Outlook>,
    layers: Vec<Outlook>,
    half_life: f64,
}

impl Foreseen {
    /// Looks ahead from this moment.
    pub fn new(history: &History, shelf: &Shelf, now: f64) -> Self {
        let mut tags = vec![Outlook::NOTHING; history.tags().len()];
        let mut layers = vec![Outlook::NOTHING; shelf.layer_count()];
        let steady = |tag| history.rate(tag, now) * LN_2 / history.half_life;
        for (tag, outlook) in
            history.forecast().into_iter().flat_map(|forecast| forecast.outlooks(now, steady))
        {
            tags[tag] = outlook;
            for &layer in history.tag(tag).layers.iter() {
                layers[layer as usize].join(outlook);
            }
        }
        Self { tags, layers, half_life: history.half_life }
    }

    /// Returns the expected seconds saved a second for each byte that counts.
    pub fn rank(&self, shelf: &Shelf, item: &Item, frees: Size, asked: Asked) -> f64 {
        let claimed = item.claimed * LN_2 / self.half_life;
        let mut image = Outlook::NOTHING;
        image.add(claimed);
        item.tags.iter().for_each(|&tag| image.join(self.tags[tag]));
        let mut worth = item.cost.overhead_seconds * image.nearness();
        for &layer in item.layers.iter().filter(|&&layer| shelf.alone(layer)) {
            let mut outlook = self.layers[layer as usize];
            outlook.add(claimed);
            worth += item.cost.layer_seconds(shelf.layer(layer)) * outlook.nearness();
        }
        let counts = (OVERSHOOT * asked.missing as f64 + SLACK * asked.target as f64).max(1.0);
        worth / (asked.measure.of(frees) as f64).clamp(1.0, counts)
    }
}
