//! What is known of tags.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::Store;
use super::contents::{ContentKey, key_at};
use super::uses::MAX_RECENT;
use super::values::{decayed, seconds, time, uint};
use crate::image::ImageRef;
use crate::policy;
use crate::policy::history::Decayed;

const COLUMNS: &str = "SELECT tag.id, tag.name, repository.name, content.digest, content.platform,
        tag.rate + tag.inherited, tag.rate_ms, tag.last_use_ms, tag.uses
    FROM tag LEFT JOIN repository ON repository.id = tag.repository LEFT JOIN content ON content.id = tag.content";
const RECENT: &str = "SELECT recent_use.tag, recent_use.at_ms, recent_use.project, recent_use.source,
        content.digest, content.platform, recent_use.waited
    FROM recent_use LEFT JOIN content ON content.id = recent_use.content";

/// What is known of a tag, also while its image is gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// The full reference, such as `docker.io/library/alpine:3`.
    pub name: String,
    /// Its repository; `None` for a bare ID.
    pub repository: Option<String>,
    /// What it named at its last use; `None` where that had no registry digest.
    pub content: Option<ContentKey>,
    /// Its decayed rate, what it inherited included.
    pub rate: Decayed,
    /// When a job used it last.
    pub last_use: Duration,
    /// How often jobs used it.
    pub uses: u64,
    /// Its recent uses, oldest first.
    pub recent: Vec<RecentUse>,
}

/// One use.
#[derive(Debug, Clone, PartialEq)]
pub struct RecentUse {
    /// When, since the epoch.
    pub at: Duration,
    /// A number that stands for the project in this store; `None` where it is not known.
    pub project: Option<u64>,
    /// What started the pipeline.
    pub source: Option<String>,
    /// What the job got.
    pub content: Option<ContentKey>,
    /// How long it waited for it.
    pub waited: Duration,
}

/// That jobs got a content by a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagContent {
    /// The tag's full name.
    pub tag: String,
    /// The content.
    pub content: ContentKey,
    /// When a job did so last.
    pub last: Duration,
}

impl Tag {
    /// Returns what the policy sees of it. `id` gives a content's name on this host, and `layers` are those it had.
    pub fn for_policy(
        &self,
        id: impl FnOnce(&ContentKey) -> Option<String>,
        layers: Vec<policy::Layer>,
    ) -> policy::Tag {
        policy::Tag {
            name: self.name.clone(),
            names: self.content.as_ref().and_then(id),
            rate: Some(self.rate),
            last_use: Some(self.last_use.as_secs_f64()),
            recent: self.recent.iter().map(RecentUse::for_policy).collect(),
            layers,
        }
    }
}

impl RecentUse {
    fn for_policy(&self) -> policy::Use {
        policy::Use {
            at: self.at.as_secs_f64(),
            project: self.project,
            scheduled: self.source.as_deref() == Some("schedule"),
        }
    }
}

impl Store {
    /// How many recent uses of one tag are on record at most.
    pub const MOST_RECENT_USES: usize = MAX_RECENT as usize;

    /// Returns what is known of one tag.
    pub fn tag(&self, reference: &ImageRef) -> Option<Tag> {
        self.read(|db| {
            let sql = format!("{COLUMNS} WHERE tag.name = ?1");
            let Some((id, mut tag)) = db.query_row(&sql, [reference.normalized()], row_of).optional()? else {
                return Ok(None);
            };
            let sql = format!("{RECENT} WHERE recent_use.tag = ?1 ORDER BY recent_use.at_ms");
            let mut uses = db.prepare(&sql)?;
            tag.recent =
                uses.query_map([id], use_of)?.map(|one| one.map(|(_, one)| one)).collect::<Result<_>>()?;
            Ok(Some(tag))
        })
    }

    /// Returns all tags by name.
    pub fn tags(&self) -> Vec<Tag> {
        self.read(|db| {
            let mut recent = all_uses(db)?;
            let mut tags = db.prepare(&format!("{COLUMNS} ORDER BY tag.name"))?;
            let tags = tags.query_map([], row_of)?;
            tags.map(|tag| {
                let (id, mut tag) = tag?;
                tag.recent = recent.remove(&id).unwrap_or_default();
                Ok(tag)
            })
            .collect()
        })
    }
}

impl Store {
    /// Returns the recent uses of all tags by the tag's name, oldest first, with no more of each than the policy sees.
    pub fn demand(&self) -> HashMap<String, Vec<policy::Use>> {
        self.read(|db| {
            let mut all: HashMap<String, Vec<policy::Use>> = HashMap::new();
            let mut rows = db.prepare(
                "SELECT tag.name, recent_use.at_ms, recent_use.project, recent_use.source IS 'schedule'
                 FROM recent_use JOIN tag ON tag.id = recent_use.tag ORDER BY recent_use.tag, recent_use.at_ms",
            )?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let name = row.get_ref(0)?.as_str()?;
                let project = uint(row.get(2)?);
                let one = policy::Use {
                    at: time(row.get(1)?).as_secs_f64(),
                    project: (project > 0).then_some(project),
                    scheduled: row.get(3)?,
                };
                match all.get_mut(name) {
                    Some(uses) => uses.push(one),
                    None => drop(all.insert(name.to_owned(), vec![one])),
                }
            }
            Ok(all)
        })
    }

    /// Returns which contents jobs got by which tags, as far back as uses are on record.
    pub fn tag_contents(&self) -> Vec<TagContent> {
        self.read(|db| {
            let mut rows = db.prepare(
                // Numbers are grouped before names are looked up: what is sorted lies in memory.
                "SELECT tag.name, content.digest, content.platform, last.at_ms
                 FROM (SELECT tag, content, max(at_ms) AS at_ms FROM recent_use
                     WHERE content IS NOT NULL GROUP BY tag, content) AS last
                 JOIN tag ON tag.id = last.tag JOIN content ON content.id = last.content",
            )?;
            let rows = rows.query_map([], |row| {
                let (tag, last) = (row.get(0)?, time(row.get(3)?));
                Ok(key_at(row, 1)?.map(|content| TagContent { tag, content, last }))
            })?;
            rows.filter_map(Result::transpose).collect()
        })
    }

    /// Returns all tags by name, without their recent uses.
    pub fn tags_alone(&self) -> Vec<Tag> {
        self.read(|db| {
            let mut tags = db.prepare(&format!("{COLUMNS} ORDER BY tag.name"))?;
            tags.query_map([], row_of)?.map(|tag| tag.map(|(_, tag)| tag)).collect()
        })
    }

    /// Returns the time of the newest fact: of the latest use, or of the pull that was written down last. `None`: there is
    /// none.
    pub fn newest_fact(&self) -> Option<Duration> {
        self.read(|db| {
            let used =
                db.query_row("SELECT max(last_use_ms) FROM tag", [], |row| row.get::<_, Option<i64>>(0))?;
            let sql = "SELECT at_ms FROM pull ORDER BY id DESC LIMIT 1";
            let pulled: Option<i64> = db.query_row(sql, [], |row| row.get(0)).optional()?;
            Ok(used.max(pulled).map(time))
        })
    }
}

fn all_uses(db: &Connection) -> Result<HashMap<i64, Vec<RecentUse>>> {
    let mut all: HashMap<i64, Vec<RecentUse>> = HashMap::new();
    let mut uses = db.prepare(&format!("{RECENT} ORDER BY recent_use.tag, recent_use.at_ms"))?;
    for one in uses.query_map([], use_of)? {
        let (tag, one) = one?;
        all.entry(tag).or_default().push(one);
    }
    Ok(all)
}

fn row_of(row: &Row<'_>) -> Result<(i64, Tag)> {
    let tag = Tag {
        name: row.get(1)?,
        repository: row.get(2)?,
        content: key_at(row, 3)?,
        rate: decayed(row.get(5)?, row.get(6)?),
        last_use: time(row.get(7)?),
        uses: uint(row.get(8)?),
        recent: Vec::new(),
    };
    Ok((row.get(0)?, tag))
}

fn use_of(row: &Row<'_>) -> Result<(i64, RecentUse)> {
    let project = uint(row.get(2)?);
    let one = RecentUse {
        at: time(row.get(1)?),
        project: (project > 0).then_some(project),
        source: row.get(3)?,
        content: key_at(row, 4)?,
        waited: seconds(row.get(6)?),
    };
    Ok((row.get(0)?, one))
}
