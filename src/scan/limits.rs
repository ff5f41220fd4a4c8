//! How much of a checkout is looked at. It is written by whoever may push, so everything has a bound.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// The longest file that is read, in bytes: pipelines and Dockerfiles are far below.
pub const MAX_FILE_BYTES: usize = 256 * 1024;
/// How many files of a checkout are asked for.
pub const MAX_FILES: usize = 64;
/// How often a caller reads what is asked for and scans again: includes name includes.
pub const MAX_ROUNDS: usize = 12;
/// How many images are found at most.
pub const MAX_WANTED: usize = 256;
/// How many notes are made at most.
pub const MAX_NOTES: usize = 64;
/// The longest path that is asked for, in bytes.
pub(super) const MAX_PATH: usize = 512;
/// How deep lists and maps of a YAML file nest, aliases counted in.
pub(super) const MAX_DEPTH: u16 = 48;
/// How many values a YAML file holds, what merge keys copy counted in.
pub(super) const MAX_NODES: usize = 50_000;
/// The longest key of a map, in bytes.
pub(super) const MAX_KEY: usize = 256;
/// What copying a key of a map costs, in steps: it takes space too.
pub(super) const KEY_STEPS: usize = 16;
/// How deep includes nest.
pub(super) const MAX_INCLUDE_DEPTH: usize = 8;
/// How deep `extends` go; GitLab's own bound.
pub(super) const MAX_EXTENDS: usize = 11;
/// How deep `!reference` goes; GitLab's own bound.
pub(super) const MAX_REFERENCES: usize = 10;
/// How many jobs one `parallel: matrix` makes; GitLab's own bound.
pub(super) const MAX_MATRIX: usize = 200;
/// How deep variables name each other.
pub(super) const MAX_NAMES_DEEP: usize = 8;
/// The longest text that variables expand to, in bytes.
pub(super) const MAX_VALUE: usize = 4 * 1024;
/// How many platforms one build is read for.
pub(super) const MAX_PLATFORMS: usize = 8;
/// How much script of one job is read, in bytes.
pub(super) const MAX_SCRIPT: usize = 64 * 1024;
/// How many steps one scan takes: keys merged, variables looked up, words and lines read.
const MAX_STEPS: u64 = 2_000_000;

/// What is left of the bounds of one scan.
pub(super) struct Budget {
    steps: Cell<u64>,
    hit: RefCell<BTreeSet<&'static str>>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: Cell::new(MAX_STEPS), hit: RefCell::new(BTreeSet::new()) }
    }

    /// Takes steps; false if there are not as many left, and from then on.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let left = self.steps.get().checked_sub(u64::try_from(steps).unwrap_or(u64::MAX));
        self.steps.set(left.unwrap_or(0));
        if left.is_none() {
            self.stopped_by("it asks for more work than a scan does");
        }
        left.is_some()
    }

    /// Remembers that a bound was met.
    pub(super) fn stopped_by(&self, bound: &'static str) {
        self.hit.borrow_mut().insert(bound);
    }

    /// Returns the bounds that were met.
    pub(super) fn bounds_met(&self) -> Vec<&'static str> {
        self.hit.borrow().iter().copied().collect()
    }
}
