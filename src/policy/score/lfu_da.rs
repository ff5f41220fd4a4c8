//! Least frequently used with dynamic ageing: the count of uses on top of the rank of what went last, so that what was
//! popular once does not stay for ever.

/// Returns what to note at a use.
pub fn priority(uses: f64, inflation: f64) -> f64 {
    inflation + uses
}
