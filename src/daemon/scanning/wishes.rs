//! What a scan found, as images that may be brought ahead: what the job's own rules let it have, and what helps it.

use std::collections::BTreeSet;

use super::Scanned;
use crate::image::{Fit, ImageRef, Patterns, Platform};
use crate::notice::Sources;
use crate::outcome::Fault;
use crate::plan::ImageWish;
use crate::policy::wanted::Soon;
use crate::scan::{Reach, Wanted, When};
use crate::settings::PullPolicy;

/// The longest note, in characters.
const MAX_NOTE: usize = 240;

/// An image that a running pipeline will want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanWish {
    /// The image.
    pub wish: ImageWish,
    /// When it will be wanted.
    pub soon: Soon,
    /// Where it is named, such as `docker/Dockerfile:3`.
    pub place: String,
}

/// Returns the images that may be brought ahead for a pipeline, in the order in which they will be wanted; and what could
/// not be told or is left out, one line each, without control characters.
pub fn candidates(scanned: &Scanned, sources: &Sources) -> (Vec<ScanWish>, Vec<String>) {
    let mut notes: Vec<String> = scanned.findings.notes.iter().map(ToString::to_string).collect();
    let rules = Rules::of(sources);
    let mut seen = BTreeSet::new();
    let mut wishes = Vec::new();
    for wanted in
        scanned.findings.wanted.iter().filter(|wanted| wanted.needed && wanted.reach == Reach::Engine)
    {
        match rules.wish(wanted, sources, &scanned.native) {
            Ok(Some(wish)) => {
                let platform = wish.wish.platform.as_ref().map(ToString::to_string);
                if seen.insert((wish.wish.reference.normalized(), platform)) {
                    wishes.push(wish);
                }
            }
            Ok(None) => {}
            Err(why) => notes.push(format!("{}: {why}", wanted.place)),
        }
    }
    if !sources.may_pull && !wishes.is_empty() {
        wishes.clear();
        notes
            .push("nothing is fetched ahead: this host's pull policies let its jobs pull nothing".to_owned());
    }
    (wishes, notes.iter().map(|note| one_line(note)).collect())
}

/// What jobs of the runner may name.
struct Rules {
    images: Option<Patterns>,
    services: Option<Patterns>,
}

impl Rules {
    fn of(sources: &Sources) -> Self {
        // They were good patterns when the stage read its settings; what is none allows nothing.
        let compiled = |written: &[String]| Patterns::compile(written).ok();
        Self { images: compiled(&sources.allowed_images), services: compiled(&sources.allowed_services) }
    }

    fn allow(&self, wanted: &Wanted) -> bool {
        let by = |rules: &Option<Patterns>| rules.as_ref().is_some_and(|rules| rules.allows(&wanted.image));
        let uses = wanted.uses;
        (uses.job || uses.build) && by(&self.images) || uses.service && by(&self.services)
    }

    /// Returns the wish; `None` for what is here already or has no registry.
    fn wish(
        &self,
        wanted: &Wanted,
        sources: &Sources,
        native: &Platform,
    ) -> Result<Option<ScanWish>, String> {
        let reference: ImageRef = wanted.image.parse().map_err(|bad| format!("{bad}"))?;
        if reference.full_repository().is_none() {
            return Ok(None);
        }
        let default = if wanted.uses.build { "" } else { sources.platform.as_str() };
        let platform = match wanted.platform.as_deref().unwrap_or(default) {
            "" => None,
            text => Some(text.parse::<Platform>().map_err(|bad| format!("{bad}"))?),
        };
        if sources.own.contains(&reference.normalized()) && wanted.platform.is_none() {
            return Ok(None);
        }
        if !self.allow(wanted) {
            return Err(format!("{} is not fetched ahead: this host does not allow it", wanted.image));
        }
        if let Some(platform) = platform.as_ref().filter(|platform| platform.runs_on(native) == Fit::Foreign)
        {
            let image = &wanted.image;
            return Err(format!(
                "{image} is not fetched ahead: it is for {platform}, and this host is {native}"
            ));
        }
        let wish = ImageWish {
            purpose: "image".to_owned(),
            reference,
            policies: vec![PullPolicy::Always],
            platform,
            chosen_by: Fault::Job,
        };
        Ok(Some(ScanWish { wish, soon: soon(wanted.when), place: wanted.place.to_string() }))
    }
}

fn soon(when: When) -> Soon {
    match when {
        When::Now => Soon::Now,
        When::Stages(stages) => Soon::Stages(u32::try_from(stages).unwrap_or(u32::MAX)),
        When::Beside => Soon::Beside,
    }
}

/// Makes one short line of a text that an author may have written.
fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut line: String = text.chars().take(MAX_NOTE).map(printable).collect();
    if text.chars().nth(MAX_NOTE).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
#[path = "wishes_tests.rs"]
mod tests;
