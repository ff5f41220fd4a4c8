//! What is known at one moment: tags with their uses, images with their layers, and the disk.

use super::cost::{Cost, Size};
use super::history::Decayed;

/// One use of a tag by a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// When, in seconds.
    pub at: f64,
    /// The project; `None` where it is not known.
    pub project: Option<u64>,
    /// Whether a schedule started the pipeline.
    pub scheduled: bool,
}

/// What is known of a tag, also while its image is gone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tag {
    /// The full reference, such as `docker.io/library/python:3.6`.
    pub name: String,
    /// The image it names now, as [`Content::id`] has it, on this host or not; `None` if that is not known.
    pub names: Option<String>,
    /// Its decayed rate as it was stored; `None` to count `recent` alone.
    pub rate: Option<Decayed>,
    /// When a job used it last; `None` to see `recent`.
    pub last_use: Option<f64>,
    /// Its recent uses in any order; three months of them are enough for every pattern.
    pub recent: Vec<Use>,
    /// The layers that it had when it was seen last; empty if its image is on this host or they are not known.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What tells it apart on this host: the chain id.
    pub id: String,
    /// Its size.
    pub size: Size,
}

/// Where an image comes from, and with that, whether it can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// Pulled from a registry: it can come back.
    #[default]
    Pulled,
    /// Built on this host and named: once gone it is lost.
    Local,
    /// Built on this host and without a name.
    Dangling,
}

/// An announcement that an image will be wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// When, in seconds.
    pub at: f64,
    /// Seconds after that in which it still holds.
    pub grace: f64,
}

/// An image on this host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// What tells it apart on this host: the engine's image ID or the manifest digest.
    pub id: String,
    /// The tags that it was pulled by, as [`Tag::name`] has them.
    pub tags: Vec<String>,
    /// Where it comes from.
    pub class: Class,
    /// Its layers.
    pub layers: Vec<Layer>,
    /// What pulling it would cost.
    pub cost: Cost,
    /// When it came onto this host, in seconds.
    pub since: f64,
    /// When a job used it last, in seconds; `None` if none has.
    pub last_use: Option<f64>,
    /// Whether the operator wants it here.
    pub pinned: bool,
    /// Whether a job is about to use it.
    pub leased: bool,
    /// Whether a container was made from it.
    pub running: bool,
    /// Whether it is none of hearth's business: it is counted, and stays.
    pub foreign: bool,
    /// Announcements that it will be wanted.
    pub claims: Vec<Claim>,
    /// What the rule noted at its last use; 0 for rules that note nothing.
    pub priority: f64,
}

/// The disk that images lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disk {
    /// Bytes free; `None` if not known.
    pub free_bytes: Option<u64>,
    /// Inodes free; `None` if not known, or if the file system has no such number.
    pub free_inodes: Option<u64>,
}

/// All that the planner knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// The tags.
    pub tags: Vec<Tag>,
    /// The images.
    pub contents: Vec<Content>,
    /// The disk.
    pub disk: Disk,
    /// The rank of what went last, for rules that age by it.
    pub inflation: f64,
    /// When the planner looked last, by its own clock; `None` the first time. The clock is believed between two looks.
    pub looked_at: Option<f64>,
}
