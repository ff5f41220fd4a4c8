use std::ffi::OsString;

use super::{GitStrategy, JobSpec, PullPolicy, StageEnv};

fn env(pairs: &[(&str, &str)]) -> StageEnv {
    StageEnv::read(pairs.iter().map(|(k, v)| (OsString::from(format!("CUSTOM_ENV_{k}")), OsString::from(v))))
}

fn spec(body: &str, pairs: &[(&str, &str)]) -> JobSpec {
    JobSpec::read(format!("{{\"id\":7,\"job_info\":{{\"project_id\":4}},{body}}}").as_bytes(), &env(pairs))
        .unwrap()
}

fn variable(key: &str, value: &str, public: bool, file: bool) -> String {
    format!("{{\"key\":\"{key}\",\"value\":\"{value}\",\"public\":{public},\"file\":{file},\"raw\":false}}")
}

#[test]
fn identity_set_by_the_job_is_not_taken_and_the_log_says_so() {
    let given = [("CI_RUNNER_SHORT_TOKEN", "abc123"), ("CI_CONCURRENT_PROJECT_ID", "2")];
    let honest = spec("\"variables\":null", &given);
    assert_eq!((honest.short_token.as_deref(), honest.slot), (Some("abc123"), Some(2)));
    let body = format!(
        "\"variables\":[{},{}]",
        variable("CI_RUNNER_SHORT_TOKEN", "victim", true, false),
        variable("CI_CONCURRENT_PROJECT_ID", "0", true, false)
    );
    let spoofed = spec(&body, &given);
    assert_eq!((spoofed.short_token, spoofed.slot), (None, None));
    assert_eq!(spoofed.notes.len(), 2);
}

#[test]
fn malformed_identity_is_not_taken() {
    for (token, slot) in [("../x", "-1"), ("a b", "99999999"), ("", "1;rm")] {
        let job =
            spec("\"variables\":[]", &[("CI_RUNNER_SHORT_TOKEN", token), ("CI_CONCURRENT_PROJECT_ID", slot)]);
        assert_eq!((job.short_token, job.slot), (None, None), "{token} {slot}");
    }
}

#[test]
fn an_author_cannot_make_a_ref_protected() {
    let spoof = format!(
        "[{},{}]",
        variable("CI_COMMIT_REF_PROTECTED", "false", true, false),
        variable("CI_COMMIT_REF_PROTECTED", "true", true, false)
    );
    let env = [("CI_COMMIT_REF_PROTECTED", "true")];
    for (git, protected) in
        [("{\"protected\":false}", false), ("{\"protected\":null}", false), ("{\"protected\":true}", true)]
    {
        let job = spec(&format!("\"git_info\":{git},\"variables\":{spoof}"), &env);
        assert_eq!(job.protected, protected, "{git}");
    }
    assert!(!spec("\"git_info\":{\"protected\":null}", &env).protected, "the environment never counts");
}

#[test]
fn names_are_expanded_for_old_runners_and_policies_are_read() {
    let job = spec(
        "\"image\":{\"name\":\"base/$CI_PROJECT_NAME:1\",\"entrypoint\":[\"/entry\"],\"pull_policy\":[\"always\",\"never\"],\
         \"executor_opts\":{\"docker\":{\"user\":\"$UID_WANTED\",\"platform\":\"linux/arm64\"}}},\
         \"services\":[{\"name\":\"$DB\",\"alias\":\"a, b  c\",\"command\":[\"x\"],\
         \"variables\":[{\"key\":\"P\",\"value\":\"pw-$CI_PIPELINE_ID\"},{\"key\":\"R\",\"value\":\"$X\",\"raw\":true}]}]",
        &[("CI_PROJECT_NAME", "images"), ("UID_WANTED", "1000"), ("DB", "db:15"), ("CI_PIPELINE_ID", "900")],
    );
    assert_eq!(job.image.name, "base/images:1");
    assert_eq!(job.image.user, "1000");
    assert_eq!(job.image.pull_policy, [PullPolicy::Always, PullPolicy::Never]);
    let service = &job.services[0];
    assert_eq!((service.image.name.as_str(), service.aliases.len()), ("db:15", 3));
    assert_eq!(service.variables, [("P".into(), "pw-900".into()), ("R".into(), "$X".into())]);
}

#[test]
fn file_variables_and_secrets_become_paths_in_the_containers() {
    let job = spec(
        &format!(
            "\"variables\":[{},{}],\"secrets\":{{\"S1\":{{}},\"S2\":{{\"file\":false}}}}",
            variable("KUBECONFIG", "content", false, true),
            variable("PLAIN", "x", true, false)
        ),
        &[
            ("KUBECONFIG", "content"),
            ("PLAIN", "x"),
            ("S1", "secret one"),
            ("S2", "secret two"),
            ("RUNNER_TEMP_PROJECT_DIR", "/builds/g/p.tmp"),
        ],
    );
    let env = job.container_env();
    for line in ["KUBECONFIG=/builds/g/p.tmp/KUBECONFIG", "PLAIN=x", "S1=/builds/g/p.tmp/S1", "S2=secret two"]
    {
        assert!(env.contains(&line.to_owned()), "{line} in {env:?}");
    }
}

#[test]
fn services_see_public_variables_and_their_own_only() {
    let job = spec(
        &format!(
            "\"variables\":[{},{}],\"secrets\":{{\"S\":{{\"file\":false}}}},\
             \"services\":[{{\"name\":\"db\",\"variables\":[{{\"key\":\"OWN\",\"value\":\"1\"}}]}}]",
            variable("PUBLIC", "p", true, false),
            variable("TOKEN", "t", false, false)
        ),
        &[("PUBLIC", "p"), ("TOKEN", "t"), ("S", "s"), ("CI_PROJECT_DIR", "/builds/g/p")],
    );
    let env = job.service_env(&job.services[0]);
    assert_eq!(env, ["CI_PROJECT_DIR=/builds/g/p", "OWN=1", "PUBLIC=p"]);
}

#[test]
fn the_strategy_decides_and_allow_git_fetch_stands_in() {
    for (allow, given, strategy) in [
        ("true", "", GitStrategy::Fetch),
        ("false", "", GitStrategy::Other),
        ("true", "clone", GitStrategy::Other),
        ("false", "fetch", GitStrategy::Fetch),
        ("true", "none", GitStrategy::Other),
    ] {
        let job = spec(&format!("\"allow_git_fetch\":{allow}"), &[("GIT_STRATEGY", given)]);
        assert_eq!(job.strategy, strategy, "{allow} {given}");
    }
}

#[test]
fn an_unknown_policy_is_the_jobs_fault() {
    let failure =
        JobSpec::read(b"{\"id\":1,\"image\":{\"name\":\"a\",\"pull_policy\":[\"sometimes\"]}}", &env(&[]))
            .unwrap_err();
    assert_eq!(failure.fault, crate::outcome::Fault::Job);
    assert!(failure.message.contains("sometimes"));
}

#[test]
fn nothing_secret_is_in_debug() {
    let job = spec(
        "\"git_info\":{\"repo_url\":\"https://u:pa55@host/x.git\"},\"credentials\":[{\"type\":\"registry\",\"url\":\"r\",\"username\":\"u\",\"password\":\"pa55\"}]",
        &[("DOCKER_AUTH_CONFIG", "pa55"), ("V", "pa55")],
    );
    assert!(!format!("{job:?} {:?}", job.credentials).contains("pa55"));
    assert_eq!(job.server, "https://host");
}

#[test]
fn secrets_of_the_names_that_identify_a_job_are_not_taken_either() {
    let job = spec(
        "\"secrets\":{\"CI_RUNNER_SHORT_TOKEN\":{},\"CI_CONCURRENT_PROJECT_ID\":{\"file\":false}}",
        &[("CI_RUNNER_SHORT_TOKEN", "victim"), ("CI_CONCURRENT_PROJECT_ID", "7")],
    );
    assert_eq!((job.short_token, job.slot), (None, None));
}

#[test]
fn a_secret_stays_private_and_a_file_also_where_a_public_variable_has_its_name() {
    let job = spec(
        &format!(
            "\"variables\":[{}],\"secrets\":{{\"DBPASS\":{{}}}},\"services\":[{{\"name\":\"db\"}}]",
            variable("DBPASS", "x", true, false)
        ),
        &[("DBPASS", "resolved"), ("RUNNER_TEMP_PROJECT_DIR", "/builds/p.tmp")],
    );
    assert_eq!(job.service_env(&job.services[0]), ["RUNNER_TEMP_PROJECT_DIR=/builds/p.tmp"]);
    assert_eq!(job.variable("DBPASS"), Some("/builds/p.tmp/DBPASS"));
}

#[test]
fn without_a_project_nothing_is_shared() {
    let job = JobSpec::read(
        b"{\"id\":1}",
        &env(&[("CI_RUNNER_SHORT_TOKEN", "t"), ("CI_CONCURRENT_PROJECT_ID", "0")]),
    );
    assert_eq!(job.unwrap().short_token, None);
}

#[test]
fn the_user_behind_a_job_token_is_the_payloads_and_not_what_an_author_writes() {
    let user = |info: &str, variables: &[&str]| {
        let list: Vec<String> =
            variables.iter().map(|id| variable("GITLAB_USER_ID", id, true, false)).collect();
        let text = format!(
            "{{\"id\":7,\"job_info\":{{\"project_id\":4{info}}},\"variables\":[{}]}}",
            list.join(",")
        );
        let job = JobSpec::read(text.as_bytes(), &env(&[("GITLAB_USER_ID", "1")])).unwrap();
        job.asker().user_id.clone()
    };
    assert_eq!(user(",\"user_id\":5", &["9"]).as_deref(), Some("5"));
    assert_eq!(user(",\"user_id\":5,\"scoped_user_id\":8", &[]).as_deref(), Some("5/8"));
    assert_eq!(user("", &["9"]).as_deref(), Some("9"));
    assert_eq!(user("", &["9", "9"]).as_deref(), Some("9"));
    assert_eq!(user(",\"user_id\":null", &["9", "1"]), None, "one of them is the author's");
    assert_eq!(user("", &["1", "9"]), None, "one of them is the author's");
    assert_eq!(user("", &["root"]), None);
    assert_eq!(user("", &[]), None, "the environment never counts");
}

#[test]
fn job_tokens_are_those_that_gitlab_sent() {
    let entry = |user: &str, password: &str| {
        format!("{{\"type\":\"registry\",\"url\":\"r\",\"username\":\"{user}\",\"password\":\"{password}\"}}")
    };
    let body = format!(
        "\"token\":\"t1\",\"credentials\":[{},{},{}],\"variables\":[{}],\"git_info\":{{\"repo_url\":\"https://u:p@Git.example:1/x\"}}",
        entry("gitlab-ci-token", "t1"),
        entry("gitlab-ci-token", "t2"),
        entry("other", "t3"),
        variable("CI_JOB_TOKEN", "mine", false, false)
    );
    let job = spec(&body, &[("CI_JOB_TOKEN", "mine")]);
    let tokens: Vec<&str> = job.asker().tokens.iter().map(|token| token.expose()).collect();
    assert_eq!(tokens, ["t1", "t2"]);
    assert_eq!((job.asker().server.as_str(), job.asker().project), ("https://git.example:1", 4));
    assert!(!format!("{job:?} {:?}", job.asker()).contains("t1"));
}

#[test]
fn two_servers_under_one_address_are_told_apart_by_their_paths() {
    let server = |url: &str, project: &str| {
        let body = format!(
            "{{\"id\":7,\"job_info\":{{\"project_id\":4,\"project_full_path\":\"{project}\"}},\"git_info\":{{\"repo_url\":\"{url}\"}}}}"
        );
        JobSpec::read(body.as_bytes(), &env(&[])).unwrap().asker().server.clone()
    };
    assert_eq!(server("https://u:p@git.test/one/g/p.git", "g/p"), "https://git.test/one");
    assert_eq!(server("https://u:p@git.test/two/g/p.git", "g/p"), "https://git.test/two");
    assert_eq!(server("https://u:p@git.test/g/p.git", "g/p"), "https://git.test");
    assert_eq!(server("https://u:p@git.test/g/p.git", ""), "https://git.test");
    assert_eq!(server("", "g/p"), "://");
}
