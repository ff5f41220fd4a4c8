//! What an eviction tells while it goes on, and in the end.

use std::fmt;

use crate::policy::{Doubt, Ending, Reason};
use crate::units::ByteSize;

use super::gauge::Room;

/// Why nothing may be removed, whatever the disk says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The settings say so.
    Off,
    /// There is no store that could vouch for anything.
    NoStore,
    /// The wall clock is not believed.
    Clock(Doubt),
    /// These jobs ran when the store began: it does not know what they use.
    OlderJobs(Vec<String>),
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("[cache] evict is off"),
            Self::NoStore => {
                f.write_str("there is no store that can be written, so nobody knows what jobs use")
            }
            Self::Clock(doubt) => doubt.fmt(f),
            Self::OlderJobs(jobs) => write!(
                f,
                "{} ran before the store began, and what they use is not known: {}",
                if jobs.len() == 1 { "a job" } else { "jobs" },
                jobs.join(", ")
            ),
        }
    }
}

/// An image that went.
#[derive(Debug, Clone, PartialEq)]
pub struct Gone {
    /// Its ID in the engine.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Why it went.
    pub reason: Reason,
    /// Bytes that it was reckoned to free.
    pub reckoned: u64,
    /// Bytes that became free on the disk meanwhile; `None`: the disk cannot be seen.
    pub freed: Option<u64>,
}

/// An image that was to go and stayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its ID in the engine.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Why it stayed.
    pub why: String,
}

/// One thing that happened, to be shown at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// Another process evicts, and is waited for.
    Waits,
    /// Eviction begins, for this reason.
    Begins(String),
    /// An image went.
    Gone(Gone),
    /// An image stayed.
    Left(Left),
    /// A volume went.
    VolumeGone(String),
    /// The build cache was cut by so many bytes.
    BuildCache(u64),
    /// A limit is passed and cannot be kept: what is wrong, and who holds the bytes. Told once, until it is kept again.
    Stuck(String),
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits => f.write_str("another process makes room on the disk; waiting for it"),
            Self::Begins(why) => write!(f, "making room: {why}"),
            Self::Gone(gone) => {
                write!(f, "removed {}: {}", gone.name, gone.reason)?;
                match gone.freed {
                    Some(freed) => write!(f, "; {} became free", ByteSize(freed)),
                    None => Ok(()),
                }
            }
            Self::Left(left) => write!(f, "left {}: {}", left.name, left.why),
            Self::VolumeGone(name) => write!(f, "removed volume {name}: its project ran no job for long"),
            Self::BuildCache(bytes) => write!(f, "cut the engine's build cache by {}", ByteSize(*bytes)),
            Self::Stuck(words) => write!(f, "the disk stays too full: {words}"),
        }
    }
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Another process evicts: nothing was done.
    pub busy: bool,
    /// Why nothing was removed; `None`: it might have been.
    pub blocked: Option<Blocked>,
    /// How the last plan ended; `None`: there was none.
    pub ending: Option<Ending>,
    /// The images that went.
    pub gone: Vec<Gone>,
    /// Those that were to go and stayed.
    pub left: Vec<Left>,
    /// The volumes that went.
    pub volumes: Vec<String>,
    /// Bytes by which the build cache was cut.
    pub build_cache: u64,
    /// A limit that is still passed: what is wrong and who holds the bytes, whether or not that was told before.
    pub stuck: Option<String>,
    /// The disk before.
    pub before: Option<Room>,
    /// The disk after.
    pub after: Option<Room>,
}

impl Report {
    /// Keeps what was told.
    pub(super) fn keep(&mut self, told: &Told) {
        match told {
            Told::Gone(gone) => self.gone.push(gone.clone()),
            Told::Left(left) => self.left.push(left.clone()),
            Told::VolumeGone(name) => self.volumes.push(name.clone()),
            Told::BuildCache(bytes) => self.build_cache += bytes,
            Told::Waits | Told::Begins(_) | Told::Stuck(_) => {}
        }
    }
}
