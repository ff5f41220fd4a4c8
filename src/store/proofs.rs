//! Proofs of access: who could read which content of which repository, and when that was seen.

use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::values::ms;

/// That a registry gave a content.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// A keyed hash of who it gave it to; `None`: to anybody.
    pub key: Option<Vec<u8>>,
    /// The repository.
    pub repository: String,
    /// The digest.
    pub digest: String,
}

/// That a registry refused: what was proved before for this repository is void.
#[derive(Clone, PartialEq, Eq)]
pub struct Revocation {
    /// A keyed hash of whom it refused; `None`: who did not log in.
    pub key: Option<Vec<u8>>,
    /// The repository.
    pub repository: String,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proof({} {}@{})", whose(self.key.as_ref()), self.repository, self.digest)
    }
}

impl std::fmt::Debug for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Revocation({} {})", whose(self.key.as_ref()), self.repository)
    }
}

fn whose(key: Option<&Vec<u8>>) -> &'static str {
    if key.is_some() { "project's" } else { "public" }
}

/// An empty key stands for anybody, so a project's may not be empty.
fn stored(key: Option<&[u8]>) -> Option<&[u8]> {
    match key {
        None => Some(&[]),
        Some([]) => None,
        key => key,
    }
}

/// Writes a proof; one that repeats an earlier one within the resolution is not written: it lapses that much sooner.
pub(super) fn write(db: &Connection, proof: &Proof, resolution: Duration, now: i64) -> Result<()> {
    let Some(key) = stored(proof.key.as_deref()) else { return Ok(()) };
    db.execute(
        "INSERT INTO proof (key, repository, digest, at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET at_ms = ?4 WHERE at_ms > ?4 OR at_ms <= ?4 - ?5",
        params![key, proof.repository, proof.digest, now, ms(resolution)],
    )?;
    Ok(())
}

pub(super) fn revoke(db: &Connection, revocation: &Revocation) -> Result<()> {
    let Some(key) = stored(revocation.key.as_deref()) else { return Ok(()) };
    db.execute("DELETE FROM proof WHERE key = ?1 AND repository = ?2", params![key, revocation.repository])?;
    Ok(())
}
