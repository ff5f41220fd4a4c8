//! A job's script as far as it matters: where it is, which variables it sets, which builder it chose, what it builds.

use std::collections::BTreeMap;

use super::build::Build;
use super::expand::Known;
use super::files::CheckoutPath;
use super::found::{Reach, Store, Trouble};
use super::limits::Budget;
use super::options::{Arg, Options, expand_all};
use super::shell::{Item, Word, read};

/// How deep subshells are told apart.
const MAX_SUBSHELLS: usize = 8;

/// What a script starts with.
pub(super) struct Start<'a> {
    /// The variables of its job.
    pub(super) look: &'a dyn Fn(&str) -> Known,
    /// Whether the socket of this host's engine is in the job's containers.
    pub(super) socket: bool,
    pub(super) budget: &'a Budget,
}

/// What a script does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) builds: Vec<Build>,
    /// Names that its builds give to what they build.
    pub(super) made: Vec<String>,
    /// What could not be told.
    pub(super) troubles: Vec<Trouble>,
}

/// Goes through a script.
pub(super) fn run(script: &str, start: &Start<'_>) -> Done {
    let mut session = Session {
        start,
        shell: Shell { variables: BTreeMap::new(), directory: Some(CheckoutPath::root()) },
        local: BTreeMap::new(),
        own_builders: false,
        by_buildx: false,
        other_context: false,
        done: Done::default(),
    };
    let mut outer = Vec::new();
    let mut depth = 0_usize;
    for item in read(script, start.budget) {
        match item {
            Item::Open => {
                depth += 1;
                if depth <= MAX_SUBSHELLS && start.budget.spend(session.shell.variables.len() + 1) {
                    outer.push((depth, session.shell.clone()));
                }
            }
            Item::Close => {
                if let Some((_, shell)) = outer.pop_if(|(at, _)| *at == depth) {
                    session.shell = shell;
                }
                depth = depth.saturating_sub(1);
            }
            Item::Command(words) => session.command(&words),
        }
    }
    session.done
}

/// What a subshell has for itself.
#[derive(Clone)]
struct Shell {
    variables: BTreeMap<String, Known>,
    /// `None`: not known, or not in the checkout.
    directory: Option<CheckoutPath>,
}

pub(super) struct Session<'a> {
    pub(super) start: &'a Start<'a>,
    shell: Shell,
    /// What is set for one command only.
    local: BTreeMap<String, Known>,
    /// `docker buildx create --use` or `use`: the builder that is chosen has a store of its own.
    own_builders: bool,
    /// `docker buildx install`: `docker build` takes the chosen builder too.
    by_buildx: bool,
    /// `docker context use`: another engine.
    other_context: bool,
    pub(super) done: Done,
}

const KEYWORDS: [&str; 9] = ["if", "then", "elif", "else", "while", "until", "do", "!", "{"];
const WRAPPERS: [&str; 6] = ["sudo", "exec", "command", "time", "nohup", "env"];

impl Session<'_> {
    fn command(&mut self, words: &[Word]) {
        if !self.start.budget.spend(words.len()) {
            return;
        }
        let mut words = words;
        let mut local = BTreeMap::new();
        let name = loop {
            let Some((first, rest)) = words.split_first() else {
                self.shell.variables.extend(local);
                return;
            };
            let plain = first.plain();
            if let Some((name, value)) = first.assignment() {
                let value = self.value(&value);
                local.insert(name, value);
                words = rest;
            } else if plain.as_deref().is_some_and(|word| KEYWORDS.contains(&word)) {
                words = rest;
            } else if plain.as_deref().is_some_and(|word| WRAPPERS.contains(&word)) {
                let options = |word: &&Word| word.lead().starts_with('-');
                words = &rest[rest.iter().take_while(options).count()..];
            } else {
                words = rest;
                break plain;
            }
        };
        let Some(name) = name else { return };
        let tool = name.rsplit('/').next().unwrap_or_default();
        match tool {
            "cd" | "pushd" => self.change_directory(words),
            "popd" => self.shell.directory = None,
            "export" | "declare" | "local" | "readonly" => {
                for (name, value) in words.iter().filter_map(Word::assignment) {
                    let value = self.value(&value);
                    self.shell.variables.insert(name, value);
                }
            }
            "for" | "read" | "unset" => {
                let count = if tool == "for" { 1 } else { words.len() };
                for name in words.iter().take(count).filter_map(Word::plain) {
                    let value = if tool == "unset" { Known::Unset } else { Known::Unknown };
                    self.shell.variables.insert(name, value);
                }
            }
            "docker" | "buildah" | "podman" | "executor" => {
                self.local = local;
                let args = expand_all(words, &|name| self.look(name), self.start.budget);
                super::builders::command(self, tool, args.into_iter());
                self.local.clear();
            }
            _ => {}
        }
    }

    pub(super) fn look(&self, name: &str) -> Known {
        let set = self.local.get(name).or_else(|| self.shell.variables.get(name));
        set.cloned().unwrap_or_else(|| (self.start.look)(name))
    }

    /// Returns a variable that steers the tools; one that is not known is taken as not set.
    pub(super) fn steering(&self, name: &str) -> Option<String> {
        match self.look(name) {
            Known::Value(value) if !value.is_empty() => Some(value),
            _ => None,
        }
    }

    fn value(&self, word: &Word) -> Known {
        match word.expand(&|name| self.look(name), self.start.budget) {
            Ok(words) => Known::Value(words.concat()),
            Err(_) => Known::Unknown,
        }
    }

    fn change_directory(&mut self, words: &[Word]) {
        let args = expand_all(words, &|name| self.look(name), self.start.budget);
        self.shell.directory = match args.into_iter().next().map(Arg::into_known) {
            Some(Ok(to)) if to != "-" => self.path(&to),
            _ => None,
        };
    }

    /// Finds a path that the script writes; `None` if it is not in the checkout or not known.
    pub(super) fn path(&self, written: &str) -> Option<CheckoutPath> {
        if !written.starts_with('/') {
            return self.shell.directory.as_ref()?.join(written);
        }
        let Known::Value(checkout) = (self.start.look)("CI_PROJECT_DIR") else { return None };
        let within = written.strip_prefix(checkout.trim_end_matches('/'))?;
        if !within.is_empty() && !within.starts_with('/') {
            return None;
        }
        CheckoutPath::root().join(within.trim_start_matches('/'))
    }

    /// Follows `docker buildx create`, `use`, `rm` and `install`.
    pub(super) fn buildx(&mut self, verb: &str, options: &Options) {
        match verb {
            "install" => self.by_buildx = true,
            "uninstall" => self.by_buildx = false,
            "create" => self.own_builders |= options.has(&["--use"]),
            "use" => {
                let default = matches!(options.others.first(), Some(Arg::Known(name)) if name == "default");
                self.own_builders = !default;
            }
            "rm" => self.own_builders = false,
            _ => {}
        }
    }

    /// Follows `docker context use`.
    pub(super) fn use_context(&mut self, options: &Options) {
        self.other_context = !matches!(options.others.first(), Some(Arg::Known(name)) if name == "default");
    }

    /// Tells which store a `docker build` uses. `global` are docker's own options, `options` the command's.
    pub(super) fn reach(&self, global: &Options, options: &Options, by_buildx: bool) -> Reach {
        let known = |arg: Option<Arg>| arg.map(|arg| arg.into_known().unwrap_or_default());
        let host = known(global.last(&["-H", "--host"])).or_else(|| self.steering("DOCKER_HOST"));
        let context = known(global.last(&["-c", "--context"])).or_else(|| self.steering("DOCKER_CONTEXT"));
        let other = match (&host, &context) {
            (Some(host), _) => !host.starts_with("unix://"),
            (None, Some(context)) => context != "default",
            (None, None) => self.other_context,
        };
        if other {
            return Reach::Elsewhere(Store::OtherEngine);
        }
        let named = known(options.last(&["--builder"])).or_else(|| known(global.last(&["--builder"])));
        let own_builder = match named.or_else(|| self.steering("BUILDX_BUILDER")) {
            Some(name) => name != "default",
            None => (by_buildx || self.by_buildx) && self.own_builders,
        };
        match (own_builder, self.start.socket) {
            (true, _) => Reach::Elsewhere(Store::Buildx),
            (false, false) => Reach::Elsewhere(Store::NoSocket),
            (false, true) => Reach::Engine,
        }
    }
}
