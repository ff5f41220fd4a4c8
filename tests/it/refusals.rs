//! Containers that the engine refuses: because of the job, or because of the host.

use hearth::runner::{JobDescription, Service};

use crate::image_policies::busybox;
use crate::pusher::{Entry, ImageSpec, Layer};
use crate::tools::{OwnImage, jobs_fault, systems_fault};
use crate::world::{Ran, World, block_on};

/// An image whose ENTRYPOINT is a file `/entry` of this mode and content.
fn with_entry(world: &World, name: &str, mode: u32, content: &str) -> OwnImage {
    let mut image: ImageSpec = busybox();
    image.layers.push(Layer::from_entries(&[Entry::file("entry", mode, content)]).expect("a layer"));
    image.config.entrypoint = Some(vec!["/entry".into()]);
    world.push(name, &[image])
}

fn refused(world: &World, job: &JobDescription) -> Ran {
    let ran = block_on(world.run(job));
    jobs_fault(&ran)
        .says("container of")
        .says("cannot be run")
        .says("hint:")
        .is_silent_about("never printed");
    ran
}

#[test]
fn a_user_that_the_image_lacks_is_the_jobs_fault() {
    let Some(world) = World::new("bad user") else { return };
    for image in ["job/busybox", "job/entry-exec"] {
        let mut job = world.job().image(world.image(image)).script("echo never printed");
        job.image.user = "nobodyx".into();
        refused(&world, &job).says("nobodyx").says("image:docker:user must name a user of the image");
    }
    let mut service = Service::named(world.image("job/web"));
    service.image.user = "nobodyx".into();
    let ran = refused(&world, &world.job().service(service).script("echo never printed"));
    ran.says("the service container").says("nobodyx");
}

/// An init process starts the ENTRYPOINT of a build container: it tells what is wrong, and hearth what to do.
fn ends_at_once(world: &World, job: &JobDescription) -> Ran {
    let ran = block_on(world.run(job));
    jobs_fault(&ran).says("the image's ENTRYPOINT ended with exit code 1").says("entrypoint: [\"\"]");
    ran.is_silent_about("never printed");
    ran
}

#[test]
fn an_entrypoint_that_cannot_be_run_is_the_jobs_fault() {
    let Some(world) = World::new("bad entrypoint") else { return };
    let not_there = |mut job: JobDescription| {
        job.image.entrypoint = Some(vec!["/not/there".into()]);
        job
    };
    let job = || world.job().script("echo never printed");
    ends_at_once(&world, &not_there(job())).says("exec /not/there failed");
    world.settings("init = false");
    refused(&world, &not_there(job())).says("/not/there").says("entrypoint: [\"\"]");

    let mut service = Service::named(world.image("job/web"));
    service.image.entrypoint = Some(vec!["/not/there".into()]);
    refused(&world, &job().service(service)).says("the service container").says("/not/there");

    let plain = with_entry(&world, "plain-text", 0o755, "echo without a first line\n");
    ends_at_once(&world, &job().image(&plain.name)).says("exec format error");

    let closed = with_entry(&world, "not-executable", 0o644, "#!/bin/sh\nexec \"$@\"\n");
    refused(&world, &job().image(&closed.name)).says("permission denied");

    let lost = with_entry(&world, "no-interpreter", 0o755, "#!/not/there/sh\n");
    ends_at_once(&world, &job().image(&lost.name)).says("no such file or directory");
    world.settings("");
    ends_at_once(&world, &job().image(&lost.name)).says("No such file or directory");
    // With the ENTRYPOINT taken away, the same image runs.
    let mut job = world.job().image(&lost.name).script("echo it runs");
    job.image.entrypoint = Some(vec![String::new()]);
    block_on(world.run(&job)).succeeded().says("it runs");
}

#[test]
fn other_parts_of_an_image_that_cannot_be_run_are_the_jobs_fault() {
    let Some(world) = World::new("bad image") else { return };
    let mut image = busybox();
    image.config.working_dir = Some("/etc/passwd".into());
    let own = world.push("bad-workdir", &[image]);
    refused(&world, &world.job().image(&own.name).script("echo never printed")).says("WORKDIR");

    let mut image = busybox();
    image.config.cmd = None;
    let own = world.push("no-command", &[image]);
    let job = world.job().service(Service::named(&own.name)).script("echo never printed");
    refused(&world, &job).says("the service container").says("o command specified");
}

#[test]
fn what_the_host_lacks_is_the_systems_fault() {
    let Some(world) = World::new("host lacks") else { return };
    for (settings, words) in [
        ("devices = [\"/dev/not-there\"]", "/dev/not-there"),
        ("cpuset_cpus = \"4000\"", "CPU"),
        ("runtime = \"nosuch\"", "nosuch"),
    ] {
        world.settings(settings);
        let ran = block_on(world.run(&world.job().script("echo never printed")));
        systems_fault(&ran).says(words).is_silent_about("never printed");
        assert_eq!(ran.report.attempts, 3, "{settings}");
    }
}
