//! An image that might be brought ahead of jobs, and what is known of the demand for it.

use std::fmt;

use super::super::cost::{Cost, Size};

/// Who says that an image will be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The operator's list.
    List,
    /// A schedule that this host's jobs keep.
    Schedule,
    /// How often this host's jobs used it.
    History,
    /// A tag in use that names another image by now.
    Moved,
    /// The files of a running pipeline.
    Scan,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::List => "list",
            Self::Schedule => "schedule",
            Self::History => "history",
            Self::Moved => "moved",
            Self::Scan => "scan",
        })
    }
}

/// How soon a running pipeline wants an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soon {
    /// The running job itself wants it.
    Now,
    /// A job so many stages later wants it; 1 is the next stage.
    Stages(u32),
    /// A job that may run at the same time wants it.
    Beside,
}

/// When an image is expected to be wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Demand {
    /// So many times a second: one over the seconds until the next use is expected.
    Rate(f64),
    /// At this time, in seconds.
    At(f64),
    /// By the running pipeline.
    Soon(Soon),
    /// The operator wants it here and says no time.
    Listed,
}

/// An image that might be brought ahead of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The full reference, such as `docker.io/library/python:3.6`.
    pub name: String,
    /// The platform, such as `linux/arm64`; empty for the host's own.
    pub platform: String,
    /// Who says so.
    pub source: Source,
    /// When it is expected to be wanted.
    pub demand: Demand,
    /// The chance that bringing it helps: it is not here, and would not be when the job comes; for a moved tag, that the
    /// job comes before the next move.
    pub cold: f64,
    /// What is missing of it; `None`: nobody has looked yet.
    pub missing: Option<Size>,
    /// What a pull of it costs.
    pub cost: Cost,
    /// The pipeline that wants it; `None` where none says so.
    pub pipeline: Option<String>,
}

impl Candidate {
    /// The image of a tag that may have moved, and for which no job will probably come.
    pub fn of_nobody(name: &str, missing: Option<Size>, cost: Cost) -> Self {
        Self {
            name: name.to_owned(),
            platform: String::new(),
            source: Source::Moved,
            demand: Demand::Rate(0.0),
            cold: 1.0,
            missing,
            cost,
            pipeline: None,
        }
    }

    /// Returns whether any use of it is expected.
    pub fn is_wanted(&self) -> bool {
        self.demand != Demand::Rate(0.0)
    }
}
