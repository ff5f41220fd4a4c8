//! Whether an image that is here may be used, has to be fetched, or is refused: pure, one step at a time.
//!
//! [`decide`] looks at one [`Case`]. Where it lacks an answer it asks for exactly one; the caller adds it to
//! [`Answers`] and decides again, until the verdict is to use, to pull or to refuse.
//!
//! The rules:
//! * Content counts as an image of a repository only where it came from that repository, or from a mirror of it. A digest
//!   that the registry names proves nothing about content of other repositories.
//! * `always`: the registry is asked with this job's login what the name means now; only that is used.
//! * `if-not-present`: what is here is used if it is public, or if this project proved with this login lately that it may
//!   read this digest; else the registry is asked about the digest that is here. Where it no longer knows that
//!   digest, the image counts as not present, whatever the tag says: nothing shows that it was theirs.
//! * `never`: the registry is not asked; a proof has to be there.
//! * An image named by its ID is never asked for, whatever the policy: an ID names no registry, so a proof for one of the
//!   repositories it came from has to be there.
//! * Content that came from no registry is used where the operator's `allow_local_images` has its name, as it is and
//!   under any policy; else it counts as not present.
//! * What the registry refuses is refused. If it cannot be asked, a copy is used only where the operator lets it, and only as
//!   long as a proof counts that much longer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::index::Index;
use super::proof::{Holder, Proof};
use super::step::Step;
use super::{Answer, ImageFacts, ImageRef, Platform};
use crate::settings::PullPolicy;

pub use super::local::DigestNames;
pub use super::refusal::Refusal;

/// What the store knows of one repository, and as whom this job comes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Registry and path, as [`ImageRef::full_repository`] gives them.
    pub repository: String,
    /// Whose proofs count for this job here, and to whom a new one belongs: [`Holder::of`].
    pub holder: Holder,
    /// All proofs for this repository, live or not.
    pub proofs: Vec<Proof>,
    /// What indexes of this repository mean on certain platforms.
    pub links: Vec<Link>,
    /// What was fetched for this repository.
    pub origins: Vec<Origin>,
}

/// Which manifest an index means for a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The digest of the index.
    pub index: String,
    /// The platform that was wanted.
    pub wanted: Platform,
    /// The digest of the manifest.
    pub manifest: String,
    /// The platform of the manifest, which may be another one: 32-bit on a 64-bit host.
    pub platform: Platform,
}

/// Content that was fetched for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The digest that was asked for.
    pub digest: String,
    /// Registry and path that the engine fetched it from: the repository itself or a mirror of it.
    pub via: String,
}

impl Home {
    /// Makes what is known of a repository of which the store knows nothing.
    pub fn unknown(repository: impl Into<String>, holder: Holder) -> Self {
        let (proofs, links, origins) = (Vec::new(), Vec::new(), Vec::new());
        Self { repository: repository.into(), holder, proofs, links, origins }
    }

    /// Tells whether a digest is known to be one of this repository.
    pub(super) fn knows(&self, digest: &str) -> bool {
        self.origins.iter().any(|origin| origin.digest == digest)
            || self.proofs.iter().any(|proof| proof.digest == digest)
            || self.links.iter().any(|link| link.index == digest || link.manifest == digest)
    }

    /// Finds what an index means for a platform.
    pub(super) fn link(&self, index: &str, wanted: &Platform) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index && link.wanted == *wanted)
    }
}

/// How long proofs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessRules {
    /// How long a proof spares the question; zero: every job asks.
    pub proof_ttl: Duration,
    /// How much longer it counts while the registry cannot be asked; zero: not at all.
    pub offline_grace: Duration,
}

/// All that is known when an image is to be decided about.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The image as it was asked for.
    pub image: &'a ImageRef,
    /// The policy in turn.
    pub policy: PullPolicy,
    /// The platform that was asked for; `None`: the engine's own.
    pub asked: Option<&'a Platform>,
    /// The engine's own platform.
    pub native: &'a Platform,
    /// Whether an image of a foreign platform may be used where none was asked for.
    pub emulation: bool,
    /// Whether `allow_local_images` has the image's name.
    pub allow_local: bool,
    /// What a digest under a repository's name says on this engine.
    pub names: DigestNames,
    /// What the engine has under the name as asked; `None`: nothing.
    pub local: Option<&'a ImageFacts>,
    /// The digest that the tag had when the registry was last asked, by any job; `None`: not known.
    pub tag_was: Option<&'a str>,
    /// The repository of a name. For an ID, and where `allow_local` is set, also those that the local image's digests name.
    pub homes: &'a [Home],
    /// How long proofs count.
    pub rules: AccessRules,
    /// The time, in seconds since the epoch.
    pub now: u64,
    /// The answers so far. They are the registry's own: a mirror's do not belong here.
    pub answers: &'a Answers,
}

/// What was found out for one case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// What the registry said about the tag.
    pub tag: Option<Answer>,
    /// What it said about digests.
    pub digests: BTreeMap<String, Answer>,
    /// What indexes hold.
    pub indexes: BTreeMap<String, Contents>,
    /// What the engine has by digest; `None`: it looked and has nothing.
    pub looks: BTreeMap<String, Option<ImageFacts>>,
}

/// What was found under the digest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// The index.
    Index(Index),
    /// A plain manifest.
    Manifest,
    /// Something that cannot be read: the engine may do better.
    Unreadable,
    /// Nothing: the registry gave another answer than on being asked first.
    Failed(Answer),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Ask the registry, with this job's login, and put the answer into [`Answers::tag`] or [`Answers::digests`].
    Ask(Question),
    /// Get this index by its digest, with this job's login, and put it into [`Answers::indexes`].
    Index {
        /// The digest.
        digest: String,
    },
    /// Look whether the engine has this content, under any of the names, and put the result into [`Answers::looks`].
    Look {
        /// The digest.
        digest: String,
        /// The names to look for, `repository@digest`, in order.
        names: Vec<String>,
    },
    /// Use what is here.
    Use(Box<Use>),
    /// Fetch it.
    Pull(Box<Pull>),
    /// The job does not get it under this policy.
    Refuse(Refusal),
}

/// A question to the registry: a HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// What the tag means now.
    Tag,
    /// Whether this digest is there, and readable.
    Digest(String),
}

/// An image that may be used as it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Why.
    pub why: WhyUse,
    /// The image.
    pub facts: ImageFacts,
    /// The digest that the use is about, index or manifest; `None`: it came from no registry.
    pub digest: Option<String>,
    /// Whether the tag has to be put on it: on this host it names something else, or nothing.
    pub retag: bool,
    /// What is to be kept.
    pub record: Record,
}

/// Why an image may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyUse {
    /// The registry names just this digest now.
    Fresh,
    /// The registry lets this job read it.
    Readable,
    /// Anybody could read it, this long ago.
    Public(Duration),
    /// This project could read it, this long ago.
    Proved(Duration),
    /// The operator lets images start that came from no registry.
    LocalAllowed,
    /// The registry cannot be asked; it could be read this long ago.
    Offline {
        /// How old the proof is.
        age: Duration,
        /// Why the registry could not be asked.
        words: String,
    },
}

/// An image that has to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Why.
    pub why: WhyPull,
    /// What: the digest of an index or a manifest.
    pub digest: String,
    /// The manifest that will come of it; `None`: not known.
    pub manifest: Option<String>,
    /// The platform that it is for, by the index; `None`: not known before it is here.
    pub platform: Option<Platform>,
    /// Why only mirrors may be asked, which is also the refusal if they do not have it: the registry itself gave no answer.
    /// `None`: all sources may be asked.
    pub mirrors_only: Option<Refusal>,
    /// What is to be kept once it is here. The proof holds even if the pull fails.
    pub record: Record,
}

/// Why an image has to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyPull {
    /// It is not here.
    Missing,
    /// What is here is not what the name means now.
    Moved,
    /// What is here came from no registry, or from another one.
    Foreign,
}

/// What a verdict learned about a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Digests that the repository's holder just proved to be readable: [`Home::holder`], now.
    pub proved: Vec<String>,
    /// What an index means.
    pub links: Vec<Link>,
}

/// Decides about an image, as far as is known.
pub fn decide(case: &Case<'_>) -> Verdict {
    match case.image.full_repository() {
        None => Step::new(case, &Home::unknown(String::new(), Holder::nobody())).by_id(),
        Some(repository) => match case.homes.iter().find(|home| home.repository == repository) {
            Some(home) => Step::new(case, home).by_name(),
            None => Step::new(case, &Home::unknown(repository, Holder::nobody())).by_name(),
        },
    }
}

#[cfg(test)]
#[path = "decide_world.rs"]
mod world;

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "decide_hand_tests.rs"]
mod hand_tests;

#[cfg(test)]
#[path = "decide_matrix_tests.rs"]
mod matrix_tests;
