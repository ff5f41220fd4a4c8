//! `[prefetch]`: what is brought to this host before a job asks for it, and when.

use std::time::Duration;

use crate::image::{ImageRef, Patterns, Platform};
use crate::policy::{DueTime, Window};
use crate::units::ByteSize;

/// `[prefetch]`: what is brought ahead of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefetchSettings {
    /// Brings anything ahead at all.
    pub enabled: bool,
    /// The operator's list.
    pub images: Vec<Listed>,
    /// Brings back what jobs on this host are likely to need again.
    pub history: bool,
    /// How often registries are asked whether tags in use have moved; `None`: never.
    pub poll: Option<Duration>,
    /// When images are brought that the running pipeline names.
    pub scan: ScanMode,
    /// The hours in which list, history and moved tags are brought; empty: always.
    pub windows: Vec<Window>,
    /// What may be brought ahead in a calendar month; `None`: any amount.
    pub monthly: Option<ByteSize>,
    /// What may be brought ahead for one pipeline; `None`: any amount.
    pub pipeline: Option<ByteSize>,
}

/// When images are brought that the running pipeline names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScanMode {
    /// Never: checkouts are not read.
    Off,
    /// While no job runs on the host.
    Idle,
    /// Beside running jobs too.
    #[default]
    Beside,
}

impl ScanMode {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Idle => "idle",
            Self::Beside => "beside",
        }
    }
}

/// An entry of the operator's list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What it names.
    pub image: ListedImage,
    /// The platform; `None`: that of jobs.
    pub platform: Option<Platform>,
    /// When it has to be here; empty: always.
    pub at: Vec<DueTime>,
    /// Keeps it here in any case, as `[cache] pins` do (where it stands too).
    pub pin: bool,
}

/// What an entry of the list names.
#[derive(Debug, Clone, PartialEq)]
pub enum ListedImage {
    /// One image.
    One(ImageRef),
    /// The tags that jobs on this host have used, as far as a glob has them.
    Pattern(Patterns),
}

impl ListedImage {
    /// Returns it as written.
    pub fn as_written(&self) -> &str {
        match self {
            Self::One(image) => image.familiar(),
            Self::Pattern(patterns) => patterns.as_written().first().map_or("", String::as_str),
        }
    }

    /// Returns the glob by which `[cache] pins` would pin it.
    pub(super) fn as_pin(&self) -> String {
        match self {
            Self::One(image) => match (image.full_repository(), image.digest()) {
                (Some(repository), Some(digest)) => format!("{repository}@{digest}"),
                _ => image.normalized(),
            },
            Self::Pattern(_) => self.as_written().to_owned(),
        }
    }
}
