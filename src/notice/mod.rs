//! What a stage tells the daemon, and never waits for.
//!
//! Stages and daemon share the engine and the store, and this: a datagram socket in the store's directory. It is for what
//! must not be written down, the credentials of a running job, and for what is stale a moment later, that a job is being
//! prepared just now. Nobody answers a notice, and one that is lost costs warmth, never a job.
//!
//! The types and their letters are pure; [`socket`] is the edge.

pub mod socket;
mod wire;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image::proof::Asker;
use crate::job::RegistryCredential;
use crate::scan::Running;
use crate::secret::Secret;

pub use socket::{Inbox, Post};
pub use wire::{MAX_LETTER, decode, encode};

/// What a stage tells the daemon.
///
/// `job` is in all of them the text by which the store knows a job too: its key and its server, as in
/// [`JobTime::job`](crate::store::JobTime::job).
#[derive(Debug, Serialize, Deserialize)]
pub enum Notice {
    /// A job is being prepared: it wants the link and the disk.
    Prepares {
        /// The job.
        job: String,
        /// Its [`Owner`](crate::job::Owner) as text: a prepare that is killed never says its end.
        owner: String,
    },
    /// A job that is being prepared is about to pull.
    Pulls {
        /// The job.
        job: String,
        /// What it pulls, as `repository@digest` with the registry's name, whatever tag it was asked for by.
        image: String,
        /// How many bytes are to come, as far as it is known.
        bytes: Option<u64>,
    },
    /// A job is prepared, or its prepare failed.
    Prepared {
        /// The job.
        job: String,
    },
    /// A job has its sources: what its pipeline will want can be read in them.
    Sources(Box<Sources>),
    /// A job is over: nothing of it is to be kept.
    Over {
        /// The job.
        job: String,
    },
}

/// The checkout of a running job, and with whose rights images may be fetched for its pipeline.
#[derive(Serialize, Deserialize)]
pub struct Sources {
    /// The job, as in [`Notice`].
    pub job: String,
    /// Its [`Owner`](crate::job::Owner) as text.
    pub owner: String,
    /// The container that has the checkout.
    pub helper: String,
    /// The checkout, as that container sees it.
    pub dir: String,
    /// The pipeline: a text that no other one has.
    pub pipeline: String,
    /// What a scan has to know of the job. Its platform is empty: the engine knows it, a stage does not ask.
    #[serde(with = "wire::RunningLetter")]
    pub running: Running,
    /// The images that the job's own containers are made from, as full names.
    pub own: Vec<String>,
    /// The platform that images of jobs are for by the settings; empty: the engine's own.
    pub platform: String,
    /// The job's number.
    pub number: i64,
    /// The project, as in [`JobSpec::project_key`](crate::job::JobSpec::project_key).
    pub project_key: String,
    /// What the pipeline was made by; `None`: it does not say.
    pub source: Option<String>,
    /// Who asks, as proofs of access know it.
    #[serde(with = "wire::AskerLetter")]
    pub asker: Asker,
    /// What GitLab sent for registries.
    #[serde(with = "wire::credentials")]
    pub credentials: Vec<RegistryCredential>,
    /// The job's DOCKER_AUTH_CONFIG.
    #[serde(with = "wire::maybe_secret")]
    pub docker_auth_config: Option<Secret>,
    /// The patterns of images that a job may name; empty: all.
    pub allowed_images: Vec<String>,
    /// The patterns of service images that a job may name; empty: all.
    pub allowed_services: Vec<String>,
    /// Whether a job may have any image pulled, or a service's: by the settings, whatever it asks for.
    pub may_pull: bool,
    /// When the job's time is over, in seconds since the epoch: nothing of this is kept longer.
    pub until: u64,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, helper, pipeline, .. } = self;
        f.debug_struct("Sources")
            .field("job", job)
            .field("helper", helper)
            .field("pipeline", pipeline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
