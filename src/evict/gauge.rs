//! The disk that images lie on: where it is, and how much of it is free.

use std::path::{Path, PathBuf};

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
    pub fn find(info: &EngineInfo, endpoint: &str, setting: Option<&Path>) -> Self {
        if let Some(dir) = setting {
            return Self::Here(dir.to_owned());
        }
        let local = endpoint.starts_with("unix:") || endpoint.starts_with('/');
        let candidates = candidates(info);
        // Without the right to see a directory it counts as missing; the ones after it are on the same disk as a rule.
        let found = candidates.into_iter().find(|dir| statvfs(dir.as_path()).is_ok());
        found.filter(|_| local).map_or(Self::Elsewhere, Self::Here)
    }

    /// Measures, with one system call; `None`: it cannot be seen from here.
    pub fn measure(&self) -> Option<Room> {
        let Self::Here(dir) = self else { return None };
        let found = statvfs(dir.as_path()).ok()?;
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
}

/// The directories that may be it, the likeliest first.
fn candidates(info: &EngineInfo) -> Vec<PathBuf> {
    let root = PathBuf::from(&info.data_root);
    match info.store {
        // A directory that is not here says that nothing of that engine is.
        _ if info.data_root.is_empty() || statvfs(root.as_path()).is_err() => Vec::new(),
        StoreKind::DockerClassic | StoreKind::Podman => vec![root],
        // An engine that started its own containerd keeps it below its own directory.
        StoreKind::Containerd => vec![root.join("containerd/daemon"), PathBuf::from(CONTAINERD), root],
    }
}
