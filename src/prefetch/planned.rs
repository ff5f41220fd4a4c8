//! What would be brought next, and what it waits for, as the report and `hearth prefetch --plan` tell it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Prospect;
use crate::policy::wanted::{Held, Ranked};

/// What an image waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Waits {
    /// Nothing: it is next.
    Nothing,
    /// Its turn has not come.
    Held(Held),
    /// It could not be had, and is tried again.
    Failed {
        /// When, in seconds.
        until: f64,
        /// What was wrong.
        words: String,
    },
}

impl Waits {
    /// Returns until when it waits, in seconds; `None` where that depends on what happens.
    pub fn until(&self) -> Option<f64> {
        match self {
            Self::Nothing => None,
            Self::Held(held) => held.until(),
            Self::Failed { until, .. } => Some(*until),
        }
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Held(held) => held.fmt(f),
            Self::Failed { words, .. } => write!(f, "it is tried again later: {words}"),
        }
    }
}

/// One image in the order in which they come.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Planned {
    /// The full reference.
    pub name: String,
    /// The platform; empty: the host's own.
    pub platform: String,
    /// Who wants it: `list`, `schedule`, `history`, `moved` or `scan`.
    pub source: String,
    /// Why, in a few words.
    pub why: String,
    /// Bytes that would come; `None`: nobody has looked yet.
    pub bytes: Option<u64>,
    /// Seconds that its pull is expected to take.
    pub seconds: f64,
    /// Seconds that jobs are expected to wait less.
    pub saves: f64,
    /// What it waits for; `None`: it is next.
    pub waits: Option<String>,
    /// Until when it waits, in seconds since the epoch; `None`: not at all, or that depends on what happens.
    pub until: Option<u64>,
}

impl Planned {
    /// Puts down how a prospect stands.
    pub fn new(prospect: &Prospect, bytes: Option<u64>, ranked: &Ranked, waits: &Waits) -> Self {
        Self {
            name: prospect.candidate.name.clone(),
            platform: prospect.candidate.platform.clone(),
            source: prospect.candidate.source.to_string(),
            why: prospect.why.clone(),
            bytes,
            seconds: ranked.seconds,
            saves: ranked.saves,
            waits: (*waits != Waits::Nothing).then(|| waits.to_string()),
            until: waits.until().map(|until| until.max(0.0) as u64),
        }
    }
}
