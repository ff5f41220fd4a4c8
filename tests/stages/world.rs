//! A job on the fake engine, and its stages called as GitLab Runner does: each reads everything anew.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hearth::engine::fake::{Call, Fake, FakeImage};
use hearth::evict::{Disks, Room};
use hearth::fetch::flight::Departure;
use hearth::host::Who;
use hearth::image::ImageRef;
use hearth::job::{Names, StageEnv};
use hearth::outcome::{Failure, Fault};
use hearth::settings::{PullPolicy, Settings};
use hearth::stage::{Around, Begun, Courier, cleanup, prepare};
use hearth::store::{Batch, Proof, Sharing, Store, StorePlace};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bench::{Log, Stage};

pub(crate) const APP: &str = "registry.test/group/app:1";
pub(crate) const DB: &str = "registry.test/group/db:1";
pub(crate) const HELPER: &str = "registry.test/ci/helper:1";
pub(crate) const SECOND: Duration = Duration::from_secs(1);

const EMPTY_DISK: Room =
    Room { bytes: 1 << 40, free_bytes: 1 << 40, inodes: Some(1 << 30), free_inodes: Some(1 << 30) };

const ALL_CALLS: [Call; 26] = [
    Call::Version,
    Call::Info,
    Call::InspectImage,
    Call::ImageHistory,
    Call::TagImage,
    Call::Pull,
    Call::Platforms,
    Call::CreateNetwork,
    Call::RemoveNetwork,
    Call::ListNetworks,
    Call::InspectNetwork,
    Call::CreateVolume,
    Call::RemoveVolume,
    Call::ListVolumes,
    Call::CreateContainer,
    Call::StartContainer,
    Call::InspectContainer,
    Call::StopContainer,
    Call::KillContainer,
    Call::RemoveContainer,
    Call::ListContainers,
    Call::Logs,
    Call::Attach,
    Call::CreateExec,
    Call::StartExec,
    Call::InspectExec,
];

/// A directory that lives as long as a test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // In memory, if that is to be had: thousands of jobs write down what they learned.
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = base.join(format!("hearth-stages-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A job, its runner and its engine.
pub(crate) struct World {
    pub(crate) fake: Fake,
    pub(crate) settings: Settings,
    /// What JOB_RESPONSE_FILE holds.
    pub(crate) job: Value,
    /// The job's variables, as the runner has merged them.
    pub(crate) variables: BTreeMap<&'static str, String>,
    /// Whether the runner gives its stages a directory for hints.
    pub(crate) hints: bool,
    /// The directory of the operator's `config.json`.
    pub(crate) operator_dir: Option<PathBuf>,
    /// Where the host's facts are.
    pub(crate) facts: PathBuf,
    /// The stages' own process and those around it.
    pub(crate) who: Who,
    /// How the disk of images is measured: at first it is large and empty.
    pub(crate) disk: Disks,
    directory: Directory,
}

/// How a prepare ended.
pub(crate) struct Prepared {
    pub(crate) result: Result<(), Failure>,
    pub(crate) log: Log,
    pub(crate) took: Duration,
}

impl Prepared {
    /// Asserts that it went well.
    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.result, Ok(()), "{}", self.log.text());
        self
    }

    /// Asserts that it failed, and whose fault that was.
    pub(crate) fn failed(&self, fault: Fault) -> &Failure {
        let failure = self.result.as_ref().expect_err(&self.log.text());
        assert_eq!(failure.fault, fault, "{failure}");
        failure
    }
}

impl World {
    /// A job of project 4 with the image [`APP`]. Its images are in their registry, the helper's is on the host, and the
    /// policy is `always`.
    pub(crate) fn new() -> Self {
        let fake = Fake::new();
        fake.publish(APP, FakeImage::new("app"));
        fake.publish(HELPER, FakeImage::new("helper"));
        fake.image_here(HELPER, FakeImage::new("helper"));
        let mut settings = hearth::settings::defaults().unwrap();
        settings.job.helper_image = HELPER.to_owned();
        settings.cache.data_root = Some(PathBuf::from("/images"));
        let job = json!({
            "id": 7,
            "allow_git_fetch": true,
            "job_info": {"name": "test", "project_id": 4, "project_full_path": "group/project"},
            "git_info": {"repo_url": "https://u:p@gitlab.test/group/project.git", "protected": false},
            "image": {"name": APP},
            "services": [],
        });
        let variables = BTreeMap::from([
            ("CI_RUNNER_SHORT_TOKEN", "tok".to_owned()),
            ("CI_CONCURRENT_PROJECT_ID", "0".to_owned()),
            ("RUNNER_TEMP_PROJECT_DIR", "/builds/group/project.tmp".to_owned()),
        ]);
        let directory = Directory::new();
        let facts = directory.0.join("store");
        let (hints, operator_dir, who) = (true, None, Who::read());
        let disk = Rc::new(|_: &Path| Some(EMPTY_DISK));
        Self { fake, settings, job, variables, hints, operator_dir, facts, who, disk, directory }
    }

    /// Makes another job of another slot on the same host.
    pub(crate) fn another(&self, id: i64) -> Self {
        let mut other = Self::new();
        other.fake = self.fake.clone();
        other.facts = self.facts.clone();
        other.who = self.who.clone();
        other.disk = self.disk.clone();
        other.settings = self.settings.clone();
        other.job = self.job.clone();
        other.job["id"] = id.into();
        other.variables = self.variables.clone();
        other.variables.insert("CI_CONCURRENT_PROJECT_ID", id.to_string());
        other
    }

    /// As [`World::new`], but the image is on the host too, is `image`, and is not looked for in its registry.
    pub(crate) fn with(image: FakeImage) -> Self {
        let mut world = Self::new();
        world.fake.publish(APP, image.clone());
        world.fake.image_here(APP, image);
        world.settings.job.pull_policy = vec![PullPolicy::IfNotPresent];
        world
    }

    /// As [`World::with`], with an image without ENTRYPOINT.
    pub(crate) fn warm() -> Self {
        Self::with(FakeImage::new("app"))
    }

    /// Adds a service whose image is on the host and in its registry.
    pub(crate) fn service(mut self, image: FakeImage) -> Self {
        self.fake.publish(DB, image.clone());
        self.fake.image_here(DB, image);
        let services = self.job["services"].as_array_mut().unwrap();
        services.push(json!({"name": DB, "alias": "db"}));
        self
    }

    /// Puts another helper image on the host and into its registry.
    pub(crate) fn helper(&self, image: FakeImage) {
        self.fake.publish(HELPER, image.clone());
        self.fake.image_here(HELPER, image);
    }

    /// Gives the job volumes of its own only.
    pub(crate) fn nothing_kept(mut self) -> Self {
        self.variables.insert("GIT_STRATEGY", "clone".to_owned());
        self.settings.job.disable_cache = true;
        self
    }

    /// Sets a variable of the job.
    pub(crate) fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// Runs a job before, so that engine and images are known.
    pub(crate) async fn used_before(self) -> Self {
        self.prepare().await.fine();
        self.cleans_up().await;
        self.fake.forget_calls();
        self
    }

    /// Notes that anybody could read an image's state just now.
    pub(crate) fn prove(&self, reference: &str, seed: &str) {
        let repository = reference.parse::<ImageRef>().unwrap().full_repository().unwrap();
        let proof = Proof { key: None, repository, digest: FakeImage::new(seed).digest() };
        self.store().commit(&Batch { proofs: vec![proof], ..Batch::default() }, hearth::host::now());
    }

    /// Makes all calls take their time.
    pub(crate) fn slow(&self, time: Duration) {
        ALL_CALLS.into_iter().for_each(|call| self.fake.delay(call, time));
    }

    /// Returns the directory of the attempt.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// Begins a stage, as a process of its own does.
    pub(crate) fn begun(&self) -> Begun {
        self.try_begun().unwrap()
    }

    /// As [`World::begun`], with a job that may be wrong.
    pub(crate) fn try_begun(&self) -> Result<Begun, Failure> {
        let response = self.directory().join("response.json");
        std::fs::write(&response, self.job.to_string()).unwrap();
        let mut environment: Vec<(OsString, OsString)> =
            vec![("JOB_RESPONSE_FILE".into(), response.into_os_string())];
        if self.hints {
            environment.push(("TMPDIR".into(), self.directory().into()));
        }
        let variables = self.variables.iter();
        environment
            .extend(variables.map(|(name, value)| (format!("CUSTOM_ENV_{name}").into(), value.into())));
        Begun::new(StageEnv::read(environment), self.settings.clone())
    }

    /// Returns the names of the job's objects.
    pub(crate) fn names(&self) -> Names {
        self.begun().names
    }

    /// Prepares the job.
    pub(crate) async fn prepare(&self) -> Prepared {
        let log = Log::default();
        let begin = Instant::now();
        let (begun, job_log) = (self.begun(), log.job_log());
        let result = Box::pin(prepare::run(&begun, &self.fake, self.around(), &job_log)).await;
        Prepared { result, log, took: begin.elapsed() }
    }

    /// Returns what surrounds a prepare that nobody wishes to end.
    pub(crate) fn around(&self) -> Around<Fake> {
        let (_, departure) = Departure::new();
        let (operator_dir, registries) = (self.operator_dir.clone(), self.fake.clone());
        let (who, disk) = (self.who.clone(), self.disk.clone());
        Around { operator_dir, registries, store: self.store(), who, disk, departure }
    }

    /// Returns a stage's way to the daemon.
    pub(crate) fn courier(&self) -> Courier {
        let who = self.who.clone();
        Courier::new(Some(StorePlace::new(&self.facts, Sharing::Group)), move || who.clone())
    }

    /// Opens the facts, as each process does.
    pub(crate) fn store(&self) -> Store {
        let place = StorePlace::new(&self.facts, Sharing::Group);
        Store::open(&place, hearth::host::now()).0
    }

    /// Returns a stage of the job.
    pub(crate) fn stage(&self, name: &str) -> Stage<'_> {
        Stage::of(self, name)
    }

    /// Cleans up after the job.
    pub(crate) async fn cleanup(&self) -> Result<(), Failure> {
        let begun = self.begun();
        Box::pin(cleanup::run(&begun, &self.fake, &self.courier())).await
    }

    /// Returns the calls so far, each with its object.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.fake.calls().iter().map(|made| format!("{} {}", made.call.name(), made.object)).collect()
    }

    /// Returns what is left of the job on the engine; volumes that are kept for later jobs do not count.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = self.fake.containers();
        left.extend(self.fake.networks());
        let kept = |name: &String| name.starts_with("hearth-tok-project-4-");
        left.extend(self.fake.volumes().into_iter().filter(|name| !kept(name)));
        left
    }

    /// Cleans up, and asserts that nothing is left.
    pub(crate) async fn cleans_up(&self) {
        assert_eq!(self.cleanup().await, Ok(()));
        assert_eq!(self.left(), [""; 0]);
    }
}

/// Does a stage until it ends, or until the engine cut it off as if it was killed: then `None`.
pub(crate) async fn until_cut<T>(fake: &Fake, stage: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        ended = stage => Some(ended),
        () = fake.until_cut() => None,
    }
}
