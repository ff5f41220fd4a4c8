//! What the cache shall be: which images stay, which go, and why.
//!
//! Pure: a snapshot of what is known, rules and the time go in, an ordered plan with reasons comes out. The daemon, dry
//! runs and `hearth simulate` call the same functions, so a rule that is good in a replay is the one that runs.
//!
//! All times are seconds on one clock (the epoch's, or a trace's own); all sizes are bytes. docs/policy.md says what was
//! measured, and what was tried and dropped.

pub mod clock;
pub mod cost;
pub mod evict;
pub mod explain;
pub mod forecast;
pub mod guard;
pub mod history;
pub mod hours;
pub mod locals;
pub mod orphans;
pub mod prefetch;
mod reading;
pub mod reason;
pub mod room;
pub mod rules;
pub mod score;
pub mod shelf;
pub mod simulate;
pub mod snapshot;
pub mod standing;
pub mod tune;
pub mod wanted;

#[cfg(test)]
mod evict_tests;
#[cfg(test)]
mod fortnight;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod standing_tests;

pub use clock::{ClockState, Doubt};
pub use cost::{Cost, Size};
pub use evict::{Ending, Plan, PlanError, Removal, plan};
pub use hours::{Days, DueTime, LocalTime, Window, opens_in};
pub use reason::Reason;
pub use rules::{Rules, Water};
pub use score::Score;
pub use snapshot::{Claim, Class, Content, Disk, Layer, Snapshot, Tag, Use};
