//! What the pipeline runs in: the link, the images, the sources, settings of each case, and a name of its own by which
//! everything is found again.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use hearth::engine::endpoint;
use hearth::host::Host;
use hearth::runner::{Cancel, Canceller, DriverCommand, HttpServer, Served, StandIn};
use hearth::secret::Secret;
use nix::fcntl::{Flock, FlockArg};
use tokio::signal::unix::{SignalKind, signal};

use crate::Result;
use crate::args::Args;
use crate::ground::{self, docker, reachable_address};
use crate::link::Link;
use crate::shelf::{self, Shelf};
use crate::story::Story;

/// The world of one run of this program.
pub(crate) struct World {
    /// The driver that is measured.
    pub driver: PathBuf,
    /// The way to the registry.
    pub link: Link,
    /// The images in it.
    pub shelf: Shelf,
    /// The pipeline.
    pub story: Story,
    /// The runner's short token: part of the name of everything that is made.
    pub token: String,
    /// The token of all jobs.
    pub job_token: Secret,
    /// The sources.
    pub server: HttpServer,
    /// The commit that jobs check out.
    pub commit: String,
    /// The environment of driver and daemon.
    pub env: Vec<(OsString, OsString)>,
    /// The directory of everything that is no container, network, volume or image.
    pub dir: PathBuf,
    /// What the driver's settings say in each case.
    common: String,
    helper: String,
    number: Cell<u64>,
    canceller: Canceller,
    /// All runs on one engine have the same images: only one at a time.
    _alone: Flock<File>,
}

impl World {
    /// Makes a world.
    pub(crate) async fn new(host: &Host, args: &Args) -> Result<Self> {
        let token = format!("cold{}", std::process::id());
        let root = host.var("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let alone = File::create(root.join("hearth-bench-cold.lock"))?;
        let alone = Flock::lock(alone, FlockArg::LockExclusiveNonblock)
            .map_err(|_| "another run of this program measures on this host")?;
        let dir = root.join(format!("hearth-{token}"));
        std::fs::create_dir_all(&dir)?;
        let made = Self::within(host, args, token, &dir, alone).await;
        if made.is_err() {
            std::fs::remove_dir_all(&dir)?;
        }
        made
    }

    async fn within(host: &Host, args: &Args, token: String, dir: &Path, alone: Flock<File>) -> Result<Self> {
        let var = |name: &str| {
            host.var(name).and_then(OsStr::to_str).map(str::to_owned).ok_or_else(|| {
                format!(
                    "{name} is not set; `make bench-cold` brings up a registry and all else that is needed"
                )
            })
        };
        let registry = var("HEARTH_TEST_REGISTRY")?;
        let helper = format!("{registry}/helper:1");
        let endpoint = endpoint(None, host.var("DOCKER_HOST").and_then(OsStr::to_str));
        let socket = endpoint
            .strip_prefix("unix://")
            .ok_or("jobs build images over the engine's socket: it has to be one of this machine")?;
        let client = client(&var("PATH")?)?;
        let link = Link::to(&registry)?;
        let front = link.address.to_string();
        let shelf = Shelf::fill(&registry, &front, Path::new(&var("HEARTH_TEST_BUSYBOX")?), args.scale)?;
        let story = Story::new(&shelf, &front, args.scale);
        let env: Vec<(OsString, OsString)> = ["PATH", "DOCKER_HOST"]
            .iter()
            .filter_map(|name| Some((OsString::from(name), host.var(name)?.to_owned())))
            .chain([(OsString::from("HOME"), dir.into())])
            .collect();
        let files: Vec<(&str, &str)> =
            story.files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let (repository, commit) = ground::sources(&dir.join("sources"), &env, &files)?;
        let job_token = Secret::new(format!("glcbt-{token}"));
        let served = Served { repository: Some(repository), tokens: vec![job_token.clone()] };
        let driver = args.driver.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hearth")));
        Ok(Self {
            driver: driver.canonicalize()?,
            common: format!(
                "[cache]\nevict = false\n\
                 [job]\nhelper_image = \"{helper}\"\nnetwork_mode = \"host\"\n\
                 volumes = [\"/cache\", \"{socket}:/var/run/docker.sock\", \"{}:/usr/local/bin/docker:ro\"]\n",
                client.display()
            ),
            link,
            shelf,
            story,
            job_token,
            server: HttpServer::start(reachable_address()?, served).await?,
            commit,
            env,
            dir: dir.to_owned(),
            helper,
            number: Cell::new(u64::from(std::process::id()) * 100_000),
            canceller: Canceller::new(),
            token,
            _alone: alone,
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

    /// Fails where a signal asked for the end.
    pub(crate) fn go_on(&self) -> Result<()> {
        match self.canceller.level() {
            Cancel::No => Ok(()),
            Cancel::Graceful | Cancel::Hard => Err("interrupted".into()),
        }
    }

    /// Fetches the helper image, which every host has that ever ran a job.
    pub(crate) fn fetch_helper(&self) -> Result<()> {
        docker(&["pull", "-q", &self.helper]).map(|_| ())
    }

    /// Writes settings with a store of that name, and what they have on top; returns the options by which they are found.
    pub(crate) fn options(&self, store: &str, more: &str) -> Result<[OsString; 2]> {
        let file = self.dir.join(format!("{store}.toml"));
        std::fs::write(&file, format!("[store]\ndir = {:?}\n{}{more}", self.dir.join(store), self.common))?;
        Ok(["--config".into(), file.into_os_string()])
    }

    /// Makes a runner that calls the driver with these options.
    pub(crate) fn runner(&self, options: &[OsString]) -> StandIn {
        let driver = DriverCommand::new(&self.driver, options);
        StandIn::new(driver, self.env.clone(), &self.dir).canceller(self.canceller.clone())
    }

    /// Returns a job number that was not used before.
    pub(crate) fn next_number(&self) -> u64 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    /// Removes everything that this run made on the engine, and its directory.
    pub(crate) fn sweep(&self, well: bool) {
        ground::sweep(&self.token, well);
        if let Err(error) = shelf::clear() {
            eprintln!("bench: {error}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("bench: {} was not removed: {error}", self.dir.display());
        }
    }
}

/// Finds the docker command line, which jobs get mounted: their images have nothing in them but their size.
fn client(path: &str) -> Result<PathBuf> {
    let file = std::env::split_paths(path)
        .map(|dir| dir.join("docker"))
        .find(|file| file.exists())
        .ok_or("there is no docker command")?
        .canonicalize()?;
    let binary = std::fs::read(&file)?;
    let dynamic = binary[..binary.len().min(4096)].windows(7).any(|bytes| bytes == b"/ld-lin");
    if dynamic || !binary.starts_with(b"\x7fELF") {
        return Err(format!("{} is not static: it would not run in a job's image", file.display()).into());
    }
    Ok(file)
}
