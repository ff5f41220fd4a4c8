use std::ffi::OsString;

use super::{Platform, Wishes, check_platform};
use crate::image::{ImageFacts, Patterns};
use crate::job::{JobSpec, StageEnv};
use crate::outcome::{Failure, Fault};
use crate::settings::{JobSettings, PullPolicy, ServiceSetting};

fn settings() -> JobSettings {
    crate::settings::defaults().unwrap().job
}

fn native() -> Platform {
    Platform::new("linux", "arm64", "")
}

fn job(body: &str) -> JobSpec {
    let env = [("CI_RUNNER_VERSION", "18.6.0"), ("TAG", "3")];
    let env = StageEnv::read(
        env.iter().map(|(k, v)| (OsString::from(format!("CUSTOM_ENV_{k}")), OsString::from(v))),
    );
    JobSpec::read(format!("{{\"id\":7,{body}}}").as_bytes(), &env).unwrap()
}

fn decide(body: &str, settings: &JobSettings) -> Result<Wishes, Failure> {
    Wishes::decide(&job(body), settings, &native())
}

#[test]
fn the_helper_image_is_gitlabs_for_the_runners_version_and_the_engines_architecture() {
    let image = "\"image\":{\"name\":\"alpine:3\"}";
    let mut settings = settings();
    let helper = |s: &JobSettings, native: &Platform| {
        Wishes::decide(&job(image), s, native).unwrap().helper.reference.familiar().to_owned()
    };
    let gitlab = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper";
    assert_eq!(helper(&settings, &native()), format!("{gitlab}:arm64-v18.6.0"));
    assert_eq!(helper(&settings, &Platform::new("linux", "amd64", "")), format!("{gitlab}:x86_64-v18.6.0"));
    assert_eq!(helper(&settings, &Platform::new("linux", "arm", "v7")), format!("{gitlab}:arm-v18.6.0"));
    settings.helper_image_flavor = "ubuntu".into();
    assert_eq!(helper(&settings, &native()), format!("{gitlab}:ubuntu-arm64-v18.6.0"));
    settings.helper_image = "my/helper:$TAG".into();
    assert_eq!(helper(&settings, &native()), "my/helper:3");
}

#[test]
fn the_default_image_stands_in_and_is_always_allowed() {
    let mut settings = settings();
    let failure = decide("\"image\":{\"name\":\"\"}", &settings).unwrap_err();
    assert_eq!(failure.fault, Fault::Job);
    settings.image = "debian:$TAG".into();
    settings.allowed_images = Patterns::compile(&["ruby:*"]).unwrap();
    assert_eq!(decide("\"image\":null", &settings).unwrap().build.reference.familiar(), "debian:3");
    let refused = decide("\"image\":{\"name\":\"alpine\"}", &settings).unwrap_err();
    assert!(refused.to_string().contains("allowed_images"), "{refused}");
}

#[test]
fn a_foreign_platform_is_refused_before_anything_is_pulled_unless_emulation_is_allowed() {
    let body = "\"image\":{\"name\":\"a\",\"executor_opts\":{\"docker\":{\"platform\":\"linux/amd64\"}}}";
    let mut settings = settings();
    let refused = decide(body, &settings).unwrap_err();
    assert_eq!(refused.fault, Fault::Job);
    assert!(refused.message.contains("linux/amd64") && refused.message.contains("linux/arm64"), "{refused}");
    settings.allow_emulation = true;
    assert!(decide(body, &settings).unwrap().build.platform.is_some());
}

#[test]
fn an_image_that_is_here_is_checked_for_its_platform() {
    let mut settings = settings();
    let wish = decide("\"image\":{\"name\":\"a\"}", &settings).unwrap().build;
    let facts =
        |arch: &str| ImageFacts { os: "linux".into(), architecture: arch.into(), ..ImageFacts::default() };
    assert_eq!(check_platform(&wish, &facts("arm64"), &settings, &native()), Ok((String::new(), None)));
    let refused = check_platform(&wish, &facts("amd64"), &settings, &native()).unwrap_err();
    assert!(refused.message.contains("it has linux/amd64"), "{refused}");
    settings.allow_emulation = true;
    let (platform, warning) = check_platform(&wish, &facts("amd64"), &settings, &native()).unwrap();
    assert_eq!(platform, "linux/amd64");
    assert!(warning.unwrap().contains("emulation"));
}

#[test]
fn two_services_of_one_image_both_run_and_the_second_does_without_the_name() {
    let wishes = decide(
        "\"image\":{\"name\":\"a\"},\"services\":[{\"name\":\"group/db:1\"},{\"name\":\"group/db:1\",\"alias\":\"other build\"}]",
        &settings(),
    )
    .unwrap();
    assert_eq!(wishes.services[0].aliases, ["group__db", "group-db"]);
    assert_eq!(wishes.services[1].aliases, ["other"]);
    assert_eq!(wishes.notes.len(), 3, "{:?}", wishes.notes);
}

#[test]
fn configured_services_come_first_and_count() {
    let mut settings = settings();
    settings.services = vec![ServiceSetting {
        name: "cache:$TAG".into(),
        alias: "cache".into(),
        entrypoint: None,
        command: None,
        environment: vec!["SIZE=$TAG".into()],
    }];
    settings.allowed_services = Patterns::compile(&["db:*"]).unwrap();
    let body = "\"image\":{\"name\":\"a\"},\"services\":[{\"name\":\"db:1\"}]";
    let wishes = decide(body, &settings).unwrap();
    let names: Vec<&str> = wishes.services.iter().map(|s| s.image.reference.familiar()).collect();
    assert_eq!(names, ["cache:3", "db:1"]);
    assert!(wishes.services[0].env.contains(&"SIZE=3".to_owned()));
    settings.services_limit = Some(1);
    assert_eq!(decide(body, &settings).unwrap_err().fault, Fault::Job);
}

#[test]
fn policies_and_users_are_decided_with_the_wish() {
    let mut settings = settings();
    settings.allowed_pull_policies = vec![PullPolicy::Always];
    let refused = decide("\"image\":{\"name\":\"a\",\"pull_policy\":[\"never\"]}", &settings).unwrap_err();
    assert!(refused.to_string().contains("allowed_pull_policies"), "{refused}");
    settings.user = "1000".into();
    let body = "\"image\":{\"name\":\"a\",\"executor_opts\":{\"docker\":{\"user\":\"root\"}}}";
    assert_eq!(decide(body, &settings).unwrap().user, "1000");
}
