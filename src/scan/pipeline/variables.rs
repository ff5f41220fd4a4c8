//! The variables of jobs that do not run yet, from the pipeline's file and from what the running job has.

use std::collections::BTreeMap;

use super::super::expand::{Known, expand_plain};
use super::super::limits::{Budget, MAX_NAMES_DEEP, MAX_VALUE};
use super::super::yaml::{Map, Node};
use super::config::Config;

/// Variables that belong to one job: the running job's say nothing of another's.
const OF_A_JOB: [&str; 5] = ["CI_BUILD_", "CI_CONCURRENT_", "CI_ENVIRONMENT_", "CI_JOB_", "CI_NODE_"];
/// Variables of the pipeline that are no secrets: whoever has the others and not one of these knows that it is not set.
const OF_THE_PIPELINE: [&str; 4] =
    ["CI_COMMIT_", "CI_MERGE_REQUEST_", "CI_OPEN_MERGE_REQUESTS", "CI_EXTERNAL_PULL_REQUEST_"];

/// A value of the pipeline's file, as it was written.
#[derive(Clone)]
struct Written {
    text: String,
    /// False for `expand: false`.
    expand: bool,
}

/// What one job's variables say in the pipeline's file.
#[derive(Clone, Default)]
pub(super) struct Layer {
    written: BTreeMap<String, Written>,
    bytes: usize,
}

impl Layer {
    /// Reads the variables of the pipeline and of a job; `global` says which of the pipeline's the job takes.
    pub(super) fn read(
        config: &Config<'_>,
        job: &Map,
        global: impl Fn(&str) -> bool,
        budget: &Budget,
    ) -> Self {
        let mut layer = Self::default();
        if let Some(variables) = config.global("variables") {
            layer.add_all(config, &variables, global, budget);
        }
        if let Some(variables) = job.get("variables").and_then(|node| config.follow(node)) {
            layer.add_all(config, &variables, |_| true, budget);
        }
        layer
    }

    fn add_all(
        &mut self,
        config: &Config<'_>,
        variables: &Node,
        takes: impl Fn(&str) -> bool,
        budget: &Budget,
    ) {
        let variables = variables.map().into_iter().flatten();
        for (name, node) in variables.filter(|(name, _)| takes(name)) {
            let Some(node) = config.follow(node) else { continue };
            let value = node.get("value").or(Some(&node)).and_then(Node::text);
            let expand = node.get("expand").and_then(Node::text) != Some("false");
            let Some(text) = value.filter(|text| text.len() <= MAX_VALUE) else { continue };
            if !budget.spend(1 + (name.len() + text.len()) / 8) {
                return;
            }
            self.put(name, text, expand);
        }
    }

    fn put(&mut self, name: &str, text: &str, expand: bool) {
        self.bytes += name.len() + text.len();
        self.written.insert(name.to_owned(), Written { text: text.to_owned(), expand });
    }

    /// Sets a variable to a value that is not expanded.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.put(name, value, false);
    }

    /// Returns how many steps it takes to copy them.
    pub(super) fn steps(&self) -> usize {
        1 + self.written.len() + self.bytes / 8
    }
}

/// What is known besides the pipeline's file.
pub(super) struct Outside<'a> {
    /// The running job's variables.
    running: &'a BTreeMap<String, String>,
    /// What the file says of the running job's variables, `None` where that is not known; `None` until it is learned.
    said: Option<BTreeMap<String, Option<String>>>,
    budget: &'a Budget,
}

impl<'a> Outside<'a> {
    pub(super) fn new(running: &'a BTreeMap<String, String>, budget: &'a Budget) -> Self {
        Self { running, said: None, budget }
    }

    /// Learns what the file says of the running job, to tell which values come from elsewhere and override it. Those of
    /// `parallel: matrix` are the file's in any case.
    pub(super) fn learn(&mut self, layer: &Layer, matrix: &[String]) {
        let mut said = BTreeMap::new();
        for name in layer.written.keys() {
            let value = match self.look(layer, name) {
                Known::Value(value) => Some(value),
                Known::Unset | Known::Unknown => None,
            };
            said.insert(name.clone(), value);
        }
        said.extend(matrix.iter().map(|name| (name.clone(), None)));
        self.said = Some(said);
    }

    /// Looks up a variable for the job that has this layer.
    pub(super) fn look(&self, layer: &Layer, name: &str) -> Known {
        self.look_deep(layer, name, 0)
    }

    fn look_deep(&self, layer: &Layer, name: &str, depth: usize) -> Known {
        if depth > MAX_NAMES_DEEP || !self.budget.spend(1) {
            return Known::Unknown;
        }
        let Some(written) = layer.written.get(name) else { return self.elsewhere(name) };
        if let Some(known) = self.overriding(name) {
            return known;
        }
        if !written.expand {
            return Known::Value(written.text.clone());
        }
        let look = |inner: &str| match inner == name {
            // A value that adds to itself: to what it was without the file.
            true => self.elsewhere(inner),
            false => self.look_deep(layer, inner, depth + 1),
        };
        match expand_plain(&written.text, &look, self.budget) {
            Ok(value) if self.budget.spend(value.len() / 8) => Known::Value(value),
            _ => Known::Unknown,
        }
    }

    /// Returns what overrides a value of the file, such as a project's variable; `None` if nothing does.
    fn overriding(&self, name: &str) -> Option<Known> {
        let said = self.said.as_ref()?;
        let of_gitlab = name.starts_with("CI_") || name.starts_with("GITLAB_");
        match (self.running.get(name), said.get(name)) {
            (Some(value), Some(Some(said))) if value != said => Some(Known::Value(value.clone())),
            (Some(_), Some(_)) => None,
            // The running job has it, and its value is a secret.
            (None, Some(Some(_))) => Some(Known::Unknown),
            (None, _) => None,
            (Some(_), None) if of_gitlab => None,
            (Some(value), None) => Some(Known::Value(value.clone())),
        }
    }

    fn elsewhere(&self, name: &str) -> Known {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        // What the file says of the running job alone is not said of others.
        if begins(&OF_A_JOB) || self.said.as_ref().is_some_and(|said| said.contains_key(name)) {
            return Known::Unknown;
        }
        match self.running.get(name) {
            Some(value) => Known::Value(value.clone()),
            None if begins(&OF_THE_PIPELINE) && self.running.contains_key("CI_COMMIT_SHA") => Known::Unset,
            None => Known::Unknown,
        }
    }
}
