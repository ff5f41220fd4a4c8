//! Why a job does not get an image.

use std::fmt;
use std::time::Duration;

use super::{Platform, list_platforms};
use crate::outcome::Fault;

/// Why an image is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The registry knows no such image.
    NotFound {
        /// The registry's words.
        words: String,
        /// Whether this host has an image of that name that came from no registry.
        local: bool,
    },
    /// The registry does not let this job read it.
    Denied(String),
    /// It may not be fetched, and is not on this host.
    NotHere,
    /// It has no variant for the platform wanted.
    OtherPlatform {
        /// What it has.
        has: Vec<Platform>,
    },
    /// It may not be fetched, and what is on this host is for another platform.
    OtherPlatformHere {
        /// What it is for.
        has: Platform,
    },
    /// It may not be fetched, and what is on this host came from no registry.
    LocalOnly,
    /// It may not be asked for, and nothing shows that this job may read what is on this host.
    NoProof,
    /// The registry gave no answer that makes sense.
    Unreachable(String),
    /// The registry has had enough for now.
    Limited {
        /// How long it asks to be left alone; `None`: it does not say.
        retry_after: Option<Duration>,
        /// Its words.
        words: String,
    },
}

impl Refusal {
    /// What to do about a registry that has had enough.
    pub const SPARED: &str =
        "credentials of one's own raise the limit; a mirror spares it: see mirrors under [pull]";

    /// Tells whether no other policy may be tried. What the registry refuses stays refused; what one policy cannot know, the
    /// next one may find out.
    pub fn is_final(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::Denied(_) | Self::OtherPlatform { .. } => true,
            Self::NotHere
            | Self::OtherPlatformHere { .. }
            | Self::LocalOnly
            | Self::NoProof
            | Self::Unreachable(_)
            | Self::Limited { .. } => false,
        }
    }

    /// Tells whose fault it is, if the job's author chose image and policy.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable(_) | Self::Limited { .. } => Fault::System,
            Self::NotFound { .. }
            | Self::Denied(_)
            | Self::NotHere
            | Self::OtherPlatform { .. }
            | Self::OtherPlatformHere { .. }
            | Self::LocalOnly
            | Self::NoProof => Fault::Job,
        }
    }

    /// Says what can be done about it, one line each.
    pub fn hints(&self) -> Vec<&'static str> {
        const ALLOW_LOCAL: &str = "an image that was built, loaded or tagged on this host starts only where the operator's allow_local_images has it";
        match self {
            Self::NotFound { local: true, .. } => {
                vec!["check the name and the tag, and that it was pushed", ALLOW_LOCAL]
            }
            Self::NotFound { local: false, .. } => vec!["check the name and the tag, and that it was pushed"],
            Self::Denied(_) => vec![
                "the job needs credentials for it: the variable DOCKER_AUTH_CONFIG, or access of this project's job token to the registry",
            ],
            Self::NotHere => {
                vec![
                    "its pull policy allows no pull; pull_policy: if-not-present fetches it where this host allows that",
                ]
            }
            Self::OtherPlatform { .. } | Self::OtherPlatformHere { .. } => {
                vec![
                    "use an image built for this architecture, or run the job on a runner of the image's own",
                ]
            }
            Self::LocalOnly => vec![ALLOW_LOCAL],
            Self::NoProof => vec![
                "name the image with its registry and a pull policy that may ask there: always or if-not-present",
            ],
            Self::Unreachable(_) => vec!["the registry or the way to it failed; the runner tries again"],
            Self::Limited { .. } => vec![Self::SPARED],
        }
    }
}

impl fmt::Display for Refusal {
    /// Says why, as the end of a sentence that began with the image.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { words, local: false } => write!(f, "was not found: {words}"),
            Self::NotFound { words, local: true } => {
                write!(f, "was not found ({words}), and the one on this host came from no registry")
            }
            Self::Denied(words) => write!(f, "may not be read: {words}"),
            Self::NotHere => f.write_str("cannot be used: it is not on this host"),
            Self::OtherPlatform { has } => {
                write!(f, "has no variant for the platform wanted; it has {}", list_platforms(has))
            }
            Self::OtherPlatformHere { has } => write!(f, "cannot be used: what is on this host is for {has}"),
            Self::LocalOnly => f.write_str("cannot be used: what is on this host came from no registry"),
            Self::NoProof => {
                f.write_str("cannot be used: nothing shows that this project may read what is on this host")
            }
            Self::Unreachable(words) => write!(f, "could not be looked up: {words}"),
            Self::Limited { words, .. } => write!(f, "could not be looked up, too many requests: {words}"),
        }
    }
}
