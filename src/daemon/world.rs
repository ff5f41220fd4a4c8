//! What the daemon is given by its host, as values: a test gives it others.

use std::path::PathBuf;

use crate::engine::{Docker, Engine, endpoint};
use crate::evict::{self, Room, Site};
use crate::host::{self, Host};
use crate::moment::{Liveness, Moment, Process};
use crate::outcome::Failure;
use crate::settings::{self, Settings, Sources};
use crate::stage::around;
use crate::store::StorePlace;

/// The daemon's surroundings.
pub trait World {
    /// The kind of engine.
    type Engine: Engine;

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

    /// Returns where facts are kept; `None`: there is no place for them.
    fn store(&self, settings: &Settings) -> Option<StorePlace>;

    /// Returns the time on all clocks.
    fn moment(&self) -> Moment;

    /// Returns whether a time server has set the clock since boot; `None`: the system does not say.
    fn clock_is_set(&self) -> Option<bool>;

    /// Returns how much of the disk of the images is free; `None`: it cannot be seen from here.
    fn measure(&self, site: &Site) -> Option<Room> {
        site.measure(&evict::disk)
    }

    /// Returns what is known of a process.
    fn liveness(&self, process: Process) -> Liveness;

    /// Returns the daemon's own process.
    fn process(&self) -> Process;
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

    fn store(&self, settings: &Settings) -> Option<StorePlace> {
        around::store_place(self.host, settings)
    }

    fn moment(&self) -> Moment {
        host::moment()
    }

    fn clock_is_set(&self) -> Option<bool> {
        host::clock_is_set()
    }

    fn liveness(&self, process: Process) -> Liveness {
        host::liveness(process)
    }

    fn process(&self) -> Process {
        let pid = std::process::id();
        host::process(pid).unwrap_or(Process { pid, ..Process::default() })
    }
}
