//! What registries are asked, how often, and what comes of it: against the real ones, through the front.

use std::time::Duration;

use hearth::image::{Answer, Credentials, ImageRef};
use hearth::registry::{Registry, RegistrySettings, Version};
use hearth::secret::Secret;

use crate::front::{Front, on};
use crate::image_policies::busybox;
use crate::pusher;
use crate::world::{Parts, block_on, parts, unique};

/// A client with short waits, which are long where nothing should wait.
pub(crate) fn client() -> Registry {
    Registry::new(settings())
}

pub(crate) fn settings() -> RegistrySettings {
    RegistrySettings {
        certs_dir: "/nonexistent/certs.d".into(),
        connect_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(60),
        ..RegistrySettings::default()
    }
}

pub(crate) fn image(name: &str) -> ImageRef {
    name.parse().expect("an image name")
}

pub(crate) fn login(user: &str, password: &str) -> Credentials {
    Credentials {
        server: "127.0.0.1".into(),
        username: user.into(),
        password: Secret::new(password),
        identity_token: None,
    }
}

/// Asks by the image's tag.
pub(crate) fn head(registry: &Registry, image: &ImageRef, login: Option<&Credentials>) -> Answer {
    let at = Version::Tag(image.tag().expect("a tag"));
    block_on(registry.head(image, &at, login))
}

/// An image of one test in one of the registries, behind a front.
struct Ground {
    parts: Parts,
    front: Front,
    image: ImageRef,
    repository: String,
    pushed: pusher::Pushed,
}

impl Ground {
    fn open(test: &str) -> Option<Self> {
        let parts = parts(test)?;
        let registry = pusher::Registry::new(&parts.registry);
        Some(Self::new(registry, parts))
    }

    fn private(test: &str) -> Option<Self> {
        let parts = parts(test)?;
        let registry = pusher::Registry::new(&parts.private).with_login(&parts.user, &parts.password);
        Some(Self::new(registry, parts))
    }

    fn new(registry: pusher::Registry, parts: Parts) -> Self {
        let repository = format!("test/asked{}", unique());
        let pushed = registry.push_index(&repository, "1", &[busybox()]).expect("the registry takes it");
        let front = Front::new(registry.address());
        let image = image(&format!("{}/{repository}:1", front.address));
        Self { parts, front, image, repository, pushed }
    }

    fn found(&self) -> Answer {
        Answer::Found {
            digest: self.pushed.digest.clone(),
            media_type: "application/vnd.docker.distribution.manifest.list.v2+json".into(),
        }
    }

    /// What was asked, with the image's path shortened.
    fn asked(&self) -> Vec<String> {
        let path = format!("/v2/{}/manifests/", self.repository);
        self.front.lines().iter().map(|line| line.replace(&path, "")).collect()
    }

    fn login(&self) -> Credentials {
        login(&self.parts.user, &self.parts.password)
    }
}

/// Returns an answer's words, of those that have some.
pub(crate) fn words(answer: &Answer) -> &str {
    match answer {
        Answer::Found { digest, .. } => digest,
        Answer::NotFound(words)
        | Answer::Denied(words)
        | Answer::Limited { words, .. }
        | Answer::Unreachable(words) => words,
    }
}

pub(crate) fn denied(answer: &Answer) -> &str {
    assert!(matches!(answer, Answer::Denied(_)), "{answer:?}");
    words(answer)
}

pub(crate) fn unreachable(answer: &Answer) -> &str {
    assert!(matches!(answer, Answer::Unreachable(_)), "{answer:?}");
    words(answer)
}

#[test]
fn an_open_registry_is_asked_once() {
    let Some(ground) = Ground::open("one HEAD") else { return };
    assert_eq!(head(&client(), &ground.image, None), ground.found());
    assert_eq!(ground.asked(), ["HEAD 1 200"]);
    ground.front.forget();
    // Nobody wants to see the login, so nobody does.
    assert_eq!(head(&client(), &ground.image, Some(&ground.login())), ground.found());
    assert_eq!(ground.asked(), ["HEAD 1 200"]);
    assert!(!ground.front.log()[0].authorised);
}

#[test]
fn an_index_is_fetched_by_its_digest_and_is_what_was_pushed() {
    let Some(ground) = Ground::open("an index") else { return };
    let registry = client();
    let manifest =
        block_on(registry.manifest(&ground.image, &ground.pushed.digest, None)).expect("it is there");
    assert_eq!(
        (manifest.digest.as_str(), pusher::digest(&manifest.body)),
        (ground.pushed.digest.as_str(), ground.pushed.digest.clone())
    );
    assert!(String::from_utf8_lossy(&manifest.body).contains(&ground.pushed.manifests[0]));
    let at = Version::Digest(&ground.pushed.manifests[0]);
    let answer = block_on(registry.head(&ground.image, &at, None));
    assert_eq!(words(&answer), ground.pushed.manifests[0]);
    let gone = format!("sha256:{}", "0".repeat(64));
    let answer = block_on(registry.manifest(&ground.image, &gone, None)).expect_err("there is none");
    assert!(matches!(&answer, Answer::NotFound(words) if words.contains("no such image")), "{answer:?}");
}

#[test]
fn an_image_that_is_not_there_is_not_found() {
    let Some(ground) = Ground::open("not found") else { return };
    let other = image(&ground.image.familiar().replace(":1", ":2"));
    let answer = head(&client(), &other, None);
    assert!(matches!(&answer, Answer::NotFound(words) if words.contains("no such image")), "{answer:?}");
    assert_eq!(ground.asked(), ["HEAD 2 404"]);
}

#[test]
fn a_registry_with_passwords_is_asked_twice_at_first_and_then_once() {
    let Some(ground) = Ground::private("basic") else { return };
    let registry = client();
    let login = ground.login();
    assert_eq!(head(&registry, &ground.image, Some(&login)), ground.found());
    assert_eq!(ground.asked(), ["HEAD 1 401", "HEAD 1 200"]);
    ground.front.forget();
    assert_eq!(head(&registry, &ground.image, Some(&login)), ground.found());
    assert_eq!(ground.asked(), ["HEAD 1 200"]);

    // What one process learned, the next one need not learn again.
    let hint = registry.hint(&ground.front.address).expect("something was learned");
    assert_eq!(hint, "http basic");
    ground.front.forget();
    let next = client();
    next.remember(&ground.front.address, &hint);
    assert_eq!(head(&next, &ground.image, Some(&login)), ground.found());
    assert_eq!(ground.asked(), ["HEAD 1 200"]);
}

#[test]
fn a_wrong_login_and_none_are_denied_without_another_try() {
    let Some(ground) = Ground::private("wrong login") else { return };
    let answer = head(&client(), &ground.image, Some(&login("hearth", "canary-wrong")));
    assert!(denied(&answer).contains("with this login"), "{answer:?}");
    assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
    assert_eq!(ground.asked(), ["HEAD 1 401", "HEAD 1 401"]);
    ground.front.forget();
    assert!(denied(&head(&client(), &ground.image, None)).contains("without a login"));
    assert_eq!(ground.asked(), ["HEAD 1 401"]);
    // A known registry tells the wrong from the right, too.
    let registry = client();
    assert_eq!(head(&registry, &ground.image, Some(&ground.login())), ground.found());
    denied(&head(&registry, &ground.image, Some(&login("hearth", "canary-wrong"))));
    denied(&head(&registry, &ground.image, None));
    assert_eq!(head(&registry, &ground.image, Some(&ground.login())), ground.found());
}

#[test]
fn without_a_digest_or_without_head_the_manifest_is_fetched_and_hashed() {
    let Some(ground) = Ground::open("no digest") else { return };
    for (name, rule, asked) in [
        ("no header", on("").without_digest(), ["HEAD 1 200", "GET 1 200"]),
        ("no digest", on("").digest("sha256:canary"), ["HEAD 1 200", "GET 1 200"]),
        ("405", on("").method("HEAD").answer(405), ["HEAD 1 405", "GET 1 200"]),
        ("501", on("").method("HEAD").answer(501), ["HEAD 1 501", "GET 1 200"]),
        ("400", on("").method("HEAD").answer(400), ["HEAD 1 400", "GET 1 200"]),
    ] {
        ground.front.clear();
        ground.front.forget();
        ground.front.add(rule);
        let registry = client();
        registry.remember(&ground.front.address, "http open");
        assert_eq!(head(&registry, &ground.image, None), ground.found(), "{name}");
        let lines = ground.asked();
        assert!(lines.ends_with(&asked.map(str::to_owned)), "{name}: {lines:?}");
    }
}

#[test]
fn a_registry_that_lies_about_a_digest_is_caught() {
    let Some(ground) = Ground::open("lies") else { return };
    let (image, digest) = (&ground.image, ground.pushed.digest.as_str());
    let other = format!("sha256:{}", "1".repeat(64));
    // Whoever asks by a digest is not told another one.
    ground.front.add(on("").method("HEAD").digest(&other));
    let answer = block_on(client().head(image, &Version::Digest(digest), None));
    assert_eq!(answer, ground.found());
    ground.front.clear();
    ground.front.add(on("").body(r#"{"schemaVersion":2,"canary":1}"#));
    let answer = block_on(client().manifest(image, digest, None)).expect_err("it is not that");
    assert!(unreachable(&answer).contains("does not have this digest"), "{answer:?}");
    ground.front.add(on("").method("HEAD").digest(&other));
    ground.front.clear();
    ground.front.add(on("").digest(&other).body("<html>"));
    let answer = block_on(client().head(image, &Version::Digest(digest), None));
    assert!(unreachable(&answer).contains("does not have this digest"), "{answer:?}");
    ground.front.clear();
    ground.front.add(on("").without_digest().body("<html>"));
    assert!(unreachable(&head(&client(), image, None)).contains("no manifest"));
}

#[test]
fn what_a_registry_refuses_is_told_apart() {
    let Some(ground) = Ground::open("refusals") else { return };
    let by = |status: u16, more: fn(crate::front::Rule) -> crate::front::Rule| {
        ground.front.clear();
        ground.front.add(more(on("").answer(status)));
        head(&client(), &ground.image, None)
    };
    assert!(denied(&by(403, |rule| rule)).contains("403 Forbidden"));
    assert!(matches!(by(404, |rule| rule), Answer::NotFound(_)));
    for status in [500, 502, 503, 504, 418, 302] {
        assert!(unreachable(&by(status, |rule| rule)).contains(&status.to_string()), "{status}");
    }
    let Answer::Limited { retry_after, words } = by(429, |rule| rule.retry_after("7")) else {
        panic!("not limited");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
    assert!(words.contains("429") && words.contains("7 s"), "{words}");
    assert!(matches!(by(429, |rule| rule), Answer::Limited { retry_after: None, .. }));
    // A 401 that asks for nothing.
    denied(&by(401, |rule| rule));

    // What it says itself is quoted, where it says something; and its code counts more than its status.
    ground.front.clear();
    ground.front.add(on("").method("HEAD").answer(405));
    ground.front.add(
        on("").answer(403).body(r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\u001b down"}]}"#),
    );
    let Answer::Limited { words, .. } = head(&client(), &ground.image, None) else { panic!("not limited") };
    assert!(words.contains("toomanyrequests: slow down"), "{words}");
}

#[test]
fn an_unreachable_registry_says_which_and_why() {
    let Some(ground) = Ground::open("unreachable") else { return };
    let closed = Front::new("127.0.0.1:9");
    let address = closed.address.clone();
    drop(closed);
    let answer = head(&client(), &image(&format!("{address}/a:1")), None);
    assert!(unreachable(&answer).contains(&address) && words(&answer).contains("refused"), "{answer:?}");
    let answer = head(&client(), &image("registry.invalid/a:1"), None);
    assert!(unreachable(&answer).contains("registry.invalid"), "{answer:?}");
    ground.front.add(on("").hang_up());
    assert!(unreachable(&head(&client(), &ground.image, None)).contains(&ground.front.address));
    ground.front.clear();
    ground.front.add(on("").without_digest().cut_after(20));
    assert!(unreachable(&head(&client(), &ground.image, None)).contains("broke"));
    // An ID is no registry's business.
    let id = image(&"a".repeat(64));
    let answer = block_on(client().head(&id, &Version::Tag("1"), None));
    assert!(matches!(answer, Answer::NotFound(_)));
}

#[test]
fn a_registry_that_does_not_answer_costs_its_time_and_no_more() {
    let Some(ground) = Ground::open("stalls") else { return };
    let settings = RegistrySettings { timeout: Duration::from_millis(300), ..settings() };
    for rule in [on("").stall_head(), on("").without_digest().stall_after(10)] {
        ground.front.clear();
        ground.front.add(rule);
        let answer = head(&Registry::new(settings.clone()), &ground.image, None);
        assert!(unreachable(&answer).contains("within 0.3 s"), "{answer:?}");
        assert!(words(&answer).contains(&ground.front.address), "{answer:?}");
    }
}
