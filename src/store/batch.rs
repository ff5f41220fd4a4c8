//! All that a process has to say, in one transaction.

use std::time::Duration;

use rusqlite::{Connection, Result};

use super::Store;
use super::aheads::{self, Ahead};
use super::backoffs::{self, BackOff};
use super::contents::{self, ContentFact, Link, Origin};
use super::engines::{self, EngineFacts};
use super::job_images::{self, JobImage};
use super::place::StorePlace;
use super::proofs::{self, Proof, Revocation};
use super::pulls::{self, Pull};
use super::times::{self, JobTime};
use super::uses::{self, Use};
use super::values::ms;
use super::volumes::{self, VolumeUse};

/// Facts to be written together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Contents that were seen or pulled.
    pub contents: Vec<ContentFact>,
    /// What indexes were found to hold.
    pub links: Vec<Link>,
    /// How digests were obtained for their repositories.
    pub origins: Vec<Origin>,
    /// Uses by jobs.
    pub uses: Vec<Use>,
    /// Pulls that ended, well or badly.
    pub pulls: Vec<Pull>,
    /// Refusals; they come before the proofs.
    pub revocations: Vec<Revocation>,
    /// Proofs of access.
    pub proofs: Vec<Proof>,
    /// Registries that asked to wait.
    pub back_offs: Vec<BackOff>,
    /// What engines said about themselves.
    pub engines: Vec<EngineFacts>,
    /// Where jobs' time went.
    pub times: Vec<JobTime>,
    /// Kept volumes that jobs mounted.
    pub volumes: Vec<VolumeUse>,
    /// Prefetches that ended, well or badly.
    pub aheads: Vec<Ahead>,
    /// How jobs came to their images.
    pub job_images: Vec<JobImage>,
}

impl Batch {
    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Store {
    /// Writes everything or nothing, in one transaction; `false` for nothing.
    pub fn commit(&self, batch: &Batch, now: Duration) -> bool {
        batch.is_empty() || self.write(|db| write(db, &self.place, batch, ms(now))).is_some()
    }
}

fn write(db: &Connection, place: &StorePlace, batch: &Batch, now: i64) -> Result<()> {
    batch.contents.iter().try_for_each(|content| contents::write(db, content, now))?;
    batch.links.iter().try_for_each(|link| contents::write_link(db, link, now))?;
    batch.origins.iter().try_for_each(|origin| contents::write_origin(db, origin, now))?;
    batch.uses.iter().try_for_each(|one| uses::write(db, place, one, now))?;
    batch.pulls.iter().try_for_each(|pull| pulls::write(db, pull, now))?;
    batch.revocations.iter().try_for_each(|revocation| proofs::revoke(db, revocation))?;
    batch.proofs.iter().try_for_each(|proof| proofs::write(db, proof, place.resolution, now))?;
    batch.back_offs.iter().try_for_each(|back_off| backoffs::write(db, back_off, now))?;
    batch.engines.iter().try_for_each(|engine| engines::write(db, engine, now))?;
    batch.volumes.iter().try_for_each(|used| volumes::write(db, used, place.resolution, now))?;
    batch.aheads.iter().try_for_each(|ahead| aheads::write(db, ahead))?;
    batch.job_images.iter().try_for_each(|image| job_images::write(db, image))?;
    batch.times.iter().try_for_each(|times| times::write(db, times))
}
