//! What might be brought ahead of jobs, gathered from the operator's list, this host's history and its tags.
//!
//! A shell, shared by the daemon and by the commands that show what the daemon would do. What is gathered is ranked and
//! held back by [`crate::policy::wanted`]; fetching is [`crate::fetch`]'s.

mod announcing;
mod gather;
mod host;
mod planned;
mod prospect;

pub use announcing::{Announcing, ended};
pub use gather::{Gathered, gather, wants_nothing};
pub use host::{LEASES, host};
pub use planned::{Planned, Waits};
pub use prospect::{Prospect, Whose, wish};
