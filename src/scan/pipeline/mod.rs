//! The jobs of the pipeline's file that this runner may get after or beside the running one, and their images.

mod config;
mod matrix;
mod rules;
mod variables;

use std::rc::Rc;

use super::Running;
use super::build::{Scene, look_at};
use super::expand::{Known, Unexpanded, expand_plain};
use super::files::CheckoutPath;
use super::found::{Place, Reach, Trouble, Uses, Wanted, When, shown};
use super::limits::MAX_SCRIPT;
use super::session::{Start, run};
use super::yaml::{Map, Node};
use config::Config;
use variables::{Layer, Outside};

/// Where the pipeline's file is, unless the project says otherwise.
const USUAL: &str = ".gitlab-ci.yml";
/// How many names `inherit` lists.
const MAX_INHERITED: usize = 256;
const USUAL_STAGES: [&str; 3] = ["build", "test", "deploy"];

/// Finds the images of the jobs to come.
pub(super) fn look_through(running: &Running, scene: &Scene<'_>) {
    let written = running.variables.get("CI_CONFIG_PATH").filter(|path| !path.is_empty());
    let written = written.map_or(USUAL, String::as_str);
    let elsewhere = written.contains('@') || written.contains("://");
    let Some(path) = CheckoutPath::root().join(written).filter(|_| !elsewhere) else {
        return scene.found.note(None, Trouble::Include(shown(written)));
    };
    let mut outside = Outside::new(&running.variables, scene.budget);
    let nothing = Layer::default();
    let Some(config) = config::read(&path, &|name| outside.look(&nothing, name), scene) else { return };
    let own = own_name(&running.name, &config);
    let own_job = own.and_then(|name| config.job(name)).unwrap_or_default();
    let names: Vec<String> =
        matrix::cells(&config, &own_job, scene.budget).into_iter().flatten().map(|(name, _)| name).collect();
    outside.learn(&Layer::read(&config, &own_job, |_| true, scene.budget), &names);
    let stages = stages(&config);
    let Some(stage) = stages.iter().position(|stage| *stage == running.stage) else {
        return scene.found.note(Some(Place { file: path, line: 1 }), Trouble::Stage(shown(&running.stage)));
    };
    let mut jobs = Vec::new();
    for (name, node) in config.names() {
        let Some(keys) = config.job(name) else { continue };
        let alone = !keys.contains_key("parallel");
        let scripted = keys.contains_key("script") || keys.contains_key("run");
        if !scripted || keys.contains_key("trigger") || (own == Some(name.as_str()) && alone) {
            continue;
        }
        let job = Job { name, place: node.place(), keys, config: &config, outside: &outside };
        if let Some(when) = job.when(&stages, stage, own, scene) {
            jobs.push((when, job));
        }
    }
    // What comes first is looked at first: the bounds cut off what comes last.
    jobs.sort_by_key(|(when, _)| *when);
    for (when, job) in &jobs {
        job.look_at(*when, running, scene);
    }
}

/// Finds the running job's name in the file: without what `parallel` adds to it.
fn own_name<'a>(running: &'a str, config: &Config<'_>) -> Option<&'a str> {
    let bracket = running.find(": [").map(|at| &running[..at]);
    let number = running.rsplit_once(' ').filter(|(_, number)| {
        let mut halves = number.splitn(2, '/').map(|half| half.parse::<u32>().is_ok());
        halves.next() == Some(true) && halves.next() == Some(true)
    });
    let names = [Some(running), bracket, number.map(|(name, _)| name)];
    names.into_iter().flatten().find(|name| config.job(name).is_some())
}

/// Returns the stages in their order.
fn stages(config: &Config<'_>) -> Vec<String> {
    let written = config.global("stages").map(|node| config.flat(&node));
    let named: Vec<String> = match &written {
        Some(nodes) => nodes.iter().filter_map(Node::text).map(str::to_owned).collect(),
        None => USUAL_STAGES.map(str::to_owned).to_vec(),
    };
    let between = named.into_iter().filter(|stage| stage != ".pre" && stage != ".post");
    std::iter::once(".pre".to_owned()).chain(between).chain([".post".to_owned()]).collect()
}

struct Job<'a> {
    name: &'a str,
    place: Place,
    keys: Rc<Map>,
    config: &'a Config<'a>,
    outside: &'a Outside<'a>,
}

impl Job<'_> {
    /// Says when it runs, seen from the running job; `None` if it has run before.
    fn when(&self, stages: &[String], now: usize, own: Option<&str>, scene: &Scene<'_>) -> Option<When> {
        let stage = self.keys.get("stage").and_then(Node::text).unwrap_or("test");
        if !scene.budget.spend(stages.len()) {
            return None;
        }
        let distance = stages.iter().position(|name| name == stage)?.checked_sub(now)?;
        if distance == 0 {
            return Some(When::Beside);
        }
        let Some(needs) = self.keys.get("needs").map(|needs| self.config.flat(needs)) else {
            return Some(When::Stages(distance));
        };
        let name = |need: &Node| need.text().or_else(|| need.get("job")?.text()).map(str::to_owned);
        let needs: Vec<String> = needs.iter().filter_map(name).collect();
        Some(match needs.is_empty() {
            // It did not wait for anything.
            true => When::Beside,
            false if needs.iter().any(|need| Some(need.as_str()) == own) => When::Stages(1),
            false => When::Stages(distance),
        })
    }

    /// Returns a key, or what the pipeline sets for jobs without it.
    fn key(&self, key: &str) -> Option<Node> {
        if let Some(own) = self.keys.get(key).and_then(|node| self.config.follow(node)) {
            return Some(own);
        }
        if !self.inherits("default", key) {
            return None;
        }
        let default = self.config.global("default").and_then(|node| node.get(key).cloned());
        let default = default.and_then(|node| self.config.follow(&node));
        let old_way = matches!(key, "image" | "services" | "before_script");
        default.or_else(|| self.config.global(key).filter(|_| old_way))
    }

    fn inherits(&self, what: &str, key: &str) -> bool {
        let Some(inherit) = self.keys.get("inherit").and_then(|node| node.get(what)) else { return true };
        match inherit.text() {
            Some(text) => text != "false",
            None => inherit.items().iter().take(MAX_INHERITED).any(|item| item.text() == Some(key)),
        }
    }

    fn look_at(&self, when: When, running: &Running, scene: &Scene<'_>) {
        let inherits = |name: &str| self.inherits("variables", name);
        let mut layer = Layer::read(self.config, &self.keys, inherits, scene.budget);
        layer.set("CI_JOB_NAME", self.name);
        layer.set("CI_JOB_STAGE", self.keys.get("stage").and_then(Node::text).unwrap_or("test"));
        let rules = self.keys.get("rules").map(|rules| self.config.flat(rules));
        for cell in matrix::cells(self.config, &self.keys, scene.budget) {
            if !scene.budget.spend(layer.steps()) {
                return;
            }
            let mut layer = layer.clone();
            for (name, value) in &cell {
                layer.set(name, value);
            }
            let look = |name: &str| self.outside.look(&layer, name);
            if !rules::may_run(&self.keys, rules.as_deref(), &look, scene.budget) {
                continue;
            }
            if self.is_for(running, &look, scene) {
                self.images(when, &look, scene);
                self.builds(when, running, &look, scene);
            }
        }
    }

    /// Says whether this runner gets the job: by its tags.
    fn is_for(&self, running: &Running, look: &dyn Fn(&str) -> Known, scene: &Scene<'_>) -> bool {
        let tags = self.key("tags").map(|node| self.config.flat(&node)).unwrap_or_default();
        tags.iter().filter_map(Node::text).all(|tag| match expand_plain(tag, look, scene.budget) {
            Ok(tag) => running.tags.contains(&tag),
            Err(why) => {
                self.note(why, tag, scene);
                false
            }
        })
    }

    fn images(&self, when: When, look: &dyn Fn(&str) -> Known, scene: &Scene<'_>) {
        let services = self.key("services").map(|node| self.config.flat(&node)).unwrap_or_default();
        let image = self.key("image").map(|node| (node, Uses::JOB));
        for (node, uses) in image.into_iter().chain(services.into_iter().map(|node| (node, Uses::SERVICE))) {
            let named = node.get("name").and_then(|name| self.config.follow(name));
            let Some(written) = named.as_ref().unwrap_or(&node).text() else { continue };
            let platform = node.get("docker").and_then(|docker| docker.get("platform")).and_then(Node::text);
            let expanded = |text: &str| match expand_plain(text, look, scene.budget) {
                Ok(text) => Some(text),
                Err(why) => {
                    self.note(why, text, scene);
                    None
                }
            };
            let Some(image) = expanded(written) else { continue };
            let platform = match platform.map(expanded) {
                None => None,
                Some(Some(platform)) => Some(platform).filter(|p| !p.is_empty() && p != scene.host),
                Some(None) => continue,
            };
            if scene.budget.spend(32) {
                let place = node.place();
                let reach = Reach::Engine;
                scene.found.want(Wanted { image, platform, uses, when, needed: true, reach, place });
            }
        }
    }

    fn builds(&self, when: When, running: &Running, look: &dyn Fn(&str) -> Known, scene: &Scene<'_>) {
        let mut script = String::new();
        for node in ["before_script", "script"].into_iter().filter_map(|key| self.key(key)) {
            for line in self.config.flat(&node) {
                if script.len() <= MAX_SCRIPT {
                    script.extend([line.text().unwrap_or_default(), "\n"]);
                }
            }
        }
        let done = run(&script, &Start { look, socket: running.socket, budget: scene.budget });
        for trouble in done.troubles {
            scene.found.note(Some(self.place.clone()), trouble);
        }
        for build in &done.builds {
            look_at(build, when, Some(&self.place), scene);
        }
        done.made.into_iter().for_each(|name| scene.found.made(name));
    }

    fn note(&self, why: Unexpanded, text: &str, scene: &Scene<'_>) {
        let trouble = match why {
            Unexpanded::Variable(name) => Trouble::Variable(shown(&name)),
            Unexpanded::Odd => Trouble::Dynamic(shown(text)),
        };
        scene.found.note(Some(self.place.clone()), trouble);
    }
}
