//! Who gets a private image, with a real engine and a registry that wants a login: what the first job fetched, later jobs
//! get only if they may read it, whatever their registry says meanwhile.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth::runner::{Credential, JobDescription, Service, Variable};
use hearth::secret::Secret;
use serde_json::json;

use crate::front::{Front, on};
use crate::image_policies::busybox;
use crate::pulling::On;
use crate::pusher::{Layer, Registry};
use crate::tools::contents;
use crate::world::unique;

const WRONG: &str = "canary-wrong-4c1d";

/// A host with one image of its own in a registry behind a front.
struct Host<'o> {
    on: &'o On,
    front: Option<Front>,
    repository: String,
    digest: String,
    /// Passwords and tokens that nobody may see.
    secrets: Vec<String>,
}

/// How a prepare ended.
struct Prepared {
    code: Option<i32>,
    log: String,
    /// Whether a container of the image ran.
    runs: bool,
    /// What the registry was asked meanwhile.
    asked: Vec<String>,
}

impl Prepared {
    #[track_caller]
    fn starts(&self, why: &str) -> &Self {
        assert!(self.code == Some(0) && self.runs, "{:?} {}\n{}", self.code, self.runs, self.log);
        self.says(why)
    }

    /// Asserts that it failed by the job's fault and that nothing of the image ran.
    #[track_caller]
    fn refused(&self, why: &str) -> &Self {
        self.failed(1, why)
    }

    /// The same, by the system's fault.
    #[track_caller]
    fn broken(&self, why: &str) -> &Self {
        self.failed(2, why)
    }

    #[track_caller]
    fn failed(&self, code: i32, why: &str) -> &Self {
        assert!(!self.runs, "it runs\n{}", self.log);
        assert_eq!(self.code, Some(code), "{}", self.log);
        assert!(self.log.contains("hint: "), "{}", self.log);
        self.says(why)
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(self.log.contains(text), "no {text:?} in\n{}", self.log);
        self
    }

    /// Asserts how often the registry was asked about manifests.
    #[track_caller]
    fn asks(&self, times: usize) -> &Self {
        let asked: Vec<_> = self.asked.iter().filter(|line| line.starts_with("HEAD ")).collect();
        assert_eq!(asked.len(), times, "{asked:?}\n{}", self.log);
        self
    }

    /// Asserts that nothing at all was asked.
    #[track_caller]
    fn asks_nobody(&self) -> &Self {
        assert_eq!(self.asked, [""; 0], "{}", self.log);
        self
    }
}

impl<'o> Host<'o> {
    /// Pushes the image to a registry of the parts: the one that wants a login, or the open one.
    fn new(on: &'o On, wants_login: bool) -> Self {
        let world = on.world();
        let parts = &world.parts;
        let (address, registry) = if wants_login {
            (&parts.private, Registry::new(&parts.private).with_login(&parts.user, &parts.password))
        } else {
            (&parts.registry, Registry::new(&parts.registry))
        };
        let path = format!("test/{}/secret", world.token);
        let mut image = busybox();
        image.layers.push(Layer::random(1 << 10, unique()).expect("a layer"));
        let digest = registry.push(&path, "1", &[image]).expect("the registry takes it").digest;
        let front = Front::new(address);
        let repository = format!("{}/{path}", front.address);
        let login = STANDARD.encode(format!("{}:{}", parts.user, parts.password));
        let secrets = vec![parts.password.clone(), login, WRONG.to_owned()];
        let host = Self { front: Some(front), repository, digest, secrets, on };
        host.rules("");
        host
    }

    /// Settings of one attempt each, with these in `[access]`.
    fn rules(&self, access: &str) {
        self.on.settings_with_network(&format!("[pull]\nattempts = 1\nbackoff = 0\n[access]\n{access}\n"));
    }

    fn front(&self) -> &Front {
        self.front.as_ref().expect("the registry is up")
    }

    fn tag(&self) -> String {
        format!("{}:1", self.repository)
    }

    fn pinned(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    fn id(&self) -> String {
        self.on.engine(&["image", "inspect", "-f", "{{.Id}}", &self.tag()])
    }

    /// A job of a project, with these policies, and a password in DOCKER_AUTH_CONFIG if it has one.
    fn job(&self, project: u64, password: Option<&str>, image: &str, policies: &[&str]) -> JobDescription {
        let mut job = self.on.world().job().image(image).script("true");
        job.project_id = project;
        job.image.pull_policy = policies.iter().map(|&policy| policy.to_owned()).collect();
        let Some(password) = password else { return job };
        let auth = STANDARD.encode(format!("{}:{password}", self.on.world().parts.user));
        let config = json!({"auths": {&self.front_address(): {"auth": auth}}}).to_string();
        job.with_variable(Variable::plain("DOCKER_AUTH_CONFIG", config).as_masked().as_raw())
    }

    fn front_address(&self) -> String {
        self.repository.split('/').next().unwrap_or_default().to_owned()
    }

    /// Prepares a job, looks, and cleans up.
    fn prepares(&self, job: &JobDescription) -> Prepared {
        self.front.iter().for_each(Front::forget);
        let image = self.id();
        let attempt = self.on.world().attempt(job);
        let called = self.on.world().call(&["prepare"], &attempt.env);
        let asked = self.front.as_ref().map(Front::lines).unwrap_or_default();
        let key = format!("name=hearth-{}-job-{}-", self.on.world().token, job.id);
        let containers = self.on.engine(&["ps", "-q", "--filter", &key]);
        let runs = containers.lines().any(|container| {
            let of = self.on.engine(&["inspect", "-f", "{{.Image}}", container]);
            // Where it came just now, its ID was not known before.
            of.trim() == image || of.trim() == self.id()
        });
        let cleaned = self.on.world().call(&["cleanup"], &attempt.env);
        assert_eq!(cleaned.code, Some(0), "{}{}", cleaned.stdout, cleaned.stderr);
        assert_eq!(self.on.world().left(job), [""; 0]);
        let log = format!("{}{}", called.stdout, called.stderr);
        self.tells_no_secret(&log);
        let mut lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let count = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), count, "a line comes twice:\n{log}");
        Prepared { code: called.code, log, runs, asked }
    }

    fn tells_no_secret(&self, text: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is told: {text}");
        }
    }

    fn facts_tell_no_secret(&self) {
        let facts = contents(&self.on.world().dir.join("store"));
        assert!(facts.iter().any(|(_, text)| text.contains(&self.digest)), "the proofs are elsewhere");
        facts.iter().for_each(|(_, text)| self.tells_no_secret(text));
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        self.on.engine(&["rmi", "-f", &self.tag()]);
        self.on.engine(&["rmi", "-f", &self.pinned()]);
    }
}

const ALWAYS: &[&str] = &["always"];
const IF_NOT_PRESENT: &[&str] = &["if-not-present"];
const NEVER: &[&str] = &["never"];
const BOTH: &[&str] = &["always", "if-not-present"];

#[test]
fn a_private_image_that_is_here_is_for_those_who_can_read_it() {
    On::each("access", readers_of_a_private_image);
}

fn readers_of_a_private_image(on: &On) {
    let host = Host::new(on, true);
    let right = host.on.world().parts.password.clone();
    let right = Some(right.as_str());
    let (tag, pinned) = (host.tag(), host.pinned());
    host.prepares(&host.job(1, right, &tag, ALWAYS)).starts("pulled");
    let id = host.id();

    // The project that fetched it has proved it.
    for (image, policies) in [(&tag, IF_NOT_PRESENT), (&tag, NEVER), (&pinned, IF_NOT_PRESENT), (&id, NEVER)]
    {
        host.prepares(&host.job(1, right, image, policies)).starts("read by this project").asks_nobody();
    }
    host.prepares(&host.job(1, right, &tag, ALWAYS)).starts("up to date").asks(1);

    // Others have not.
    let mut other_server = host.job(1, None, &tag, NEVER);
    other_server.git.repo_url = "http://other.invalid/try/project.git".to_owned();
    host.prepares(&other_server).refused("nothing shows that this project may read").asks_nobody();
    for (image, policies) in [(&tag, NEVER), (&pinned, NEVER), (&id, BOTH)] {
        let job = host.job(2, right, image, policies);
        host.prepares(&job).refused("nothing shows that this project may read").asks_nobody();
    }
    for policies in [ALWAYS, IF_NOT_PRESENT, BOTH] {
        host.prepares(&host.job(2, None, &tag, policies))
            .refused("may not be read")
            .says("DOCKER_AUTH_CONFIG");
    }
    for image in [&tag, &pinned] {
        host.prepares(&host.job(2, Some(WRONG), image, IF_NOT_PRESENT)).refused("may not be read");
    }
    // The project itself with another login is somebody else too.
    host.prepares(&host.job(1, Some(WRONG), &tag, IF_NOT_PRESENT)).refused("may not be read");
    host.prepares(&host.job(1, None, &tag, NEVER)).refused("nothing shows");

    // As services as well.
    let service = |password, policies: &[&str]| {
        let mut job = host.job(2, password, &host.on.world().image("job/busybox"), IF_NOT_PRESENT);
        let mut service = Service::named(&tag);
        service.image.pull_policy = policies.iter().map(|&policy| policy.to_owned()).collect();
        service.command = Some(vec!["sleep".to_owned(), "600".to_owned()]);
        job.services.push(service);
        host.on.settings_with_network("wait_for_services_timeout = -1\n[pull]\nattempts = 1\n");
        job
    };
    host.prepares(&service(None, IF_NOT_PRESENT)).refused("service").says("may not be read");
    host.prepares(&service(right, NEVER)).refused("service").says("nothing shows").asks_nobody();
    host.prepares(&service(right, IF_NOT_PRESENT)).starts("this job may read it").asks(1);
    // Which proves it for the other project too.
    host.prepares(&host.job(2, right, &tag, NEVER)).starts("read by this project").asks_nobody();
    host.facts_tell_no_secret();
}

#[test]
fn what_the_registry_says_opens_and_closes_what_is_here() {
    On::each("registry states", registry_states);
}

fn registry_states(engine: &On) {
    let mut host = Host::new(engine, true);
    let right = host.on.world().parts.password.clone();
    let right = Some(right.as_str());
    let tag = host.tag();
    host.prepares(&host.job(1, right, &tag, ALWAYS)).starts("pulled");

    for (status, words) in [(401, "may not be read"), (403, "may not be read"), (404, "was not found")] {
        host.front().add(on("/v2/").answer(status).header("www-authenticate", "Basic realm=\"front\""));
        host.prepares(&host.job(1, right, &tag, IF_NOT_PRESENT)).starts("read by this project").asks_nobody();
        host.prepares(&host.job(2, right, &tag, IF_NOT_PRESENT)).refused(words);
        host.prepares(&host.job(1, right, &tag, BOTH)).refused(words).asks(1);
        host.front().clear();
        if status != 404 {
            // What was proved before has lapsed by that.
            host.prepares(&host.job(1, right, &tag, NEVER)).refused("nothing shows").asks_nobody();
            host.prepares(&host.job(1, right, &tag, IF_NOT_PRESENT)).starts("this job may read it").asks(1);
        }
    }

    // No answer opens nothing that was not proved, and closes nothing that was.
    for (status, words) in [(429, "too many requests"), (503, "503")] {
        host.front().add(on("/manifests/").answer(status).retry_after("1"));
        host.prepares(&host.job(1, right, &tag, NEVER)).starts("read by this project");
        host.prepares(&host.job(2, right, &tag, IF_NOT_PRESENT)).broken("could not be looked up").says(words);
        host.prepares(&host.job(1, right, &tag, ALWAYS)).broken("could not be looked up").says(words);
        host.prepares(&host.job(1, right, &tag, BOTH)).starts("read by this project").says("WARNING");
        host.rules("proof_ttl = 0\noffline_grace = 3600");
        host.prepares(&host.job(1, right, &tag, ALWAYS)).starts("which may be out of date").says(words);
        host.prepares(&host.job(2, right, &tag, ALWAYS)).broken("could not be looked up");
        host.rules("");
        host.front().clear();
        // The registry asked to be left alone for so long.
        std::thread::sleep(Duration::from_millis(1200));
    }

    // It is gone altogether.
    drop(host.front.take());
    host.prepares(&host.job(1, right, &tag, IF_NOT_PRESENT)).starts("read by this project");
    host.prepares(&host.job(2, right, &tag, IF_NOT_PRESENT)).broken("onnection refused");
    host.rules("proof_ttl = 0");
    host.prepares(&host.job(1, right, &tag, IF_NOT_PRESENT)).broken("onnection refused");
    host.rules("proof_ttl = 0\noffline_grace = 3600");
    host.prepares(&host.job(1, right, &tag, IF_NOT_PRESENT)).starts("last checked");
    host.prepares(&host.job(1, Some(WRONG), &tag, IF_NOT_PRESENT)).broken("onnection refused");
    host.prepares(&host.job(2, right, &host.id(), NEVER)).refused("nothing shows");
    host.facts_tell_no_secret();
}

#[test]
fn a_job_token_proves_for_the_jobs_of_the_same_user() {
    On::each("job tokens", job_tokens);
}

fn job_tokens(engine: &On) {
    let mut host = Host::new(engine, false);
    let closed =
        || on("/v2/").authorised(false).answer(401).header("www-authenticate", "Basic realm=\"front\"");
    host.front().add(closed());
    let tag = host.tag();
    let mut secrets = Vec::new();
    let mut job = |user: u64, policies: &[&str]| {
        let mut job = host.job(1, None, &tag, policies);
        job.token = Secret::new(format!("canary-token-{}", job.id));
        job.user_id = user;
        secrets.push(job.token.expose().to_owned());
        let (url, password) = (host.front_address(), job.token.clone());
        job.credentials.push(Credential { url, username: "gitlab-ci-token".to_owned(), password });
        job
    };
    host.prepares(&job(7, ALWAYS)).starts("pulled");
    host.prepares(&job(7, IF_NOT_PRESENT)).starts("read by this project").asks_nobody();
    host.prepares(&job(8, NEVER)).refused("nothing shows").asks_nobody();
    // Tokens of that user are not let in any more.
    host.front().clear();
    host.front().add(on("/v2/").answer(401).header("www-authenticate", "Basic realm=\"front\""));
    host.prepares(&job(8, IF_NOT_PRESENT)).refused("may not be read").asks(1);
    host.prepares(&job(7, IF_NOT_PRESENT)).starts("read by this project").asks_nobody();
    host.prepares(&job(7, ALWAYS)).refused("may not be read");
    host.prepares(&job(7, IF_NOT_PRESENT)).refused("may not be read");
    host.secrets = secrets;
    host.facts_tell_no_secret();
}
