//! Makes what a plan says: idempotent, and it clears away what an earlier attempt left under the same name.

use super::removal::persist;
use crate::engine::{Created, Creation, Engine, EngineError, refusal::Refusal, refusal::is_no_space};
use crate::job::names::{LABEL_JOB, LABEL_ROLE};
use crate::joblog::JobLog;
use crate::outcome::Failure;
use crate::plan::spec::{ContainerSpec, NetworkSpec, VolumeSpec};

/// Creates the job's network and returns its ID: names need not be unique on every engine.
pub async fn network<E: Engine>(engine: &E, spec: &NetworkSpec, log: &JobLog) -> Result<String, Failure> {
    for _ in 0..2 {
        match engine.create_network(spec).await.map_err(|e| refused_network(spec, e))? {
            Creation::Made(made) => {
                print_warnings(&made, "network", log);
                return Ok(made.id);
            }
            Creation::NameTaken | Creation::ImageMissing => clear_network(engine, spec).await?,
        }
    }
    Err(Failure::system(format!("the network {} of an earlier attempt cannot be removed", spec.name))
        .hint("see which containers use it: docker network inspect"))
}

/// Removes the networks of an earlier attempt. Its containers go first: they hold them.
async fn clear_network<E: Engine>(engine: &E, spec: &NetworkSpec) -> Result<(), Failure> {
    if let Some(key) = spec.labels.get(LABEL_JOB) {
        for container in engine.containers_labelled(LABEL_JOB, key).await? {
            engine.remove_container(&container.id).await?;
        }
        for id in engine.networks_labelled(LABEL_JOB, key).await? {
            engine.remove_network(&id).await?;
        }
    }
    engine.remove_network(&spec.name).await?;
    Ok(())
}

fn refused_network(spec: &NetworkSpec, error: EngineError) -> Failure {
    let failure = Failure::from(error.clone());
    match error {
        EngineError::Refused { .. } | EngineError::NotFound { .. } => Failure::system(format!(
            "the job's network {} cannot be made: {}",
            spec.name,
            error.words()
        ))
        .hint(
            "enable_ipv6 needs a kernel with IPv6; networks of dead jobs use up the pools: docker network ls",
        ),
        _ => failure,
    }
}

/// Creates a volume, or finds it.
pub async fn volume<E: Engine>(engine: &E, spec: &VolumeSpec) -> Result<(), Failure> {
    Ok(engine.create_volume(spec).await?)
}

/// Why a container was not made.
#[derive(Debug)]
pub enum NotMade {
    /// The image went after it was looked at.
    ImageMissing,
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for NotMade {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Creates a container; one of the same name is an earlier attempt's and is removed.
pub async fn container<E: Engine>(engine: &E, spec: &ContainerSpec, log: &JobLog) -> Result<(), NotMade> {
    for _ in 0..3 {
        match engine.create_container(spec).await.map_err(|e| refused(spec, e))? {
            Creation::Made(made) => {
                print_warnings(&made, "container", log);
                return Ok(());
            }
            Creation::ImageMissing => return Err(NotMade::ImageMissing),
            Creation::NameTaken => {
                persist(|| engine.remove_container(&spec.name)).await.map_err(Failure::from)?;
            }
        }
    }
    Err(Failure::system(format!("the container {} of an earlier attempt cannot be removed", spec.name))
        .hint("see what holds it: docker inspect")
        .into())
}

/// Starts a container.
pub async fn start<E: Engine>(engine: &E, spec: &ContainerSpec) -> Result<(), Failure> {
    engine.start_container(&spec.name).await.map_err(|error| refused(spec, error))
}

/// Tells a refusal that the job's wishes caused from one that the host caused.
pub fn refused(spec: &ContainerSpec, error: EngineError) -> Failure {
    let role = spec.labels.get(LABEL_ROLE).map_or("job", String::as_str);
    refused_container(role, &spec.image, error)
}

/// As [`refused`], for a container that is known by role and image only.
pub fn refused_container(role: &str, image: &str, error: EngineError) -> Failure {
    let words = error.words();
    let answered = matches!(
        error,
        EngineError::Refused { .. } | EngineError::NotFound { .. } | EngineError::Conflict { .. }
    );
    if !answered {
        return error.into();
    }
    let no_space = is_no_space(&error);
    let message = format!("the {role} container of {image} cannot be run: {words}");
    let failure = match Refusal::of(&words) {
        Some(refusal) if role != "helper" => Failure::job(message).hint(refusal.hint()),
        Some(refusal) => Failure::system(message).hint(refusal.hint()),
        None => Failure::system(message),
    };
    Failure { no_space, ..failure }
}

/// What the engine could not do as asked is the operator's to know: a limit that is not enforced, for one.
fn print_warnings(made: &Created, what: &str, log: &JobLog) {
    for warning in &made.warnings {
        log.warn(format!("WARNING: the engine says of the {what}: {warning}"));
    }
}
