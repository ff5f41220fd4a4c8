//! The disk that images lie on: where it is, and how much of it is free.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sys::statvfs::statvfs;

use crate::engine::{EngineInfo, StoreKind};

/// Where system-wide containerd keeps images.
const CONTAINERD: &str = "/var/lib/containerd";

/// How much of a disk is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// All bytes that unprivileged users can ever have.
    pub bytes: u64,
    /// Bytes that they can have now.
    pub free_bytes: u64,
    /// All inodes; `None`: the file system makes them as it needs them.
    pub inodes: Option<u64>,
    /// Free inodes; `None` as above.
    pub free_inodes: Option<u64>,
}

impl Room {
    /// Returns how many bytes there are to each inode in use; `None`: the file system does not say.
    pub(super) fn bytes_per_inode(&self) -> Option<u64> {
        let used = self.inodes?.checked_sub(self.free_inodes?).filter(|used| *used > 0)?;
        Some((self.bytes.saturating_sub(self.free_bytes) / used).max(1))
    }
}

/// Where the engine keeps images, as far as it can be seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// A directory on this host.
    Here(PathBuf),
    /// In a virtual machine or on another host: only containers see that disk.
    Elsewhere,
}

impl Site {
    /// Finds the place: where the operator says; else where the engine says, if it is this host's.
    pub fn find(info: &EngineInfo, endpoint: &str, setting: Option<&Path>, disk: Disk<'_>) -> Self {
        if let Some(dir) = setting {
            return Self::Here(dir.to_owned());
        }
        let local = endpoint.starts_with("unix:") || endpoint.starts_with('/');
        // Without the right to see a directory it counts as missing; the ones after it are on the same disk as a rule.
        let found = candidates(info, disk).into_iter().find(|dir| disk(dir).is_some());
        found.filter(|_| local).map_or(Self::Elsewhere, Self::Here)
    }

    /// Measures, with one system call; `None`: it cannot be seen from here.
    pub fn measure(&self, disk: Disk<'_>) -> Option<Room> {
        match self {
            Self::Here(dir) => disk(dir),
            Self::Elsewhere => None,
        }
    }
}

/// How a directory's disk is measured; `None`: the directory cannot be seen.
pub type Disk<'a> = &'a dyn Fn(&Path) -> Option<Room>;
/// The same, for those that keep it.
pub type Disks = Rc<dyn Fn(&Path) -> Option<Room>>;

/// Measures a directory's disk by asking the system.
pub fn disk(dir: &Path) -> Option<Room> {
    let found = statvfs(dir).ok()?;
    let unit = found.fragment_size();
    let used = found.blocks().saturating_sub(found.blocks_free());
    let free = found.blocks_available();
    let inodes = Some(found.files()).filter(|files| *files > 0);
    Some(Room {
        bytes: used.saturating_add(free).saturating_mul(unit),
        free_bytes: free.saturating_mul(unit),
        inodes,
        free_inodes: inodes.map(|_| found.files_available()),
    })
}

/// The directories that may be it, the likeliest first.
fn candidates(info: &EngineInfo, disk: Disk<'_>) -> Vec<PathBuf> {
    let root = PathBuf::from(&info.data_root);
    match info.store {
        // A directory that is not here says that nothing of that engine is.
        _ if info.data_root.is_empty() || disk(&root).is_none() => Vec::new(),
        StoreKind::DockerClassic | StoreKind::Podman => vec![root],
        // An engine that started its own containerd keeps it below its own directory.
        StoreKind::Containerd => vec![root.join("containerd/daemon"), PathBuf::from(CONTAINERD), root],
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Room, Site, disk};
    use crate::engine::{EngineInfo, InsecureRegistries, StoreKind};

    fn site(store: StoreKind, endpoint: &str, setting: Option<&str>, there: &[&str]) -> Site {
        let info = EngineInfo {
            store,
            storage_driver: String::new(),
            data_root: "/data".to_owned(),
            insecure: InsecureRegistries::default(),
            mirrors: Vec::new(),
        };
        let seen = |dir: &Path| there.iter().any(|one| Path::new(one) == dir).then(Room::default);
        Site::find(&info, endpoint, setting.map(Path::new), &seen)
    }

    #[test]
    fn each_store_has_its_place() {
        let unix = "unix:///run/docker.sock";
        let here = |dir: &str| Site::Here(dir.into());
        let all = ["/data", "/data/containerd/daemon", "/var/lib/containerd"];
        assert_eq!(site(StoreKind::DockerClassic, unix, None, &all), here("/data"));
        assert_eq!(site(StoreKind::Podman, unix, None, &all), here("/data"));
        assert_eq!(site(StoreKind::Containerd, unix, None, &all), here("/data/containerd/daemon"));
        let system = ["/data", "/var/lib/containerd"];
        assert_eq!(site(StoreKind::Containerd, unix, None, &system), here("/var/lib/containerd"));
        assert_eq!(site(StoreKind::Containerd, unix, None, &["/data"]), here("/data"));
    }

    #[test]
    fn another_hosts_directories_are_not_ours() {
        assert_eq!(site(StoreKind::DockerClassic, "tcp://10.0.0.2:2375", None, &["/data"]), Site::Elsewhere);
        // The engine of a virtual machine speaks through a socket here, but its directory is not here.
        assert_eq!(site(StoreKind::Containerd, "unix:///x", None, &["/var/lib/containerd"]), Site::Elsewhere);
        let set = Site::Here("/mnt/images".into());
        assert_eq!(site(StoreKind::DockerClassic, "tcp://10.0.0.2:2375", Some("/mnt/images"), &[]), set);
    }

    #[test]
    fn a_disk_has_room_and_a_missing_directory_has_none() {
        let room = disk(Path::new("/")).unwrap();
        assert!(room.bytes > 0 && room.free_bytes <= room.bytes, "{room:?}");
        assert!(room.free_inodes <= room.inodes, "{room:?}");
        assert_eq!(disk(Path::new("/nonexistent/images")), None);
    }
}
