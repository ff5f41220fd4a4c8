//! What the tests of trouble share: single calls of the driver, verdicts, looks at what exists.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hearth::runner::{
    CallReport, Events, FailureClass, JobDescription, JobOutcome, JobStatus, Layout, Surroundings,
    Transcript, call_environment, response_json,
};
use serde_json::Value;

use crate::pusher::{ImageSpec, Pushed, Registry};
use crate::world::{Ran, World, docker, unique};

/// How one call of the driver ended.
pub(crate) struct Called {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// What it wrote to stdout.
    pub(crate) stdout: String,
    /// What it wrote to stderr.
    pub(crate) stderr: String,
}

impl Called {
    /// Asserts the exit code, and that the text is in one of the outputs.
    pub(crate) fn failed_with(&self, code: i32, text: &str) -> &Self {
        let Self { stdout, stderr, .. } = self;
        assert_eq!(self.code, Some(code), "wanted {text:?}; stdout: {stdout}\nstderr: {stderr}");
        assert!(
            stdout.contains(text) || stderr.contains(text),
            "no {text:?}; stdout: {stdout}\nstderr: {stderr}"
        );
        self
    }
}

/// The files and the environment that one attempt at a job has, for calls without a runner.
pub(crate) struct Attempt {
    /// TMPDIR.
    pub(crate) dir: PathBuf,
    /// The environment of a stage.
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl Attempt {
    /// Where the payload is.
    pub(crate) fn response(&self) -> PathBuf {
        self.dir.join("response.json")
    }

    /// Writes another payload: the job's own, changed.
    pub(crate) fn rewrite(&self, change: impl FnOnce(&mut Value)) {
        let text = std::fs::read_to_string(self.response()).expect("the payload");
        let mut value: Value = serde_json::from_str(&text).expect("the payload is JSON");
        change(&mut value);
        std::fs::write(self.response(), value.to_string()).expect("the payload can be written");
    }
}

impl World {
    /// Makes an attempt's directory and environment.
    pub(crate) fn attempt(&self, job: &JobDescription) -> Attempt {
        let dir = self.dir.join(format!("attempt-{}", unique()));
        std::fs::create_dir_all(&dir).expect("a directory for the attempt");
        std::fs::write(dir.join("response.json"), response_json(job)).expect("the payload can be written");
        let layout = Layout {
            builds_dir: "/builds".to_owned(),
            cache_dir: "/cache".to_owned(),
            project_dir: format!("/builds/{}", job.project_path),
        };
        let around = Surroundings {
            inherited: &[],
            temp_dir: &dir,
            job_env: &Default::default(),
            layout: &layout,
            status: JobStatus::Running,
        };
        let env = call_environment(job, around).into_iter().collect();
        Attempt { dir, env }
    }

    /// Calls the driver once with nothing but PATH, HOME and the environment given. `--config` is added.
    pub(crate) fn call<S: AsRef<OsStr>>(&self, args: &[S], env: &[(OsString, OsString)]) -> Called {
        let mut all: Vec<OsString> = args.iter().map(|arg| arg.as_ref().to_owned()).collect();
        all.extend(["--config".into(), self.dir.join("config.toml").into_os_string()]);
        self.call_bare(&all, env)
    }

    /// Calls the driver once with exactly these arguments.
    pub(crate) fn call_bare<S: AsRef<OsStr>>(&self, args: &[S], env: &[(OsString, OsString)]) -> Called {
        let output = Command::new(env!("CARGO_BIN_EXE_hearth"))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.dir)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("the driver runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Called { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Pushes an image of the test's own to the open registry. It is gone from the engine when the guard is dropped.
    pub(crate) fn push(&self, name: &str, images: &[ImageSpec]) -> OwnImage {
        let repository = format!("test/{}/{name}", self.token);
        let pushed = Registry::new(&self.parts.registry)
            .push(&repository, "1", images)
            .unwrap_or_else(|error| panic!("{repository}: {error}"));
        OwnImage { name: format!("{}/{repository}:1", self.parts.registry), repository, pushed }
    }
}

/// An image that only one test uses.
pub(crate) struct OwnImage {
    /// Its name with registry and tag.
    pub(crate) name: String,
    /// Its repository.
    pub(crate) repository: String,
    /// What the tag names.
    pub(crate) pushed: Pushed,
}

impl OwnImage {
    /// Takes it away from the engine, if it is there.
    pub(crate) fn forget(&self) {
        docker_quiet(&["rmi", "-f", &self.name]);
    }
}

impl Drop for OwnImage {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Runs the docker command line and says whether it went well; what it prints is dropped.
pub(crate) fn docker_quiet(args: &[&str]) -> bool {
    Command::new("docker").args(args).output().is_ok_and(|output| output.status.success())
}

/// Returns what the engine says of a container.
pub(crate) fn inspect(container: &str) -> Value {
    let text = docker(&["inspect", container]);
    let list: Value = serde_json::from_str(&text).unwrap_or_default();
    list.get(0).cloned().unwrap_or_default()
}

/// Asserts that a job failed once, by its own fault.
pub(crate) fn jobs_fault(ran: &Ran) -> &Ran {
    failed(ran, FailureClass::Script);
    assert_eq!(ran.report.attempts, 1, "{}", ran.log);
    ran
}

/// Asserts that a job failed by the system's fault.
pub(crate) fn systems_fault(ran: &Ran) -> &Ran {
    failed(ran, FailureClass::System)
}

fn failed(ran: &Ran, class: FailureClass) -> &Ran {
    match &ran.report.outcome {
        JobOutcome::Failed(failure) => assert_eq!(failure.class, class, "{}", ran.log),
        other => panic!("{other:?}\n{}", ran.log),
    }
    ran
}

/// A transcript that has a look when prepare has ended and everything of the job is there.
pub(crate) struct Look<F> {
    /// What the job says.
    pub(crate) transcript: Transcript,
    look: Option<F>,
}

impl<F: FnOnce()> Events for Look<F> {
    fn log(&mut self, bytes: &[u8]) {
        self.transcript.log(bytes);
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.transcript.runner_log(bytes);
    }

    fn call_ends(&mut self, call: &CallReport) {
        if call.name == "prepare"
            && let Some(look) = self.look.take()
        {
            look();
        }
    }
}

impl World {
    /// Runs a job and calls `look` once between prepare and the first stage.
    pub(crate) async fn run_and_look(&self, job: &JobDescription, look: impl FnOnce()) -> Ran {
        let mut events = Look { transcript: Transcript::default(), look: Some(look) };
        let report = self.runner().run(job, &mut events).await;
        let Transcript { log, .. } = events.transcript;
        let ran = Ran { report, log: String::from_utf8_lossy(&log).into_owned(), bytes: log };
        let left = self.left(job);
        assert!(left.is_empty(), "job {} left {left:?}\n{}", job.id, ran.log);
        ran
    }
}

/// Reads all files below a directory.
pub(crate) fn contents(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            all.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    all
}

/// Makes a pair of an environment.
pub(crate) fn pair(name: &str, value: impl AsRef<[u8]>) -> (OsString, OsString) {
    (name.into(), OsStr::from_bytes(value.as_ref()).to_owned())
}
