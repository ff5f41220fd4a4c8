//! What surrounds a stage on its host, beside the engine: registries, facts, and the processes it belongs to.

use std::path::{Path, PathBuf};

use crate::evict::Disks;
use crate::fetch::Online;
use crate::fetch::flight::Departure;
use crate::host::{self, Host, Who};
use crate::joblog::JobLog;
use crate::registry::{Proxies, RegistrySettings};
use crate::settings::Settings;
use crate::store::{Store, StorePlace};

/// The surroundings of a prepare.
pub struct Around<R> {
    /// The directory of the operator's `config.json`.
    pub operator_dir: Option<PathBuf>,
    /// The registries.
    pub registries: R,
    /// The facts.
    pub store: Store,
    /// This process and those around it.
    pub who: Who,
    /// How the disk of a directory is measured.
    pub disk: Disks,
    /// The wish that this process ends.
    pub departure: Departure,
}

/// Opens the store; what is wrong with it is said once, and the job goes on without.
pub fn open_store(host: &Host, settings: &Settings, log: &JobLog) -> Store {
    let Some(place) = store_place(host, settings) else { return Store::void() };
    let (store, trouble) = Store::open(&place, host::now());
    if let Some(trouble) = trouble {
        log.warn(format!("WARNING: {trouble}"));
    }
    store
}

/// Chooses where facts are kept. `None`: there is no place for them.
pub fn store_place(host: &Host, settings: &Settings) -> Option<StorePlace> {
    StorePlace::choose(
        settings.store.dir.as_deref(),
        host::is_root(),
        host.var("XDG_STATE_HOME").map(Path::new),
        host.var("HOME").map(Path::new),
    )
}

/// Makes a way to the registries.
pub fn registries(host: &Host, settings: &Settings) -> Online {
    let read = |name: &str| host.var(name).and_then(|value| value.to_str()).map(str::to_owned);
    Online::new(RegistrySettings {
        ca_files: settings.registry.ca_files.clone(),
        timeout: settings.registry.timeout,
        proxies: Proxies::read(read),
        ..RegistrySettings::default()
    })
}
