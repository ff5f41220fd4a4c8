//! What a scan finds, and what it could not tell.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use crate::image::{ImageRef, Platform};

use super::files::CheckoutPath;
use super::limits::{MAX_NOTES, MAX_WANTED};

/// Notes that are kept free for bounds.
const BOUNDS: usize = 8;
/// The longest text of an author that a note repeats, in characters.
const MAX_SHOWN: usize = 80;

/// When an image will be wanted, seen from the running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// By the running job itself.
    Now,
    /// By a job so many stages after the running one; 1 is the next.
    Stages(usize),
    /// By a job that may run at the same time.
    Beside,
}

/// Whether an image in this engine's store helps whoever wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// It does.
    Engine,
    /// It does not.
    Elsewhere(Store),
}

/// A store of images that is not this engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Store {
    /// The job has no socket of this engine.
    #[error("the engine's socket is not mounted in the job")]
    NoSocket,
    /// The job talks to another engine, often one in a service container.
    #[error("the job builds with another engine, by DOCKER_HOST, -H or a context")]
    OtherEngine,
    /// buildx with a builder that is not the engine's own.
    #[error("the buildx builder of the job has a store of its own (docker-container and the like)")]
    Buildx,
    /// kaniko.
    #[error("kaniko pulls by itself and does not use the engine's store")]
    Kaniko,
    /// buildah.
    #[error("buildah has a store of its own")]
    Buildah,
    /// Podman.
    #[error("podman has a store of its own")]
    Podman,
}

/// Where in the checkout something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: CheckoutPath,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What an image is wanted for; hosts may allow other images for one than for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// A job runs in it.
    pub job: bool,
    /// It is a job's service.
    pub service: bool,
    /// A job builds with it.
    pub build: bool,
}

impl Uses {
    pub(super) const JOB: Self = Self { job: true, service: false, build: false };
    pub(super) const SERVICE: Self = Self { job: false, service: true, build: false };
    pub(super) const BUILD: Self = Self { job: false, service: false, build: true };

    fn and(self, other: Self) -> Self {
        Self {
            job: self.job || other.job,
            service: self.service || other.service,
            build: self.build || other.build,
        }
    }
}

/// An image that the pipeline will want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, variables expanded.
    pub image: String,
    /// The platform that was asked for, as it was written; `None` for the host's own.
    pub platform: Option<String>,
    /// What it is wanted for.
    pub uses: Uses,
    /// When it will be wanted.
    pub when: When,
    /// False if only builders that build every stage of a Dockerfile get to it.
    pub needed: bool,
    /// Whether it helps to have it in this engine's store.
    pub reach: Reach,
    /// Where it is named.
    pub place: Place,
}

/// Something that could not be told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where it is; `None` for the running job's script and for a scan as a whole.
    pub place: Option<Place>,
    /// What could not be told and why.
    pub trouble: Trouble,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.trouble),
            None => write!(f, "{}", self.trouble),
        }
    }
}

/// Why something could not be told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Trouble {
    /// A variable has no value that is known here.
    #[error("the value of ${0} is not known here")]
    Variable(String),
    /// A text is made by something that is not run here, such as a command substitution.
    #[error("{0:?} is only known when it runs")]
    Dynamic(String),
    /// An include that is not a plain file of the checkout.
    #[error("include {0:?} is not followed: only plain local files are")]
    Include(String),
    /// A text that is no name of an image or a platform.
    #[error("{0}")]
    Name(String),
    /// A file that is named and is not there, or is too long or no text.
    #[error("{0:?} is not there, or is no file that is read here")]
    Missing(String),
    /// A file that cannot be read as what it is.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// Images that would be in a store that is not the engine's.
    #[error("images of its FROM lines are not fetched ahead: {0}")]
    Elsewhere(Store),
    /// The running job's stage is not among the stages of the pipeline.
    #[error(
        "the stage {0:?} of the running job is not in the pipeline's file, so what comes later is not known"
    )]
    Stage(String),
    /// A bound of the scan was met.
    #[error("the scan ended early: {0}")]
    Bound(&'static str),
}

/// What one scan found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// The images: the running job's first, then stage by stage, then those of jobs beside it.
    pub wanted: Vec<Wanted>,
    /// What could not be told.
    pub notes: Vec<Note>,
    /// Files that have to be read before all is found.
    pub asks: Vec<CheckoutPath>,
}

/// Findings on their way.
#[derive(Default)]
pub(super) struct Found {
    wanted: RefCell<Vec<Wanted>>,
    notes: RefCell<BTreeSet<Note>>,
    /// Names that builds of jobs that have not ended give to what they build.
    made: RefCell<BTreeSet<String>>,
}

impl Found {
    pub(super) fn want(&self, wanted: Wanted) {
        if let Err(bad) = wanted.image.parse::<ImageRef>() {
            return self.note(Some(wanted.place), Trouble::Name(bad.to_string()));
        }
        if let Some(Err(bad)) = wanted.platform.as_ref().map(|platform| platform.parse::<Platform>()) {
            return self.note(Some(wanted.place), Trouble::Name(shown(&bad.to_string())));
        }
        let mut all = self.wanted.borrow_mut();
        let known = all.iter().position(|w| w.image == wanted.image && w.platform == wanted.platform);
        match known {
            Some(at) => {
                let known = &mut all[at];
                known.when = known.when.min(wanted.when);
                known.needed |= wanted.needed;
                known.uses = known.uses.and(wanted.uses);
                if wanted.reach < known.reach {
                    known.reach = wanted.reach;
                    known.place = wanted.place;
                }
            }
            None if all.len() < MAX_WANTED => all.push(wanted),
            None => {
                drop(all);
                self.note(None, Trouble::Bound("it names more images than are fetched ahead"));
            }
        }
    }

    pub(super) fn note(&self, place: Option<Place>, trouble: Trouble) {
        let mut notes = self.notes.borrow_mut();
        match trouble {
            // There are few, and they are said once, whatever else there is to say.
            Trouble::Bound(_) => drop(notes.insert(Note { place: None, trouble })),
            trouble if notes.len() + BOUNDS < MAX_NOTES => drop(notes.insert(Note { place, trouble })),
            _ => {}
        }
    }

    pub(super) fn made(&self, name: String) {
        let mut made = self.made.borrow_mut();
        if made.len() < MAX_WANTED {
            made.insert(name);
        }
    }

    /// Returns all, in the order in which it will be wanted; without what the pipeline itself makes.
    pub(super) fn into_findings(self, asks: Vec<CheckoutPath>) -> Findings {
        let made = self.made.into_inner();
        let mut wanted = self.wanted.into_inner();
        wanted.retain(|wanted| !made.contains(&wanted.image));
        wanted.sort_by_key(|wanted| (wanted.when, !wanted.needed));
        Findings { wanted, notes: self.notes.into_inner().into_iter().collect(), asks }
    }
}

/// Shortens a text of an author for a note.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
