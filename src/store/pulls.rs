//! Pulls, and what they say about this host's link and disk.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, Result, Row, params};

use super::Store;
use super::values::{int, ms, seconds, time, uint};
use crate::policy::Cost;
use crate::policy::cost::{PullSample, fit};

/// How many pulls are looked at to fit speeds: links change.
const SAMPLES: u32 = 40;

/// How a pull ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullOutcome {
    /// The image came.
    Done,
    /// The registry does not have it, or not for this platform.
    NotFound,
    /// The registry does not give it.
    Denied,
    /// The registry asked to wait.
    Limited,
    /// Nothing moved any more, or the connection was cut.
    Cut,
    /// What came is not what was asked for.
    WrongContent,
    /// Anything else: the engine, the disk, the end of the job.
    Failed,
}

impl PullOutcome {
    const ALL: [Self; 7] = [
        Self::Done,
        Self::NotFound,
        Self::Denied,
        Self::Limited,
        Self::Cut,
        Self::WrongContent,
        Self::Failed,
    ];

    /// Returns its word in the file and in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotFound => "not found",
            Self::Denied => "denied",
            Self::Limited => "limited",
            Self::Cut => "cut",
            Self::WrongContent => "wrong content",
            Self::Failed => "failed",
        }
    }

    fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word).unwrap_or(Self::Failed)
    }
}

/// One pull.
#[derive(Debug, Clone, PartialEq)]
pub struct Pull {
    /// When it ended, since the epoch; [`Store::commit`] sets it.
    pub at: Duration,
    /// The registry that the image is from, such as `docker.io`.
    pub registry: String,
    /// The mirror's registry that the bytes came from; `None`: upstream itself.
    pub mirror: Option<String>,
    /// The repository.
    pub repository: String,
    /// The digest asked for.
    pub digest: String,
    /// Bytes that came over the link; `None` where the engine does not tell.
    pub compressed: Option<u64>,
    /// Bytes of layers that were not on disk before.
    pub on_disk: Option<u64>,
    /// From the first byte to the last layer downloaded.
    pub download: Option<Duration>,
    /// The time in which at least one layer was being extracted.
    pub extract: Option<Duration>,
    /// The whole of it.
    pub total: Duration,
    /// How it ended.
    pub outcome: PullOutcome,
}

pub(super) fn write(db: &Connection, pull: &Pull, now: i64) -> Result<()> {
    db.execute(
        "INSERT INTO pull (at_ms, registry, mirror, repository, digest, compressed, on_disk, download, extract, total,
             outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            now,
            pull.registry,
            pull.mirror,
            pull.repository,
            pull.digest,
            pull.compressed.map(int),
            pull.on_disk.map(int),
            pull.download.map(|time| time.as_secs_f64()),
            pull.extract.map(|time| time.as_secs_f64()),
            pull.total.as_secs_f64(),
            pull.outcome.word(),
        ],
    )?;
    Ok(())
}

fn row_of(row: &Row<'_>) -> Result<Pull> {
    Ok(Pull {
        at: time(row.get(0)?),
        registry: row.get(1)?,
        mirror: row.get(2)?,
        repository: row.get(3)?,
        digest: row.get(4)?,
        compressed: row.get::<_, Option<i64>>(5)?.map(uint),
        on_disk: row.get::<_, Option<i64>>(6)?.map(uint),
        download: row.get::<_, Option<f64>>(7)?.map(seconds),
        extract: row.get::<_, Option<f64>>(8)?.map(seconds),
        total: seconds(row.get(9)?),
        outcome: PullOutcome::of(&row.get::<_, String>(10)?),
    })
}

impl Store {
    /// Returns the pulls since a time, oldest first.
    pub fn pulls(&self, since: Duration) -> Vec<Pull> {
        self.read(|db| {
            let mut pulls = db.prepare(
                "SELECT at_ms, registry, mirror, repository, digest, compressed, on_disk, download, extract, total,
                     outcome
                 FROM pull WHERE at_ms >= ?1 ORDER BY id",
            )?;
            pulls.query_map([ms(since)], row_of)?.collect()
        })
    }

    /// Returns when each digest was pulled last.
    pub fn pulled(&self) -> HashMap<String, Duration> {
        self.read(|db| {
            let mut rows =
                db.prepare("SELECT digest, max(at_ms) FROM pull WHERE outcome = 'done' GROUP BY digest")?;
            rows.query_map([], |row| Ok((row.get(0)?, time(row.get(1)?))))?.collect()
        })
    }

    /// Returns which mirror the last pull from each registry came through; `None`: from the registry itself.
    pub fn last_sources(&self) -> HashMap<String, Option<String>> {
        self.read(|db| {
            // SQLite takes the other columns from the row that has the greatest id.
            let sql = "SELECT registry, mirror, max(id) FROM pull WHERE outcome = 'done' GROUP BY registry";
            let mut rows = db.prepare(sql)?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Returns what pulling from a registry (or mirror) costs on this host, fitted from its own pulls: the link from those
    /// that came from there, overhead and disk from all. What no pull says is taken from `start`.
    pub fn cost(&self, from: &str, start: Cost) -> Cost {
        let found: Option<Cost> = self.read(|db| {
            let link = samples(db, "AND coalesce(mirror, registry) = ?1", from)?;
            let all = samples(db, "AND ?1 <> ''", from)?;
            Ok(Some(fit(&link, &all, start)))
        });
        found.unwrap_or(start)
    }
}

/// Pulls that brought something, newest first.
fn samples(db: &Connection, which: &str, from: &str) -> Result<Vec<PullSample>> {
    let mut rows = db.prepare(&format!(
        "SELECT compressed, on_disk, download, extract, total FROM pull
         WHERE outcome = 'done' {which} ORDER BY id DESC LIMIT {SAMPLES}"
    ))?;
    let rows = rows.query_map([from], |row| {
        Ok(PullSample {
            compressed: row.get::<_, Option<i64>>(0)?.map(uint),
            unpacked: row.get::<_, Option<i64>>(1)?.map(uint),
            download_seconds: row.get(2)?,
            extract_seconds: row.get(3)?,
            total_seconds: row.get(4)?,
        })
    })?;
    rows.collect()
}
