//! What bytes cost: sizes of layers, and the seconds that pulling them takes.

use std::ops::{AddAssign, SubAssign};

/// The size of layers: what the registry sends and what lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Bytes that the registry sends.
    pub compressed: u64,
    /// Bytes on disk.
    pub unpacked: u64,
    /// Files and directories on disk; 0 where that is not known.
    pub inodes: u64,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.compressed = self.compressed.saturating_add(other.compressed);
        self.unpacked = self.unpacked.saturating_add(other.unpacked);
        self.inodes = self.inodes.saturating_add(other.inodes);
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.compressed = self.compressed.saturating_sub(other.compressed);
        self.unpacked = self.unpacked.saturating_sub(other.unpacked);
        self.inodes = self.inodes.saturating_sub(other.inodes);
    }
}

/// The seconds model of a pull. The default is only a start: the host measures its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Seconds for login, manifest and configuration, whatever the size.
    pub overhead_seconds: f64,
    /// Compressed bytes a second from this image's registry.
    pub download_bytes_per_second: f64,
    /// Unpacked bytes a second onto this host's disk.
    pub unpack_bytes_per_second: f64,
}

impl Default for Cost {
    /// Returns a board behind a 20 Mbit/s line with an SD card.
    fn default() -> Self {
        Self { overhead_seconds: 1.5, download_bytes_per_second: 2.5e6, unpack_bytes_per_second: 15e6 }
    }
}

impl Cost {
    /// Returns the seconds for layers of this size, without the overhead.
    pub fn layer_seconds(&self, size: Size) -> f64 {
        size.compressed as f64 / self.download_bytes_per_second.max(1.0)
            + size.unpacked as f64 / self.unpack_bytes_per_second.max(1.0)
    }

    /// Returns the seconds for a pull that is missing layers of this size.
    pub fn pull_seconds(&self, missing: Size) -> f64 {
        self.overhead_seconds + self.layer_seconds(missing)
    }
}
