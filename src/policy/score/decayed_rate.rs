//! The decayed rate of uses × the seconds to pull what would go ÷ the bytes that would free.

use super::super::cost::Size;
use super::super::history::History;
use super::super::shelf::Item;

/// Returns the expected seconds saved for each byte kept, by a scale that is the same for all images.
pub fn rank(history: &History, item: &Item, frees: Size, now: f64) -> f64 {
    let rate: f64 = item.tags.iter().map(|&tag| history.rate(tag, now)).sum();
    (rate + item.claimed) * item.cost.pull_seconds(frees) / (frees.unpacked as f64).max(1.0)
}
