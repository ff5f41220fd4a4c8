//! Which images the running pipeline will want, read from its checkout.
//!
//! Pure: files come in as texts, and what else has to be read is asked for. [`scan()`] looks at what the running job's
//! script builds (the `FROM` lines of its Dockerfiles) and at the jobs of `.gitlab-ci.yml` that this runner may get
//! after it or beside it: their `image:`, their `services:`, and what their scripts build.
//!
//! A checkout is written by whoever may push. Nothing in it is run, every part of it has a bound, no path leads out of
//! it, and what cannot be told is noted and left alone: an image that is not found here is pulled when its job comes.

mod build;
mod builders;
mod dockerfile;
mod expand;
mod files;
mod found;
mod limits;
mod options;
mod pipeline;
mod session;
mod shell;
mod yaml;

use std::collections::BTreeMap;

pub use files::{CheckoutPath, Files};
pub use found::{Findings, Note, Place, Reach, Store, Trouble, Uses, Wanted, When};
pub use limits::{MAX_FILE_BYTES, MAX_FILES, MAX_NOTES, MAX_ROUNDS, MAX_WANTED};

use build::{Scene, look_at};
use expand::Known;
use files::Reading;
use found::Found;
use limits::Budget;
use session::{Start, run};

/// What is known of the running job. It has no Debug form: variables may hold what logs may not.
#[derive(Clone)]
pub struct Running {
    /// Its name, with what `parallel` adds.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// The tags of this runner.
    pub tags: Vec<String>,
    /// Its variables, expanded; secrets left out: images that need one are not found.
    pub variables: BTreeMap<String, String>,
    /// The lines of its script, `before_script` first, not expanded.
    pub script: Vec<String>,
    /// Whether the socket of this host's engine is in the job's containers.
    pub socket: bool,
    /// The host's own platform, such as `linux/arm64`.
    pub platform: String,
}

/// Finds the images that the pipeline will want, from what was read of its checkout so far. While the findings ask for
/// files, read them, add them and scan again, at most [`MAX_ROUNDS`] times: what is found meanwhile may be less or more
/// than what counts. Whether an image is allowed, and how many bytes may be fetched, is the caller's to say.
pub fn scan(files: &Files, running: &Running) -> Findings {
    let (reading, found, budget) = (Reading::new(files), Found::default(), Budget::new());
    let scene = Scene { reading: &reading, found: &found, budget: &budget, host: &running.platform };
    let look = |name: &str| running.variables.get(name).cloned().map_or(Known::Unknown, Known::Value);
    let start = Start { look: &look, socket: running.socket, budget: &budget };
    let done = run(&running.script.join("\n"), &start);
    for trouble in done.troubles {
        found.note(None, trouble);
    }
    for build in &done.builds {
        look_at(build, When::Now, None, &scene);
    }
    done.made.into_iter().for_each(|name| found.made(name));
    pipeline::look_through(running, &scene);
    for bound in budget.bounds_met() {
        found.note(None, Trouble::Bound(bound));
    }
    found.into_findings(reading.into_asks())
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod pipeline_tests;
#[cfg(test)]
mod script_tests;
#[cfg(test)]
mod world;
