//! Announcements that an image will be wanted, so that one which was pulled ahead is not the first to go.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

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

/// An announcement as it was made: what it takes to take it back.
#[derive(Debug)]
pub struct Made {
    announced: Announced,
    /// Whether it counts; an earlier one does otherwise.
    counts: bool,
    /// What was on record before.
    before: Option<Row>,
}

/// When it was made, when the image is wanted, both in milliseconds, and the grace in seconds.
type Row = (i64, i64, f64);

fn find(db: &Connection, name: &str) -> Result<Option<Row>> {
    let sql = "SELECT made_ms, at_ms, grace FROM claim WHERE name = ?1";
    db.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
}

impl Store {
    /// Announces that an image will be wanted. Of two announcements of it the one that ends later counts, unless that one was
    /// made by a clock which was ahead. `None`: it could not be written.
    pub fn announce(&self, announced: &Announced, now: Duration) -> Option<Made> {
        let Announced { name, at, grace } = announced;
        let sql = "INSERT INTO claim (name, made_ms, at_ms, grace) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (name) DO UPDATE SET made_ms = ?2, at_ms = ?3, grace = ?4
                   WHERE at_ms + grace * 1000 < ?3 + ?4 * 1000 OR made_ms > ?2";
        self.write(|db| {
            let before = find(db, name)?;
            let counts = db.execute(sql, params![name, ms(now), ms(*at), grace.as_secs_f64()])? > 0;
            Ok(Made { announced: announced.clone(), counts, before })
        })
    }

    /// Returns when the announcement that counts was made for an image, since the epoch; `None`: none is on record.
    pub fn announced_when(&self, name: &str) -> Option<Duration> {
        self.read(|db| find(db, name)).map(|(made_ms, ..)| time(made_ms))
    }

    /// Takes an announcement back, and no other one: what it took the place of counts again.
    pub fn withdraw(&self, made: &Made) {
        let Made { announced: Announced { name, at, grace }, counts, before } = made;
        if !counts {
            return;
        }
        self.write(|db| {
            let sql = "DELETE FROM claim WHERE name = ?1 AND at_ms = ?2 AND grace = ?3";
            let is_gone = db.execute(sql, params![name, ms(*at), grace.as_secs_f64()])? > 0;
            if let Some((made_ms, at_ms, grace)) = before.filter(|_| is_gone) {
                let sql = "INSERT INTO claim (name, made_ms, at_ms, grace) VALUES (?1, ?2, ?3, ?4)";
                db.execute(sql, params![name, made_ms, at_ms, grace])?;
            }
            Ok(())
        });
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
