//! Rows that others refer to by number: repositories and projects.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use super::place::StorePlace;
use super::values::{decayed, ms, rate_at};
use crate::image::ImageRef;
use crate::policy::history::Decayed;

/// Returns the repository's full name, such as `docker.io/library/alpine`; `None` for a bare ID.
pub(super) fn repository_of(reference: &ImageRef) -> Option<String> {
    Some(format!("{}/{}", reference.registry()?, reference.repository()?))
}

/// Finds or makes a repository's row.
pub(super) fn repository(db: &Connection, name: &str) -> Result<i64> {
    row(
        db,
        name,
        "SELECT id FROM repository WHERE name = ?1",
        "INSERT INTO repository (name) VALUES (?1) RETURNING id",
    )
}

/// Finds or makes a project's row; 0 for none.
pub(super) fn project(db: &Connection, key: Option<&str>) -> Result<i64> {
    match key {
        None => Ok(0),
        Some(key) => row(
            db,
            key,
            "SELECT id FROM project WHERE key = ?1",
            "INSERT INTO project (key) VALUES (?1) RETURNING id",
        ),
    }
}

fn row(db: &Connection, name: &str, find: &str, make: &str) -> Result<i64> {
    match db.query_row(find, [name], |row| row.get(0)).optional()? {
        Some(id) => Ok(id),
        None => db.query_row(make, [name], |row| row.get(0)),
    }
}

/// What tags of a repository have on average: the rates of those on record and of those that were folded.
pub(super) fn prior(db: &Connection, place: &StorePlace, repository: i64, now: i64) -> Result<f64> {
    let (mut sum, mut weight) =
        db.query_row("SELECT rate, weight, rate_ms FROM repository WHERE id = ?1", [repository], |row| {
            let at = row.get(2)?;
            let faded = |value| rate_at(value, at, now, place.half_life);
            Ok((faded(row.get(0)?), faded(row.get(1)?)))
        })?;
    let mut tags = db.prepare("SELECT rate, rate_ms FROM tag WHERE repository = ?1")?;
    let mut tags = tags.query([repository])?;
    while let Some(tag) = tags.next()? {
        sum += rate_at(tag.get(0)?, tag.get(1)?, now, place.half_life);
        weight += 1.0;
    }
    Ok(if weight > 0.0 { sum / weight } else { 0.0 })
}

impl Store {
    /// Returns the decayed rate that a tag of this repository is expected to have of which nothing is known yet: the mean
    /// of its tags. 0 for a repository that is not known.
    pub fn prior(&self, repository: &str, now: std::time::Duration) -> f64 {
        self.read(|db| {
            let id = db
                .query_row("SELECT id FROM repository WHERE name = ?1", [repository], |row| row.get(0))
                .optional()?;
            id.map_or(Ok(0.0), |id| prior(db, &self.place, id, ms(now)))
        })
    }

    /// Returns the summed decayed rate of a repository's tags that were folded into it; `None` if none were.
    pub fn folded_rate(&self, repository: &str) -> Option<Decayed> {
        self.read(|db| {
            db.query_row(
                "SELECT rate, rate_ms FROM repository WHERE name = ?1 AND weight > 0",
                params![repository],
                |row| Ok(decayed(row.get(0)?, row.get(1)?)),
            )
            .optional()
        })
    }
}
