//! Leases: which job is about to use what. Whoever removes images looks at them first.

use std::time::Duration;

use rusqlite::{Connection, Result, Row, params};

use super::Store;
use super::removals::{self, Removal};
use super::values::{int, ms, seconds, time, uint};
use crate::moment::{Moment, Process};

/// What a lease is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseKind {
    /// A reference, whatever it names: `docker.io/library/alpine:3`.
    Reference,
    /// A content, by digest.
    Content,
}

impl LeaseKind {
    fn word(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Content => "content",
        }
    }
}

/// That a job needs an image until it says otherwise, ends, or its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The job: a text that no other job on this host has.
    pub job: String,
    /// What it is on.
    pub kind: LeaseKind,
    /// The reference or the digest.
    pub name: String,
    /// When it was taken.
    pub taken: Moment,
    /// Who vouches for the job: its runner's process.
    pub owner: Process,
    /// How long it lasts at most.
    pub lasts: Duration,
}

impl Lease {
    /// Returns whether it is in force by the clocks. Whether its owner still runs is for the caller to see.
    pub fn holds(&self, now: &Moment) -> bool {
        now.since(&self.taken).is_some_and(|since| since <= self.lasts)
    }
}

/// All leases on record, also those that do not hold any more.
pub(super) fn all(db: &Connection) -> Result<Vec<Lease>> {
    let mut rows = db.prepare(
        "SELECT job, kind, name, at_ms, boot_ms, boot_id, pid, started, space, expires FROM lease ORDER BY job, kind, name",
    )?;
    rows.query_map([], row_of)?.collect()
}

fn row_of(row: &Row<'_>) -> Result<Lease> {
    let kind = row.get::<_, String>(1)?;
    Ok(Lease {
        job: row.get(0)?,
        kind: if kind == LeaseKind::Content.word() { LeaseKind::Content } else { LeaseKind::Reference },
        name: row.get(2)?,
        taken: Moment { wall: time(row.get(3)?), boot: time(row.get(4)?), boot_id: row.get(5)? },
        owner: process_at(row, 6)?,
        lasts: seconds(row.get(9)?),
    })
}

/// Reads a process from three columns.
pub(super) fn process_at(row: &Row<'_>, column: usize) -> Result<Process> {
    let pid = u32::try_from(row.get::<_, i64>(column)?).unwrap_or_default();
    Ok(Process { pid, started: uint(row.get(column + 1)?), space: uint(row.get(column + 2)?) })
}

pub(super) fn delete(db: &Connection, lease: &Lease) -> Result<()> {
    let key = params![lease.job, lease.kind.word(), lease.name];
    db.execute("DELETE FROM lease WHERE job = ?1 AND kind = ?2 AND name = ?3", key)?;
    Ok(())
}

/// What a lease came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Granted {
    /// The removals that were under way then of what it is on: such an image may go although it is seen to be there.
    pub under_way: Vec<Removal>,
    /// How often removals, of whatever, began or ended on this host: as long as that number stays, what was seen since is
    /// still there, unless it is among those under way.
    pub changes: u64,
}

impl Store {
    /// Writes leases down at once, before their images are looked for.
    pub fn lease(&self, leases: &[Lease]) -> Granted {
        if leases.is_empty() {
            return Granted::default();
        }
        let granted = self.write(|db| {
            for lease in leases {
                db.execute(
                    "INSERT OR REPLACE INTO lease (job, kind, name, at_ms, boot_ms, boot_id, pid, started, space, expires)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    params![
                        lease.job,
                        lease.kind.word(),
                        lease.name,
                        ms(lease.taken.wall),
                        ms(lease.taken.boot),
                        lease.taken.boot_id,
                        lease.owner.pid,
                        int(lease.owner.started),
                        int(lease.owner.space),
                        lease.lasts.as_secs_f64(),
                    ],
                )?;
            }
            Ok(Granted { under_way: removals::all(db)?, changes: removals::changes(db)? })
        });
        let mut granted = granted.unwrap_or_default();
        granted.under_way.retain(|removal| leases.iter().any(|lease| removal.concerns(&lease.name)));
        granted
    }

    /// Drops all leases of a job.
    pub fn drop_leases(&self, job: &str) {
        self.write(|db| db.execute("DELETE FROM lease WHERE job = ?1", [job]));
    }

    /// Returns the leases in force; see [`Lease::holds`].
    pub fn leases(&self, now: &Moment) -> Vec<Lease> {
        self.read(all).into_iter().filter(|lease| lease.holds(now)).collect()
    }
}
