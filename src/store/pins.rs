//! Pins: what somebody wants to stay on this host.

use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::Store;
use super::values::{ms, time};

/// That an image shall stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The reference or digest.
    pub name: String,
    /// Until when; `None` for good.
    pub until: Option<Duration>,
    /// Why, for people.
    pub reason: String,
}

pub(super) fn write(db: &Connection, pin: &Pin, now: i64) -> Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO pin (name, at_ms, until_ms, reason) VALUES (?1, ?2, ?3, ?4)",
        params![pin.name, now, pin.until.map(ms), pin.reason],
    )?;
    Ok(())
}

impl Store {
    /// Pins an image; a pin of the same name is replaced.
    pub fn pin(&self, pin: &Pin, now: Duration) -> bool {
        self.write(|db| write(db, pin, ms(now))).is_some()
    }

    /// Takes a pin back; `false` if there was none, or the store cannot be written.
    pub fn unpin(&self, name: &str) -> bool {
        self.write(|db| db.execute("DELETE FROM pin WHERE name = ?1", [name])).is_some_and(|gone| gone > 0)
    }

    /// Returns the pins in force.
    pub fn pins(&self, now: Duration) -> Vec<Pin> {
        self.read(|db| {
            let mut pins = db.prepare(
                "SELECT name, until_ms, reason FROM pin WHERE until_ms IS NULL OR until_ms > ?1 ORDER BY name",
            )?;
            let pins = pins.query_map([ms(now)], |row| {
                Ok(Pin {
                    name: row.get(0)?,
                    until: row.get::<_, Option<i64>>(1)?.map(time),
                    reason: row.get(2)?,
                })
            })?;
            pins.collect()
        })
    }
}
