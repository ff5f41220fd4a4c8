//! What an engine says of itself and of the registries it pulls from.

use bollard::models::SystemInfo;

/// How an engine keeps its images: that decides what a digest means on it, and what a pull that was cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// Docker's own store: the ID is the digest of the configuration, layers of a pull that was cut go with it.
    DockerClassic,
    /// Docker with containerd's store: the ID is the digest of the index or manifest, finished blobs outlive a cut.
    Containerd,
    /// Podman's store: the ID is the digest of the configuration, finished layers outlive a cut.
    Podman,
}

/// Registries that the engine talks to without TLS, or without looking at certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InsecureRegistries {
    /// Hosts, with their port where one was written.
    pub hosts: Vec<String>,
    /// Ranges of addresses, such as `127.0.0.0/8`: a registry counts whose address lies in one.
    pub cidrs: Vec<String>,
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// How it keeps images.
    pub store: StoreKind,
    /// Its storage driver, such as `overlay2`.
    pub storage_driver: String,
    /// The directory of its store, on the engine's host; empty: it does not say.
    pub data_root: String,
    /// The registries that it takes as they are.
    pub insecure: InsecureRegistries,
    /// URLs of the mirrors that it asks before Docker Hub, in its order.
    pub mirrors: Vec<String>,
}

/// Reads the engine's answer.
pub(super) fn info(found: SystemInfo) -> EngineInfo {
    let statuses = found.driver_status.unwrap_or_default();
    let by_containerd = statuses.iter().any(|line| {
        matches!(line.as_slice(), [name, value] if name == "driver-type" && value.contains("containerd"))
    });
    // Docker names its index server always, Podman never.
    let store = if found.index_server_address.is_none_or(|address| address.is_empty()) {
        StoreKind::Podman
    } else if by_containerd {
        StoreKind::Containerd
    } else {
        StoreKind::DockerClassic
    };
    let registries = found.registry_config.unwrap_or_default();
    let indexes = registries.index_configs.unwrap_or_default();
    let mut hosts: Vec<String> = indexes
        .iter()
        .filter(|(_, index)| index.secure == Some(false))
        .map(|(host, index)| index.name.clone().filter(|name| !name.is_empty()).unwrap_or(host.clone()))
        .collect();
    hosts.sort_unstable();
    let hub = indexes.get("docker.io").and_then(|index| index.mirrors.clone());
    EngineInfo {
        store,
        storage_driver: found.driver.unwrap_or_default(),
        data_root: found.docker_root_dir.unwrap_or_default(),
        insecure: InsecureRegistries { hosts, cidrs: registries.insecure_registry_cidrs.unwrap_or_default() },
        mirrors: registries.mirrors.filter(|list| !list.is_empty()).or(hub).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::{EngineInfo, InsecureRegistries, StoreKind, info};

    fn read(json: &str) -> EngineInfo {
        info(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn dockers_own_store_with_registries_and_mirrors() {
        let found = read(
            r#"{"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]], "DockerRootDir": "/var/lib/docker",
            "IndexServerAddress": "https://index.docker.io/v1/",
            "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "Mirrors": ["http://mirror.lan:5000/"],
            "IndexConfigs": {"docker.io": {"Name": "docker.io", "Mirrors": ["http://mirror.lan:5000/"], "Secure": true},
            "old.lan": {"Name": "old.lan", "Mirrors": [], "Secure": false}}}}"#,
        );
        let insecure =
            InsecureRegistries { hosts: vec!["old.lan".to_owned()], cidrs: vec!["127.0.0.0/8".to_owned()] };
        assert_eq!(
            found,
            EngineInfo {
                store: StoreKind::DockerClassic,
                storage_driver: "overlay2".to_owned(),
                data_root: "/var/lib/docker".to_owned(),
                insecure,
                mirrors: vec!["http://mirror.lan:5000/".to_owned()],
            }
        );
    }

    #[test]
    fn containerds_store_is_told_by_its_driver_type() {
        let found = read(
            r#"{"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
            "IndexServerAddress": "https://index.docker.io/v1/", "RegistryConfig": {}}"#,
        );
        assert_eq!((found.store, found.mirrors), (StoreKind::Containerd, Vec::new()));
    }

    #[test]
    fn podman_names_no_index_server() {
        let found = read(
            r#"{"Driver": "overlay", "DriverStatus": [["Supports d_type", "true"]], "IndexServerAddress": "",
            "RegistryConfig": {"InsecureRegistryCIDRs": [], "Mirrors": [], "IndexConfigs":
            {"127.0.0.1:5501": {"Name": "127.0.0.1:5501", "Mirrors": [], "Secure": false, "Official": false}}}}"#,
        );
        assert_eq!(
            (found.store, found.insecure.hosts),
            (StoreKind::Podman, vec!["127.0.0.1:5501".to_owned()])
        );
    }
}
