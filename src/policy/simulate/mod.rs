//! Replays: a trace of jobs and moved tags through the same functions that decide on a host.
//!
//! The job's image is pulled if it is not there, then images go until the budget is kept, all by [`make_room`].
//! Beside the rules stand two figures that no rule reaches: [`clairvoyant`] knows the future, and [`bound`] is what not
//! even the best schedule of evictions could save.
//!
//! [`make_room`]: super::room::make_room

pub mod ahead;
pub mod bound;
pub mod clairvoyant;
pub mod grid;
pub mod recorded;
pub mod replay;
pub mod trace;

#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod tests;

pub use ahead::Ahead;
pub use recorded::{Record, RecordedUse};
pub use replay::{Outcome, Policy, Setup, replay};
pub use trace::{BadTrace, Trace};
