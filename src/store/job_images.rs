//! How each job came to its images, so that it can be told later why one was cold.

use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::Store;
use super::values::{int, ms, seconds, time, uint};

/// How a job came to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was here.
    Here,
    /// Another process of this host was pulling it, or had just done so.
    Joined,
    /// It was pulled: nothing was here under its name.
    Missing,
    /// It was pulled: what was here under its name was another version, or for another platform.
    Moved,
    /// It was pulled: what was here under its name came from no registry.
    Foreign,
}

impl How {
    const ALL: [Self; 5] = [Self::Here, Self::Joined, Self::Missing, Self::Moved, Self::Foreign];

    /// Returns its word in the file and for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Joined => "joined",
            Self::Missing => "missing",
            Self::Moved => "moved",
            Self::Foreign => "foreign",
        }
    }

    fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|how| how.word() == word).unwrap_or(Self::Missing)
    }
}

/// How a job came to one of its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobImage {
    /// The job, as in [`super::JobTime`].
    pub job: String,
    /// When it had the image, since the epoch.
    pub at: Duration,
    /// The reference in full.
    pub name: String,
    /// What the job wanted it for, in words.
    pub purpose: String,
    /// The digest that it is known by in its registry; `None`: it came from none.
    pub digest: Option<String>,
    /// How it came to it.
    pub how: How,
    /// Whether it was here and nobody had proved lately that this job may read it, so that its registry was asked.
    pub unproved: bool,
    /// From the first look to the last.
    pub waited: Duration,
    /// Compressed bytes that the job pulled over the link; `None`: it pulled none, or the engine did not tell.
    pub bytes: Option<u64>,
}

pub(super) fn write(db: &Connection, image: &JobImage) -> Result<()> {
    db.execute(
        "INSERT INTO job_image (job, at_ms, name, purpose, digest, how, unproved, waited, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            image.job,
            ms(image.at),
            image.name,
            image.purpose,
            image.digest,
            image.how.word(),
            image.unproved,
            image.waited.as_secs_f64(),
            image.bytes.map(int),
        ],
    )?;
    Ok(())
}

/// The rows of which a column is this text, in the order in which they were written.
fn rows(db: &Connection, column: &str, is: &str) -> Result<Vec<JobImage>> {
    let mut rows = db.prepare(&format!(
        "SELECT job, at_ms, name, purpose, digest, how, unproved, waited, bytes
         FROM job_image WHERE {column} = ?1 ORDER BY id"
    ))?;
    let rows = rows.query_map([is], |row| {
        Ok(JobImage {
            job: row.get(0)?,
            at: time(row.get(1)?),
            name: row.get(2)?,
            purpose: row.get(3)?,
            digest: row.get(4)?,
            how: How::of(&row.get::<_, String>(5)?),
            unproved: row.get(6)?,
            waited: seconds(row.get(7)?),
            bytes: row.get::<_, Option<i64>>(8)?.map(uint),
        })
    })?;
    rows.collect()
}

impl Store {
    /// Returns how a job came to its images, in the order in which it had them. An image stands there more than once where
    /// the job was prepared more than once, or where it went and was brought back.
    pub fn job_images(&self, job: &str) -> Vec<JobImage> {
        self.read(|db| rows(db, "job", job))
    }

    /// Returns how jobs came to the image of this full reference, in the order in which they had it.
    pub fn job_images_called(&self, name: &str) -> Vec<JobImage> {
        self.read(|db| rows(db, "name", name))
    }

    /// Returns the jobs whose images are on record, newest first, as far as their text has `text` in it; all of them for
    /// an empty text.
    pub fn find_jobs(&self, text: &str) -> Vec<String> {
        self.read(|db| {
            let mut rows = db.prepare(
                "SELECT job FROM job_image WHERE instr(job, ?1) > 0 OR ?1 = '' GROUP BY job ORDER BY max(id) DESC",
            )?;
            rows.query_map([text], |row| row.get(0))?.collect::<Result<_>>()
        })
    }
}
