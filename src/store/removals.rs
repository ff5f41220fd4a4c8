//! Removals under way: whoever removes an image says so first, in one transaction with its look at the leases.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use super::leases::{self, Lease, process_at};
use super::values::{int, ms, time, uint};
use crate::moment::{Moment, Process};

/// After which time a removal on record is over in any case: engines take seconds, on a slow card a minute or two.
pub(super) const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The note of how often removals began or ended.
const CHANGES: &str = "removals";

/// That an image is being removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// All names of the image: digests, references.
    pub names: Vec<String>,
    /// Since when.
    pub since: Moment,
    /// Who does it.
    pub by: Process,
}

impl Removal {
    /// Returns whether it is of what has this name.
    pub fn concerns(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// Returns whether it may still be under way by the clocks.
    pub fn holds(&self, now: &Moment) -> bool {
        now.since(&self.since).is_some_and(|since| since <= LONGEST)
    }
}

/// What came of marking a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It is marked, and may begin.
    Made,
    /// A job holds a lease on one of the names.
    Leased(Box<Lease>),
    /// The store does not say; nothing may be removed.
    Unknown,
}

/// All removals on record, also those that are over.
pub(super) fn all(db: &Connection) -> Result<Vec<Removal>> {
    let mut rows = db.prepare("SELECT names, at_ms, boot_ms, boot_id, pid, started, space FROM removal")?;
    let rows = rows.query_map([], |row| {
        Ok(Removal {
            names: row.get::<_, String>(0)?.split_whitespace().map(str::to_owned).collect(),
            since: Moment { wall: time(row.get(1)?), boot: time(row.get(2)?), boot_id: row.get(3)? },
            by: process_at(row, 4)?,
        })
    })?;
    rows.collect()
}

/// How often removals began or ended.
pub(super) fn changes(db: &Connection) -> Result<u64> {
    let sql = "SELECT value FROM note WHERE name = ?1 AND typeof(value) = 'integer'";
    Ok(db.query_row(sql, [CHANGES], |row| row.get(0)).optional()?.map_or(0, uint))
}

fn count(db: &Connection) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)";
    db.execute(sql, params![CHANGES, int(changes(db)? + 1)])?;
    Ok(())
}

pub(super) fn delete(db: &Connection, names: &[String]) -> Result<()> {
    db.execute("DELETE FROM removal WHERE names = ?1", [names.join(" ")])?;
    count(db)
}

impl Store {
    /// Marks a removal, unless a lease in force is on one of its names. `lives` says whether a lease's owner still runs.
    pub fn mark_removal(&self, removal: &Removal, lives: impl Fn(&Lease) -> bool) -> Mark {
        let mark = self.write(|db| {
            let in_force = |lease: &Lease| lease.holds(&removal.since) && lives(lease);
            let leases = leases::all(db)?;
            if let Some(lease) =
                leases.into_iter().find(|lease| removal.concerns(&lease.name) && in_force(lease))
            {
                return Ok(Mark::Leased(Box::new(lease)));
            }
            db.execute(
                "INSERT OR REPLACE INTO removal (names, at_ms, boot_ms, boot_id, pid, started, space)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    removal.names.join(" "),
                    ms(removal.since.wall),
                    ms(removal.since.boot),
                    removal.since.boot_id,
                    removal.by.pid,
                    int(removal.by.started),
                    int(removal.by.space)
                ],
            )?;
            count(db)?;
            Ok(Mark::Made)
        });
        mark.unwrap_or(Mark::Unknown)
    }

    /// Says that a removal is over.
    pub fn unmark_removal(&self, removal: &Removal) {
        self.write(|db| delete(db, &removal.names));
    }

    /// Returns the removals that may be under way.
    pub fn removals(&self, now: &Moment) -> Vec<Removal> {
        self.read(all).into_iter().filter(|removal| removal.holds(now)).collect()
    }
}
