//! The world that jobs run in: the built driver, a settings file, the stand-in runner, and a watch for what is left.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hearth::runner::{DriverCommand, JobDescription, JobReport, StandIn, Timeouts, Transcript};

/// What `tests/parts/with.sh` tells the tests.
pub(crate) struct Parts {
    /// The open registry, such as `127.0.0.1:5501`.
    pub(crate) registry: String,
    /// The registry that wants a login.
    pub(crate) private: String,
    /// The login's name.
    pub(crate) user: String,
    /// The login's password.
    pub(crate) password: String,
}

static SKIPPED: AtomicU64 = AtomicU64::new(0);

/// Says loudly that a test was left out, and counts it. The line goes around the harness's capture.
pub(crate) fn skip(test: &str, reason: &str) {
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED: {test}: {reason} ({count} so far)");
}

/// Finds the parts; `None` (said loudly) where the tests were not started by `make test`.
pub(crate) fn parts(test: &str) -> Option<Parts> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let parts = (|| {
        Some(Parts {
            registry: var("HEARTH_TEST_REGISTRY")?,
            private: var("HEARTH_TEST_PRIVATE_REGISTRY")?,
            user: var("HEARTH_TEST_USER")?,
            password: var("HEARTH_TEST_PASSWORD")?,
        })
    })();
    if parts.is_none() {
        skip(test, "no engine and registry were named; `make test` brings them up");
    }
    parts
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns a number that no other job on this machine has had in this run.
pub(crate) fn unique() -> u64 {
    u64::from(std::process::id()) * 100_000 + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One test's world: a directory of its own, settings, and a runner token of its own, so that volumes are its own too.
pub(crate) struct World {
    /// The parts.
    pub(crate) parts: Parts,
    /// The test's own directory; gone at the end.
    pub(crate) dir: PathBuf,
    /// The short token that its runner has.
    pub(crate) token: String,
    /// Environment variables that the runner has besides PATH and HOME.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Further arguments of the driver, such as `--runner NAME`.
    pub(crate) options: Vec<OsString>,
}

impl World {
    /// Makes a world with the usual settings; `None`: the parts are missing.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let parts = parts(test)?;
        let number = unique();
        let dir = std::env::temp_dir().join(format!("hearth-test-{number}"));
        std::fs::create_dir_all(&dir).expect("a directory for the test");
        let world = Self { parts, dir, token: format!("t{number}"), env: Vec::new(), options: Vec::new() };
        world.settings("");
        Some(world)
    }

    /// Writes the settings: the usual ones, then `more` (TOML; keys first go to `[job]`).
    pub(crate) fn settings(&self, more: &str) {
        let registry = &self.parts.registry;
        let text = format!(
            "[job]\nhelper_image = \"{registry}/helper:1\"\npull_policy = [\"if-not-present\"]\n\
             allowed_pull_policies = [\"always\", \"if-not-present\", \"never\"]\n{more}\n"
        );
        self.write_settings(&text);
    }

    /// Returns the image of that name in the open registry, such as `image("job/busybox")`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}:1", self.parts.registry)
    }

    /// Describes a job with an image, a number and a runner of its own, and short waits.
    pub(crate) fn job(&self) -> JobDescription {
        let mut job = JobDescription::new(unique()).image(self.image("job/busybox"));
        job.short_token = self.token.clone();
        job.timeouts = Timeouts {
            job: Duration::from_secs(240),
            graceful_kill: Duration::from_secs(60),
            prepare_retry: Duration::from_millis(10),
            stage_retry: Duration::from_millis(10),
            ..job.timeouts
        };
        job
    }

    /// Makes the runner that drives the built driver.
    pub(crate) fn runner(&self) -> StandIn {
        let mut options: Vec<OsString> =
            vec!["--config".into(), self.dir.join("config.toml").into_os_string()];
        options.extend(self.options.iter().cloned());
        let driver = DriverCommand::new(env!("CARGO_BIN_EXE_hearth"), &options);
        let mut env: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("HOME".into(), self.dir.clone().into_os_string()),
        ];
        env.extend(self.env.iter().cloned());
        StandIn::new(driver, env, self.dir.clone())
    }

    /// Runs a job; nothing of it may be left.
    pub(crate) async fn run(&self, job: &JobDescription) -> Ran {
        self.run_with(&self.runner(), job).await
    }

    /// Runs a job by a runner that makes trouble; nothing of the job may be left.
    pub(crate) async fn run_with(&self, runner: &StandIn, job: &JobDescription) -> Ran {
        let mut transcript = Transcript::default();
        let report = runner.run(job, &mut transcript).await;
        let ran = Ran { report, log: transcript.text(), bytes: transcript.log };
        let left = self.left(job);
        assert!(left.is_empty(), "job {} left {left:?}\n{}", job.id, ran.log);
        ran
    }

    /// Lists what exists of a job: containers, networks, temporary volumes, directories of attempts.
    pub(crate) fn left(&self, job: &JobDescription) -> Vec<String> {
        let key = format!("-job-{}", job.id);
        let mut left: Vec<String> = Vec::new();
        for list in [
            &["ps", "-a", "--format", "{{.Names}}"][..],
            &["network", "ls", "--format", "{{.Name}}"],
            &["volume", "ls", "--format", "{{.Name}}"],
        ] {
            left.extend(docker(list).lines().filter(|name| name.contains(&key)).map(str::to_owned));
        }
        left
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed may have left more than volumes.
        let name = format!("name=hearth-{}-", self.token);
        for container in docker(&["ps", "-aq", "--filter", &name]).lines() {
            docker(&["rm", "-f", "-v", container]);
        }
        for network in docker(&["network", "ls", "-q", "--filter", &name]).lines() {
            docker(&["network", "rm", network]);
        }
        let volumes = docker(&["volume", "ls", "-q", "--filter", &format!("name=hearth-{}-", self.token)]);
        for volume in volumes.lines() {
            docker(&["volume", "rm", "-f", volume]);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A job that was run.
pub(crate) struct Ran {
    /// What the stand-in saw.
    pub(crate) report: JobReport,
    /// The job log as text.
    pub(crate) log: String,
    /// The job log as it came.
    pub(crate) bytes: Vec<u8>,
}

impl Ran {
    /// Asserts that the job succeeded.
    pub(crate) fn succeeded(&self) -> &Self {
        assert!(self.report.succeeded(), "{:?}\n{}", self.report.outcome, self.log);
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

/// Runs the docker command line, and returns what it prints.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("the docker command line");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a future on a runtime of its own, as the driver does.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Writes a file of the test's directory.
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file of the test");
}
