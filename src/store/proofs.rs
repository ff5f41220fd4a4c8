//! Proofs of access: who could read which content of which repository, and when that was seen.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use super::values::{ms, time};

/// What was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofKind {
    /// Anybody may read it.
    Public,
    /// Who has the key may.
    Project,
}

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

/// A proof that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proved {
    /// What was proved.
    pub kind: ProofKind,
    /// When, since the epoch.
    pub at: Duration,
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

impl Store {
    /// Returns the newest proof that this content of this repository is public, or that who has `key` may read it. It is
    /// no older than `ttl`, and not from the future. `key` `None`: only whether it is public.
    pub fn proved(
        &self,
        key: Option<&[u8]>,
        repository: &str,
        digest: &str,
        ttl: Duration,
        now: Duration,
    ) -> Option<Proved> {
        let own = stored(key).unwrap_or_default();
        let since = now.saturating_sub(ttl);
        self.read(|db| {
            db.query_row(
                "SELECT length(key), at_ms FROM proof
                 WHERE key IN (?1, x'') AND repository = ?2 AND digest = ?3 AND at_ms BETWEEN ?4 AND ?5
                 ORDER BY at_ms DESC, length(key) LIMIT 1",
                params![own, repository, digest, ms(since), ms(now)],
                |row| {
                    let kind =
                        if row.get::<_, i64>(0)? == 0 { ProofKind::Public } else { ProofKind::Project };
                    Ok(Proved { kind, at: time(row.get(1)?) })
                },
            )
            .optional()
        })
    }
}
