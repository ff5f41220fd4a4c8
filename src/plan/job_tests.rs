use std::ffi::OsString;

use super::{Ground, JobImages, JobPlan, Readiness, effective_entrypoint};
use crate::image::{ImageFacts, Patterns, Platform, ProjectPatterns, ResolvedImage};
use crate::job::names::{LABEL_JOB, LABEL_KEPT};
use crate::job::owner::LABEL_OWNER;
use crate::job::{JobSpec, Names, Owner, StageEnv};
use crate::moment::{Moment, Process};
use crate::plan::spec::NetworkUse;
use crate::plan::{Context, Wishes};
use crate::settings::{Settings, VolumeSetting};

fn job(body: &str) -> JobSpec {
    let env = [
        ("CI_RUNNER_SHORT_TOKEN", "tok"),
        ("CI_CONCURRENT_PROJECT_ID", "0"),
        ("GIT_STRATEGY", "fetch"),
        ("GREETING", "hi"),
    ];
    let env = StageEnv::read(
        env.iter().map(|(k, v)| (OsString::from(format!("CUSTOM_ENV_{k}")), OsString::from(v))),
    );
    JobSpec::read(
        format!("{{\"id\":7,\"job_info\":{{\"project_id\":4,\"project_full_path\":\"g/p\"}},{body}}}")
            .as_bytes(),
        &env,
    )
    .unwrap()
}

fn owner() -> Owner {
    Owner::new(Process { pid: 50, started: 500, space: 1 }, Moment::default(), None)
}

fn image(facts: ImageFacts) -> ResolvedImage {
    ResolvedImage { name: "img".into(), pinned: "img@sha256:1".into(), platform: String::new(), facts }
}

fn plan_with(body: &str, settings: &Settings, build: ImageFacts, service: ImageFacts) -> (Ground, JobPlan) {
    let job = job(body);
    let names = Names::of(&job);
    let wishes = Wishes::decide(&job, &settings.job, &Platform::new("linux", "arm64", "")).unwrap();
    let ground = Ground::decide(&job, &names, settings, Some(&owner())).unwrap();
    let images = JobImages {
        helper: image(ImageFacts::default()),
        build: image(build),
        services: wishes.services.iter().map(|_| image(service.clone())).collect(),
    };
    let context = Context {
        job: &job,
        names: &names,
        settings,
        ground: &ground,
        network: "net-id",
        engine: "Docker 20.10",
        owner: &owner(),
    };
    let plan = JobPlan::decide(&context, &wishes, &images);
    (ground, plan)
}

fn plan(body: &str, settings: &Settings) -> (Ground, JobPlan) {
    plan_with(body, settings, ImageFacts::default(), ImageFacts::default())
}

const PLAIN: &str = "\"image\":{\"name\":\"a\"}";
const SERVICE: &str = "\"image\":{\"name\":\"a\"},\"services\":[{\"name\":\"db:1\"}]";

fn settings() -> Settings {
    crate::settings::defaults().unwrap()
}

#[test]
fn the_usual_job_has_a_network_two_kept_volumes_and_two_containers() {
    let (ground, plan) = plan(PLAIN, &settings());
    assert!(ground.network.is_some());
    let volumes: Vec<(&str, bool)> = ground.volumes.iter().map(|v| (v.name.as_str(), v.kept)).collect();
    assert_eq!(
        volumes,
        [("hearth-tok-project-4-volume-cache", true), ("hearth-tok-project-4-slot-0-builds", true)]
    );
    assert_eq!(
        plan.build.network,
        NetworkUse::Joined { network: "net-id".into(), aliases: vec!["build".into()] }
    );
    assert!(plan.start_build && !plan.build.open_stdin && plan.build.init);
    assert_eq!(plan.build.limits.pids, Some(4096));
    assert_eq!((plan.build.log.driver.as_str(), plan.build.log.options["max-file"].as_str()), ("local", "1"));
    assert!(plan.build.env.contains(&"GREETING=hi".to_owned()));
    assert_eq!(plan.build.labels["com.gitlab.gitlab-runner.job.id"], "7");
    assert_eq!(plan.build.labels["hearth.job"], "hearth-tok-job-7");
}

#[test]
fn only_a_real_entrypoint_waits_for_the_first_user_stage() {
    let real = ImageFacts { entrypoint: vec!["/entry.sh".into()], ..ImageFacts::default() };
    let (_, plan) = plan_with(PLAIN, &settings(), real.clone(), ImageFacts::default());
    assert!(!plan.start_build && plan.build.open_stdin);
    let cleared = "\"image\":{\"name\":\"a\",\"entrypoint\":[\"\"]}";
    let (_, plan) = plan_with(cleared, &settings(), real, ImageFacts::default());
    assert!(plan.start_build && !plan.build.open_stdin);
    assert_eq!(plan.build.entrypoint, Some(vec![String::new()]));
}

#[test]
fn entrypoints_are_what_the_engine_makes_of_them() {
    let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    for (asked, image, effective) in [
        (None, vec![], vec![]),
        (None, vec!["/e"], vec!["/e"]),
        (Some(vec![""]), vec!["/e"], vec![]),
        (Some(vec!["/f", "x"]), vec!["/e"], vec!["/f", "x"]),
    ] {
        let asked = asked.map(|a| words(&a));
        assert_eq!(effective_entrypoint(asked.as_deref(), &words(&image)), words(&effective).as_slice());
    }
}

#[test]
fn host_paths_are_for_allowed_projects_only_and_the_log_says_so() {
    let mut settings = settings();
    settings.job.volumes = vec![
        VolumeSetting::Bind { source: "/srv".into(), path: "/srv".into(), options: "ro".into() },
        VolumeSetting::Project { path: "/cache".into() },
    ];
    let (ground, _) = plan(PLAIN, &settings);
    assert!(ground.mounts.iter().any(|m| m.source == "/srv" && m.options == "ro"));
    settings.job.volumes_allowed_projects = ProjectPatterns::compile(&["other/**"]).unwrap();
    let (ground, _) = plan(PLAIN, &settings);
    assert!(!ground.mounts.iter().any(|m| m.source == "/srv"));
    assert!(ground.mounts.iter().any(|m| m.target == "/cache"));
    assert_eq!(ground.notes.len(), 1);
}

#[test]
fn privilege_is_for_the_images_and_projects_that_the_operator_names() {
    let mut settings = settings();
    assert!(!plan(PLAIN, &settings).1.build.privileged);
    settings.job.privileged = true;
    let (_, all) = plan(SERVICE, &settings);
    assert!(all.build.privileged && all.services[0].container.privileged && !all.helper.privileged);
    settings.job.services_privileged = Some(false);
    settings.job.allowed_privileged_images = Patterns::compile(&["docker:*"]).unwrap();
    let (_, named) = plan(SERVICE, &settings);
    assert!(!named.build.privileged && !named.services[0].container.privileged);
    settings.job.allowed_privileged_images = Patterns::default();
    settings.job.privileged_allowed_projects = ProjectPatterns::compile(&["id:5"]).unwrap();
    assert!(!plan(SERVICE, &settings).1.build.privileged);
}

#[test]
fn a_service_is_ready_by_its_healthcheck_else_by_its_ports() {
    let exposes =
        ImageFacts { exposed_ports: vec!["53/udp".into(), "5432/tcp".into()], ..ImageFacts::default() };
    let ready = |body: &str, facts: ImageFacts| {
        plan_with(body, &settings(), ImageFacts::default(), facts).1.services.remove(0).readiness
    };
    assert_eq!(ready(SERVICE, exposes.clone()), Readiness::Ports(vec![5432]));
    assert_eq!(
        ready(SERVICE, ImageFacts { has_healthcheck: true, ..exposes.clone() }),
        Readiness::Healthcheck
    );
    assert_eq!(ready(SERVICE, ImageFacts::default()), Readiness::Unknown);
    let own = "\"image\":{\"name\":\"a\"},\"services\":[{\"name\":\"db\",\"variables\":[{\"key\":\"HEALTHCHECK_TCP_PORT\",\"value\":\"99\"}]}]";
    assert_eq!(ready(own, exposes), Readiness::Ports(vec![99]));
}

#[test]
fn network_modes_are_taken_as_they_are_and_none_has_no_services() {
    let mut settings = settings();
    for (mode, network) in [
        ("host", NetworkUse::Mode("host".into())),
        ("bridge", NetworkUse::Mode("bridge".into())),
        ("lan", NetworkUse::Joined { network: "lan".into(), aliases: vec!["build".into()] }),
    ] {
        settings.job.network_mode = mode.into();
        let (ground, plan) = plan(PLAIN, &settings);
        assert_eq!(plan.build.network, network);
        assert!(ground.network.is_none());
    }
}

#[test]
fn everything_that_is_not_kept_says_who_vouches_for_it() {
    let settings = crate::settings::defaults().unwrap();
    let (ground, plan) = plan(SERVICE, &settings);
    let value = owner().to_string();
    let network = ground.network.as_ref().unwrap();
    let containers = [&plan.helper, &plan.build, &plan.services[0].container];
    for labels in containers.into_iter().map(|spec| &spec.labels).chain([&network.labels]) {
        assert_eq!(labels.get(LABEL_OWNER), Some(&value));
    }
    assert!(ground.volumes.iter().all(|volume| volume.kept));
    for volume in &ground.volumes {
        assert_eq!((volume.labels.get(LABEL_OWNER), volume.labels.get(LABEL_JOB)), (None, None));
        assert!(volume.labels.contains_key(LABEL_KEPT));
    }
    let mut temporary = settings.clone();
    temporary.job.disable_cache = true;
    let (ground, _) = self::plan(PLAIN, &temporary);
    let volume = ground.volumes.iter().find(|volume| !volume.kept).unwrap();
    assert_eq!(volume.labels.get(LABEL_OWNER), Some(&value));
    assert!(!volume.labels.contains_key(LABEL_KEPT));
}
