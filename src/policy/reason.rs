//! Why an image goes, in words that an operator can check.

use std::fmt;

/// Why an image goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// Every tag that named it names another image by now.
    Moved,
    /// It ranks lowest under the rule.
    LeastWorth {
        /// The rank: seconds saved for each byte kept, or the rule's own measure.
        rank: f64,
    },
    /// It frees almost nothing, and nothing else was left to go.
    Crumb,
    /// A build on this host left it without a name.
    Dangling {
        /// Seconds since it was built.
        age: f64,
    },
    /// A build on this host made it, and no job has used it for longer than such images are kept.
    LocalUnused {
        /// Seconds since it was built or used.
        idle: f64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved => f.write_str("its tag has moved on"),
            Self::LeastWorth { rank } => write!(f, "worth least for its bytes (rank {rank:.3e})"),
            Self::Crumb => f.write_str("frees almost nothing, but nothing else was left"),
            Self::Dangling { age } => write!(f, "left without a name by a build {:.0} h ago", age / 3600.0),
            Self::LocalUnused { idle } => write!(f, "built here, unused for {:.0} h", idle / 3600.0),
        }
    }
}
