//! Whom images are brought for: a job, or this host itself.

use crate::job::JobSpec;

/// Whom images are brought for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Tells its tries apart from those of others that failed together.
    pub number: i64,
    /// The job's project; `None`: it is no job.
    pub project: Option<String>,
    /// What started the job's pipeline; `None`: not known, or it is no job.
    pub source: Option<String>,
}

impl Client {
    /// The client that a job is.
    pub fn of(job: &JobSpec) -> Self {
        Self { number: job.id, project: Some(job.project_key()), source: job.pipeline_source.clone() }
    }

    /// This host itself.
    pub fn host() -> Self {
        Self::default()
    }
}
