//! Announcements that an image will be wanted, so that one which was pulled ahead is not the first to go.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use super::values::{ms, seconds, time};

/// That an image will be wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The digest or reference.
    pub name: String,
    /// When, since the epoch.
    pub at: Duration,
    /// For how long after that it still holds.
    pub grace: Duration,
}

impl Store {
    /// Announces that an image will be wanted, in place of an earlier announcement of it.
    pub fn announce(&self, announced: &Announced, now: Duration) -> bool {
        let Announced { name, at, grace } = announced;
        let sql = "INSERT OR REPLACE INTO claim (name, made_ms, at_ms, grace) VALUES (?1, ?2, ?3, ?4)";
        self.write(|db| db.execute(sql, params![name, ms(now), ms(*at), grace.as_secs_f64()])).is_some()
    }

    /// Returns when it was announced last that an image will be wanted, since the epoch; `None`: that is not on record.
    pub fn announced_when(&self, name: &str) -> Option<Duration> {
        let sql = "SELECT made_ms FROM claim WHERE name = ?1";
        self.read(|db| db.query_row(sql, [name], |row| row.get(0).map(time)).optional())
    }

    /// Takes an announcement back.
    pub fn withdraw(&self, name: &str) {
        self.write(|db| db.execute("DELETE FROM claim WHERE name = ?1", [name]));
    }

    /// Returns all announcements on record, also those whose time is over.
    pub fn announced(&self) -> Vec<Announced> {
        self.read(|db| {
            let mut rows = db.prepare("SELECT name, at_ms, grace FROM claim ORDER BY name")?;
            let rows = rows.query_map([], |row| {
                Ok(Announced { name: row.get(0)?, at: time(row.get(1)?), grace: seconds(row.get(2)?) })
            })?;
            rows.collect::<Result<_>>()
        })
    }
}
