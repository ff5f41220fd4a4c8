//! Least recently used: the image whose last use is longest ago goes. What most hosts do; the others are measured by it.

use super::super::shelf::Item;

/// Returns the time of the last use.
pub fn rank(item: &Item) -> f64 {
    item.last_use
}
