//! Tags that come once and never again, such as `app:SHA`, become part of their repository.

use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::Store;
use super::place::StorePlace;
use super::values::{ms, rate_at, uint};

/// Which tags are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldRules {
    /// Tags that were not used for so long,
    pub unused: Duration,
    /// if their repository has more tags than so many.
    pub tags: u32,
}

impl Default for FoldRules {
    fn default() -> Self {
        // A tag that a human chose has mates by the dozen at most, and is missed by nobody after a fortnight.
        Self { unused: Duration::from_secs(14 * 24 * 3600), tags: 12 }
    }
}

struct Sum {
    rate: f64,
    weight: f64,
    uses: i64,
    last: Option<i64>,
}

/// Folds tags, and returns how many. Pinned ones stay.
pub(super) fn fold(db: &Connection, place: &StorePlace, rules: FoldRules, now: i64) -> Result<u64> {
    let mut busy = db.prepare(
        "SELECT repository FROM tag WHERE repository IS NOT NULL GROUP BY repository HAVING count(*) > ?1",
    )?;
    let repositories: Vec<i64> = busy.query_map([rules.tags], |row| row.get(0))?.collect::<Result<_>>()?;
    let before = now.saturating_sub(ms(rules.unused));
    let mut folded = 0;
    for repository in repositories {
        let mut tags = db.prepare(
            "SELECT id FROM tag WHERE repository = ?1 AND last_use_ms < ?2 AND name NOT IN (SELECT name FROM pin)",
        )?;
        let tags: Vec<i64> =
            tags.query_map([repository, before], |row| row.get(0))?.collect::<Result<_>>()?;
        into_repository(db, place, repository, &tags, now)?;
        folded += tags.len() as u64;
    }
    Ok(folded)
}

/// Adds tags' own rates to their repository's and deletes them. What they inherited came from there.
pub(super) fn into_repository(
    db: &Connection,
    place: &StorePlace,
    repository: i64,
    tags: &[i64],
    now: i64,
) -> Result<()> {
    if tags.is_empty() {
        return Ok(());
    }
    let mut sum = db.query_row(
        "SELECT rate, weight, rate_ms, uses, last_use_ms FROM repository WHERE id = ?1",
        [repository],
        |row| {
            let at = row.get(2)?;
            let faded = |value| rate_at(value, at, now, place.half_life);
            Ok(Sum {
                rate: faded(row.get(0)?),
                weight: faded(row.get(1)?),
                uses: row.get(3)?,
                last: row.get(4)?,
            })
        },
    )?;
    for tag in tags {
        let (rate, uses, last): (f64, i64, i64) = db.query_row(
            "DELETE FROM tag WHERE id = ?1 RETURNING rate, rate_ms, uses, last_use_ms",
            [tag],
            |row| {
                let rate = rate_at(row.get(0)?, row.get(1)?, now, place.half_life);
                Ok((rate, row.get(2)?, row.get(3)?))
            },
        )?;
        db.execute("DELETE FROM recent_use WHERE tag = ?1", [tag])?;
        sum.rate += rate;
        sum.weight += 1.0;
        sum.uses = sum.uses.saturating_add(uses);
        sum.last = sum.last.max(Some(last));
    }
    db.execute(
        "UPDATE repository SET rate = ?2, weight = ?3, rate_ms = ?4, uses = ?5, last_use_ms = ?6 WHERE id = ?1",
        params![repository, sum.rate, sum.weight, now, sum.uses, sum.last],
    )?;
    Ok(())
}

impl Store {
    /// Returns how many uses, since a time, became part of their repositories with their tags: only their number is known.
    pub fn folded_uses(&self, since: Duration) -> u64 {
        self.read(|db| {
            db.query_row(
                "SELECT coalesce(sum(uses), 0) FROM repository WHERE weight > 0 AND last_use_ms >= ?1",
                [ms(since)],
                |row| row.get(0).map(uint),
            )
        })
    }

    /// Folds tags that were not used for long into their repository, and returns how many.
    pub fn fold(&self, rules: FoldRules, now: Duration) -> u64 {
        self.write(|db| fold(db, &self.place, rules, ms(now))).unwrap_or_default()
    }
}
