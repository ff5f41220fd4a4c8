//! Greedy-Dual-Size-Frequency over what would really go: layers that another image holds cost and free nothing.

use super::super::cost::Size;
use super::super::shelf::{Item, Shelf};

/// Bytes below which size makes no more difference.
const LEAST_BYTES: f64 = 1e6;
/// Brings ranks near 1; without meaning, since only their order counts.
const SCALE: f64 = 1e8;

/// Returns what to note at a use, by the layers that no other image holds now.
pub fn priority(shelf: &Shelf, item: &Item, uses: f64, inflation: f64) -> f64 {
    greedy_dual(item, shelf.frees(item), uses, inflation)
}

/// Returns uses × seconds ÷ bytes on top of the inflation.
pub(super) fn greedy_dual(item: &Item, size: Size, uses: f64, inflation: f64) -> f64 {
    inflation + uses * item.cost.pull_seconds(size) / (size.unpacked as f64).max(LEAST_BYTES) * SCALE
}
