//! How every stage but config begins: the job, the settings, and a way to the engine.

use crate::engine::{API_HINT_FILE, Docker, endpoint};
use crate::host::read_bounded;
use crate::job::response::MAX_RESPONSE_BYTES;
use crate::job::{JobSpec, Names, StageEnv};
use crate::outcome::Failure;
use crate::settings::Settings;

use super::hint::Hints;

/// A stage's own values.
pub struct Begun {
    /// The environment it was given.
    pub env: StageEnv,
    /// The settings in force.
    pub settings: Settings,
    /// The job.
    pub job: JobSpec,
    /// The names of the job's objects.
    pub names: Names,
    /// Hints of the attempt.
    pub hints: Hints,
}

impl Begun {
    /// Reads the job.
    pub fn new(env: StageEnv, settings: Settings) -> Result<Self, Failure> {
        let bytes = read_bounded(env.response_path()?, MAX_RESPONSE_BYTES, "JOB_RESPONSE_FILE")?;
        let job = JobSpec::read(&bytes, &env)?;
        let names = Names::of(&job);
        let hints = Hints::new(env.temp_dir.as_deref());
        Ok(Self { env, settings, job, names, hints })
    }

    /// Makes a client for the engine; nothing is sent yet.
    pub fn engine(&self, docker_host: Option<&str>) -> Result<Docker, Failure> {
        let endpoint = endpoint(self.settings.engine.host.as_deref(), docker_host);
        let hint = self.hints.read(API_HINT_FILE);
        Ok(Docker::new(&endpoint, self.settings.engine.timeout, hint.as_deref())?)
    }
}
