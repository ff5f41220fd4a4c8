//! What was brought before a job asked for it, and what that cost.

use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::Store;
use super::values::{int, ms, seconds, time, uint};

/// How a prefetch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AheadOutcome {
    /// The image came.
    Done,
    /// It was here, or another process brought it.
    Here,
    /// It was cut: a job needed the link, or this process had to go.
    Cut,
    /// It did not come.
    Failed,
}

impl AheadOutcome {
    const ALL: [Self; 4] = [Self::Done, Self::Here, Self::Cut, Self::Failed];

    /// Returns its word in the file and in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Here => "here",
            Self::Cut => "cut",
            Self::Failed => "failed",
        }
    }

    fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word).unwrap_or(Self::Failed)
    }
}

/// One prefetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// When it began, since the epoch.
    pub at: Duration,
    /// The reference in full.
    pub name: String,
    /// What the name meant; `None`: that was not learnt.
    pub digest: Option<String>,
    /// The platform; empty: the engine's own.
    pub platform: String,
    /// Who wanted it: `list`, `schedule`, `history`, `moved`, `scan` or `command`.
    pub source: String,
    /// Compressed bytes that came over the link; `None`: the engine did not tell.
    pub bytes: Option<u64>,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: AheadOutcome,
    /// What went wrong; empty: nothing.
    pub words: String,
}

pub(super) fn write(db: &Connection, ahead: &Ahead) -> Result<()> {
    db.execute(
        "INSERT INTO ahead (at_ms, name, digest, platform, source, bytes, took, outcome, words)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            ms(ahead.at),
            ahead.name,
            ahead.digest,
            ahead.platform,
            ahead.source,
            ahead.bytes.map(int),
            ahead.took.as_secs_f64(),
            ahead.outcome.word(),
            ahead.words,
        ],
    )?;
    Ok(())
}

impl Store {
    /// Returns the prefetches that began since a time, in the order in which they ended.
    pub fn aheads(&self, since: Duration) -> Vec<Ahead> {
        self.read(|db| {
            let mut rows = db.prepare(
                "SELECT at_ms, name, digest, platform, source, bytes, took, outcome, words
                 FROM ahead WHERE at_ms >= ?1 ORDER BY id",
            )?;
            let rows = rows.query_map([ms(since)], |row| {
                Ok(Ahead {
                    at: time(row.get(0)?),
                    name: row.get(1)?,
                    digest: row.get(2)?,
                    platform: row.get(3)?,
                    source: row.get(4)?,
                    bytes: row.get::<_, Option<i64>>(5)?.map(uint),
                    took: seconds(row.get(6)?),
                    outcome: AheadOutcome::of(&row.get::<_, String>(7)?),
                    words: row.get(8)?,
                })
            })?;
            rows.collect::<Result<_>>()
        })
    }

    /// Returns the bytes that prefetches brought over the link which began since a time, whatever came of them.
    pub fn ahead_bytes(&self, since: Duration) -> u64 {
        self.read(|db| {
            let sql = "SELECT coalesce(sum(bytes), 0) FROM ahead WHERE at_ms >= ?1";
            db.query_row(sql, [ms(since)], |row| row.get(0).map(uint))
        })
    }
}
