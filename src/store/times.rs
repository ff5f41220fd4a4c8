//! Where each job's time went.

use std::time::Duration;

use rusqlite::{Connection, Result, params};

use super::Store;
use super::repositories::project;
use super::values::{ms, seconds, time};

/// Where the time of one job's preparation went. `None`: not known, or there was no such phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobTime {
    /// The job: a text that no other job has.
    pub job: String,
    /// The project's text, as in [`super::Use`].
    pub project: Option<String>,
    /// When it started, since the epoch.
    pub started: Duration,
    /// Its image as asked for.
    pub image: String,
    /// Whether all its images were here.
    pub warm: bool,
    /// Deciding which image it is, with the registry's answers.
    pub resolve: Option<Duration>,
    /// Downloading.
    pub download: Option<Duration>,
    /// Extracting.
    pub extract: Option<Duration>,
    /// Creating and starting containers.
    pub create: Option<Duration>,
    /// Waiting for services.
    pub services: Option<Duration>,
    /// All of it.
    pub total: Option<Duration>,
}

/// Writes a job's times; what is not known now leaves what is on record.
pub(super) fn write(db: &Connection, times: &JobTime) -> Result<()> {
    let phase = |phase: Option<Duration>| phase.map(|time| time.as_secs_f64());
    db.execute(
        "INSERT INTO job_time (job, at_ms, project, image, warm, resolve, download, extract, make, services, total)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (job) DO UPDATE SET at_ms = ?2, project = ?3, image = ?4, warm = ?5,
             resolve = coalesce(?6, resolve), download = coalesce(?7, download), extract = coalesce(?8, extract),
             make = coalesce(?9, make), services = coalesce(?10, services), total = coalesce(?11, total)",
        params![
            times.job,
            ms(times.started),
            project(db, times.project.as_deref())?,
            times.image,
            times.warm,
            phase(times.resolve),
            phase(times.download),
            phase(times.extract),
            phase(times.create),
            phase(times.services),
            phase(times.total),
        ],
    )?;
    Ok(())
}

impl Store {
    /// Returns the times of the jobs that started since a time, oldest first.
    pub fn job_times(&self, since: Duration) -> Vec<JobTime> {
        self.read(|db| {
            let mut rows = db.prepare(
                "SELECT job, key, at_ms, image, warm, resolve, download, extract, make, services, total
                 FROM job_time LEFT JOIN project ON project.id = project WHERE at_ms >= ?1 ORDER BY job_time.id",
            )?;
            let rows = rows.query_map([ms(since)], |row| {
                let phase = |column: usize| row.get::<_, Option<f64>>(column).map(|phase| phase.map(seconds));
                Ok(JobTime {
                    job: row.get(0)?,
                    project: row.get(1)?,
                    started: time(row.get(2)?),
                    image: row.get(3)?,
                    warm: row.get(4)?,
                    resolve: phase(5)?,
                    download: phase(6)?,
                    extract: phase(7)?,
                    create: phase(8)?,
                    services: phase(9)?,
                    total: phase(10)?,
                })
            })?;
            rows.collect()
        })
    }
}
