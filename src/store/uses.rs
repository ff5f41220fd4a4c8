//! Writing down that a job used a tag.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::contents::{self, ContentKey};
use super::place::StorePlace;
use super::repositories::{prior, project, repository, repository_of};
use super::values::{later, ms, rate_at};
use crate::image::ImageRef;

/// How much longer a repeated use must have waited than the first for its wait to be written down.
const LONGER: f64 = 1.0;
/// How many recent uses of one tag are kept at most, whatever their age.
pub(super) const MAX_RECENT: u32 = 500;

/// A job's use of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Use {
    /// The image as asked for.
    pub reference: ImageRef,
    /// The project: a text that is the same for all its jobs and for no other's.
    pub project: Option<String>,
    /// What started the pipeline, in GitLab's word, such as `push` or `schedule`.
    pub source: Option<String>,
    /// What the job got; `None` where it has no registry digest.
    pub content: Option<ContentKey>,
    /// How long the job waited for it.
    pub waited: Duration,
}

struct Known {
    id: i64,
    content: Option<i64>,
    rate: f64,
    inherited: f64,
    rate_ms: i64,
    last: i64,
}

/// Counts a use. One that repeats an earlier one of the same project within the resolution counts once, since the image
/// would have had to come once; it is written only if it got other content or waited longer.
pub(super) fn write(db: &Connection, place: &StorePlace, fact: &Use, now: i64) -> Result<()> {
    let name = fact.reference.normalized();
    let project = project(db, fact.project.as_deref())?;
    let repository = repository_of(&fact.reference).map(|name| repository(db, &name)).transpose()?;
    let content = match (&fact.content, repository) {
        (Some(key), Some(repository)) => Some(contents::find_or_make(db, key, repository, now)?),
        _ => None,
    };
    let waited = fact.waited.as_secs_f64();
    let tag = match known(db, &name)? {
        Some(tag) if repeats(db, place, &tag, project, content, waited, now)? => return Ok(()),
        Some(tag) => {
            let faded = |value| rate_at(value, tag.rate_ms, now, place.half_life);
            db.execute(
                "UPDATE tag SET content = coalesce(?2, content), rate = ?3, inherited = ?4, rate_ms = ?5,
                     uses = uses + 1, last_use_ms = ?6 WHERE id = ?1",
                params![
                    tag.id,
                    content,
                    faded(tag.rate) + 1.0,
                    faded(tag.inherited),
                    later(tag.rate_ms, now),
                    later(tag.last, now)
                ],
            )?;
            tag.id
        }
        None => {
            let inherited = repository.map_or(Ok(0.0), |repository| prior(db, place, repository, now))?;
            db.query_row(
                "INSERT INTO tag (name, repository, content, rate, inherited, rate_ms, uses, last_use_ms)
                 VALUES (?1, ?2, ?3, 1, ?4, ?5, 1, ?5) RETURNING id",
                params![name, repository, content, inherited, now],
                |row| row.get(0),
            )?
        }
    };
    db.execute(
        "INSERT OR REPLACE INTO recent_use (tag, at_ms, project, source, content, waited)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![tag, now, project, fact.source, content, waited],
    )?;
    forget_oldest(db, tag)
}

fn known(db: &Connection, name: &str) -> Result<Option<Known>> {
    db.query_row(
        "SELECT id, content, rate, inherited, rate_ms, last_use_ms FROM tag WHERE name = ?1",
        [name],
        |row| {
            Ok(Known {
                id: row.get(0)?,
                content: row.get(1)?,
                rate: row.get(2)?,
                inherited: row.get(3)?,
                rate_ms: row.get(4)?,
                last: row.get(5)?,
            })
        },
    )
    .optional()
}

/// Says whether the use repeats one on record, which is brought up to date.
fn repeats(
    db: &Connection,
    place: &StorePlace,
    tag: &Known,
    project: i64,
    content: Option<i64>,
    waited: f64,
    now: i64,
) -> Result<bool> {
    let near = ms(place.resolution);
    let earlier: Option<(i64, Option<i64>, f64)> = db
        .query_row(
            "SELECT at_ms, content, waited FROM recent_use
             WHERE tag = ?1 AND project = ?2 AND at_ms > ?3 AND at_ms < ?4 ORDER BY at_ms DESC LIMIT 1",
            params![tag.id, project, now.saturating_sub(near), now.saturating_add(near)],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((at, had, has_waited)) = earlier else { return Ok(false) };
    if content.is_some() && content != tag.content {
        db.execute("UPDATE tag SET content = ?2 WHERE id = ?1", params![tag.id, content])?;
    }
    if (content.is_some() && content != had) || waited > has_waited + LONGER {
        db.execute(
            "UPDATE recent_use SET content = coalesce(?4, content), waited = max(waited, ?5)
             WHERE tag = ?1 AND at_ms = ?2 AND project = ?3",
            params![tag.id, at, project, content, waited],
        )?;
    }
    Ok(true)
}

fn forget_oldest(db: &Connection, tag: i64) -> Result<()> {
    db.execute(
        "DELETE FROM recent_use WHERE tag = ?1 AND at_ms <=
             (SELECT at_ms FROM recent_use WHERE tag = ?1 ORDER BY at_ms DESC LIMIT 1 OFFSET ?2)",
        params![tag, MAX_RECENT],
    )?;
    Ok(())
}
