//! What the daemon is given by its host, as values: a test gives it others.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::engine::{Docker, Engine, endpoint};
use crate::evict::{self, Disks, Room};
use crate::fetch::{self, Online, Registries};
use crate::host::{self, Host, Who};
use crate::moment::{Liveness, Moment, Process};
use crate::outcome::Failure;
use crate::policy::LocalTime;
use crate::settings::{self, Settings, Sources};
use crate::stage::around;
use crate::store::StorePlace;

/// How long the system's time service may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Up for so long, a host is believed anyway: see [`crate::policy::clock`].
const LONG_UP: Duration = Duration::from_secs(3600);
/// How long the choice of a rule may take.
const LONGEST_CHOICE: Duration = Duration::from_secs(3600);

/// The daemon's surroundings.
#[expect(async_fn_in_trait, reason = "hearth runs on one thread; no future has to be Send")]
pub trait World {
    /// The kind of engine.
    type Engine: Engine;
    /// Who answers questions about manifests.
    type Registries: Registries;

    /// Reads the settings.
    ///
    /// # Errors
    /// They are wrong, or cannot be read.
    fn settings(&self) -> Result<Settings, Failure>;

    /// Makes a new way to the engine; nothing is sent yet.
    ///
    /// # Errors
    /// The engine's address is none.
    fn engine(&self, settings: &Settings) -> Result<Self::Engine, Failure>;

    /// Makes a new way to the registries; nothing is set up yet.
    fn registries(&self, settings: &Settings) -> Self::Registries;

    /// Returns the directory of the operator's `config.json`; `None`: there is none.
    fn operator_dir(&self, settings: &Settings) -> Option<PathBuf>;

    /// Returns where facts are kept; `None`: there is no place for them.
    fn store(&self, settings: &Settings) -> Option<StorePlace>;

    /// Returns the time on all clocks.
    fn moment(&self) -> Moment;

    /// Returns whether a time server has set the clock since boot; `None`: the system does not say.
    async fn clock_is_set(&self) -> Option<bool>;

    /// Returns a time as the clocks on this host's wall show it.
    fn local_time(&self, at: Duration) -> LocalTime {
        host::local_time(at)
    }

    /// Returns when the calendar month of a time began on this host's wall.
    fn month_began(&self, at: Duration) -> Duration {
        host::month_began(at)
    }

    /// Measures a directory's disk; `None`: the directory cannot be seen.
    fn disk(&self, dir: &Path) -> Option<Room> {
        evict::disk(dir)
    }

    /// Returns what measures disks, for as long as it is needed.
    fn disks(&self) -> Disks {
        Rc::new(evict::disk)
    }

    /// Begins to choose the rule that images are ranked by, in a process of its own: see [`super::choice`].
    fn choose_rule(&self);

    /// Returns what is known of a process.
    fn liveness(&self, process: Process) -> Liveness;

    /// Returns the daemon's own process.
    fn process(&self) -> Process;

    /// Returns the daemon's own process and how it sees others, for as long as it is needed.
    fn who(&self) -> Who;
}

/// The real surroundings.
pub struct OnHost<'a> {
    /// What the process was given.
    pub host: &'a Host,
    /// The settings file that was named.
    pub config: Option<PathBuf>,
}

impl World for OnHost<'_> {
    type Engine = Docker;
    type Registries = Online;

    fn settings(&self) -> Result<Settings, Failure> {
        let Self { host, config } = self;
        let sources = Sources::new(config.clone(), host.var("XDG_CONFIG_HOME"), host.var("HOME"));
        Ok(settings::load(&sources, None)?.settings)
    }

    fn engine(&self, settings: &Settings) -> Result<Docker, Failure> {
        let variable = self.host.var("DOCKER_HOST").and_then(|value| value.to_str());
        let endpoint = endpoint(settings.engine.host.as_deref(), variable);
        Ok(Docker::new(&endpoint, settings.engine.timeout, None)?)
    }

    fn registries(&self, settings: &Settings) -> Online {
        around::registries(self.host, settings)
    }

    fn operator_dir(&self, settings: &Settings) -> Option<PathBuf> {
        let path = |name: &str| self.host.var(name).map(Path::new);
        fetch::operator_dir(settings.pull.docker_config_dir.as_deref(), path("DOCKER_CONFIG"), path("HOME"))
    }

    fn store(&self, settings: &Settings) -> Option<StorePlace> {
        around::store_place(self.host, settings)
    }

    fn moment(&self) -> Moment {
        host::moment()
    }

    async fn clock_is_set(&self) -> Option<bool> {
        if let Some(known) = host::clock_is_set() {
            return Some(known);
        }
        // Other clients than systemd's own leave no file. The kernel knows, and this asks it; it takes a moment, so it is
        // asked only while it makes a difference.
        if host::moment().boot >= LONG_UP {
            return None;
        }
        let mut ask = Command::new("timedatectl");
        ask.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null()).kill_on_drop(true);
        let answer = timeout(PATIENCE, ask.output()).await.ok()?.ok()?;
        match answer.stdout.trim_ascii() {
            b"yes" => Some(true),
            b"no" => Some(false),
            _ => None,
        }
    }

    fn choose_rule(&self) {
        let mut command = Command::new(&self.host.exe);
        command.args(["daemon", "--choose-rule"]);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        // It writes down what it finds, and says what is wrong by itself.
        if let Ok(mut child) = command.spawn() {
            tokio::spawn(async move { timeout(LONGEST_CHOICE, child.wait()).await });
        }
    }

    fn liveness(&self, process: Process) -> Liveness {
        host::liveness(process)
    }

    fn process(&self) -> Process {
        let pid = std::process::id();
        host::process(pid).unwrap_or(Process { pid, ..Process::default() })
    }

    fn who(&self) -> Who {
        // What the daemon does belongs to no runner: it vouches for itself.
        Who::new(self.process(), self.process(), host::moment, host::liveness)
    }
}
