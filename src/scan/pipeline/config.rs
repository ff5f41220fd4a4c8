//! `.gitlab-ci.yml` and what it includes, as one map; jobs with what they extend.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::build::Scene;
use super::super::expand::{Known, expand_plain};
use super::super::files::{CheckoutPath, Look};
use super::super::found::{Place, Trouble, shown};
use super::super::limits::{KEY_STEPS, MAX_EXTENDS, MAX_INCLUDE_DEPTH, MAX_REFERENCES};
use super::super::yaml::{self, Map, Node, Value};
use super::rules;

/// A pipeline's configuration.
pub(super) struct Config<'a> {
    scene: &'a Scene<'a>,
    root: Map,
    resolved: RefCell<BTreeMap<String, Rc<Map>>>,
}

/// Reads the configuration at a path; `None` if it is not there, cannot be read, or waits for files that are asked for.
pub(super) fn read<'a>(
    path: &CheckoutPath,
    look: &dyn Fn(&str) -> Known,
    scene: &'a Scene<'a>,
) -> Option<Config<'a>> {
    let mut reader = Reader { look, scene, read: BTreeSet::new(), whole: true };
    let root = reader.file(path, None, 0)?.map()?.clone();
    // What is still asked for may change everything.
    reader.whole.then(|| Config { scene, root, resolved: RefCell::new(BTreeMap::new()) })
}

struct Reader<'a> {
    look: &'a dyn Fn(&str) -> Known,
    scene: &'a Scene<'a>,
    read: BTreeSet<CheckoutPath>,
    whole: bool,
}

impl Reader<'_> {
    fn file(&mut self, path: &CheckoutPath, at: Option<Place>, depth: usize) -> Option<Node> {
        if !self.read.insert(path.clone()) {
            return None;
        }
        let text = match self.scene.reading.look(path) {
            Look::Text(text) => text,
            Look::Asked => {
                self.whole = false;
                return None;
            }
            Look::TooMany => {
                self.scene.found.note(at, Trouble::Bound("it names too many files"));
                return None;
            }
            Look::Absent => {
                // No pipeline of its own is nothing to speak of.
                if at.is_some() {
                    self.scene.found.note(at, Trouble::Missing(shown(path.as_str())));
                }
                return None;
            }
        };
        let start = Place { file: path.clone(), line: 1 };
        if !self.scene.budget.spend(text.len() / 8) {
            return None;
        }
        let node = match yaml::read(text, path) {
            Ok(node) => node?,
            Err(reason) => {
                self.scene.found.note(Some(start), Trouble::Malformed(reason));
                return None;
            }
        };
        let Some(own) = node.map() else {
            self.scene.found.note(Some(start), Trouble::Malformed("it is no map of jobs".to_owned()));
            return None;
        };
        let mut all: Option<Node> = None;
        for include in own.get("include").map(Node::items).unwrap_or_default() {
            let Some(included) = self.include(include, depth) else { continue };
            all = Some(match all {
                Some(all) => merge(&all, &included, self.scene),
                None => included,
            });
        }
        Some(match all {
            Some(all) => merge(&all, &node, self.scene),
            None => node,
        })
    }

    fn include(&mut self, include: &Node, depth: usize) -> Option<Node> {
        let place = include.place();
        let written = match include.value() {
            Value::Text(text) => text.as_str(),
            Value::Map(map) => match map.get("local").and_then(Node::text) {
                Some(local) => local,
                None => {
                    let kinds = ["project", "remote", "template", "component", "artifact"];
                    let named = kinds.iter().find_map(|kind| Some((kind, map.get(*kind)?.text()?)));
                    let text = named.map_or("include".to_owned(), |(kind, text)| format!("{kind}: {text}"));
                    self.scene.found.note(Some(place), Trouble::Include(shown(&text)));
                    return None;
                }
            },
            _ => return None,
        };
        if let Some(rules) = include.get("rules")
            && !rules::may_match(rules.items(), self.look, self.scene.budget)
        {
            return None;
        }
        let expanded = expand_plain(written, self.look, self.scene.budget).ok();
        let plain = expanded.filter(|path| !path.contains(['*', '?', '[']) && !path.contains("://"));
        let path = plain.and_then(|path| CheckoutPath::root().join(path.trim_start_matches('/')));
        let Some(path) = path else {
            self.scene.found.note(Some(place), Trouble::Include(shown(written)));
            return None;
        };
        if depth >= MAX_INCLUDE_DEPTH {
            self.scene.found.note(Some(place), Trouble::Bound("its includes nest too deep"));
            return None;
        }
        self.file(&path, Some(place), depth + 1)
    }
}

/// Lays a value over another: maps are joined, everything else is replaced.
fn merge(base: &Node, over: &Node, scene: &Scene<'_>) -> Node {
    let (Some(under), Some(upper)) = (base.map(), over.map()) else { return over.clone() };
    if !scene.budget.spend((under.len() + upper.len()) * KEY_STEPS) {
        return over.clone();
    }
    over.with_map(merge_maps(under.clone(), upper, scene))
}

fn merge_maps(mut under: Map, upper: &Map, scene: &Scene<'_>) -> Map {
    for (key, value) in upper {
        let merged = match under.get(key) {
            Some(base) => merge(base, value, scene),
            None => value.clone(),
        };
        under.insert(key.clone(), merged);
    }
    under
}

impl Config<'_> {
    /// Returns a global key.
    pub(super) fn global(&self, key: &str) -> Option<Node> {
        self.root.get(key).and_then(|node| self.follow(node))
    }

    /// Returns the names of what may be jobs.
    pub(super) fn names(&self) -> impl Iterator<Item = (&String, &Node)> {
        const RESERVED: [&str; 13] = [
            "after_script",
            "before_script",
            "cache",
            "default",
            "image",
            "include",
            "inputs",
            "services",
            "spec",
            "stages",
            "types",
            "variables",
            "workflow",
        ];
        let named = |name: &str| !name.starts_with('.') && !RESERVED.contains(&name);
        self.root.iter().filter(move |(name, node)| named(name) && node.map().is_some())
    }

    /// Returns a job's keys with those that it extends; `None` if there is no such job.
    pub(super) fn job(&self, name: &str) -> Option<Rc<Map>> {
        self.resolve(name, 0)
    }

    fn resolve(&self, name: &str, depth: usize) -> Option<Rc<Map>> {
        if let Some(done) = self.resolved.borrow().get(name) {
            return Some(Rc::clone(done));
        }
        let node = self.root.get(name)?;
        let own = node.map()?;
        if !self.scene.budget.spend((own.len() + 1) * KEY_STEPS) {
            return None;
        }
        let mut all = Map::new();
        for base in own.get("extends").map(Node::items).unwrap_or_default() {
            let Some(base) = base.text() else { continue };
            if depth >= MAX_EXTENDS {
                self.scene.found.note(Some(node.place()), Trouble::Bound("extends nest too deep"));
                break;
            }
            match self.resolve(base, depth + 1) {
                Some(base) if self.scene.budget.spend(base.len() * KEY_STEPS) => {
                    all = merge_maps(all, &base, self.scene);
                }
                Some(_) => return None,
                None => self.scene.found.note(Some(node.place()), Trouble::Missing(shown(base))),
            }
        }
        let all = Rc::new(merge_maps(all, own, self.scene));
        if depth == 0 {
            self.resolved.borrow_mut().insert(name.to_owned(), Rc::clone(&all));
        }
        Some(all)
    }

    /// Follows `!reference` to what it names; other values are themselves. `None` for null and what is not there.
    pub(super) fn follow(&self, node: &Node) -> Option<Node> {
        self.follow_deep(node, 0)
    }

    fn follow_deep(&self, node: &Node, depth: usize) -> Option<Node> {
        let path = match node.value() {
            Value::Null => return None,
            Value::Reference(path) => path,
            _ => return Some(node.clone()),
        };
        if depth >= MAX_REFERENCES || !self.scene.budget.spend(path.len()) {
            return None;
        }
        let (job, keys) = path.split_first()?;
        let (key, keys) = keys.split_first()?;
        let found = self.resolve(job, 0).and_then(|job| job.get(key).cloned());
        let found = keys.iter().fold(found, |at, key| {
            let at = self.follow_deep(&at?, depth + 1)?;
            at.get(key).cloned()
        });
        match found {
            Some(found) => self.follow_deep(&found, depth + 1),
            None => {
                self.scene.found.note(Some(node.place()), Trouble::Missing(shown(&path.join(" "))));
                None
            }
        }
    }

    /// Returns the items of a list, those of lists and references in it among them.
    pub(super) fn flat(&self, node: &Node) -> Vec<Node> {
        let mut flat = Vec::new();
        self.flatten(node, 0, &mut flat);
        flat
    }

    fn flatten(&self, node: &Node, depth: usize, flat: &mut Vec<Node>) {
        if depth > MAX_REFERENCES || !self.scene.budget.spend(1) {
            return;
        }
        let Some(node) = self.follow(node) else { return };
        match node.value() {
            Value::List(items) => items.iter().for_each(|item| self.flatten(item, depth + 1, flat)),
            _ => flat.push(node),
        }
    }
}
