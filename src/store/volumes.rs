//! Volumes that outlive their jobs: when a job used them last.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::Store;
use super::values::{later, ms, time};

/// What names of leases and removals on volumes begin with: no image is called so.
const LEASED: &str = "volume:";

/// That a job mounted a kept volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUse {
    /// The volume's name.
    pub name: String,
}

impl VolumeUse {
    /// Returns the name that a lease or a removal of a volume has, in place of an image's.
    pub fn leased(volume: &str) -> String {
        format!("{LEASED}{volume}")
    }
}

pub(super) fn write(db: &Connection, used: &VolumeUse, resolution: Duration, now: i64) -> Result<()> {
    let sql = "INSERT INTO volume (name, last_use_ms) VALUES (?1, ?2)
        ON CONFLICT DO UPDATE SET last_use_ms = ?2 WHERE abs(last_use_ms - ?2) > ?3";
    db.execute(sql, params![used.name, now, ms(resolution)])?;
    Ok(())
}

impl Store {
    /// Returns when each of these volumes was used last, as far as that is known. Those that are new to the store are
    /// taken as used now, and those on record that are not among them are forgotten. `None`: there is no store.
    pub fn volumes_seen(&self, names: &[String], now: Duration) -> Option<BTreeMap<String, Duration>> {
        self.write(|db| {
            let mut known = BTreeMap::new();
            let mut rows = db.prepare("SELECT name, last_use_ms FROM volume")?;
            for row in rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
                let (name, last) = row?;
                known.insert(name, last);
            }
            let now = ms(now);
            for gone in known.keys().filter(|name| !names.contains(name)) {
                db.execute("DELETE FROM volume WHERE name = ?1", [gone])?;
            }
            let mut uses = BTreeMap::new();
            for name in names {
                match known.get(name) {
                    Some(&last) if last <= now || later(last, now) == last => {
                        uses.insert(name.clone(), time(last));
                    }
                    _ => {
                        let sql = "INSERT OR REPLACE INTO volume (name, last_use_ms) VALUES (?1, ?2)";
                        db.execute(sql, params![name, now])?;
                        uses.insert(name.clone(), time(now));
                    }
                }
            }
            Ok(uses)
        })
    }
}
