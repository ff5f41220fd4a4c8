//! What the tests of pulls share: an engine of each kind, images of random layers behind a front, and prepares that run
//! side by side.

use std::ffi::OsString;
use std::fs::File;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hearth::runner::{JobDescription, Variable};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::front::{Asked, Front};
use crate::further::Further;
use crate::image_policies::busybox;
use crate::pusher::{ImageSpec, Layer, Pushed, Registry};
use crate::tools::Attempt;
use crate::world::{World, unique};

/// Longer than anything here takes, however busy the machine is.
pub(crate) const LONG: Duration = Duration::from_secs(100);

/// A world on one engine.
pub(crate) enum On {
    /// The usual engine, with the classic store.
    Docker(World),
    /// Podman.
    Podman(Further),
    /// Docker with containerd's store.
    Containerd(Further),
}

impl On {
    /// A world on the usual engine; `None`: the parts are missing.
    pub(crate) fn docker(test: &str) -> Option<Self> {
        World::new(test).map(Self::Docker)
    }

    /// Checks something on each engine that there is, side by side; what is missing is said.
    pub(crate) fn each(test: &str, check: impl Fn(&Self) + Sync) {
        let podman = Further::podman(&format!("{test}, on Podman")).map(Self::Podman);
        let containerd = Further::containerd(&format!("{test}, on containerd's store")).map(Self::Containerd);
        let all: Vec<Self> = Self::docker(test).into_iter().chain(podman).chain(containerd).collect();
        std::thread::scope(|scope| {
            for on in &all {
                on.settings("");
                scope.spawn(|| check(on));
            }
        });
    }

    /// The world.
    pub(crate) fn world(&self) -> &World {
        match self {
            Self::Docker(world) => world,
            Self::Podman(on) | Self::Containerd(on) => &on.world,
        }
    }

    /// Whether the engine keeps a transfer for as long as one client watches.
    pub(crate) fn joins_pulls(&self) -> bool {
        matches!(self, Self::Docker(_))
    }

    /// Whether it is Docker with containerd's store.
    pub(crate) fn has_containerds_store(&self) -> bool {
        matches!(self, Self::Containerd(_))
    }

    /// Writes the settings: the usual ones, then `more`; keys first go to `[job]`. The jobs run nothing, and need no network.
    pub(crate) fn settings(&self, more: &str) {
        self.settings_with_network(&format!("network_mode = \"none\"\n{more}"));
    }

    /// As [`On::settings`], with the network that jobs have.
    pub(crate) fn settings_with_network(&self, more: &str) {
        let engine = match self {
            Self::Docker(_) => String::new(),
            Self::Podman(on) | Self::Containerd(on) => format!("[engine]\nhost = \"{}\"", on.host),
        };
        self.world().settings(&format!("{more}\n{engine}"));
    }

    /// Runs the docker command line on this engine, and returns what it prints, cut to one line.
    pub(crate) fn engine(&self, args: &[&str]) -> String {
        let mut command = Command::new("docker");
        if let Self::Podman(on) | Self::Containerd(on) = self {
            command.args(["-H", &on.host]);
        }
        let output = command.args(args).output().expect("the docker command line");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Returns the digest of the configuration that a container's image has. With containerd's store, the image's ID is the
    /// digest of its manifest, or of its index; then it is meant for the engine's own platform.
    fn configuration(&self, name: &str, id: String) -> String {
        if !self.has_containerds_store() {
            return id;
        }
        let path = name.split_once('/').map_or(name, |(_, path)| path);
        let repository = path.rsplit_once(':').map_or(path, |(repository, _)| repository);
        let registry = Registry::new(&self.world().parts.registry);
        let read = |digest: &str| -> serde_json::Value {
            let text = registry.manifest(repository, digest).expect("the registry has it");
            serde_json::from_slice(&text).expect("JSON")
        };
        let mut found = read(&id);
        let own = |entry: &&serde_json::Value| entry["platform"]["architecture"] == engine_architecture();
        if let Some(entry) = found["manifests"].as_array().and_then(|entries| entries.iter().find(own)) {
            found = read(entry["digest"].as_str().expect("a digest"));
        }
        found["config"]["digest"].as_str().expect("a configuration").to_owned()
    }

    /// Takes what was pushed away from the engine.
    pub(crate) fn forget(&self, pushed: &Pushed) {
        let ids: Vec<&String> = match self {
            Self::Docker(_) | Self::Podman(_) => pushed.image_ids.iter().collect(),
            Self::Containerd(_) => pushed.manifests.iter().chain([&pushed.digest]).collect(),
        };
        for id in ids {
            self.engine(&["rmi", "-f", id.trim_start_matches("sha256:")]);
        }
    }

    /// Pushes an image of random layers of these sizes, which no engine has, and names it as the front has it.
    pub(crate) fn cold(&self, front: &Front, sizes: &[usize]) -> Cold<'_> {
        let random = |size: &usize| Layer::random(*size, unique()).expect("a layer");
        let layers: Vec<Layer> = sizes.iter().map(random).collect();
        let mut image = busybox();
        image.layers.extend(layers.iter().cloned());
        let repository = format!("test/{}/cold{}", self.world().token, unique());
        let registry = Registry::new(&self.world().parts.registry);
        let pushed = registry.push(&repository, "1", &[image.clone()]).expect("the registry takes it");
        let sizes = layers.iter().map(|layer| layer.compressed_bytes() as u64).collect();
        let layers = layers.iter().map(|layer| layer.digest().to_owned()).collect();
        let name = format!("{}/{repository}:1", front.address);
        Cold { on: self, name, repository, image, pushed, layers, sizes }
    }

    /// Starts a job's prepare beside whatever else runs.
    pub(crate) fn start(&self, job: &JobDescription) -> Prepare<'_> {
        let (world, job) = (self.world(), job.clone());
        let attempt = world.attempt(&job);
        let running = self.begin(&["prepare"], attempt.dir.join("log"), attempt.env.iter().cloned());
        Prepare { on: self, job, attempt, running }
    }

    /// Starts a command about this host beside whatever else runs.
    pub(crate) fn command(&self, words: &[&str]) -> Running {
        self.begin(words, self.world().dir.join(format!("log-{}", unique())), std::iter::empty())
    }

    fn begin(
        &self,
        words: &[&str],
        log: PathBuf,
        env: impl Iterator<Item = (OsString, OsString)>,
    ) -> Running {
        let world = self.world();
        let file = File::create(&log).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_hearth"))
            .args(words)
            .arg("--config")
            .arg(world.dir.join("config.toml"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &world.dir)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("one file"))
            .stderr(file)
            .spawn()
            .expect("the driver starts");
        Running { log, child, began: Instant::now() }
    }

    /// Waits until all have ended, and cleans up after them.
    pub(crate) fn end(&self, all: Vec<Prepare<'_>>) -> Vec<Prepared> {
        std::thread::scope(|scope| {
            let ends: Vec<_> = all.into_iter().map(|one| scope.spawn(|| one.end())).collect();
            ends.into_iter().map(|end| end.join().expect("it ended")).collect()
        })
    }

    /// Prepares a job and cleans up after it.
    pub(crate) fn prepare(&self, job: &JobDescription) -> Prepared {
        self.start(job).end()
    }
}

/// An image that is cold: it is in the registry and on no engine. It is gone from the engine when this is dropped.
pub(crate) struct Cold<'o> {
    on: &'o On,
    /// Its name, with the front as its registry.
    pub(crate) name: String,
    /// Its repository.
    pub(crate) repository: String,
    /// What was pushed.
    pub(crate) image: ImageSpec,
    /// What the tag names.
    pub(crate) pushed: Pushed,
    /// Digests of its own layers, the lowest first.
    pub(crate) layers: Vec<String>,
    /// Their compressed bytes.
    pub(crate) sizes: Vec<u64>,
}

impl Cold<'_> {
    /// A job with this image, of a project and a number of its own.
    pub(crate) fn job(&self, policy: &str) -> JobDescription {
        let mut job = self.on.world().job().image(&self.name).script("true");
        job.image.pull_policy = vec![policy.to_owned()];
        job
    }

    /// How often a layer was asked for, and how many of its bytes went.
    pub(crate) fn fetched(&self, front: &Front, layer: usize) -> (usize, u64) {
        let log = front.log();
        let asked: Vec<&Asked> = log.iter().filter(|asked| is_get_of(asked, &self.layers[layer])).collect();
        (asked.len(), asked.iter().map(|asked| asked.sent).sum())
    }

    /// Its manifest's text.
    pub(crate) fn manifest(&self) -> Vec<u8> {
        let registry = Registry::new(&self.on.world().parts.registry);
        registry.manifest(&self.repository, &self.pushed.digest).expect("the registry has it")
    }

    /// Takes it away from the engine.
    pub(crate) fn forget(&self) {
        self.on.forget(&self.pushed);
    }
}

impl Drop for Cold<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The engine's architecture in its own words.
fn engine_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Tells whether a blob was asked for.
pub(crate) fn is_get_of(asked: &Asked, blob: &str) -> bool {
    asked.method == "GET" && asked.path.contains(&format!("/blobs/{blob}"))
}

/// Counts manifests that were asked for, as `(HEAD, GET)`. With containerd's store the engine asks about each digest that it
/// pulls; that is not counted.
pub(crate) fn manifests(on: &On, front: &Front) -> (usize, usize) {
    let of_engine = if on.has_containerds_store() { front.count("HEAD", "/manifests/sha256:") } else { 0 };
    (front.count("HEAD", "/manifests/") - of_engine, front.count("GET", "/manifests/"))
}

/// Gives a job a login of its own for a registry.
pub(crate) fn with_login(job: JobDescription, registry: &str, user: &str, password: &str) -> JobDescription {
    job.with_variable(
        Variable::plain("DOCKER_AUTH_CONFIG", docker_config(registry, user, password)).as_masked().as_raw(),
    )
}

/// The text of a docker configuration with one login.
pub(crate) fn docker_config(registry: &str, user: &str, password: &str) -> String {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    serde_json::json!({"auths": {registry: {"auth": auth}}}).to_string()
}

/// A prepare that runs.
pub(crate) struct Prepare<'o> {
    on: &'o On,
    job: JobDescription,
    attempt: Attempt,
    running: Running,
}

impl Deref for Prepare<'_> {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

/// A process of the driver that runs, and what it says.
pub(crate) struct Running {
    log: PathBuf,
    child: Child,
    began: Instant,
}

impl Running {
    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Waits until it has said something.
    pub(crate) fn wait_for(&self, text: &str) {
        let end = Instant::now() + LONG;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "it never said {text:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process ID");
        kill(Pid::from_raw(pid), signal).expect("a process that runs");
    }

    /// Waits until it has ended, and returns its exit code: `None` after a signal.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status.code();
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Prepare<'_> {
    /// Waits until it has ended, and cleans up after it.
    pub(crate) fn end(mut self) -> Prepared {
        let code = self.running.end();
        let took = self.began.elapsed();
        let build = self.on.world().container(&self.job, "build");
        let image = match code {
            Some(0) => {
                let id = self.on.engine(&["inspect", "-f", "{{.Image}}", &build]);
                self.on.configuration(&self.job.image.name, id)
            }
            _ => String::new(),
        };
        let log = self.log();
        let cleanup = self.on.world().call(&["cleanup"], &self.attempt.env);
        assert_eq!(cleanup.code, Some(0), "{}", cleanup.stderr);
        Prepared { code, log, image, took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a prepare ended.
pub(crate) struct Prepared {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// The job log.
    pub(crate) log: String,
    /// The ID of the image that the build container has; empty where there is none.
    pub(crate) image: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Prepared {
    /// Asserts that the job got just this image.
    pub(crate) fn got(&self, cold: &Cold<'_>) -> &Self {
        self.got_id(&cold.pushed.image_ids[0])
    }

    /// Asserts that the job got the image with this ID.
    pub(crate) fn got_id(&self, id: &str) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.log);
        let (has, wanted) = (self.image.trim_start_matches("sha256:"), id.trim_start_matches("sha256:"));
        assert_eq!(has, wanted, "another image\n{}", self.log);
        self
    }

    /// Asserts that it failed by the job's fault.
    pub(crate) fn jobs_fault(&self) -> &Self {
        assert_eq!(self.code, Some(1), "{}", self.log);
        self.failed_once()
    }

    /// Asserts that it failed by the system's fault.
    pub(crate) fn systems_fault(&self) -> &Self {
        assert_eq!(self.code, Some(2), "{}", self.log);
        self.failed_once()
    }

    fn failed_once(&self) -> &Self {
        assert_eq!(self.log.matches("ERROR: ").count(), 1, "one failure:\n{}", self.log);
        self
    }

    /// Asserts that the log has a text.
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.log.contains(text), "{text:?} is not in\n{}", self.log);
        self
    }

    /// Asserts that the log has no such text.
    pub(crate) fn is_silent_about(&self, text: &str) -> &Self {
        assert!(!self.log.contains(text), "{text:?} is in\n{}", self.log);
        self
    }
}
