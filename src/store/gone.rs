//! Images that were evicted, so that it can be told later why one was not here.

use std::time::Duration;

use rusqlite::{Result, params};

use super::Store;
use super::values::{ms, time};

/// An image that was evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// When, since the epoch.
    pub at: Duration,
    /// All its names: references in full, `repository@digest`, bare digests.
    pub names: Vec<String>,
    /// What told against it, in one sentence.
    pub why: String,
    /// What took room.
    pub for_what: String,
}

impl Gone {
    /// Returns whether it was of what has this name.
    pub fn concerns(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }
}

impl Store {
    /// Notes that an image was evicted.
    pub fn note_gone(&self, gone: &Gone) -> bool {
        let sql = "INSERT INTO gone (at_ms, names, why, for_what) VALUES (?1, ?2, ?3, ?4)";
        let Gone { at, names, why, for_what } = gone;
        self.write(|db| db.execute(sql, params![ms(*at), names.join(" "), why, for_what])).is_some()
    }

    /// Returns the images that were evicted since a time, oldest first.
    pub fn gone(&self, since: Duration) -> Vec<Gone> {
        self.read(|db| {
            let mut rows =
                db.prepare("SELECT at_ms, names, why, for_what FROM gone WHERE at_ms >= ?1 ORDER BY id")?;
            let rows = rows.query_map([ms(since)], |row| {
                let names: String = row.get(1)?;
                Ok(Gone {
                    at: time(row.get(0)?),
                    names: names.split_whitespace().map(str::to_owned).collect(),
                    why: row.get(2)?,
                    for_what: row.get(3)?,
                })
            })?;
            rows.collect::<Result<_>>()
        })
    }
}
