//! One image that might be brought ahead, with whose rights, and why.

use crate::image::{ImageRef, Platform};
use crate::outcome::Fault;
use crate::plan::ImageWish;
use crate::policy::wanted::Candidate;
use crate::settings::PullPolicy;

/// With whose logins an image is fetched, and whose proof of access it brings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// With the operator's, or none.
    Host,
    /// With those of a running job, by the text that names it.
    Job(String),
}

/// An image that might be brought ahead.
#[derive(Debug, Clone, PartialEq)]
pub struct Prospect {
    /// What is known of the demand for it.
    pub candidate: Candidate,
    /// How it is asked for.
    pub wish: ImageWish,
    /// With whose rights.
    pub whose: Whose,
    /// Why it is wanted, in a few words for operators.
    pub why: String,
    /// Until when it is expected to be wanted, in seconds: as long it is kept once it is here.
    pub until: f64,
}

impl Prospect {
    /// Returns what tells it apart: two wishes for one image and one platform with the same rights are one.
    pub fn key(&self) -> String {
        let Candidate { name, platform, .. } = &self.candidate;
        match &self.whose {
            Whose::Host => format!("{name} {platform}"),
            Whose::Job(job) => format!("{name} {platform} {job}"),
        }
    }

    /// Returns the registry that it is asked for, and with whose login: what wants to be left alone wants it for both.
    pub fn account(&self) -> (String, Whose) {
        (self.wish.reference.registry().unwrap_or_default().to_owned(), self.whose.clone())
    }
}

/// The wish for an image ahead of jobs: whatever its name means now, and nothing where that is here.
pub fn wish(reference: ImageRef, platform: Option<Platform>) -> ImageWish {
    ImageWish {
        purpose: "image".to_owned(),
        reference,
        policies: vec![PullPolicy::Always],
        platform,
        chosen_by: Fault::System,
    }
}
