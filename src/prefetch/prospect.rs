//! One image that might be brought ahead, with whose rights, and why.

use std::time::Duration;

use crate::image::{ImageRef, Platform};
use crate::outcome::Fault;
use crate::plan::ImageWish;
use crate::policy::wanted::{Candidate, Source};
use crate::settings::PullPolicy;

/// For how long an image is kept at most that a pipeline wanted. Its author sets how long its jobs may take.
const PIPELINE: Duration = Duration::from_secs(2 * 3600);

/// With whose logins an image is fetched, and whose proof of access it brings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// With the operator's, or none.
    Host,
    /// With those of a running job, by the text that names it.
    Job(String),
    /// With none: what an author named whose job is over comes only where everybody may read it.
    Nobody,
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
    /// Until when it is expected to be wanted, in seconds.
    pub until: f64,
}

impl Prospect {
    /// Returns what tells it apart: two wishes for one image and one platform with the same rights are one.
    pub fn key(&self) -> String {
        let Candidate { name, platform, .. } = &self.candidate;
        match &self.whose {
            Whose::Host => format!("{name} {platform}"),
            Whose::Job(job) => format!("{name} {platform} {job}"),
            // No job is called so: their texts name a server, too.
            Whose::Nobody => format!("{name} {platform} nobody"),
        }
    }

    /// Returns for how long it is kept once it is here, as seen from `now` since the epoch.
    pub fn grace(&self, now: Duration) -> Duration {
        let grace = Duration::try_from_secs_f64(self.until - now.as_secs_f64()).unwrap_or_default();
        if self.candidate.source == Source::Scan { grace.min(PIPELINE) } else { grace }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Prospect, Whose, wish};
    use crate::policy::Cost;
    use crate::policy::wanted::{Candidate, Demand, Soon, Source};

    fn prospect(source: Source, whose: Whose, until: f64) -> Prospect {
        let candidate = Candidate {
            name: "registry.test/a:1".to_owned(),
            platform: String::new(),
            source,
            demand: Demand::Soon(Soon::Now),
            cold: 1.0,
            missing: None,
            cost: Cost::default(),
            pipeline: None,
        };
        let wish = wish("registry.test/a:1".parse().unwrap(), None);
        Prospect { candidate, wish, whose, why: String::new(), until }
    }

    #[test]
    fn what_an_author_sets_keeps_no_image_for_long() {
        let now = Duration::from_secs(1_000_000);
        for (source, seconds, kept) in [
            (Source::List, 86_400.0, 86_400),
            (Source::Scan, 600.0, 600),
            (Source::Scan, 86_400.0, 7200),
            (Source::Scan, 1e300, 0),
            (Source::Scan, -5.0, 0),
        ] {
            let prospect = prospect(source, Whose::Host, 1_000_000.0 + seconds);
            assert_eq!(prospect.grace(now), Duration::from_secs(kept), "{source} {seconds}");
        }
    }
}
