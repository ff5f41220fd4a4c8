//! Whose credentials fetch an image, and what a weak way to the registry does.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine as _;
use hearth::runner::{Credential, JobDescription, Variable};
use hearth::secret::Secret;
use serde_json::json;

use crate::front::{Front, on};
use crate::image_policies::busybox;
use crate::pusher::{Layer, Registry};
use crate::tools::{docker_quiet, jobs_fault, pair, systems_fault};
use crate::world::{World, block_on, write};

/// An image of one test in the registry that wants a login.
struct Private<'w> {
    world: &'w World,
    name: String,
}

impl<'w> Private<'w> {
    fn new(world: &'w World) -> Self {
        let repository = format!("test/{}/private", world.token);
        let parts = &world.parts;
        let registry = Registry::new(&parts.private).with_login(&parts.user, &parts.password);
        registry.push(&repository, "1", &[busybox()]).expect("the private registry takes it");
        Self { world, name: format!("{}/{repository}:1", parts.private) }
    }

    /// The text of a docker configuration with that password.
    fn config(&self, password: &str) -> String {
        let login = format!("{}:{password}", self.world.parts.user);
        let auth = base64::engine::general_purpose::STANDARD.encode(login);
        json!({"auths": {&self.world.parts.private: {"auth": auth}}}).to_string()
    }

    fn job(&self) -> JobDescription {
        let mut job = self.world.job().image(&self.name).script("echo let in");
        job.image.pull_policy = vec!["always".into()];
        job
    }

    fn with_variable(&self, job: JobDescription, password: &str) -> JobDescription {
        job.with_variable(Variable::plain("DOCKER_AUTH_CONFIG", self.config(password)).as_masked().as_raw())
    }

    fn with_payload(&self, mut job: JobDescription, password: &str) -> JobDescription {
        let parts = &self.world.parts;
        job.credentials.push(Credential {
            url: parts.private.clone(),
            username: parts.user.clone(),
            password: Secret::new(password),
        });
        job
    }

    /// Gives the operator a login.
    fn operator(&self, config: &str) {
        let dir = self.world.dir.join(".docker");
        std::fs::create_dir_all(&dir).expect("a directory");
        write(&dir.join("config.json"), config);
    }

    fn lets_in(&self, job: &JobDescription, source: &str) {
        docker_quiet(&["rmi", "-f", &self.name]);
        let ran = block_on(self.world.run(job));
        ran.succeeded().says("let in").says(&format!("Authenticating with credentials from {source}"));
    }

    fn keeps_out(&self, job: &JobDescription) {
        let ran = block_on(self.world.run(job));
        jobs_fault(&ran).says("may not be read").says("DOCKER_AUTH_CONFIG").is_silent_about("try 2 of");
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        docker_quiet(&["rmi", "-f", &self.name]);
    }
}

#[test]
fn a_private_image_wants_credentials_and_takes_them_from_three_places_in_order() {
    let Some(world) = World::new("credentials") else { return };
    let image = Private::new(&world);
    let right = world.parts.password.clone();
    image.keeps_out(&image.job());
    image.keeps_out(&image.with_variable(image.job(), "wrong"));
    image.keeps_out(&image.with_payload(image.job(), "wrong"));
    image.lets_in(&image.with_variable(image.job(), &right), "$DOCKER_AUTH_CONFIG");
    image.lets_in(&image.with_payload(image.job(), &right), "the job's payload");
    image.lets_in(
        &image.with_payload(image.with_variable(image.job(), &right), "wrong"),
        "$DOCKER_AUTH_CONFIG",
    );
    image.keeps_out(&image.with_payload(image.with_variable(image.job(), "wrong"), &right));
    image.operator(&image.config(&right));
    image.lets_in(&image.job(), "the host's docker configuration");
    image.lets_in(&image.with_payload(image.job(), "wrong"), "the host's docker configuration");
    image.keeps_out(&image.with_variable(image.job(), "wrong"));
    image.operator(&image.config("wrong"));
    image.lets_in(&image.with_variable(image.job(), &right), "$DOCKER_AUTH_CONFIG");
    image.keeps_out(&image.with_payload(image.job(), &right));
    // A copy that is here opens nothing: the registry is asked and says no.
    let mut job = image.with_variable(image.job(), "wrong");
    job.image.pull_policy = vec!["always".into(), "if-not-present".into()];
    image.keeps_out(&job);
}

#[test]
fn the_operators_credential_helper_is_asked_and_the_jobs_is_not() {
    let Some(mut world) = World::new("helper program") else { return };
    let bin = world.dir.join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    let program = bin.join("docker-credential-try");
    let (user, password) = (world.parts.user.clone(), world.parts.password.clone());
    write(
        &program,
        &format!(
            "#!/bin/sh\nread -r server\necho \"$1 $server\" >>{}/asked\n\
             echo '{{\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'\n",
            world.dir.display()
        ),
    );
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("executable");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    world.env.push(pair("PATH", path));
    let image = Private::new(&world);
    let named = json!({"credHelpers": {&world.parts.private: "try"}}).to_string();

    let job = image.job().with_variable(Variable::plain("DOCKER_AUTH_CONFIG", &named).as_raw());
    image.keeps_out(&job);
    let ran = block_on(world.run(&job));
    ran.says("a job may not name programs that run on the host");
    assert!(!world.dir.join("asked").exists(), "the job's helper ran");

    image.operator(&named);
    image.lets_in(&image.job(), "the host's docker configuration");
    let asked = std::fs::read_to_string(world.dir.join("asked")).expect("the helper was asked");
    assert_eq!(asked, format!("get {}\n", world.parts.private));
    image.operator(&json!({"credsStore": "try"}).to_string());
    image.lets_in(&image.job(), "the host's docker configuration");
    image.operator(&json!({"credsStore": "absent"}).to_string());
    let ran = block_on(world.run(&image.with_payload(image.job(), &password)));
    ran.succeeded()
        .says("docker-credential-absent gave no login")
        .is_silent_about("docker-credential-docker");
}

/// A job with an image of `bytes` bytes behind a front.
fn behind(world: &World, front: &Front, bytes: usize) -> (JobDescription, crate::tools::OwnImage) {
    let mut image = busybox();
    let seed = crate::world::unique();
    image.layers.push(Layer::random(bytes, seed).expect("a layer"));
    let mut own = world.push(&format!("large{seed}"), &[image]);
    own.name = own.name.replace(&world.parts.registry, &front.address);
    (world.job().image(&own.name).script("echo it runs"), own)
}

#[test]
fn a_long_pull_tells_how_it_goes_and_what_it_took() {
    let Some(world) = World::new("progress") else { return };
    world.settings("[pull]\nprogress_interval = 1\n");
    let front = Front::with(&world.parts.registry, on("/blobs/").throttle(3 << 20));
    let (job, own) = behind(&world, &front, 12 << 20);
    let ran = block_on(world.run(&job));
    ran.succeeded().says("it runs");
    let lines: Vec<&str> = ran.log.lines().filter(|line| line.contains(" of 2 layers ")).collect();
    let took = ran.report.call("prepare").expect("prepare was called").took.as_secs() as usize;
    assert!((2..=took + 2).contains(&lines.len()), "{took} s: {lines:?}\n{}", ran.log);
    assert!(lines.iter().any(|line| line.contains(" of 1") && line.contains("/s, about ")), "{lines:?}");
    let summary = ran.log.lines().find(|line| line.starts_with("Pulled ")).expect("a summary");
    let by_digest = format!("{}@{}", own.name.trim_end_matches(":1"), own.pushed.digest);
    for part in [&by_digest[..], "MiB in ", "(download ", "extract "] {
        assert!(summary.contains(part), "{summary}");
    }
}

#[test]
fn a_busy_registry_and_a_cut_pull_are_tried_again_within_the_stage() {
    let Some(world) = World::new("retries") else { return };
    world.settings("[pull]\nattempts = 4\nbackoff = 0\n");
    let front = Front::with(&world.parts.registry, on("/manifests/").answer(503).times(2));
    let (job, _own) = behind(&world, &front, 1 << 20);
    let ran = block_on(world.run(&job));
    ran.succeeded().says("503").says("try 2 of 4");
    assert_eq!(ran.report.attempts, 1);
    // The engine itself goes on with a layer that was cut.
    let front = Front::with(&world.parts.registry, on("/blobs/").cut_after(600 << 10).times(1));
    let (job, _own) = behind(&world, &front, 1 << 20);
    let ran = block_on(world.run(&job));
    ran.succeeded();
    assert_eq!(ran.report.attempts, 1);
    let mut blobs: Vec<String> = front.log().into_iter().map(|asked| asked.path).collect();
    blobs.retain(|line| line.contains("/blobs/"));
    blobs.sort();
    assert!(blobs.windows(2).any(|two| two[0] == two[1]), "a blob was asked for again: {blobs:?}");
    let front = Front::with(&world.parts.registry, on("/manifests/").answer(503));
    let (job, _own) = behind(&world, &front, 1 << 10);
    let ran = block_on(world.run(&job));
    systems_fault(&ran).says("try 4 of 4").says("could not be looked up");
    assert_eq!(ran.report.attempts, 3, "what may pass is the system's");
}

#[test]
fn a_pull_that_stands_still_is_given_up() {
    let Some(world) = World::new("stall") else { return };
    world.settings("[pull]\nattempts = 2\nbackoff = 0\nno_progress_timeout = 1\n");
    let front = Front::with(&world.parts.registry, on("/blobs/").stall_after(300 << 10));
    let (mut job, _own) = behind(&world, &front, 4 << 20);
    job.image.pull_policy = vec!["always".into()];
    let ran = block_on(world.run(&job));
    systems_fault(&ran).says("nothing moved for").says("try 2 of 2").says("could not be pulled");
    let took = ran.report.call("prepare").expect("prepare was called").took;
    assert!(took < Duration::from_secs(20), "{took:?}");
}
