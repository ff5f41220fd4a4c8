//! `hearth cleanup`: tokens first, then containers, then network and volumes. Goes on after every error.

use std::time::Duration;

use tokio::time::Instant;

use futures_util::future::{join, join_all};

use super::begin::Begun;
use super::courier::Courier;
use super::removal::persist;
use crate::engine::{Engine, EngineError, Removal};
use crate::job::names::LABEL_JOB;
use crate::outcome::Failure;
use crate::plan::wish::requested_services;

/// How long the helper has to delete the job's temporary directories.
const SWEEP_GRACE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(300);
/// After a prepare that was cut: how long nothing may have appeared before nothing is expected any more. Making a
/// network takes a busy board most of a second.
const QUIET: Duration = Duration::from_secs(2);
/// The longest that such things are waited for.
const LATEST: Duration = Duration::from_secs(15);

/// Removes everything of the job. Nothing being there is fine.
pub async fn run<E: Engine>(begun: &Begun, engine: &E, courier: &Courier) -> Result<(), Failure> {
    // What the daemon holds of the job are its credentials, among other things.
    courier.over(begun);
    let Begun { job, names, settings, .. } = begun;
    let mut errors: Vec<String> = Vec::new();
    let helper = names.helper();
    let build = names.build();
    let count = requested_services(job, &settings.job).len();
    let services: Vec<String> = (0..count).map(|index| names.service(index)).collect();

    // Tokens first: the helper deletes them while the containers that could still use them are being killed.
    let others: Vec<&str> =
        std::iter::once(build.as_str()).chain(services.iter().map(String::as_str)).collect();
    let (swept, removed) = join(
        engine.stop_container(&helper, SWEEP_GRACE),
        join_all(others.iter().map(|name| remove_container(engine, name))),
    )
    .await;
    if let Err(error) = &swept
        && is_hopeless(error)
    {
        return Err(Failure::from(error.clone()).hint("the job's containers stay until the engine is back"));
    }
    collect(&mut errors, "helper", swept.map(|()| true));
    for (name, result) in others.iter().zip(removed) {
        collect(&mut errors, name, result);
    }
    let result = remove_container(engine, &helper).await;
    collect(&mut errors, &helper, result);

    let network = names.network();
    let temporary = temporary_volumes(begun);
    let (network_removed, volumes_removed) = join(
        async {
            if !settings.job.network_mode.is_empty() {
                return Ok(true);
            }
            match engine.remove_network(&network).await? {
                Removal::Removed => Ok(true),
                // It may still be being made.
                Removal::Gone => Ok(false),
                Removal::InUse => remove_network(engine, &network).await,
            }
        },
        join_all(temporary.iter().map(|name| remove_volume(engine, name))),
    )
    .await;
    // An ambiguous or busy network is left to the listing below.
    let network_left = !matches!(network_removed, Ok(true));
    let mut volumes_left = false;
    for (name, result) in temporary.iter().zip(volumes_removed) {
        volumes_left |= !matches!(result, Ok(true));
        collect(&mut errors, name, result.map(|_| true));
    }

    // What carries the job's label goes too: a create that was in flight when prepare was killed.
    let late = sweep_containers(engine, names.key(), &mut errors).await;
    if late || network_left || volumes_left {
        sweep_ground(engine, names.key(), &temporary, &mut errors).await;
    }
    if begun.hints.was_making() {
        sweep_until_quiet(engine, names.key(), &temporary, &mut errors).await;
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::system(format!("cleanup of job {} left something behind: {}", job.id, errors.join("; ")))
        .hint(format!("see docker ps -a --filter label={LABEL_JOB}={}", names.key())))
}

/// Every further call would fail, or hang, in the same way.
fn is_hopeless(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Unreachable { .. }
            | EngineError::Forbidden { .. }
            | EngineError::TooOld { .. }
            | EngineError::TooNew { .. }
            | EngineError::Timeout { .. }
    )
}

/// Goes on removing until nothing new has appeared for a while: the engine finishes what a killed prepare had asked for.
async fn sweep_until_quiet<E: Engine>(engine: &E, key: &str, temporary: &[String], errors: &mut Vec<String>) {
    let end = Instant::now() + LATEST;
    let mut quiet_since = Instant::now();
    while errors.is_empty() && quiet_since.elapsed() < QUIET && Instant::now() < end {
        tokio::time::sleep(PAUSE).await;
        let containers = sweep_containers(engine, key, errors).await;
        let ground = sweep_ground(engine, key, temporary, errors).await;
        if containers || ground {
            quiet_since = Instant::now();
        }
    }
}

/// Removes containers that carry the job's label. Returns whether there were any.
async fn sweep_containers<E: Engine>(engine: &E, key: &str, errors: &mut Vec<String>) -> bool {
    match engine.containers_labelled(LABEL_JOB, key).await {
        Ok(containers) => {
            for container in &containers {
                collect(errors, &container.name, remove_container(engine, &container.id).await);
            }
            !containers.is_empty()
        }
        Err(error) => {
            errors.push(format!("containers of {key}: {error}"));
            false
        }
    }
}

/// Removes networks and volumes that carry the job's label, and the temporary volumes by their names: a late container
/// makes its volumes again, without a label. Returns whether there were any.
async fn sweep_ground<E: Engine>(
    engine: &E,
    key: &str,
    temporary: &[String],
    errors: &mut Vec<String>,
) -> bool {
    let mut found = false;
    match engine.networks_labelled(LABEL_JOB, key).await {
        Ok(networks) => {
            for id in networks {
                found = true;
                collect(errors, &id, remove_network(engine, &id).await);
            }
        }
        Err(error) => errors.push(format!("networks of {key}: {error}")),
    }
    match engine.volumes_labelled(LABEL_JOB, key).await {
        Ok(volumes) => {
            for name in volumes {
                found = true;
                collect(errors, &name, remove_volume(engine, &name).await);
            }
        }
        Err(error) => errors.push(format!("volumes of {key}: {error}")),
    }
    for name in temporary {
        match engine.remove_volume(name).await {
            Ok(Removal::Gone) => {}
            Ok(Removal::Removed) => found = true,
            Ok(Removal::InUse) => collect(errors, name, remove_volume(engine, name).await),
            Err(error) => collect(errors, name, Err(error)),
        }
    }
    found
}

fn temporary_volumes(begun: &Begun) -> Vec<String> {
    match crate::plan::Ground::decide(&begun.job, &begun.names, &begun.settings, None) {
        Ok(ground) => ground.volumes.into_iter().filter(|v| !v.kept).map(|v| v.name).collect(),
        Err(_) => Vec::new(),
    }
}

fn collect(errors: &mut Vec<String>, what: &str, result: Result<bool, EngineError>) {
    match result {
        Ok(true) => {}
        Ok(false) => errors.push(format!("{what} is still in use")),
        Err(error) => errors.push(format!("{what}: {error}")),
    }
}

async fn remove_container<E: Engine>(engine: &E, name: &str) -> Result<bool, EngineError> {
    persist(|| engine.remove_container(name)).await
}

async fn remove_network<E: Engine>(engine: &E, name: &str) -> Result<bool, EngineError> {
    persist(|| engine.remove_network(name)).await
}

async fn remove_volume<E: Engine>(engine: &E, name: &str) -> Result<bool, EngineError> {
    persist(|| engine.remove_volume(name)).await
}
