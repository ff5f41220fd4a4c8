//! Greedy-Dual-Size-Frequency: uses × seconds ÷ bytes of the whole image, on top of the rank of what went last.

use super::super::cost::Size;
use super::super::shelf::{Item, Shelf};
use super::layer_gdsf::greedy_dual;

/// Returns what to note at a use, as if no layer were shared.
pub fn priority(shelf: &Shelf, item: &Item, uses: f64, inflation: f64) -> f64 {
    let mut whole = Size::default();
    item.layers.iter().for_each(|&layer| whole += shelf.layer(layer));
    greedy_dual(item, whole, uses, inflation)
}
