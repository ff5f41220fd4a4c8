use proptest::prelude::*;

use super::{
    Patterns, ProjectPatterns, check_image, decide_policies, decide_service_user, decide_user, may_pull,
};
use crate::outcome::Fault;
use crate::settings::PullPolicy::{Always, IfNotPresent, Never};

fn patterns(list: &[&str]) -> Patterns {
    Patterns::compile(list).unwrap()
}

#[test]
fn patterns_are_doublestar_globs_of_the_name_as_written() {
    for (pattern, name, allowed) in [
        ("ruby:*", "ruby:3.3", true),
        ("ruby:*", "ruby", false),
        ("ruby:*", "docker.io/library/ruby:3.3", false),
        ("*", "alpine:3", true),
        ("*", "group/alpine", false),
        ("group/*", "group/a:1", true),
        ("group/*", "group/a/b:1", false),
        ("group/**", "group/a/b:1", true),
        ("**/linuxserver/**", "lscr.io/linuxserver/code:1", true),
        ("**/linuxserver/**", "linuxserver/code", true),
        ("**/*s6-overlay*", "just-s6-overlay:1", true),
        ("**/*s6-overlay*", "host.example/group/s6-overlay:1", true),
        ("lscr.io/**", "lscr.io/linuxserver/code:1", true),
        ("lscr.io/**", "evil.example/lscr.io/x", false),
        ("my.registry:5000/{a,b}/*:v[0-9]", "my.registry:5000/b/x:v1", true),
        ("my.registry:5000/{a,b}/*:v[0-9]", "my.registry:5000/c/x:v1", false),
        ("debian:1?", "debian:12", true),
        ("debian:1?", "debian:1/", false),
        ("a.b/*", "axb/c", false),
    ] {
        assert_eq!(patterns(&[pattern]).allows(name), allowed, "{pattern} {name}");
    }
}

#[test]
fn an_empty_list_allows_all_but_is_about_none() {
    assert!(patterns(&[]).allows("alpine"));
    assert!(!patterns(&[]).matches("alpine"));
    assert!(patterns(&["alpine"]).matches("alpine"));
}

#[test]
fn an_exclusion_refuses_wherever_it_stands_and_however_the_name_is_spelt() {
    for list in [["**", "!evil/*:*"], ["!evil/*:*", "**"]] {
        assert!(patterns(&list).allows("good/image:1"));
        for name in ["evil/image:1", "docker.io/evil/image:1", "evil/image"] {
            assert!(!patterns(&list).allows(name), "{list:?} {name}");
        }
    }
    for exclusion in ["!alpine", "!alpine:latest", "!docker.io/library/alpine:latest", "!docker.io/alpine"] {
        for name in ["alpine", "alpine:latest", "docker.io/alpine", "index.docker.io/library/alpine:latest"] {
            assert!(!patterns(&["**", exclusion]).allows(name), "{exclusion} {name}");
        }
        assert!(patterns(&["**", exclusion]).allows("alpine:3.20"), "{exclusion}");
    }
    let only = patterns(&["!evil/**"]);
    assert!(only.allows("alpine") && !only.allows("evil/a") && !only.matches("alpine"));
}

#[test]
fn all_bad_patterns_are_named_together() {
    let long = "a".repeat(600);
    let bad = Patterns::compile(&["good", "[", "", "{a", "!", &long]).unwrap_err();
    let named: Vec<&str> = bad.iter().map(|bad| bad.pattern.as_str()).collect();
    assert_eq!(named, ["[", "", "{a", "!", &long]);
    assert!(bad[0].to_string().starts_with("\"[\" is not a pattern: "), "{}", bad[0]);
}

#[test]
fn a_refused_image_is_the_jobs_fault_and_names_what_is_allowed() {
    let list = patterns(&["ruby:*", "group/**"]);
    assert!(check_image("ruby:3", &[], &list, "allowed_images").is_ok());
    assert!(check_image("alpine", &["alpine"], &list, "allowed_images").is_ok(), "the operator's own image");
    let failure = check_image("alpine", &[], &list, "allowed_images").unwrap_err();
    assert_eq!(failure.fault, Fault::Job);
    assert_eq!(
        failure.to_string(),
        "the image \"alpine\" is not allowed on this host\n  hint: allowed_images allows: ruby:*, group/**"
    );
}

#[test]
fn projects_are_named_by_path_or_number() {
    let list = ProjectPatterns::compile(&["group/*", "id:42", "!group/secret"]).unwrap();
    for (path, id, allowed) in [
        (Some("group/app"), 1, true),
        (Some("Group/App"), 1, true),
        (Some("group/sub/app"), 1, false),
        (Some("group/secret"), 1, false),
        (Some("group/SECRET"), 42, false),
        (Some("other/app"), 42, true),
        (None, 42, false),
        (None, 1, false),
    ] {
        assert_eq!(list.allows(path, id), allowed, "{path:?} {id}");
    }
    let by_id = ProjectPatterns::compile(&["id:42"]).unwrap();
    assert!(by_id.allows(None, 42) && !by_id.allows(None, 4));
    assert!(ProjectPatterns::default().allows(None, 1));
    assert_eq!(ProjectPatterns::compile(&["id:x", "id:-1", "["]).unwrap_err().len(), 3);
}

#[test]
fn pull_policies_are_the_jobs_or_the_configured_ones_as_far_as_allowed() {
    for (asked, configured, allowed, decided) in [
        (&[][..], &[Always][..], &[][..], &[Always][..]),
        (&[], &[IfNotPresent, Always], &[], &[IfNotPresent, Always]),
        (&[Always], &[Always, Never], &[], &[Always]),
        (&[IfNotPresent], &[Always], &[Always, IfNotPresent], &[IfNotPresent]),
        (&[Never, Always, Always], &[Always], &[], &[Always, Always]),
    ] {
        assert_eq!(
            decide_policies(asked, configured, allowed),
            Ok(decided.to_vec()),
            "{asked:?} {configured:?}"
        );
    }
    let failure = decide_policies(&[IfNotPresent, Never], &[Always], &[]).unwrap_err();
    assert_eq!(failure.fault, Fault::Job);
    assert_eq!(
        failure.to_string(),
        "the pull policy if-not-present, never is not allowed on this host\n  hint: pull_policy allows: always"
    );
    let failure = decide_policies(&[], &[Never], &[Always]).unwrap_err();
    assert_eq!(failure.fault, Fault::System, "the operator's settings contradict each other");
}

#[test]
fn what_a_job_may_have_pulled_is_what_it_may_ask_for() {
    for (configured, allowed, may) in [
        (&[Always][..], &[][..], true),
        (&[Never, IfNotPresent], &[], true),
        (&[Never], &[], false),
        (&[Never], &[Never, Always], true),
        (&[Always, Never], &[Never], false),
    ] {
        assert_eq!(may_pull(configured, allowed), may, "{configured:?} {allowed:?}");
    }
}

#[test]
fn users_are_checked_as_the_docker_executor_checks_them() {
    let list = ["app".to_owned(), "1000:1000".to_owned()];
    for (asked, user, allowed, decided) in [
        ("", "", &[][..], Ok(None)),
        ("root", "", &[], Ok(Some("root"))),
        ("", "", &list, Ok(None)),
        ("app", "", &list, Ok(Some("app"))),
        ("root", "", &list, Err("allowed_users allows: app, 1000:1000")),
        ("App", "", &list, Err("allowed_users allows: app, 1000:1000")),
        ("root", "builder", &[], Ok(Some("builder"))),
        ("", "builder", &list, Ok(Some("builder"))),
    ] {
        let user = decide_user(asked, user, allowed);
        assert_eq!(user.as_ref().map(Option::as_deref).map_err(|f| f.hints[0].as_str()), decided, "{asked}");
    }
    assert_eq!(decide_service_user("", "builder", &[]), Ok(None));
    assert_eq!(decide_service_user("builder", "builder", &[]), Ok(Some("builder".to_owned())));
    assert_eq!(decide_service_user("root", "builder", &[]).unwrap_err().fault, Fault::Job);
}

proptest! {
    #[test]
    fn no_pattern_and_no_name_make_the_matcher_panic(pattern in ".{0,80}", name in ".*") {
        if let Ok(patterns) = Patterns::compile(&[pattern]) {
            let _ = patterns.allows(&name);
        }
    }

    #[test]
    fn globs_agree_with_a_slow_matcher(pattern in "[ab/*?]{0,8}", name in "[ab/]{0,8}") {
        // Double stars that are no whole part are read differently by different implementations.
        let parts: Vec<&str> = pattern.split('/').collect();
        prop_assume!(!pattern.is_empty() && parts.iter().all(|part| !part.contains("**")));
        let compiled = Patterns::compile(&[&pattern]).unwrap();
        prop_assert_eq!(compiled.matches(&name), slow(pattern.as_bytes(), name.as_bytes()));
    }
}

fn slow(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            slow(rest, name) || matches!(name, [next, tail @ ..] if *next != b'/' && slow(pattern, tail))
        }
        ([b'?', rest @ ..], [next, tail @ ..]) => *next != b'/' && slow(rest, tail),
        ([sign, rest @ ..], [next, tail @ ..]) => sign == next && slow(rest, tail),
        _ => false,
    }
}
