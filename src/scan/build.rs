//! One build of an image: which images its Dockerfile takes.

use std::collections::BTreeMap;

use super::dockerfile::{self, Dockerfile};
use super::expand::{Known, Unexpanded, expand};
use super::files::{CheckoutPath, Look, Reading};
use super::found::{Found, Place, Reach, Trouble, Uses, Wanted, When, shown};
use super::limits::Budget;

/// A build that a script runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Build {
    /// Where its Dockerfile may be, the first that is there.
    pub(super) files: Vec<CheckoutPath>,
    /// What `--build-arg` gives.
    pub(super) args: BTreeMap<String, Known>,
    /// The stage that is built; `None` for the last.
    pub(super) target: Option<String>,
    /// The platforms that are built for; none: the host's own.
    pub(super) platforms: Vec<String>,
    /// What `--build-context` puts in the place of an image; `None` for what is no image.
    pub(super) contexts: BTreeMap<String, Option<String>>,
    /// Every stage up to the target is built, whether it is used or not.
    pub(super) every_stage: bool,
    pub(super) reach: Reach,
}

/// What a scan carries along while it looks at builds.
pub(super) struct Scene<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) found: &'a Found,
    pub(super) budget: &'a Budget,
    /// The host's own platform, such as `linux/arm64`.
    pub(super) host: &'a str,
}

/// Finds the images of one build. `at` is where the build was seen; `None` for the running job's script.
pub(super) fn look_at(build: &Build, when: When, at: Option<&Place>, scene: &Scene<'_>) {
    let place = || at.cloned();
    for path in &build.files {
        match scene.reading.look(path) {
            Look::Text(text) => {
                let file = dockerfile::read(text, scene.budget);
                if file.stages.is_empty() {
                    let place = Place { file: path.clone(), line: 1 };
                    scene.found.note(Some(place), Trouble::Malformed("it has no FROM".to_owned()));
                    return;
                }
                if let Reach::Elsewhere(store) = build.reach {
                    scene.found.note(place(), Trouble::Elsewhere(store));
                }
                let host = vec![String::new()];
                for platform in if build.platforms.is_empty() { &host } else { &build.platforms } {
                    let target = Some(platform.as_str()).filter(|p| !p.is_empty() && *p != scene.host);
                    Walk { build, file: &file, path, target, when, scene }.images();
                }
                return;
            }
            // Which of the next ones counts is only known when this one was read.
            Look::Asked => return,
            Look::TooMany => return scene.found.note(place(), Trouble::Bound("it names too many files")),
            Look::Absent => {}
        }
    }
    if let Some(path) = build.files.first() {
        scene.found.note(place(), Trouble::Missing(shown(path.as_str())));
    }
}

struct Walk<'a> {
    build: &'a Build,
    file: &'a Dockerfile,
    path: &'a CheckoutPath,
    /// The platform that is built for; `None` for the host's own.
    target: Option<&'a str>,
    when: When,
    scene: &'a Scene<'a>,
}

/// What one stage takes.
struct Takes {
    base: Base,
    platform: Option<String>,
    /// What it copies from, and the lines where it does.
    copies: Vec<(Base, usize)>,
}

/// What a name after `FROM` or `--from=` is.
enum Base {
    Stage(usize),
    Image(String),
    /// `scratch`, a directory, or not known.
    Nothing,
}

impl Walk<'_> {
    fn images(&self) {
        let args = self.arguments();
        let look = |name: &str| args.get(name).cloned().unwrap_or(Known::Unset);
        let stages = &self.file.stages;
        let last = self.target_stage();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut takes: Vec<Takes> = Vec::new();
        for (index, stage) in stages.iter().enumerate().take(last + 1) {
            if !self.scene.budget.spend(8 * (1 + stage.takes.len())) {
                return;
            }
            let base = match self.expanded(&stage.base, &look, stage.line) {
                Some(name) => self.base(name, &names, None),
                None => Base::Nothing,
            };
            let platform = match &stage.platform {
                None => self.target.map(str::to_owned),
                Some(written) => self
                    .expanded(written, &look, stage.line)
                    .filter(|platform| !platform.is_empty() && platform != self.scene.host),
            };
            let copies = stage.takes.iter().map(|(name, line)| {
                if name.contains('$') {
                    self.note(*line, Trouble::Dynamic(shown(name)));
                    return (Base::Nothing, *line);
                }
                (self.base(name.clone(), &names, Some(index)), *line)
            });
            takes.push(Takes { base, platform, copies: copies.collect() });
            if let Some(name) = &stage.name {
                names.insert(name, index);
            }
        }
        let reached = reached(&takes, last);
        if let Some((image, line)) = &self.file.syntax {
            self.want(image.clone(), None, *line, true);
        }
        for (index, Takes { base, platform, copies }) in takes.into_iter().enumerate() {
            let needed = self.build.every_stage || reached.get(index).copied().unwrap_or(false);
            if let (Base::Image(image), Some(stage)) = (base, stages.get(index)) {
                self.want(image, platform, stage.line, needed);
            }
            for (copied, line) in copies {
                if let Base::Image(image) = copied {
                    self.want(image, self.target.map(str::to_owned), line, needed);
                }
            }
        }
    }

    /// Returns the arguments that `FROM` lines see: those before the first stage, as `--build-arg` or their defaults say.
    fn arguments(&self) -> BTreeMap<String, Known> {
        let mut args = BTreeMap::new();
        let host = self.scene.host;
        for (prefix, platform) in [("BUILD", host), ("TARGET", self.target.unwrap_or(host))] {
            let mut parts = platform.split('/');
            let mut set = |name: &str, value: &str| {
                args.insert(format!("{prefix}{name}"), Known::Value(value.to_owned()));
            };
            set("PLATFORM", platform);
            for name in ["OS", "ARCH", "VARIANT"] {
                set(name, parts.next().unwrap_or_default());
            }
        }
        for (name, default) in &self.file.args {
            if !self.scene.budget.spend(8) {
                break;
            }
            let value = match (self.build.args.get(name), default) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => {
                    let look = |name: &str| args.get(name).cloned().unwrap_or(Known::Unset);
                    expand(default, &look, self.scene.budget).map_or(Known::Unknown, Known::Value)
                }
                // Declared again, or one of the platform's.
                (None, None) => match args.get(name) {
                    Some(value) => value.clone(),
                    None => Known::Unset,
                },
            };
            args.insert(name.clone(), value);
        }
        args
    }

    fn expanded(&self, text: &str, look: &dyn Fn(&str) -> Known, line: usize) -> Option<String> {
        match expand(text, look, self.scene.budget) {
            Ok(text) => Some(text),
            Err(Unexpanded::Variable(name)) => {
                self.note(line, Trouble::Variable(shown(&name)));
                None
            }
            Err(Unexpanded::Odd) => {
                self.note(line, Trouble::Dynamic(shown(text)));
                None
            }
        }
    }

    /// Tells a stage, a context and an image apart; `at` is the stage whose `--from=` it is, which may be a number too.
    fn base(&self, name: String, names: &BTreeMap<&str, usize>, at: Option<usize>) -> Base {
        let lower = name.to_ascii_lowercase();
        if let Some(&stage) = names.get(lower.as_str()) {
            return Base::Stage(stage);
        }
        match (at, name.parse::<usize>()) {
            (Some(at), Ok(number)) if number < at => return Base::Stage(number),
            (Some(_), Ok(_)) => return Base::Nothing,
            _ => {}
        }
        match self.build.contexts.get(&name) {
            Some(Some(image)) => return Base::Image(image.clone()),
            Some(None) => return Base::Nothing,
            None => {}
        }
        if lower == "scratch" || name.is_empty() && at.is_some() { Base::Nothing } else { Base::Image(name) }
    }

    fn target_stage(&self) -> usize {
        let stages = &self.file.stages;
        let last = stages.len().saturating_sub(1);
        let Some(target) = &self.build.target else { return last };
        let lower = target.to_ascii_lowercase();
        let by_name = stages.iter().rposition(|stage| stage.name.as_deref() == Some(&lower));
        by_name.or_else(|| target.parse().ok().filter(|index| *index <= last)).unwrap_or(last)
    }

    fn want(&self, image: String, platform: Option<String>, line: usize, needed: bool) {
        if !self.scene.budget.spend(32) {
            return;
        }
        let place = Place { file: self.path.clone(), line };
        let (when, reach) = (self.when, self.build.reach);
        let uses = Uses::BUILD;
        self.scene.found.want(Wanted { image, platform, uses, when, needed, reach, place });
    }

    fn note(&self, line: usize, trouble: Trouble) {
        self.scene.found.note(Some(Place { file: self.path.clone(), line }), trouble);
    }
}

/// Says of each stage whether the last one is built from it, by however many steps.
fn reached(takes: &[Takes], last: usize) -> Vec<bool> {
    let mut reached = vec![false; takes.len()];
    if let Some(target) = reached.get_mut(last) {
        *target = true;
    }
    // A stage only takes from earlier ones.
    for (index, Takes { base, copies, .. }) in takes.iter().enumerate().rev() {
        if !reached[index] {
            continue;
        }
        for taken in std::iter::once(base).chain(copies.iter().map(|(base, _)| base)) {
            if let Base::Stage(stage) = taken {
                reached[*stage] = true;
            }
        }
    }
    reached
}
