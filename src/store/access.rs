//! What decides about one repository's images: proofs, indexes read before, and where copies came from.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use super::contents::{Link, Origin};
use super::proofs::Proof;
use super::values::time;

/// All that is known of access to one repository and of what its names mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Proofs, and when they were made; also those that do not count any more.
    pub proofs: Vec<(Proof, Duration)>,
    /// What its indexes mean.
    pub links: Vec<Link>,
    /// What was obtained for it, and how.
    pub origins: Vec<Origin>,
}

impl Store {
    /// Returns what is known of a repository.
    pub fn repository(&self, repository: &str) -> RepositoryFacts {
        self.read(|db| {
            Ok(RepositoryFacts {
                proofs: proofs(db, repository)?,
                links: links(db, repository)?,
                origins: origins(db, repository)?,
            })
        })
    }

    /// Returns the digest that a tag, by its full reference, named at its last use.
    pub fn tag_digest(&self, name: &str) -> Option<String> {
        self.read(|db| {
            let digest = db.query_row(
                "SELECT content.digest FROM tag JOIN content ON content.id = tag.content WHERE tag.name = ?1",
                [name],
                |row| row.get(0),
            );
            digest.optional()
        })
    }
}

fn proofs(db: &Connection, repository: &str) -> Result<Vec<(Proof, Duration)>> {
    let mut rows =
        db.prepare("SELECT key, digest, at_ms FROM proof WHERE repository = ?1 ORDER BY key, digest")?;
    let rows = rows.query_map([repository], |row| {
        let key: Vec<u8> = row.get(0)?;
        let key = if key.is_empty() { None } else { Some(key) };
        let proof = Proof { key, repository: repository.to_owned(), digest: row.get(1)? };
        Ok((proof, time(row.get(2)?)))
    })?;
    rows.collect()
}

fn links(db: &Connection, repository: &str) -> Result<Vec<Link>> {
    let mut rows = db.prepare(
        "SELECT link.digest, link.wanted, link.manifest, link.platform
         FROM link JOIN repository ON repository.id = link.repository
         WHERE repository.name = ?1 ORDER BY link.digest, link.wanted",
    )?;
    let rows = rows.query_map([repository], |row| {
        let (wanted, platform): (String, String) = (row.get(1)?, row.get(3)?);
        let platforms = wanted.parse().ok().zip(platform.parse().ok());
        let (index, manifest) = (row.get(0)?, row.get(2)?);
        Ok(platforms.map(|(wanted, platform)| Link {
            repository: repository.to_owned(),
            index,
            wanted,
            manifest,
            platform,
        }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

fn origins(db: &Connection, repository: &str) -> Result<Vec<Origin>> {
    let mut rows = db.prepare(
        "SELECT origin.digest, origin.through
         FROM origin JOIN repository ON repository.id = origin.repository
         WHERE repository.name = ?1 ORDER BY origin.digest, origin.through",
    )?;
    let rows = rows.query_map(params![repository], |row| {
        let through: String = row.get(1)?;
        let through = if through.is_empty() { None } else { Some(through) };
        Ok(Origin { repository: repository.to_owned(), digest: row.get(0)?, through })
    })?;
    rows.collect()
}
