use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::{AuthBook, AuthSources, Credentials, Lookup, PayloadCredential};
use crate::image::ImageRef;
use crate::secret::Secret;

fn image(text: &str) -> ImageRef {
    text.parse().unwrap()
}

fn auths(entries: &[(&str, &str)]) -> String {
    let entries: serde_json::Map<_, _> = entries
        .iter()
        .map(|(registry, user)| {
            let auth = STANDARD.encode(format!("{user}:pass:word"));
            ((*registry).to_owned(), serde_json::json!({ "auth": auth }))
        })
        .collect();
    serde_json::json!({ "auths": entries }).to_string()
}

fn payload(url: &str, username: &str) -> PayloadCredential {
    PayloadCredential { url: url.to_owned(), username: username.to_owned(), password: Secret::new("token") }
}

/// Says in one word what is tried: `user@source` or `program:server`.
fn told(ways: &[Lookup]) -> Vec<String> {
    ways.iter()
        .map(|way| match way {
            Lookup::Found { credentials, source } => format!("{}@{source:?}", credentials.username),
            Lookup::Helper { program, server, .. } => format!("{program}:{server}"),
        })
        .collect()
}

#[test]
fn the_first_source_wins_for_one_registry() {
    let (job, host) =
        (auths(&[("r.example", "job")]), auths(&[("r.example", "host"), ("other.example", "host")]));
    let payload =
        [payload("r.example", "ci"), payload("other.example", "ci"), payload("third.example", "ci")];
    let sources = AuthSources { job_variable: Some(&job), operator_config: Some(&host), payload: &payload };
    let (book, warnings) = AuthBook::read(sources);
    assert!(warnings.is_empty());
    for (name, way) in [
        ("r.example/a/b", vec!["job@JobVariable"]),
        ("R.Example/a/b:tag", vec!["job@JobVariable"]),
        ("other.example/a", vec!["host@OperatorConfig"]),
        ("third.example/a", vec!["ci@Payload"]),
        ("fourth.example/a", vec![]),
        ("r.example.evil/a", vec![]),
        ("alpine", vec![]),
    ] {
        assert_eq!(told(&book.lookup(&image(name))), way, "{name}");
    }
}

#[test]
fn the_longest_path_wins_over_the_order_of_the_sources() {
    let job = auths(&[
        ("r.example", "whole"),
        ("r.example/group", "group"),
        ("r.example/group/image:tag", "image"),
    ]);
    let sources = AuthSources {
        job_variable: Some(&job),
        operator_config: None,
        payload: &[payload("r.example/other", "ci")],
    };
    let (book, _) = AuthBook::read(sources);
    for (name, way) in [
        ("r.example/x", "whole@JobVariable"),
        ("r.example/groups/x", "whole@JobVariable"),
        ("r.example/group/x", "group@JobVariable"),
        ("r.example/group/image:other", "image@JobVariable"),
        ("r.example/other/x", "ci@Payload"),
    ] {
        assert_eq!(told(&book.lookup(&image(name))), [way], "{name}");
    }
}

#[test]
fn every_name_of_docker_hub_means_docker_hub() {
    for key in [
        "https://index.docker.io/v1/",
        "http://index.docker.io/v1",
        "index.docker.io",
        "docker.io",
        "Docker.io/",
        "https://registry-1.docker.io/v2/",
    ] {
        let job = auths(&[(key, "me")]);
        let (book, _) = AuthBook::read(AuthSources { job_variable: Some(&job), ..AuthSources::default() });
        for name in ["alpine", "docker.io/library/alpine", "group/image", "index.docker.io/group/image"] {
            let ways = book.lookup(&image(name));
            assert_eq!(told(&ways), ["me@JobVariable"], "{key} {name}");
            let Lookup::Found { credentials, .. } = &ways[0] else { panic!() };
            assert_eq!(credentials.server, "https://index.docker.io/v1/");
        }
    }
    let job = auths(&[("docker.io/alpine", "one"), ("docker.io/library", "all")]);
    let (book, _) = AuthBook::read(AuthSources { job_variable: Some(&job), ..AuthSources::default() });
    assert_eq!(told(&book.lookup(&image("busybox"))), ["all@JobVariable"]);
}

#[test]
fn ports_belong_to_the_host() {
    let job = auths(&[("host:5000", "port"), ("https://gitlab.example:443", "proxy")]);
    let (book, _) = AuthBook::read(AuthSources { job_variable: Some(&job), ..AuthSources::default() });
    assert_eq!(told(&book.lookup(&image("host:5000/a"))), ["port@JobVariable"]);
    assert_eq!(
        told(&book.lookup(&image("gitlab.example:443/g/dependency_proxy/containers/alpine"))),
        ["proxy@JobVariable"]
    );
    assert!(book.lookup(&image("host:5001/a")).is_empty());
}

#[test]
fn passwords_and_tokens_are_read_in_all_their_forms() {
    let text = serde_json::json!({ "auths": {
        "a.example": { "auth": STANDARD.encode("me:pa:ss\0\0") },
        "b.example": { "username": "me", "password": "pa:ss" },
        "c.example": { "auth": STANDARD.encode("ignored:x"), "identitytoken": "tok" },
        "d.example": { "auth": STANDARD.encode("me:pa:ss").trim_end_matches('=') },
        "e.example": {},
        "f.example": null,
        "g.example": { "auth": "", "email": "x@example.com" },
    }})
    .to_string();
    let (book, warnings) =
        AuthBook::read(AuthSources { operator_config: Some(&text), ..AuthSources::default() });
    assert_eq!(warnings, Vec::<String>::new());
    for host in ["a.example", "b.example", "d.example"] {
        let ways = book.lookup(&image(&format!("{host}/x")));
        let [Lookup::Found { credentials, .. }] = &ways[..] else { panic!("{host}: {ways:?}") };
        assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("me", "pa:ss"), "{host}");
        assert_eq!(credentials.server, host);
    }
    let ways = book.lookup(&image("c.example/x"));
    let [Lookup::Found { credentials, .. }] = &ways[..] else { panic!("{ways:?}") };
    assert_eq!(credentials.identity_token, Some(Secret::new("tok")));
    for host in ["e.example", "f.example", "g.example"] {
        assert!(book.lookup(&image(&format!("{host}/x"))).is_empty(), "{host}");
    }
}

#[test]
fn helpers_of_the_operator_are_asked_before_the_payload() {
    let host = r#"{ "auths": { "r.example": {} }, "credsStore": "pass",
                    "credHelpers": { "aws.example": "ecr-login", "bad.example": "../x", "own.example": "own" } }"#;
    let payload = [payload("r.example", "ci"), payload("aws.example", "ci")];
    let (book, warnings) =
        AuthBook::read(AuthSources { job_variable: None, operator_config: Some(host), payload: &payload });
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("\"../x\""), "{warnings:?}");
    for (name, ways) in [
        ("r.example/a", vec!["docker-credential-pass:r.example", "ci@Payload"]),
        (
            "aws.example/a",
            vec![
                "docker-credential-ecr-login:aws.example",
                "docker-credential-pass:aws.example",
                "ci@Payload",
            ],
        ),
        ("own.example/a", vec!["docker-credential-own:own.example", "docker-credential-pass:own.example"]),
        ("alpine", vec!["docker-credential-pass:https://index.docker.io/v1/"]),
    ] {
        assert_eq!(told(&book.lookup(&image(name))), ways, "{name}");
    }
}

#[test]
fn a_job_variable_wins_over_the_operators_store() {
    let job = auths(&[("r.example", "job")]);
    let host = r#"{ "credsStore": "pass" }"#;
    let sources = AuthSources { job_variable: Some(&job), operator_config: Some(host), payload: &[] };
    let (book, _) = AuthBook::read(sources);
    assert_eq!(told(&book.lookup(&image("r.example/a"))), ["job@JobVariable"]);
}

#[test]
fn a_job_may_not_name_programs_that_run_on_the_host() {
    let job = format!(
        r#"{{ "credsStore": "evil", "credHelpers": {{ "r.example": "evil" }}, "auths": {} }}"#,
        serde_json::from_str::<serde_json::Value>(&auths(&[("r.example", "me")])).unwrap()["auths"]
    );
    let (book, warnings) = AuthBook::read(AuthSources { job_variable: Some(&job), ..AuthSources::default() });
    assert_eq!(told(&book.lookup(&image("r.example/a"))), ["me@JobVariable"]);
    assert!(book.lookup(&image("other.example/a")).is_empty());
    assert!(warnings[0].contains("credHelpers"), "{warnings:?}");
}

#[test]
fn bad_sources_are_ignored_with_a_line_that_holds_no_secret() {
    for text in [
        "hunter2",
        "{\"auths\": \"hunter2\"}",
        "{\"auths\": {\"r.example\": \"hunter2\"}}",
        "{\"auths\": {\"r.example\": {\"auth\": \"hunter2%\"}}}",
        "{\"auths\": {\"r.example\": {\"password\": [\"hunter2\"]}}}",
        "{\"credsStore\": [\"hunter2\"]}",
        "[\"hunter2\"]",
    ] {
        let sources = AuthSources {
            job_variable: Some(text),
            operator_config: None,
            payload: &[payload("r.example", "ci")],
        };
        let (book, warnings) = AuthBook::read(sources);
        assert_eq!(told(&book.lookup(&image("r.example/a"))), ["ci@Payload"], "{text}");
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert!(
            warnings[0].starts_with("$DOCKER_AUTH_CONFIG") || warnings[0].contains("$DOCKER_AUTH_CONFIG")
        );
        assert!(!warnings[0].contains("hunter2"), "{warnings:?}");
    }
    let (book, warnings) =
        AuthBook::read(AuthSources { job_variable: Some("  \n"), ..AuthSources::default() });
    assert!(warnings.is_empty() && book.lookup(&image("alpine")).is_empty());
}

#[test]
fn a_helpers_answer_is_a_password_or_a_token() {
    let password =
        Credentials::from_helper_answer("r.example", r#"{"ServerURL":"x","Username":"me","Secret":"s"}"#);
    assert_eq!(password.map(|c| (c.username, c.password)), Some(("me".to_owned(), Secret::new("s"))));
    let token = Credentials::from_helper_answer("r.example", r#"{"Username":"<token>","Secret":"s"}"#);
    assert_eq!(token.and_then(|c| c.identity_token), Some(Secret::new("s")));
    assert_eq!(
        Credentials::from_helper_answer("r.example", "credentials not found in native keychain"),
        None
    );
}

#[test]
fn credentials_are_not_shown() {
    let (book, _) = AuthBook::read(AuthSources {
        job_variable: Some(&auths(&[("r.example", "hunter2")])),
        operator_config: None,
        payload: &[],
    });
    let shown = format!("{book:?} {:?}", book.lookup(&image("r.example/a")));
    assert!(!shown.contains("hunter2") && !shown.contains("pass:word"), "{shown}");
}

proptest! {
    #[test]
    fn no_configuration_makes_the_reader_panic(text in ".*", key in ".*", auth in ".*") {
        let entry = serde_json::json!({ "auths": { key: { "auth": auth } } }).to_string();
        for text in [text, entry] {
            let sources = AuthSources { job_variable: Some(&text), operator_config: Some(&text), payload: &[] };
            let _ = AuthBook::read(sources).0.lookup(&image("group/image"));
        }
    }
}
