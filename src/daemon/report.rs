//! What the daemon did last, for `hearth status`: one small file beside the store.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::prefetch::Planned;
use crate::store::StorePlace;

const FILE: &str = "daemon.json";

/// What the daemon did last. Whether it lives says its [`lock`](super::lock) alone. Times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub since: u64,
    /// The engine that it looks after, and whether it answers.
    pub engine: EngineReport,
    /// Why nothing is removed for its age at present; `None`: the clock is believed.
    pub clock: Option<String>,
    /// The disk of the engine's images; `None`: it cannot be seen from here, or was not looked at yet.
    pub disk: Option<DiskReport>,
    /// The last round; `None`: there was none yet.
    pub last_round: Option<RoundReport>,
    /// What all rounds did.
    pub total: Done,
    /// What is brought ahead of jobs.
    pub prefetch: PrefetchReport,
    /// What went wrong last.
    pub last_error: Option<Said>,
    /// When the next round comes at the latest; `None`: the daemon ends.
    pub next_round: Option<u64>,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineReport {
    /// Its address.
    pub endpoint: String,
    /// Whether it answered last.
    pub answers: bool,
    /// Since when that is so.
    pub since: u64,
}

/// How full a disk is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskReport {
    /// The directory that was looked at.
    pub path: PathBuf,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Inodes in all; 0: this file system has no such limit.
    pub inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// What is brought ahead of jobs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PrefetchReport {
    /// What is being brought; `None`: nothing.
    pub now: Option<Fetching>,
    /// What would come next, the best first, and what it waits for.
    pub next: Vec<Planned>,
    /// Tags in use that only jobs can read: whether they moved is not looked up.
    pub jobs_only: Vec<String>,
    /// How many tags are looked up.
    pub polled: u64,
    /// When one was looked up last; `None`: none was yet.
    pub polled_at: Option<u64>,
    /// Compressed bytes that were brought ahead in this calendar month.
    pub month_bytes: u64,
    /// What was brought last, or why it did not come.
    pub last: Option<Said>,
}

/// An image on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Fetching {
    /// The full reference.
    pub name: String,
    /// Who wants it, as [`Planned::source`].
    pub source: String,
    /// Why, in a few words.
    pub why: String,
    /// Since when it comes.
    pub since: u64,
    /// Compressed bytes that are to come; `None`: not known.
    pub bytes: Option<u64>,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RoundReport {
    /// When it ended.
    pub at: u64,
    /// What made it due.
    pub why: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What it did.
    pub done: Done,
    /// What it could not do, a sentence each.
    pub problems: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// Containers of dead jobs that were removed.
    pub containers: u64,
    /// Networks of dead jobs that were removed.
    pub networks: u64,
    /// Temporary volumes of dead jobs that were removed.
    pub volumes: u64,
    /// Images that were evicted.
    pub images: u64,
    /// Bytes that came free by that.
    pub freed_bytes: u64,
}

impl Done {
    /// Adds what was done besides.
    pub fn add(&mut self, other: Self) {
        self.containers += other.containers;
        self.networks += other.networks;
        self.volumes += other.volumes;
        self.images += other.images;
        self.freed_bytes += other.freed_bytes;
    }

    /// Returns how many objects of dead jobs were removed.
    pub fn reaped(&self) -> u64 {
        self.containers + self.networks + self.volumes
    }
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    /// When.
    pub at: u64,
    /// What.
    pub words: String,
}

impl Said {
    /// Something that is said now.
    pub fn new(now: Duration, words: impl Into<String>) -> Self {
        Self { at: now.as_secs(), words: words.into() }
    }
}

impl Report {
    /// Writes it down in one step: nobody reads half of it.
    ///
    /// # Errors
    /// The store's directory cannot be written.
    pub fn write(&self, place: &StorePlace) -> io::Result<()> {
        let path = place.directory.join(FILE);
        let new = place.directory.join(format!("{FILE}.new"));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(place.sharing.file_mode())
            .open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(new, path)
    }

    /// Reads what a daemon wrote down; `None`: nothing is there that can be read.
    pub fn read(place: &StorePlace) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(place.directory.join(FILE)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Said};
    use crate::store::{Sharing, StorePlace};
    use std::time::Duration;

    #[test]
    fn what_is_written_is_read_also_by_other_versions() {
        let dir = std::env::temp_dir().join(format!("hearth-report-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let place = StorePlace::new(&dir, Sharing::Owner);
        assert_eq!(Report::read(&place), None);
        let said = Some(Said::new(Duration::from_secs(9), "the engine is gone"));
        let report = Report { pid: 7, last_error: said, ..Report::default() };
        report.write(&place).unwrap();
        assert_eq!(Report::read(&place), Some(report));
        std::fs::write(dir.join("daemon.json"), "{\"pid\":8,\"of a later version\":true}").unwrap();
        assert_eq!(Report::read(&place).map(|report| report.pid), Some(8));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
