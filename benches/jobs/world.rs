//! What jobs are measured in: settings, sources, a server, and a name of its own by which everything is found again.

use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hearth::engine::endpoint;
use hearth::host::Host;
use hearth::runner::{
    CallReport, Cancel, Canceller, DriverCommand, Events, HttpServer, JobDescription, JobReport, Repository,
    Served, StandIn,
};
use hearth::secret::Secret;
use hearth::settings::{self, Settings};
use tokio::signal::unix::{SignalKind, signal};

use crate::Result;
use crate::args::Args;
use crate::ground::{self, docker, reachable_address};
use crate::shell;
use crate::work::{Extras, Work};

/// The world of one run of this program.
pub(crate) struct World {
    /// The driver that is measured.
    pub driver: PathBuf,
    /// The runner's short token: part of the name of everything that is made.
    pub token: String,
    /// The token of all jobs.
    pub job_token: Secret,
    /// The settings, as the driver reads them.
    pub settings: Settings,
    /// Sources and artifacts.
    pub server: HttpServer,
    /// The commit that jobs check out.
    pub commit: String,
    /// The engine's endpoint.
    pub endpoint: String,
    /// This program.
    pub exe: PathBuf,
    /// The directory of everything that is no container, network or volume.
    pub dir: PathBuf,
    registry: String,
    env: Vec<(OsString, OsString)>,
    logs: bool,
    number: Cell<u64>,
    earlier: Cell<Option<(u64, u64)>>,
    canceller: Canceller,
}

impl World {
    /// Makes a world.
    pub(crate) async fn new(host: &Host, args: &Args) -> Result<Self> {
        let registry = host
            .var("HEARTH_TEST_REGISTRY")
            .and_then(OsStr::to_str)
            .ok_or("no registry with the tests' images was named; `make bench` brings one up")?
            .to_owned();
        let pid = std::process::id();
        let token = format!("bench{pid}");
        let root = host.var("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let dir = root.join(format!("hearth-{token}"));
        std::fs::create_dir_all(&dir)?;
        let made = Self::within(host, args, registry, token, &dir).await;
        if made.is_err() {
            std::fs::remove_dir_all(&dir)?;
        }
        made
    }

    async fn within(host: &Host, args: &Args, registry: String, token: String, dir: &Path) -> Result<Self> {
        let config = dir.join("config.toml");
        std::fs::write(
            &config,
            format!(
                "[store]\ndir = {:?}\n[job]\nhelper_image = \"{registry}/helper:1\"\n\
                 pull_policy = [\"if-not-present\"]\n\
                 allowed_pull_policies = [\"always\", \"if-not-present\"]\n",
                dir.join("store")
            ),
        )?;
        let sources = settings::Sources::new(Some(config), None, None);
        let env: Vec<(OsString, OsString)> = ["PATH", "DOCKER_HOST"]
            .iter()
            .filter_map(|name| Some((OsString::from(name), host.var(name)?.to_owned())))
            .chain([(OsString::from("HOME"), dir.into())])
            .collect();
        let (repository, commit) = sources_of_jobs(dir, &env)?;
        let job_token = Secret::new(format!("glcbt-{token}"));
        let served = Served { repository: Some(repository), tokens: vec![job_token.clone()] };
        let driver = args
            .driver
            .clone()
            .unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hearth")))
            .canonicalize()?;
        shell::install(dir, &format!("{registry}/helper:1"))?;
        Ok(Self {
            driver,
            job_token,
            settings: settings::load(&sources, None)?.settings,
            server: HttpServer::start(reachable_address()?, served).await?,
            commit,
            endpoint: endpoint(None, host.var("DOCKER_HOST").and_then(OsStr::to_str)),
            exe: host.exe.clone(),
            dir: dir.to_owned(),
            registry,
            env,
            logs: args.logs,
            number: Cell::new(u64::from(std::process::id()) * 100_000),
            earlier: Cell::new(None),
            canceller: Canceller::new(),
            token,
        })
    }

    /// Ends the running job on a signal; its own cleanup and the sweep still run.
    pub(crate) fn watch_signals(&self) {
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let canceller = self.canceller.clone();
            if let Ok(mut signals) = signal(kind) {
                tokio::spawn(async move {
                    signals.recv().await;
                    canceller.cancel(Cancel::Hard);
                });
            }
        }
    }

    /// Runs every contender once, so that images, volumes and caches are there, and keeps an earlier job's artifacts.
    pub(crate) async fn warm_up(&self) -> Result<()> {
        for reference in [self.image("helper"), self.image("job/busybox"), self.image("job/web")] {
            if docker(&["image", "inspect", &reference]).is_err() {
                docker(&["pull", "-q", &reference])?;
            }
        }
        let earlier = Work::NineStages.job(self, Extras::default());
        self.run(&self.runner(self.hearth(), &[]), &earlier, &mut Quiet::default()).await?;
        let archive =
            self.server.artifacts(earlier.id).ok_or("the earlier job's artifacts did not arrive")?;
        self.earlier.set(Some((earlier.id, archive.len() as u64)));
        Ok(())
    }

    /// Returns the earlier job whose artifacts may be downloaded, and their size; `None` before there is one.
    pub(crate) fn earlier(&self) -> Option<(u64, u64)> {
        self.earlier.get()
    }

    /// Returns the image of that name, such as `job/busybox`.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}:1", self.registry)
    }

    /// Returns a job number that was not used before.
    pub(crate) fn next_number(&self) -> u64 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    /// Returns how hearth is called.
    pub(crate) fn hearth(&self) -> DriverCommand {
        DriverCommand::new(&self.driver, &self.options())
    }

    /// Returns the options that hearth gets in each stage.
    pub(crate) fn options(&self) -> [OsString; 2] {
        ["--config".into(), self.dir.join("config.toml").into_os_string()]
    }

    /// Returns the environment of driver calls, with some variables replaced.
    pub(crate) fn env(&self, more: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        let replaced = |name: &OsString| more.iter().any(|(other, _)| other == name);
        self.env.iter().filter(|(name, _)| !replaced(name)).chain(more).cloned().collect()
    }

    /// Makes a runner that calls a driver.
    pub(crate) fn runner(&self, driver: DriverCommand, env: &[(OsString, OsString)]) -> StandIn {
        StandIn::new(driver, self.env(env), &self.dir).canceller(self.canceller.clone())
    }

    /// Runs a job, which has to succeed.
    pub(crate) async fn run(
        &self,
        runner: &StandIn,
        job: &JobDescription,
        events: &mut dyn Noisy,
    ) -> Result<JobReport> {
        let report = runner.run(job, events).await;
        self.go_on()?;
        if report.succeeded() {
            return Ok(report);
        }
        let mut text = format!("job {} did not succeed: {:?}", job.id, report.outcome);
        if self.logs {
            write!(text, "\n{}", events.text())?;
        } else {
            text.push_str(" (--logs shows its log)");
        }
        Err(text.into())
    }

    /// Fails where a signal asked for the end.
    pub(crate) fn go_on(&self) -> Result<()> {
        match self.canceller.level() {
            Cancel::No => Ok(()),
            Cancel::Graceful | Cancel::Hard => Err("interrupted".into()),
        }
    }

    /// Removes everything that carries this run's token.
    pub(crate) fn sweep(&self, well: bool) {
        ground::sweep(&self.token, well);
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("bench: {} was not removed: {error}", self.dir.display());
        }
    }
}

/// Events that keep the job's log for the case that it fails.
pub(crate) trait Noisy: Events {
    /// Returns the log.
    fn text(&self) -> String;
}

/// Keeps the log and does nothing else.
#[derive(Default)]
pub(crate) struct Quiet {
    log: RefCell<Vec<u8>>,
}

impl Events for Quiet {
    fn log(&mut self, bytes: &[u8]) {
        self.log.get_mut().extend_from_slice(bytes);
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.log(bytes);
    }

    fn call_ends(&mut self, _call: &CallReport) {}
}

impl Noisy for Quiet {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.log.borrow()).into_owned()
    }
}

/// Makes a repository with one commit of a few files.
fn sources_of_jobs(dir: &Path, env: &[(OsString, OsString)]) -> Result<(Repository, String)> {
    let text = "what a source file says\n".repeat(200);
    let names: Vec<String> = (0..20).map(|number| format!("src/file{number}.txt")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text.as_str())).collect();
    ground::sources(&dir.join("sources"), env, &files)
}
