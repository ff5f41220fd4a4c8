//! The foreseen next use × the seconds to pull what would go ÷ the bytes it frees, as far as they are likely to be needed.
//!
//! Three things beyond the decayed rate. The next use is foreseen by [`Forecast`](crate::policy::forecast::Forecast), which
//! listens to that rate, too. A layer is wanted by every tag that has it, also by those whose image is gone: a base that
//! ten tags share is kept. And bytes far beyond what is usually asked for count less: to free 50 MB, a big image is a bad
//! choice even if its bytes are cheap.

use std::f64::consts::LN_2;

use super::super::cost::Size;
use super::super::forecast::Outlook;
use super::super::history::History;
use super::super::room::Usual;
use super::super::shelf::{Item, Shelf};

/// Freed bytes count in full up to so much of what the image used last holds alone.
const FULL: f64 = 0.4;
/// And up to so much of all images on top, so that some do where that image holds nothing alone.
const SLACK: f64 = 0.001;
/// Beyond that they count by this power of how many times as much it is.
const BEYOND: f64 = 0.65;

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
    pub fn rank(&self, shelf: &Shelf, item: &Item, frees: Size, usual: Usual) -> f64 {
        let worth = self.worth(shelf, item);
        let full = (FULL * usual.newest as f64 + SLACK * usual.all as f64).max(1.0);
        let frees = (usual.measure.of(frees) as f64).max(1.0);
        worth / if frees > full { full * (frees / full).powf(BEYOND) } else { frees }
    }

    /// Returns the expected seconds saved a second by keeping the image: what it alone holds, and its pull. Nobody waits for
    /// a pull of what its tags have moved away from.
    pub fn worth(&self, shelf: &Shelf, item: &Item) -> f64 {
        let claimed = item.claimed * LN_2 / self.half_life;
        let mut image = Outlook::NOTHING;
        image.add(claimed);
        if !item.moved {
            item.tags.iter().for_each(|&tag| image.join(self.tags[tag]));
        }
        let mut worth = item.cost.overhead_seconds * image.nearness();
        for &layer in item.layers.iter().filter(|&&layer| shelf.alone(layer)) {
            let mut outlook = self.layers[layer as usize];
            outlook.add(claimed);
            worth += item.cost.layer_seconds(shelf.layer(layer)) * outlook.nearness();
        }
        worth
    }
}
