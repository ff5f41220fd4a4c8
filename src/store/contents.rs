//! Contents by digest and platform, their layers, and how they are known to a repository.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::Store;
use super::repositories::repository;
use super::values::{int, ms, time, uint};
use crate::image::Platform;
use crate::policy;

/// How old a sighting may be before the next one is written down: it only says that the content is still about.
const SIGHTING: Duration = Duration::from_secs(24 * 3600);

/// What tells contents apart: a digest that a registry serves, and the platform it was taken for. An engine's own ID is
/// the configuration's digest on one store and the index's on another, so it is no key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentKey {
    /// The digest with its algorithm.
    pub digest: String,
    /// The platform.
    pub platform: Platform,
}

/// What the name of a layer begins with that only a manifest tells of.
const BLOB: &str = "blob ";

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layer {
    /// Its chain id; a name of its own where only a manifest tells of it: [`Layer::of_blob`].
    pub chain: String,
    /// Bytes on disk; `None` where that is not known.
    pub unpacked: Option<u64>,
    /// Bytes that the registry sends; `None` where that is not known.
    pub compressed: Option<u64>,
    /// Whether `compressed` is an estimate.
    pub estimated: bool,
}

/// What was learned of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFact {
    /// What it is.
    pub key: ContentKey,
    /// The repository it was obtained for, such as `docker.io/library/alpine`.
    pub repository: String,
    /// The engine's ID for it now; `None` leaves the one on record.
    pub engine_id: Option<String>,
    /// Its layers from the bottom up; empty leaves those on record.
    pub layers: Vec<Layer>,
}

/// What is known of a content, on this host or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What it is.
    pub key: ContentKey,
    /// The repository it was first obtained for.
    pub repository: String,
    /// The engine's ID for it when it was seen last.
    pub engine_id: Option<String>,
    /// Its layers from the bottom up; empty where they are not known.
    pub layers: Vec<Layer>,
    /// When it was first seen.
    pub first_seen: Duration,
    /// When it was seen last, to a day.
    pub seen: Duration,
}

/// Which manifest an index of a repository means where a platform is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The repository.
    pub repository: String,
    /// The index's digest.
    pub index: String,
    /// The platform that is wanted.
    pub wanted: Platform,
    /// The manifest's digest.
    pub manifest: String,
    /// The manifest's own platform, which may be another one: 32-bit on a 64-bit host.
    pub platform: Platform,
}

/// That a digest was obtained for a repository: only such a digest on this host is that repository's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The repository.
    pub repository: String,
    /// The digest.
    pub digest: String,
    /// The mirror's repository it came through, such as `mirror.lan:5000/library/alpine`; `None`: from upstream itself.
    pub through: Option<String>,
}

impl Content {
    /// Returns its layers as an engine has them or had them; empty where they are not known, or only by a manifest's word.
    pub fn layers_on_host(&self) -> &[Layer] {
        let is_told_of = |layer: &Layer| layer.chain.starts_with(BLOB);
        let was_here = self.engine_id.is_some() && !self.layers.iter().any(is_told_of);
        if was_here { &self.layers } else { &[] }
    }
}

impl Layer {
    /// A layer as a manifest tells of it: that is its author's word. So its name is none that a measured layer has, whatever
    /// the digest; and since it has the bytes too, another manifest cannot say otherwise of the same one.
    pub fn of_blob(digest: &str, bytes: u64) -> Self {
        Self {
            chain: format!("{BLOB}{digest} {bytes}"),
            unpacked: None,
            compressed: Some(bytes),
            estimated: true,
        }
    }

    /// Returns what the policy sees of it; a size that is not known counts as 0.
    pub fn for_policy(&self) -> policy::Layer {
        let size = policy::Size {
            compressed: self.compressed.unwrap_or_default(),
            unpacked: self.unpacked.unwrap_or_default(),
            inodes: 0,
        };
        policy::Layer { id: self.chain.clone(), size }
    }
}

/// Reads a key from two columns; a platform that cannot be read is no key.
pub(super) fn key_at(row: &Row<'_>, column: usize) -> Result<Option<ContentKey>> {
    let (digest, platform): (Option<String>, Option<String>) = (row.get(column)?, row.get(column + 1)?);
    let key = digest.zip(platform.and_then(|platform| platform.parse().ok()));
    Ok(key.map(|(digest, platform)| ContentKey { digest, platform }))
}

pub(super) fn find(db: &Connection, key: &ContentKey) -> Result<Option<i64>> {
    db.query_row(
        "SELECT id FROM content WHERE digest = ?1 AND platform = ?2",
        params![key.digest, key.platform.to_string()],
        |row| row.get(0),
    )
    .optional()
}

pub(super) fn find_or_make(db: &Connection, key: &ContentKey, repository: i64, now: i64) -> Result<i64> {
    if let Some(id) = find(db, key)? {
        return Ok(id);
    }
    db.query_row(
        "INSERT INTO content (digest, platform, repository, first_ms, seen_ms) VALUES (?1, ?2, ?3, ?4, ?4)
         RETURNING id",
        params![key.digest, key.platform.to_string(), repository, now],
        |row| row.get(0),
    )
}

pub(super) fn write(db: &Connection, fact: &ContentFact, now: i64) -> Result<()> {
    let repository = repository(db, &fact.repository)?;
    let id = find_or_make(db, &fact.key, repository, now)?;
    db.execute(
        "UPDATE content SET engine_id = coalesce(?2, engine_id), seen_ms = ?3
         WHERE id = ?1 AND (abs(seen_ms - ?3) > ?4 OR engine_id IS NOT coalesce(?2, engine_id))",
        params![id, fact.engine_id, now, ms(SIGHTING)],
    )?;
    for (position, layer) in (0_i64..).zip(&fact.layers) {
        let layer = write_layer(db, layer)?;
        db.execute(
            "INSERT INTO content_layer (content, position, layer) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET layer = ?3 WHERE layer <> ?3",
            params![id, position, layer],
        )?;
    }
    if !fact.layers.is_empty() {
        db.execute(
            "DELETE FROM content_layer WHERE content = ?1 AND position >= ?2",
            params![id, int(fact.layers.len() as u64)],
        )?;
    }
    Ok(())
}

/// What was measured replaces an estimate, never the other way round.
pub(super) fn write_layer(db: &Connection, layer: &Layer) -> Result<i64> {
    let (unpacked, compressed) = (layer.unpacked.map(int), layer.compressed.map(int));
    db.execute(
        "INSERT INTO layer (chain, unpacked, compressed, estimated) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (chain) DO UPDATE SET unpacked = coalesce(?2, unpacked) WHERE unpacked IS NOT coalesce(?2, unpacked)",
        params![layer.chain, unpacked, compressed, layer.estimated],
    )?;
    db.execute(
        "UPDATE layer SET compressed = ?2, estimated = ?3
         WHERE chain = ?1 AND ?2 IS NOT NULL AND (compressed IS NULL OR estimated OR NOT ?3)
             AND (compressed IS NOT ?2 OR estimated IS NOT ?3)",
        params![layer.chain, compressed, layer.estimated],
    )?;
    db.query_row("SELECT id FROM layer WHERE chain = ?1", [&layer.chain], |row| row.get(0))
}

pub(super) fn write_link(db: &Connection, link: &Link, now: i64) -> Result<()> {
    db.execute(
        "INSERT INTO link (repository, digest, wanted, manifest, platform, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET manifest = ?4, platform = ?5, at_ms = ?6
         WHERE manifest <> ?4 OR platform <> ?5 OR abs(at_ms - ?6) > ?7",
        params![
            repository(db, &link.repository)?,
            link.index,
            link.wanted.to_string(),
            link.manifest,
            link.platform.to_string(),
            now,
            ms(SIGHTING)
        ],
    )?;
    Ok(())
}

pub(super) fn write_origin(db: &Connection, origin: &Origin, now: i64) -> Result<()> {
    db.execute(
        "INSERT INTO origin (repository, digest, through, at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET at_ms = ?4 WHERE abs(at_ms - ?4) > ?5",
        params![
            repository(db, &origin.repository)?,
            origin.digest,
            origin.through.as_deref().unwrap_or_default(),
            now,
            ms(SIGHTING)
        ],
    )?;
    Ok(())
}

const COLUMNS: &str =
    "SELECT content.id, content.digest, content.platform, repository.name, content.engine_id,
        content.first_ms, content.seen_ms
    FROM content JOIN repository ON repository.id = content.repository";

fn row_of(row: &Row<'_>) -> Result<(i64, Option<Content>)> {
    let rest = (row.get(3)?, row.get(4)?, time(row.get(5)?), time(row.get(6)?));
    let content = key_at(row, 1)?.map(|key| {
        let (repository, engine_id, first_seen, seen) = rest;
        Content { key, repository, engine_id, layers: Vec::new(), first_seen, seen }
    });
    Ok((row.get(0)?, content))
}

fn with_layers(db: &Connection, found: (i64, Option<Content>)) -> Result<Option<Content>> {
    let (id, Some(mut content)) = found else { return Ok(None) };
    let mut layers = db.prepare(
        "SELECT layer.chain, layer.unpacked, layer.compressed, layer.estimated
         FROM content_layer JOIN layer ON layer.id = content_layer.layer
         WHERE content_layer.content = ?1 ORDER BY content_layer.position",
    )?;
    content.layers = layers.query_map([id], layer_at)?.collect::<Result<_>>()?;
    Ok(Some(content))
}

/// Reads a layer from the first four columns.
pub(super) fn layer_at(row: &Row<'_>) -> Result<Layer> {
    Ok(Layer {
        chain: row.get(0)?,
        unpacked: row.get::<_, Option<i64>>(1)?.map(uint),
        compressed: row.get::<_, Option<i64>>(2)?.map(uint),
        estimated: row.get(3)?,
    })
}

impl Store {
    /// Returns what is known of a content.
    pub fn content(&self, key: &ContentKey) -> Option<Content> {
        self.read(|db| {
            let sql = format!("{COLUMNS} WHERE content.digest = ?1 AND content.platform = ?2");
            let found =
                db.query_row(&sql, params![key.digest, key.platform.to_string()], row_of).optional()?;
            found.map_or(Ok(None), |found| with_layers(db, found))
        })
    }

    /// Shows the contents on record for which `which` says so, one after the other; it sees them without their layers.
    pub fn contents_that(&self, which: impl Fn(&Content) -> bool, mut each: impl FnMut(Content)) {
        self.read(|db| {
            let mut rows = db.prepare(&format!("{COLUMNS} ORDER BY content.id"))?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let (id, content) = row_of(row)?;
                if let Some(content) = with_layers(db, (id, content.filter(&which)))? {
                    each(content);
                }
            }
            Ok(())
        });
    }

    /// Returns all contents on record, on this host or not.
    pub fn contents(&self) -> Vec<Content> {
        self.read(|db| {
            let mut rows = db.prepare(&format!("{COLUMNS} ORDER BY content.id"))?;
            let found: Vec<_> = rows.query_map([], row_of)?.collect::<Result<_>>()?;
            let contents = found.into_iter().map(|found| with_layers(db, found).transpose());
            contents.flatten().collect()
        })
    }
}
