//! Which image a job gets: pull policies, allow-lists, pinning, platforms.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hearth::runner::{JobDescription, Service};

use crate::front::Front;
use crate::images::Catalogue;
use crate::pusher::{ImageSpec, Registry};
use crate::tools::{docker_quiet, jobs_fault, systems_fault};
use crate::world::{Ran, World, block_on, docker, skip};

/// Returns the busybox image that the parts are made of.
pub(crate) fn busybox() -> ImageSpec {
    let path = std::env::var("HEARTH_TEST_BUSYBOX").unwrap_or_else(|_| "/bin/busybox".to_owned());
    Catalogue::native(path.as_ref()).expect("a static busybox").busybox()
}

/// Asks for these pull policies.
fn policies(mut job: JobDescription, list: &[&str]) -> JobDescription {
    job.image.pull_policy = list.iter().map(|&policy| policy.to_owned()).collect();
    job
}

#[test]
fn an_image_that_is_nowhere_costs_one_attempt() {
    let Some(world) = World::new("not found") else { return };
    let image = world.image("nowhere/to-be-found");
    for list in [&["always"][..], &["if-not-present"], &["always", "if-not-present"]] {
        let ran = block_on(world.run(&policies(world.job().image(&image).script("true"), list)));
        jobs_fault(&ran)
            .says(&format!("build image {image} was not found"))
            .says("check the name and the tag");
        ran.is_silent_about("Starting").is_silent_about("try 2 of");
    }
    let ran = block_on(world.run(&world.job().service(Service::named(&image)).script("true")));
    jobs_fault(&ran).says(&format!("service {image} was not found"));
}

#[test]
fn the_next_policy_is_tried_when_the_registry_is_down_and_only_then() {
    let Some(world) = World::new("fallback") else { return };
    world.settings("[pull]\nattempts = 2\nbackoff = 0\n");
    let front = Front::new(&world.parts.registry);
    let image = world.push("down", &[busybox()]);
    let name = image.name.replace(&world.parts.registry, &front.address);
    let job = || world.job().image(&name).script("echo it runs");
    block_on(world.run(&policies(job(), &["always"]))).succeeded().says("pull policy always: pulled");
    block_on(world.run(&policies(job(), &["always"]))).succeeded().says("pull policy always: up to date");
    drop(front);
    let ran = block_on(world.run(&policies(job(), &["always", "if-not-present"])));
    ran.succeeded()
        .says("it runs")
        .says("WARNING")
        .says("Connection refused")
        .says("pull policy if-not-present: here, public");
    let ran = block_on(world.run(&policies(job(), &["always"])));
    systems_fault(&ran).says("could not be looked up").says("Connection refused");
    assert_eq!(ran.report.attempts, 3, "the runner may try again");
    // The registry answers now, and says no: the copy that is here is not for this job.
    let own = world.push("gone", &[busybox()]);
    docker(&["pull", "-q", &own.name]);
    let registry = Registry::new(&world.parts.registry);
    registry.delete(&own.repository, &own.pushed.digest).expect("the registry deletes");
    let job = policies(world.job().image(&own.name).script("true"), &["always", "if-not-present"]);
    let ran = block_on(world.run(&job));
    jobs_fault(&ran).says("was not found");
    docker(&["rmi", &name]);
}

#[test]
fn never_takes_what_is_here_and_asks_nobody() {
    let Some(world) = World::new("never") else { return };
    let front = Front::new(&world.parts.registry);
    let own = world.push("never", &[busybox()]);
    let name = own.name.replace(&world.parts.registry, &front.address);
    let job = || policies(world.job().image(&name).script("echo it runs"), &["never"]);
    let ran = block_on(world.run(&job()));
    assert_eq!(ran.report.attempts, 1);
    jobs_fault(&ran).says("it is not on this host").says("if-not-present");
    assert_eq!(front.lines(), [""; 0]);
    // One under that name which came from elsewhere is none; one that this host knows to be public is.
    docker(&["pull", "-q", &own.name]);
    docker(&["tag", &own.name, &name]);
    jobs_fault(&block_on(world.run(&job()))).says("nothing shows that this project may read");
    docker(&["rmi", &name]);
    assert_eq!(front.lines(), [""; 0]);
    block_on(world.run(&policies(job(), &["if-not-present"]))).succeeded();
    let asked = front.lines();
    block_on(world.run(&job())).succeeded().says("pull policy never: here, public");
    assert_eq!(front.lines(), asked);
}

#[test]
fn what_settings_do_not_allow_costs_one_attempt_and_no_request() {
    let Some(world) = World::new("allowed") else { return };
    let front = Front::new(&world.parts.registry);
    let image = format!("{}/job/busybox:1", front.address);
    let refused = |job: JobDescription, setting: &str| -> Ran {
        let ran = block_on(world.run(&job.script("true")));
        jobs_fault(&ran).says(setting).is_silent_about("Pulling");
        ran
    };
    world.settings("allowed_images = [\"127.0.0.1:*/job/user:*\"]");
    refused(world.job().image(&image), "allowed_images").says(&image).says("job/user");
    world.settings("allowed_images = [\"!**/busybox*\"]");
    refused(world.job().image(&image), "allowed_images");
    world.settings("allowed_services = [\"**/web:1\"]");
    refused(world.job().service(Service::named(&image)), "allowed_services");
    world.settings("allowed_users = [\"dev\", \"1000\"]");
    let mut job = world.job().image(&image);
    job.image.user = "root".into();
    refused(job, "allowed_users").says("dev, 1000");
    let mut service = Service::named(&image);
    service.image.user = "0".into();
    refused(world.job().service(service), "allowed_users");
    refused(policies(world.job().image(&image), &["sometimes"]), "sometimes");
    let settings =
        format!("[job]\nhelper_image = \"{}\"\npull_policy = [\"if-not-present\"]\n", world.image("helper"));
    world.write_settings(&settings);
    refused(policies(world.job().image(&image), &["always"]), "pull_policy").says("if-not-present");
    world.settings("services_limit = 1");
    let job = world.job().service(Service::named(&image)).service(Service::named(&image));
    refused(job, "services_limit");
    assert_eq!(front.lines(), [""; 0]);
    // What is allowed runs.
    world.settings("allowed_images = [\"127.0.0.1:*/job/*:*\"]\nallowed_users = [\"dev\"]");
    let mut job = world.job().script("id -un");
    job.image.user = "dev".into();
    block_on(world.run(&job)).succeeded().says("dev");
}

#[test]
fn an_image_is_pinned_by_its_digest_and_one_built_here_by_its_id() {
    let Some(world) = World::new("pinned") else { return };
    let own = world.push("pinned", &[busybox()]);
    let by_digest = format!("{}@{}", own.name.trim_end_matches(":1"), own.pushed.digest);
    let ran = block_on(world.run(&world.job().image(&by_digest).script("echo by digest")));
    ran.succeeded().says("by digest").says(&own.pushed.digest);
    let job = world.job().image(&own.name).script("echo by tag");
    let ran = block_on(world.run_and_look(&job, || {
        let build = crate::tools::inspect(&world.container(&job, "build"));
        assert_eq!(build["Config"]["Image"].as_str(), Some(by_digest.as_str()));
    }));
    ran.succeeded();
    docker_quiet(&["rmi", &by_digest]);

    let name = format!("test-{}/built:1", world.token);
    let mut build = Command::new("docker")
        .args(["build", "-q", "-t", &name, "-"])
        .env("DOCKER_BUILDKIT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("docker");
    let text = format!("FROM {}\nLABEL made=here\n", world.image("job/busybox"));
    build.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    assert!(build.wait().is_ok_and(|status| status.success()), "built");
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", &name]).trim().to_owned();
    // It could be anything under that name: it starts where the operator says so, and only there.
    world.settings("[pull]\nattempts = 1\n");
    let ran = block_on(world.run(&world.job().image(&id).script("true")));
    jobs_fault(&ran).says("came from no registry").says("allow_local_images");
    let ran = block_on(world.run(&world.job().image(&name).script("true")));
    systems_fault(&ran).says("could not be looked up").says("allow_local_images");
    world.settings("allow_local_images = [\"test-*/built:*\", \"sha256:*\"]");
    for image in [&name, &id] {
        let ran = block_on(world.run(&world.job().image(image).script("echo built here")));
        ran.succeeded().says("built here").says(&id).is_silent_about("Pulling");
    }
    docker(&["rmi", &name]);
}

#[test]
fn an_image_for_other_machines_is_the_jobs_fault_and_says_what_it_has() {
    let Some(world) = World::new("foreign") else { return };
    if !cfg!(target_arch = "x86_64") {
        return skip("foreign", "the catalogue's foreign images are made for arm64");
    }
    for image in ["job/foreign-only", "job/foreign-plain"] {
        for list in [&["always"][..], &["if-not-present"]] {
            let job = policies(world.job().image(world.image(image)).script("true"), list);
            let ran = block_on(world.run(&job));
            jobs_fault(&ran).says("has no variant for linux/amd64").says("it has linux/arm64");
        }
    }
    let mut job = world.job().script("true");
    job.image.platform = "linux/arm64".into();
    let ran = block_on(world.run(&job));
    jobs_fault(&ran).says("asked for linux/arm64").says("allow_emulation");
    let job = world.job().image(world.image("job/multi")).script("uname -m");
    block_on(world.run(&job)).succeeded().says("x86_64");
    let mut job = world.job().image(world.image("job/multi")).script("true");
    job.image.platform = "linux/s390x".into();
    world.settings("allow_emulation = true");
    let ran = block_on(world.run(&job));
    jobs_fault(&ran).says("has no variant for linux/s390x").says("linux/amd64").says("linux/arm64");
}

#[test]
fn a_foreign_image_runs_under_emulation_where_settings_allow_it() {
    let Some(world) = World::new("emulation") else { return };
    if !std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
        return skip("emulation", "no qemu-aarch64 in binfmt_misc");
    }
    world.settings("allow_emulation = true");
    let mut job = world.job().image(world.image("job/foreign-only")).script("uname -m");
    job.image.platform = "linux/arm64".into();
    let ran = block_on(world.run(&job));
    ran.succeeded().says("aarch64").says("runs under emulation").says("WARNING");
    let job = world.job().image(world.image("job/foreign-plain")).script("uname -m");
    block_on(world.run(&job)).succeeded().says("aarch64").says("runs under emulation");
}

#[test]
fn a_missing_helper_image_is_the_systems_fault() {
    let Some(world) = World::new("helper missing") else { return };
    let settings = format!("[job]\nhelper_image = \"{}\"\n", world.image("nowhere/helper"));
    world.write_settings(&settings);
    let ran = block_on(world.run(&world.job().script("true")));
    systems_fault(&ran).says("helper image").says("was not found").says("operator");
}
