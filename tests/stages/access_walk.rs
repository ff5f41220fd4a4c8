//! Access over time: many jobs on one host whose facts are kept, and cases that the matrix has no row for.

use std::collections::BTreeSet;

use hearth::engine::fake::{Call, FakeImage, Trouble};
use hearth::engine::{Engine, StoreKind};
use hearth::image::Patterns;
use hearth::outcome::Fault;
use hearth::settings::PullPolicy::{Always, IfNotPresent, Never};
use serde_json::json;

use crate::access_host::{Host, NEW, OLD, REPOSITORY, TOOL, USER, WRONG, tells_secret};
use crate::access_rules::Role;
use crate::world::{APP, World};

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

/// What a watcher who sees all jobs and answers knows: who was let in, with what, to which version.
#[derive(Default)]
struct Watcher {
    proofs: BTreeSet<(&'static str, i64, &'static str, usize)>,
    /// The version that the tag names on the host.
    tagged: Option<usize>,
    /// The versions on the host.
    here: BTreeSet<usize>,
    /// The version and the password in the registry.
    version: usize,
    password: &'static str,
}

impl Watcher {
    /// Tells which version a job gets, if any. `None` as the password: it comes with none.
    fn expects(
        &mut self,
        asker: (&'static str, i64),
        password: Option<&'static str>,
        way: &str,
        trouble: Option<Trouble>,
    ) -> Option<usize> {
        let key = |version| password.map(|password| (asker.0, asker.1, password, version));
        let proved = |proofs: &BTreeSet<_>, version| key(version).is_some_and(|key| proofs.contains(&key));
        if let Some(id) = way.strip_prefix("id ") {
            let version = id.parse().unwrap();
            return (self.here.contains(&version) && proved(&self.proofs, version)).then_some(version);
        }
        let present = self.tagged.filter(|_| way != "always");
        if let Some(version) = present.filter(|version| proved(&self.proofs, *version)) {
            return Some(version);
        }
        if way == "never" {
            return None;
        }
        match trouble {
            None if password == Some(self.password) => {
                let version = present.unwrap_or(self.version);
                self.proofs.extend(key(version));
                self.tagged = Some(version);
                self.here.insert(version);
                Some(version)
            }
            None | Some(Trouble::Denied) => {
                self.proofs.retain(|(server, project, with, _)| {
                    (*server, *project) != asker || Some(*with) != password
                });
                None
            }
            Some(_) => None,
        }
    }
}

fn version(number: usize) -> FakeImage {
    FakeImage::new(&format!("tool {number}"))
}

/// Lets jobs come and go. Returns how many got the image, and how many did not.
async fn walk(seed: u64, kind: StoreKind) -> (usize, usize) {
    let mut dice = Dice(seed);
    let mut host = Host::new(kind).await;
    let fake = host.world.fake.clone();
    fake.forget_image(TOOL);
    fake.forget_image(&format!("{REPOSITORY}@{}", host.image.digest()));
    fake.publish(TOOL, version(0));
    fake.protect(TOOL, USER, OLD);
    host.world.settings.pull.attempts = 1;
    let mut watcher = Watcher { password: OLD, ..Watcher::default() };
    let (mut got, mut refused) = (0, 0);
    let mut story = Vec::new();
    for step in 0..150 {
        match dice.roll(12) {
            0 => {
                watcher.version += 1;
                fake.publish(TOOL, version(watcher.version));
                story.push(format!("pushed {}", watcher.version));
            }
            1 => {
                watcher.password = dice.one(&[OLD, NEW]);
                fake.protect(TOOL, USER, watcher.password);
                story.push(format!("password {}", watcher.password));
            }
            _ => {}
        }
        let asker = (dice.one(&["gitlab.test", "other.test"]), dice.one(&[4, 5]));
        let password = dice.one(&[None, Some(OLD), Some(NEW), Some(WRONG)]);
        let id = format!("id {}", dice.roll(watcher.version + 1));
        let way = dice.one(&["always", "if-not-present", "if-not-present", "never", &id]);
        let trouble = dice.one(&[
            None,
            None,
            None,
            Some(Trouble::Denied),
            Some(Trouble::Status(503)),
            Some(Trouble::Down),
        ]);
        fake.calm(TOOL);
        trouble.into_iter().for_each(|trouble| fake.trouble(TOOL, trouble, usize::MAX));
        let number = way.strip_prefix("id ").map(|id| version(id.parse().unwrap()));
        let name = number.map_or_else(|| TOOL.to_owned(), |image| host.id_of(&image));
        let policy = if name == TOOL { way } else { "if-not-present" };
        let role = dice.one(&[Role::Build, Role::Service]);
        host.asks_for(role, &name, json!([policy]));
        host.comes_with(password);
        host.world.job["id"] = (100 + step).into();
        host.world.job["job_info"]["project_id"] = asker.1.into();
        host.world.job["git_info"]["repo_url"] = format!("https://u:p@{}/group/project.git", asker.0).into();
        let prepared = host.world.prepare().await;
        let runs = |number: &usize| {
            let image = version(*number);
            fake.running_containers()
                .iter()
                .filter_map(|name| fake.spec(name))
                .any(|spec| spec.image.contains(&image.digest()) || spec.image.contains(&image.facts().id))
        };
        let running = (0..=watcher.version).find(runs);
        let expected = watcher.expects(asker, password, way, trouble);
        story.push(format!("{asker:?} {password:?} {way} {role:?} {trouble:?}: {running:?}"));
        let told = || format!("{kind:?}, seed {seed}: {story:#?}\n{}", prepared.log.text());
        assert_eq!(running, expected, "{}", told());
        assert_eq!(prepared.result.is_ok(), running.is_some(), "{}", told());
        assert!(!tells_secret(&format!("{}{:?}", prepared.log.text(), prepared.result)), "{}", told());
        (got, refused) = if running.is_some() { (got + 1, refused) } else { (got, refused + 1) };
        assert_eq!(host.world.cleanup().await, Ok(()));
    }
    host.facts_tell_no_secret();
    (got, refused)
}

#[tokio::test(start_paused = true)]
async fn whatever_happened_before_a_job_gets_what_it_or_its_like_was_let_in_to() {
    for (seed, kind) in [
        (1, StoreKind::DockerClassic),
        (2, StoreKind::Podman),
        (3, StoreKind::Containerd),
        (4, StoreKind::DockerClassic),
    ] {
        let (got, refused) = walk(seed, kind).await;
        assert!(got >= 20 && refused >= 40, "too dull: {got} and {refused}");
    }
}

/// Gives the job a token of its own, as GitLab does.
fn comes_with_token(host: &mut Host, id: i64, user_id: i64, token: &str) {
    host.comes_with(None);
    let job = &mut host.world.job;
    job["id"] = id.into();
    job["token"] = token.into();
    job["job_info"]["user_id"] = user_id.into();
    job["credentials"] = json!([{
        "type": "registry", "url": "registry.test", "username": "gitlab-ci-token", "password": token,
    }]);
}

#[tokio::test(start_paused = true)]
async fn a_job_token_is_known_by_its_user_though_it_changes_every_time() {
    let mut host = Host::new(StoreKind::DockerClassic).await;
    let fake = host.world.fake.clone();
    host.asks_for(Role::Build, TOOL, json!(["if-not-present"]));
    let token = |number: i64| format!("canary-token-{number}");
    comes_with_token(&mut host, 20, 9, &token(20));
    fake.protect(TOOL, "gitlab-ci-token", &token(20));
    let before = host.questions();
    host.world.prepare().await.fine();
    host.world.cleans_up().await;
    assert_eq!(host.questions() - before, 1, "another login than the one before");

    // The registry takes no token any more: what counts is what was proved.
    fake.protect(TOOL, "nobody", "nothing");
    comes_with_token(&mut host, 21, 9, &token(21));
    let prepared = host.world.prepare().await.fine();
    host.world.cleans_up().await;
    assert_eq!(host.questions() - before, 1, "{}", prepared.log.text());
    assert_eq!(prepared.log.count("read by this project"), 1, "{}", prepared.log.text());
    let text = prepared.log.text();
    assert!(!text.contains("canary"), "{text}");

    comes_with_token(&mut host, 22, 10, &token(22));
    let prepared = host.world.prepare().await;
    assert!(prepared.failed(Fault::Job).message.contains("may not be read"));
    host.world.cleans_up().await;

    // The same token written down under another name is another matter, and so is one that is no token of this job.
    for (user, password) in [("other", token(23)), ("gitlab-ci-token", token(20))] {
        comes_with_token(&mut host, 23, 9, &token(23));
        let auth =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{user}:{password}"));
        let config = json!({"auths": {"registry.test": {"auth": auth}}}).to_string();
        host.world.variables.insert("DOCKER_AUTH_CONFIG", config);
        let prepared = host.world.prepare().await;
        prepared.failed(Fault::Job);
        host.world.cleans_up().await;
    }
    // It is refused for those, but not for the user's next job.
    comes_with_token(&mut host, 24, 9, &token(24));
    host.world.prepare().await.fine();
    host.world.cleans_up().await;
    host.facts_tell_no_secret();
}

/// A job with the socket gave a private image the name of a public one.
#[tokio::test(start_paused = true)]
async fn a_private_image_under_a_public_name_is_not_started() {
    for kind in [StoreKind::DockerClassic, StoreKind::Containerd, StoreKind::Podman] {
        for policy in [Always, IfNotPresent, Never] {
            for allowed in [&[][..], &["registry.test/group/app:*", "sha256:*"]] {
                let mut host = Host::new(kind).await;
                let fake = host.world.fake.clone();
                let id = fake.image(TOOL).await.unwrap().unwrap().id;
                fake.tag(&id, APP).await.unwrap();
                host.comes_with(None);
                host.world.job["job_info"]["project_id"] = 5.into();
                host.world.settings.job.allow_local_images = Patterns::compile(allowed).unwrap();
                for name in [APP, &id] {
                    host.asks_for(Role::Build, name, json!([policy.to_string()]));
                    let prepared = host.world.prepare().await;
                    let told = format!("{kind:?} {policy} {allowed:?} {name}: {}", prepared.log.text());
                    let started = fake.spec(&host.world.names().build()).map(|spec| spec.image);
                    match (name == APP, policy) {
                        (true, Always | IfNotPresent) => {
                            assert_eq!(prepared.result, Ok(()), "{told}");
                            let app = FakeImage::new("app");
                            let is_app =
                                |image: String| image.contains(&app.digest()) || image == host.id_of(&app);
                            assert!(started.is_some_and(is_app), "{told}");
                        }
                        _ => {
                            prepared.failed(Fault::Job);
                            assert_eq!(started, None, "{told}");
                        }
                    }
                    assert_eq!(host.world.cleanup().await, Ok(()));
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_do_no_harm_where_none_are_wanted() {
    for policy in ["always", "if-not-present"] {
        let mut host = Host::new(StoreKind::DockerClassic).await;
        host.world.fake.publish("registry.test/secret/open:1", FakeImage::new("open"));
        host.asks_for(Role::Build, "registry.test/secret/open:1", json!([policy]));
        host.comes_with(Some(WRONG));
        host.world.prepare().await.fine();
        host.world.cleans_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_allowed_is_refused_before_anybody_is_asked() {
    let changes: [fn(&mut World); 4] = [
        |world| world.settings.job.allowed_images = Patterns::compile(&["registry.test/open/*"]).unwrap(),
        |world| {
            world.job["services"] = json!([{"name": TOOL}]);
            world.settings.job.allowed_services = Patterns::compile(&["registry.test/open/*"]).unwrap();
        },
        |world| world.settings.job.allowed_pull_policies = vec![Never],
        |world| world.settings.job.services_limit = Some(0),
    ];
    for change in changes {
        let mut host = Host::new(StoreKind::DockerClassic).await;
        host.comes_with(Some(OLD));
        host.asks_for(Role::Build, TOOL, json!(["always"]));
        host.world.job["services"] = json!([{"name": APP}]);
        change(&mut host.world);
        host.world.fake.forget_calls();
        let asked = host.world.fake.questions();
        let prepared = host.world.prepare().await;
        prepared.failed(Fault::Job);
        assert_eq!(host.world.fake.questions(), asked);
        assert_eq!(host.world.fake.count(Call::Pull) + host.world.fake.count(Call::InspectImage), 0);
        host.world.cleans_up().await;
    }
}
