//! What the next jobs will want, and whether it may be brought before they ask.
//!
//! Candidates come from the operator's list, from what this host's jobs used, from tags that moved, and from what the
//! running pipeline's files name. [`rank`] puts them in order, [`may_begin`] says whether now is the time, [`fits`] whether
//! there is room, [`claim`] how long it is kept, and [`cut`] whether a pull that runs already gives way to a job's.

mod candidate;
mod claim;
mod cut;
mod fits;
mod foresight;
mod looks;
mod manners;
mod rank;

pub use candidate::{Candidate, Demand, Soon, Source};
pub use claim::claim;
pub use cut::{Loses, Running, cut};
pub use fits::{Fit, fits, with_less_room};
pub(super) use fits::{is_worth, lost};
pub use foresight::{Absent, Foresight, missing};
pub(super) use foresight::{is_ample, wishes};
pub use looks::next_look;
pub use manners::{Held, Host, may_begin};
pub use rank::{Ranked, rank};

#[cfg(test)]
mod properties;
