//! A host on which one project fetched an image that only its login opens, and what the next job there meets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth::engine::StoreKind;
use hearth::engine::fake::{Call, FakeImage, Trouble};
use hearth::settings::PullPolicy::{Always, IfNotPresent, Never};
use hearth::settings::ServiceSetting;
use serde_json::{Value, json};

use crate::access_rules::{Asked, Asker, Case, End, Login, Proof, Role, State, Way};
use crate::world::{APP, HELPER, Prepared, World};

pub(crate) const TOOL: &str = "registry.test/secret/tool:1";
pub(crate) const REPOSITORY: &str = "registry.test/secret/tool";
pub(crate) const USER: &str = "robot";
pub(crate) const OLD: &str = "canary-old-9f2c";
pub(crate) const NEW: &str = "canary-new-51e8";
pub(crate) const WRONG: &str = "canary-wrong-77ab";

/// The host.
pub(crate) struct Host {
    pub(crate) world: World,
    /// The facts as they were then.
    kept: PathBuf,
    pub(crate) image: FakeImage,
    kind: StoreKind,
}

impl Host {
    pub(crate) async fn new(kind: StoreKind) -> Self {
        let mut world = World::new();
        world.fake.set_store(kind);
        let image = FakeImage::new("tool");
        world.fake.publish(TOOL, image.clone());
        world.fake.protect(TOOL, USER, OLD);
        world.settings.pull.attempts = 2;
        world.settings.job.allowed_pull_policies = vec![Always, IfNotPresent, Never];
        let kept = world.facts.with_file_name("kept");
        let mut host = Self { world, kept, image, kind };
        host.asks_for(Role::Build, TOOL, json!(["always"]));
        host.comes_with(Some(OLD));
        host.world.prepare().await.fine();
        host.world.cleans_up().await;
        // Beside the public image, where it is none itself.
        host.asks_for(Role::Service, TOOL, json!(["always"]));
        host.world.prepare().await.fine();
        host.world.cleans_up().await;
        copy(&host.world.facts, &host.kept);
        host
    }

    pub(crate) fn comes_with(&mut self, password: Option<&str>) {
        match password {
            Some(password) => {
                let auth = STANDARD.encode(format!("{USER}:{password}"));
                let config = json!({"auths": {"registry.test/secret": {"auth": auth}}});
                self.world.variables.insert("DOCKER_AUTH_CONFIG", config.to_string());
            }
            None => {
                self.world.variables.remove("DOCKER_AUTH_CONFIG");
            }
        }
    }

    pub(crate) fn asks_for(&mut self, role: Role, name: &str, policies: Value) {
        let job = &mut self.world.job;
        let settings = &mut self.world.settings.job;
        let own: Vec<_> = serde_json::from_value::<Vec<String>>(policies.clone())
            .unwrap()
            .iter()
            .map(|policy| match policy.as_str() {
                "always" => Always,
                "never" => Never,
                _ => IfNotPresent,
            })
            .collect();
        job["image"] = json!({"name": APP, "pull_policy": ["always"]});
        job["services"] = json!([]);
        settings.image = String::new();
        settings.services = Vec::new();
        settings.pull_policy = vec![Always];
        settings.helper_image = HELPER.to_owned();
        settings.helper_pull_policy = vec![Always];
        match role {
            Role::Build => job["image"] = json!({"name": name, "pull_policy": policies}),
            Role::Service => {
                job["services"] = json!([{"name": name, "pull_policy": policies, "alias": "it"}])
            }
            Role::Default => {
                job["image"] = json!({"name": ""});
                (settings.image, settings.pull_policy) = (name.to_owned(), own);
            }
            Role::OwnService => {
                let alias = "it".to_owned();
                settings.services = vec![ServiceSetting {
                    name: name.to_owned(),
                    alias,
                    entrypoint: None,
                    command: None,
                    environment: Vec::new(),
                }];
                settings.pull_policy = own;
            }
            Role::Helper => (settings.helper_image, settings.helper_pull_policy) = (name.to_owned(), own),
        }
    }

    /// Sets everything as the case has it, on the host as it was after the first job.
    fn set(&mut self, case: &Case) {
        let fake = self.world.fake.clone();
        std::fs::remove_dir_all(&self.world.facts).unwrap();
        copy(&self.kept, &self.world.facts);
        fake.calm(TOOL);
        fake.forget_image(TOOL);
        fake.forget_image(&format!("{REPOSITORY}@{}", self.image.digest()));
        if case.is_here {
            fake.image_here(TOOL, self.image.clone());
        }
        match case.state {
            State::Up => {}
            State::Says(404) => fake.trouble(TOOL, Trouble::NotFound, usize::MAX),
            State::Says(status) => fake.trouble(TOOL, Trouble::Status(status), usize::MAX),
            State::Down => fake.trouble(TOOL, Trouble::Down, usize::MAX),
        }
        let has_rotated = matches!(case.login, Login::Rotated | Login::Expired);
        fake.protect(TOOL, USER, if has_rotated { NEW } else { OLD });
        self.comes_with(match case.login {
            Login::Nothing => None,
            Login::Wrong => Some(WRONG),
            Login::Right | Login::Expired => Some(OLD),
            Login::Rotated => Some(NEW),
        });
        let (Way::Tag(policies) | Way::Digest(policies) | Way::Id(policies)) = case.way;
        let policies: Vec<String> = policies.iter().map(ToString::to_string).collect();
        self.asks_for(case.role, &self.name(case), json!(policies));
        let job = &mut self.world.job;
        job["id"] = 8.into();
        job["job_info"]["project_id"] = if case.asker == Asker::OtherProject { 5 } else { 4 }.into();
        let server = if case.asker == Asker::OtherServer { "other.test" } else { "gitlab.test" };
        job["git_info"]["repo_url"] = format!("https://u:p@{server}/group/project.git").into();
        let hour = Duration::from_secs(3600);
        let access = &mut self.world.settings.access;
        (access.proof_ttl, access.offline_grace) = match case.proof {
            Proof::Live => (hour, Duration::ZERO),
            Proof::Old => (Duration::ZERO, Duration::ZERO),
            Proof::OldWithGrace => (Duration::ZERO, hour),
        };
        fake.forget_calls();
    }

    fn name(&self, case: &Case) -> String {
        match case.way {
            Way::Tag(_) => TOOL.to_owned(),
            Way::Digest(_) => format!("{REPOSITORY}@{}", self.image.digest()),
            Way::Id(_) => self.id_of(&self.image),
        }
    }

    /// Returns the engine's ID of an image that was pulled by its digest.
    pub(crate) fn id_of(&self, image: &FakeImage) -> String {
        match self.kind {
            StoreKind::Containerd => image.digest(),
            StoreKind::DockerClassic | StoreKind::Podman => image.facts().id.clone(),
        }
    }

    pub(crate) fn questions(&self) -> usize {
        self.world.fake.questions().iter().filter(|asked| asked.starts_with(REPOSITORY)).count()
    }

    fn pulls(&self) -> usize {
        let calls = self.world.fake.calls();
        calls.iter().filter(|made| made.call == Call::Pull && made.object.starts_with(REPOSITORY)).count()
    }

    /// Tells whether a container of the image runs.
    fn runs(&self) -> bool {
        let fake = &self.world.fake;
        let (digest, id) = (self.image.digest(), self.id_of(&self.image));
        let is_it = |container: &String| {
            fake.spec(container).is_some_and(|spec| spec.image.contains(&digest) || spec.image == id)
        };
        fake.running_containers().iter().any(is_it)
    }

    /// Runs the case's job and compares. Returns what is wrong.
    pub(crate) async fn check(&mut self, case: &Case) -> Vec<String> {
        self.set(case);
        let before = self.questions();
        let prepared = self.world.prepare().await;
        let (end, asked) = case.expected();
        let questions = self.questions() - before;
        let mut wrong = Vec::new();
        let mut hold = |holds: bool, words: String| {
            if !holds {
                wrong.push(words);
            }
        };
        let runs = self.runs();
        let begins = format!("{} {} ", case.role.in_words(), self.name(case));
        match (&prepared.result, end) {
            (Ok(()), End::Starts { pulls }) => {
                hold(runs, "it does not run".to_owned());
                hold(self.pulls() == pulls, format!("{} pulls", self.pulls()));
            }
            (Err(failure), End::Fails(fault, words)) => {
                hold(!runs, "IT RUNS".to_owned());
                hold(failure.fault == fault, format!("not of {fault:?}"));
                let right = failure.message.strip_prefix(&begins).is_some_and(|rest| rest.contains(words));
                hold(right, format!("no {begins:?} or {words:?}"));
                hold(!failure.hints.is_empty(), "nothing to do".to_owned());
            }
            _ => hold(false, format!("not {end:?}")),
        }
        match asked {
            Asked::Times(times) => hold(questions == times, format!("{questions} questions, not {times}")),
            Asked::InVain => hold((1..=4).contains(&questions), format!("{questions} questions")),
        }
        hold(!says_twice(&prepared, &begins), "something is said twice".to_owned());
        let text = format!("{}{:?}", prepared.log.text(), prepared.result);
        hold(!tells_secret(&text), "a secret is told".to_owned());
        assert_eq!(self.world.cleanup().await, Ok(()));
        if !wrong.is_empty() {
            wrong.insert(0, format!("{case:?}"));
            wrong.extend(prepared.result.err().map(|failure| failure.to_string()));
            wrong.push(prepared.log.text());
        }
        wrong
    }

    pub(crate) fn facts_tell_no_secret(&self) {
        for file in std::fs::read_dir(&self.world.facts).unwrap().flatten().filter(|f| f.path().is_file()) {
            assert!(
                !tells_secret(&String::from_utf8_lossy(&std::fs::read(file.path()).unwrap())),
                "{file:?}"
            );
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

/// Tells whether a line comes again, or the reason of the failure is in the log before it.
fn says_twice(prepared: &Prepared, begins: &str) -> bool {
    let text = prepared.log.text();
    let failure = prepared.result.as_ref().err();
    let hints = failure.iter().flat_map(|failure| failure.hints.iter().map(String::as_str));
    let mut lines: Vec<&str> = text.lines().chain(hints).collect();
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    let reason = failure.and_then(|failure| failure.message.strip_prefix(begins));
    lines.len() < count || reason.is_some_and(|reason| text.contains(reason))
}

pub(crate) fn tells_secret(text: &str) -> bool {
    [OLD, NEW, WRONG].iter().any(|password| {
        let encoded = [STANDARD.encode(password), STANDARD.encode(format!("{USER}:{password}"))];
        let encoded = encoded.iter().map(|text| text.trim_end_matches('='));
        text.contains(password) || encoded.into_iter().any(|encoded| text.contains(encoded))
    })
}
