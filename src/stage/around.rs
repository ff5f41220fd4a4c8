//! What surrounds a stage on its host, beside the engine: registries, facts, and the processes it belongs to.

use std::path::{Path, PathBuf};

use crate::fetch::Online;
use crate::fetch::flight::Departure;
use crate::host::{self, Host};
use crate::joblog::JobLog;
use crate::registry::{Proxies, RegistrySettings};
use crate::settings::Settings;
use crate::store::{Sharing, Store, StorePlace};

/// Where root keeps the facts.
const SYSTEM_DIR: &str = "/var/lib/hearth";

/// The surroundings of a prepare.
pub struct Around<R> {
    /// The directory of the operator's `config.json`.
    pub operator_dir: Option<PathBuf>,
    /// The registries.
    pub registries: R,
    /// The facts.
    pub store: Store,
    /// The wish that this process ends.
    pub departure: Departure,
}

/// Opens the store; what is wrong with it is said once, and the job goes on without.
pub fn open_store(host: &Host, settings: &Settings, log: &JobLog) -> Store {
    let place = store_place(
        settings.store.dir.as_deref(),
        host::is_root(),
        host.var("XDG_STATE_HOME").map(Path::new),
        host.var("HOME").map(Path::new),
    );
    let Some(place) = place else { return Store::void() };
    let (store, trouble) = Store::open(&place, host::now());
    if let Some(trouble) = trouble {
        log.warn(format!("WARNING: {trouble}"));
    }
    store
}

/// Chooses where facts are kept. `None`: there is no place for them.
fn store_place(
    setting: Option<&Path>,
    is_root: bool,
    state_home: Option<&Path>,
    home: Option<&Path>,
) -> Option<StorePlace> {
    let of_user = || {
        let base = state_home.filter(|dir| dir.is_absolute()).map(Path::to_owned);
        Some(base.or_else(|| home.map(|home| home.join(".local/state")))?.join("hearth"))
    };
    match setting {
        Some(dir) => Some(StorePlace::new(dir, Sharing::Group)),
        None if is_root => Some(StorePlace::new(SYSTEM_DIR, Sharing::Group)),
        None => Some(StorePlace::new(of_user()?, Sharing::Owner)),
    }
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Sharing, store_place};

    #[test]
    fn facts_are_kept_where_the_operator_says_else_by_user() {
        let place = |setting: Option<&str>, root, state: Option<&str>, home: Option<&str>| {
            let place = store_place(setting.map(Path::new), root, state.map(Path::new), home.map(Path::new))?;
            Some((place.directory, place.sharing))
        };
        let dir = PathBuf::from;
        assert_eq!(place(Some("/x"), true, None, None), Some((dir("/x"), Sharing::Group)));
        assert_eq!(place(Some("/x"), false, None, None), Some((dir("/x"), Sharing::Group)));
        assert_eq!(place(None, true, Some("/s"), Some("/h")), Some((dir("/var/lib/hearth"), Sharing::Group)));
        assert_eq!(place(None, false, Some("/s"), Some("/h")), Some((dir("/s/hearth"), Sharing::Owner)));
        assert_eq!(
            place(None, false, Some("relative"), Some("/h")),
            Some((dir("/h/.local/state/hearth"), Sharing::Owner))
        );
        assert_eq!(place(None, false, None, None), None);
    }
}
