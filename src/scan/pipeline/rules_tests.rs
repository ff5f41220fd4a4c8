use super::super::super::expand::Known;
use super::super::super::files::CheckoutPath;
use super::super::super::limits::Budget;
use super::super::super::yaml;
use super::{holds, may_match, may_run};

fn look(name: &str) -> Known {
    match name {
        "CI_COMMIT_BRANCH" | "CI_COMMIT_REF_NAME" => Known::Value("main".to_owned()),
        "CI_PIPELINE_SOURCE" => Known::Value("push".to_owned()),
        "EMPTY" => Known::Value(String::new()),
        "CI_COMMIT_TAG" | "CI_MERGE_REQUEST_IID" => Known::Unset,
        _ => Known::Unknown,
    }
}

#[test]
fn conditions_hold_do_not_hold_or_are_not_known() {
    for (condition, expected) in [
        ("$CI_COMMIT_BRANCH == \"main\"", Some(true)),
        ("${CI_COMMIT_BRANCH} != 'main'", Some(false)),
        ("\"main\" == $CI_COMMIT_BRANCH", Some(true)),
        ("$CI_COMMIT_BRANCH", Some(true)),
        ("$EMPTY", Some(false)),
        ("$CI_COMMIT_TAG", Some(false)),
        ("!$CI_COMMIT_TAG", Some(true)),
        ("$CI_COMMIT_TAG == null", Some(true)),
        ("$EMPTY != null", Some(true)),
        ("$WHO == \"x\"", None),
        ("$WHO && $CI_COMMIT_TAG", Some(false)),
        ("$WHO || $CI_COMMIT_BRANCH", Some(true)),
        ("$WHO || $CI_COMMIT_TAG", None),
        ("$CI_COMMIT_TAG && $WHO || $CI_COMMIT_BRANCH", Some(true)),
        ("($CI_COMMIT_TAG || $CI_COMMIT_BRANCH) && $CI_PIPELINE_SOURCE == 'push'", Some(true)),
        ("$CI_COMMIT_BRANCH =~ /^release-\\/.*$/i", None),
        ("$CI_COMMIT_TAG && $CI_COMMIT_BRANCH =~ /x/", Some(false)),
        ("", None),
        ("what is this", None),
        ("$CI_COMMIT_BRANCH ==", None),
        ("$CI_COMMIT_BRANCH 'x'", None),
        ("'never ends", None),
        ("/never ends", None),
        ("((((((((((((((((((((((($CI_COMMIT_BRANCH", None),
    ] {
        assert_eq!(holds(condition, &look, &Budget::new()), expected, "{condition}");
    }
    assert_eq!(holds(&"!".repeat(10_000), &look, &Budget::new()), None);
}

fn runs(job: &str) -> bool {
    let node = yaml::read(job, &CheckoutPath::root()).expect("good YAML").expect("a job");
    let rules = node.get("rules").map(|rules| rules.items().to_vec());
    may_run(node.map().expect("a map"), rules.as_deref(), &look, &Budget::new())
}

#[test]
fn a_job_that_plainly_does_not_run_by_itself_is_told() {
    for job in [
        "script: x",
        "when: always",
        "when: delayed",
        "rules: [{if: $WHO}]",
        "rules: [{if: $WHO, when: manual}, {when: on_success}]",
        "rules: [{if: $CI_COMMIT_TAG, when: never}, {changes: [x]}]",
        "rules: [{if: $CI_COMMIT_BRANCH}]",
        "only: [main]",
        "only: [tags, /^re/]",
        "only: {refs: [branches]}",
        "only: {changes: [x]}",
        "except: [tags]",
        "except: [$WHO]",
    ] {
        assert!(runs(job), "{job}");
    }
    for job in [
        "when: manual",
        "when: never",
        "when: on_failure",
        "rules: []",
        "rules: [{when: never}]",
        "rules: [{when: manual}]",
        "rules: [{if: $WHO, when: manual}, {when: never}]",
        "rules: [{if: $CI_COMMIT_TAG}]",
        "rules: [{if: $CI_COMMIT_BRANCH, when: never}, {when: always}]",
        "when: manual\nrules: [{if: $CI_COMMIT_BRANCH}]",
        "only: [tags]",
        "only: [tags, other]",
        "only: {refs: [schedules]}",
        "except: [main]",
        "except: {refs: [branches]}",
    ] {
        assert!(!runs(job), "{job}");
    }
}

#[test]
fn an_include_with_rules_is_followed_unless_none_matches() {
    let matches = |rules: &str| {
        let node = yaml::read(rules, &CheckoutPath::root()).expect("good YAML").expect("rules");
        may_match(node.items(), &look, &Budget::new())
    };
    assert!(matches("[{if: $WHO}]") && matches("[{exists: [x]}]") && matches("[{if: $CI_COMMIT_BRANCH}]"));
    assert!(!matches("[{if: $CI_COMMIT_TAG}]") && !matches("[{if: $CI_COMMIT_BRANCH, when: never}]"));
}
