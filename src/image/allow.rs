//! What a job may ask for: allow-lists of images, users, pull policies and projects.
//!
//! Image patterns are the docker executor's doublestar globs (`*` within a part of the path, `**` across parts, `?`,
//! `[a-z]`, `{a,b}`), compared with the name as written after variables were expanded. An empty list allows all, and
//! the operator's own image is always allowed.
//!
//! A pattern that begins with `!` excludes. Unlike in GitLab, where the first match decides and a later `!` has no
//! effect, here an exclusion that matches refuses whatever its place in the list. So that no other spelling gets
//! around it, it is compared with the full name and the short name too. A list of exclusions alone allows all the rest.

use globset::{Glob, GlobBuilder};

use super::ImageRef;
use crate::outcome::Failure;
use crate::settings::PullPolicy;

/// Longer patterns are refused, so that matching one stays cheap.
const MAX_PATTERN: usize = 512;

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a pattern: {reason}")]
pub struct BadPattern {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Patterns of image names: some allow, some exclude.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    written: Vec<String>,
    included: Vec<Glob>,
    excluded: Vec<Glob>,
}

impl Patterns {
    /// Compiles a list of patterns; all bad ones are returned together.
    pub fn compile(patterns: &[impl AsRef<str>]) -> Result<Self, Vec<BadPattern>> {
        let mut compiled = Self::default();
        let mut bad = Vec::new();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            compiled.written.push(pattern.to_owned());
            let (list, glob) = match pattern.strip_prefix('!') {
                Some(rest) => (&mut compiled.excluded, rest),
                None => (&mut compiled.included, pattern),
            };
            match compile_glob(glob, false) {
                Ok(glob) => list.push(glob),
                Err(reason) => bad.push(BadPattern { pattern: pattern.to_owned(), reason }),
            }
        }
        if bad.is_empty() { Ok(compiled) } else { Err(bad) }
    }

    /// Tells whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Returns the patterns as written.
    pub fn as_written(&self) -> &[String] {
        &self.written
    }

    /// Tells whether the list allows an image of this name; an empty list allows all.
    pub fn allows(&self, name: &str) -> bool {
        !self.exclude(name) && (self.included.is_empty() || self.include(name))
    }

    /// Tells whether a pattern of the list is about an image of this name; an empty list is about none.
    pub fn matches(&self, name: &str) -> bool {
        !self.exclude(name) && self.include(name)
    }

    fn include(&self, name: &str) -> bool {
        self.included.iter().any(|glob| glob.compile_matcher().is_match(name))
    }

    fn exclude(&self, name: &str) -> bool {
        if self.excluded.is_empty() {
            return false;
        }
        let spellings = spellings(name);
        self.excluded
            .iter()
            .map(Glob::compile_matcher)
            .any(|glob| spellings.iter().any(|name| glob.is_match(name)))
    }
}

/// The ways to write one image's name, longest last.
fn spellings(name: &str) -> Vec<String> {
    let mut spellings = vec![name.to_owned()];
    let Ok(image) = name.parse::<ImageRef>() else {
        return spellings;
    };
    let full = image.normalized();
    let mut short: Vec<String> = Vec::new();
    if let Some(rest) = full.strip_prefix("docker.io/") {
        short.push(rest.to_owned());
        short.extend(rest.strip_prefix("library/").map(str::to_owned));
        short.extend(rest.strip_prefix("library/").map(|rest| format!("docker.io/{rest}")));
    }
    short.push(full);
    for name in short {
        spellings.extend(name.strip_suffix(":latest").map(str::to_owned));
        spellings.push(name);
    }
    spellings
}

/// Patterns of projects: globs of their paths, or `id:NUMBER`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectPatterns {
    written: Vec<String>,
    included: Vec<Project>,
    excluded: Vec<Project>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Project {
    Id(u64),
    Path(Glob),
}

impl ProjectPatterns {
    /// Compiles a list of patterns; all bad ones are returned together. Paths are compared without regard to case, as
    /// GitLab itself compares them.
    pub fn compile(patterns: &[impl AsRef<str>]) -> Result<Self, Vec<BadPattern>> {
        let mut compiled = Self::default();
        let mut bad = Vec::new();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            compiled.written.push(pattern.to_owned());
            let (list, rest) = match pattern.strip_prefix('!') {
                Some(rest) => (&mut compiled.excluded, rest),
                None => (&mut compiled.included, pattern),
            };
            let project = match rest.strip_prefix("id:") {
                Some(number) => {
                    number.parse().map(Project::Id).map_err(|_| "write a number after id:".to_owned())
                }
                None => compile_glob(rest, true).map(Project::Path),
            };
            match project {
                Ok(project) => list.push(project),
                Err(reason) => bad.push(BadPattern { pattern: pattern.to_owned(), reason }),
            }
        }
        if bad.is_empty() { Ok(compiled) } else { Err(bad) }
    }

    /// Tells whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Returns the patterns as written.
    pub fn as_written(&self) -> &[String] {
        &self.written
    }

    /// Tells whether the list allows a project; an empty list allows all. With the path `None` (GitLab did not send it) no
    /// path pattern allows, and every path exclusion refuses.
    pub fn allows(&self, path: Option<&str>, id: u64) -> bool {
        let fits = |project: &Project, unknown: bool| match project {
            Project::Id(number) => *number == id,
            Project::Path(glob) => path.map_or(unknown, |path| glob.compile_matcher().is_match(path)),
        };
        !self.excluded.iter().any(|project| fits(project, true))
            && (self.included.is_empty() || self.included.iter().any(|project| fits(project, false)))
    }
}

fn compile_glob(pattern: &str, any_case: bool) -> Result<Glob, String> {
    if pattern.is_empty() {
        return Err("it is empty".to_owned());
    }
    if pattern.len() > MAX_PATTERN {
        return Err(format!("it is too long, at most {MAX_PATTERN} bytes are allowed"));
    }
    let mut builder = GlobBuilder::new(pattern);
    builder.literal_separator(true).backslash_escape(true).case_insensitive(any_case);
    builder.build().map_err(|error| error.kind().to_string())
}

/// Checks that a job may have an image. `own` are the images that the operator configured, `setting` is the allow-list's key.
pub fn check_image(asked: &str, own: &[&str], allowed: &Patterns, setting: &str) -> Result<(), Failure> {
    if own.contains(&asked) || allowed.allows(asked) {
        return Ok(());
    }
    Err(Failure::job(format!("the image {asked:?} is not allowed on this host"))
        .hint(format!("{setting} allows: {}", allowed.as_written().join(", "))))
}

/// Whether a job may have anything pulled, whatever it asks for.
pub fn may_pull(configured: &[PullPolicy], allowed: &[PullPolicy]) -> bool {
    allowed_policies(configured, allowed).1.iter().any(|policy| *policy != PullPolicy::Never)
}

/// What a job may ask for, and the setting that says so.
fn allowed_policies<'s>(
    configured: &'s [PullPolicy],
    allowed: &'s [PullPolicy],
) -> (&'static str, &'s [PullPolicy]) {
    if allowed.is_empty() { ("pull_policy", configured) } else { ("allowed_pull_policies", allowed) }
}

/// Decides the pull policies of an image, in fallback order: the job's list, else the configured one (`pull_policy`), as far as
/// `allowed_pull_policies` has them; where that is empty, the configured ones are allowed.
pub fn decide_policies(
    asked: &[PullPolicy],
    configured: &[PullPolicy],
    allowed: &[PullPolicy],
) -> Result<Vec<PullPolicy>, Failure> {
    let (setting, allowed) = allowed_policies(configured, allowed);
    let wanted = if asked.is_empty() { configured } else { asked };
    let policies: Vec<PullPolicy> =
        wanted.iter().copied().filter(|policy| allowed.contains(policy)).collect();
    if !policies.is_empty() {
        return Ok(policies);
    }
    let list = |policies: &[PullPolicy]| {
        policies.iter().map(|policy| policy.as_str()).collect::<Vec<_>>().join(", ")
    };
    let message = format!("the pull policy {} is not allowed on this host", list(wanted));
    let failure = if asked.is_empty() { Failure::system(message) } else { Failure::job(message) };
    Err(failure.hint(format!("{setting} allows: {}", list(allowed))))
}

/// Decides the user of the build container; `None`: the image's own. The operator's `user` wins over the job's.
pub fn decide_user(asked: &str, user: &str, allowed_users: &[String]) -> Result<Option<String>, Failure> {
    if user.is_empty() { decide_service_user(asked, user, allowed_users) } else { Ok(Some(user.to_owned())) }
}

/// Decides the user of a service; `None`: the image's own. Without `allowed_users`, a configured `user` is the only one allowed.
pub fn decide_service_user(
    asked: &str,
    user: &str,
    allowed_users: &[String],
) -> Result<Option<String>, Failure> {
    if asked.is_empty() {
        return Ok(None);
    }
    let any = allowed_users.is_empty() && user.is_empty();
    if any || asked == user || allowed_users.iter().any(|allowed| allowed == asked) {
        return Ok(Some(asked.to_owned()));
    }
    let (setting, allowed) = if allowed_users.is_empty() {
        ("user", user.to_owned())
    } else {
        ("allowed_users", allowed_users.join(", "))
    };
    Err(Failure::job(format!("the user {asked:?} is not allowed on this host"))
        .hint(format!("{setting} allows: {allowed}")))
}

#[cfg(test)]
#[path = "allow_tests.rs"]
mod tests;
