//! Keeping the file small: everything that grows has a bound in number and in age.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use super::fold::{self, FoldRules};
use super::place::StorePlace;
use super::values::ms;
use super::{leases, removals};
use crate::moment::Moment;

const NAME: &str = "tidied";
/// How often the file is tidied.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// A clock that went further than this since the file was tidied last is not believed at once.
const LONGEST_STEP: Duration = Duration::from_secs(14 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Which tags are folded into their repositories.
    pub fold: FoldRules,
    /// How many tags there are at most; the ones unused longest are folded.
    pub tags: u32,
    /// How long recent uses are kept. Three months are enough for every pattern.
    pub uses_for: Duration,
    /// How many pulls, jobs' times, jobs' images, evicted images and prefetches are kept.
    pub rows: u32,
    /// For how long they are, and contents that no tag names, digests' origins and what indexes hold.
    pub rows_for: Duration,
    /// How many contents, origins, links and facts of engines and registries there are at most.
    pub contents: u32,
    /// How many proofs are kept.
    pub proofs: u32,
    /// For how long they are: longer than any setting lets them count.
    pub proofs_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fold: FoldRules::default(),
            tags: 2000,
            uses_for: DAY * 92,
            rows: 5000,
            rows_for: DAY * 180,
            contents: 4000,
            proofs: 5000,
            proofs_for: DAY * 8,
        }
    }
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    /// Tags that were folded into their repositories.
    pub folded: u64,
    /// Rows that were deleted.
    pub deleted: u64,
}

impl Store {
    /// Returns whether it is a day or more since the file was tidied, by a clock in either direction.
    pub fn tidy_is_due(&self, now: Duration) -> bool {
        self.is_working()
            && self.read(last).is_none_or(|last| last.abs_diff(ms(now)) >= EVERY.as_millis() as u64)
    }

    /// Deletes what is beyond the bounds. Where the clock went back since the last time, or further ahead than a fortnight,
    /// nothing is deleted for its age; the next time, that much later by the same clock, it is.
    pub fn tidy(&self, limits: &Limits, now: &Moment) -> Tidied {
        self.write(|db| tidy(db, &self.place, limits, now)).unwrap_or_default()
    }
}

fn last(db: &Connection) -> Result<Option<i64>> {
    let sql = "SELECT value FROM note WHERE name = ?1 AND typeof(value) = 'integer'";
    db.query_row(sql, [NAME], |row| row.get(0)).optional()
}

fn tidy(db: &Connection, place: &StorePlace, limits: &Limits, moment: &Moment) -> Result<Tidied> {
    let now = ms(moment.wall);
    let believed = last(db)?.is_none_or(|last| (0..=ms(LONGEST_STEP)).contains(&now.saturating_sub(last)));
    let mut tidied = Tidied { folded: spare_tags(db, place, limits, now)?, deleted: 0 };
    tidied.deleted += over(db, moment)?;
    for (table, order, most) in [
        ("pull", "id", limits.rows),
        ("job_time", "id", limits.rows),
        ("job_image", "id", limits.rows),
        ("gone", "id", limits.rows),
        ("ahead", "id", limits.rows),
        ("proof", "at_ms", limits.proofs),
        ("link", "at_ms", limits.contents),
        ("origin", "at_ms", limits.contents),
        ("engine", "at_ms", limits.contents),
    ] {
        tidied.deleted += beyond(db, table, order, most)?;
    }
    if believed {
        tidied.folded += fold::fold(db, place, limits.fold, now)?;
        for (table, keep) in [
            ("recent_use", limits.uses_for),
            ("pull", limits.rows_for),
            ("job_time", limits.rows_for),
            ("job_image", limits.rows_for),
            ("gone", limits.rows_for),
            ("ahead", limits.rows_for),
            ("link", limits.rows_for),
            ("origin", limits.rows_for),
            ("engine", limits.rows_for),
            ("proof", limits.proofs_for),
        ] {
            let sql = format!("DELETE FROM {table} WHERE at_ms < ?1");
            tidied.deleted += db.execute(&sql, [now.saturating_sub(ms(keep))])? as u64;
        }
        tidied.deleted += db.execute("DELETE FROM back_off WHERE until_ms < ?1", [now])? as u64;
        tidied.deleted += db.execute("DELETE FROM pin WHERE until_ms < ?1", [now])? as u64;
        let over = "DELETE FROM claim WHERE at_ms + grace * 1000 < ?1";
        tidied.deleted += db.execute(over, [now.saturating_sub(ms(limits.proofs_for))])? as u64;
    }
    tidied.deleted += contents(db, limits, believed.then(|| now.saturating_sub(ms(limits.rows_for))))?;
    tidied.deleted += orphans(db)?;
    db.execute("INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)", params![NAME, now])?;
    Ok(tidied)
}

/// Deletes all but the last `most` rows of a table in this order.
fn beyond(db: &Connection, table: &str, order: &str, most: u32) -> Result<u64> {
    let sql = format!(
        "DELETE FROM {table} WHERE {order} <= (SELECT {order} FROM {table} ORDER BY {order} DESC LIMIT 1 OFFSET ?1)"
    );
    Ok(db.execute(&sql, [most])? as u64)
}

/// Folds the tags unused longest that are beyond the number; those without a repository go.
fn spare_tags(db: &Connection, place: &StorePlace, limits: &Limits, now: i64) -> Result<u64> {
    let mut spare = db.prepare(
        "SELECT repository, id FROM tag WHERE name NOT IN (SELECT name FROM pin)
         ORDER BY last_use_ms DESC, id LIMIT -1 OFFSET ?1",
    )?;
    let spare: Vec<(Option<i64>, i64)> =
        spare.query_map([limits.tags], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
    for (repository, tag) in &spare {
        match repository {
            Some(repository) => fold::into_repository(db, place, *repository, &[*tag], now)?,
            None => {
                db.execute("DELETE FROM recent_use WHERE tag = ?1", [tag])?;
                db.execute("DELETE FROM tag WHERE id = ?1", [tag])?;
            }
        }
    }
    Ok(spare.len() as u64)
}

/// Deletes leases and removals that do not hold any more.
fn over(db: &Connection, now: &Moment) -> Result<u64> {
    let mut deleted = 0;
    for lease in leases::all(db)?.into_iter().filter(|lease| !lease.holds(now)) {
        leases::delete(db, &lease)?;
        deleted += 1;
    }
    for removal in removals::all(db)?.into_iter().filter(|removal| !removal.holds(now)) {
        removals::delete(db, &removal.names)?;
        deleted += 1;
    }
    Ok(deleted)
}

/// Deletes contents that no tag names: those not seen since `before`, and the oldest beyond the number.
fn contents(db: &Connection, limits: &Limits, before: Option<i64>) -> Result<u64> {
    let unnamed = "id NOT IN (SELECT content FROM tag WHERE content IS NOT NULL)";
    let old = format!("DELETE FROM content WHERE seen_ms < ?1 AND {unnamed}");
    let many = format!(
        "DELETE FROM content WHERE {unnamed} AND id NOT IN (SELECT id FROM content ORDER BY seen_ms DESC LIMIT ?1)"
    );
    let old = before.map_or(Ok(0), |before| db.execute(&old, [before]))?;
    Ok((old + db.execute(&many, [limits.contents])?) as u64)
}

/// Deletes what nothing refers to any more.
fn orphans(db: &Connection) -> Result<u64> {
    let mut deleted = 0;
    for sql in [
        "UPDATE recent_use SET content = NULL
         WHERE content IS NOT NULL AND content NOT IN (SELECT id FROM content)",
        "DELETE FROM content_layer WHERE content NOT IN (SELECT id FROM content)",
        "DELETE FROM layer WHERE id NOT IN (SELECT layer FROM content_layer UNION SELECT layer FROM sighting_layer)",
        "DELETE FROM project WHERE id NOT IN (SELECT project FROM recent_use UNION SELECT project FROM job_time)",
        "DELETE FROM repository WHERE (weight < 0.001 OR rate < 0.001)
             AND id NOT IN (SELECT repository FROM tag WHERE repository IS NOT NULL UNION SELECT repository FROM content
                 UNION SELECT repository FROM link UNION SELECT repository FROM origin)",
    ] {
        deleted += db.execute(sql, [])? as u64;
    }
    Ok(deleted)
}
