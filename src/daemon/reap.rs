//! Removes what dead jobs left on the engine: containers first, then networks, then temporary volumes.
//!
//! Cleanups of other jobs, or one that is late, may be at the same things: what is gone or being removed is an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::journal::Level;
use super::report::Done;
use super::round::Round;
use super::world::World;
use crate::engine::{Engine, EngineError, ObjectSummary, Removal};
use crate::job::names::{LABEL_JOB, LABEL_KEPT, LABEL_ROLE, temporary_volumes};
use crate::job::owner::{LABEL_OWNER, Owner};
use crate::policy::orphans::{Judge, Made, Orphaned};

/// How long a dead job's helper has to delete the temporary directories, which hold tokens.
const SWEEP_GRACE: Duration = Duration::from_secs(1);

/// What was reaped.
#[derive(Debug, Default)]
pub struct Reaped {
    /// What is gone.
    pub done: Done,
    /// What could not be removed, a sentence each.
    pub problems: Vec<String>,
    /// The owners that live, as their labels have them.
    pub owners: BTreeSet<String>,
    /// The keys of jobs of which containers are still there.
    pub jobs: BTreeSet<String>,
}

/// Whether there is a use in going on.
enum Next {
    GoOn,
    Enough,
}

impl<W: World> Round<'_, W> {
    /// Removes what dead jobs left.
    ///
    /// # Errors
    /// The engine does not answer.
    pub(super) async fn reap(&self, judge: &Judge<'_>) -> Result<Reaped, EngineError> {
        let mut reaped = Reaped::default();
        let mut dead: BTreeMap<String, Orphaned> = BTreeMap::new();
        for container in self.engine.containers().await? {
            let made = made(&container.labels, Some(container.created));
            let Some(job) = made.job.clone() else { continue };
            let Some(why) = judge.orphaned(&made) else {
                reaped.jobs.insert(job);
                reaped.owners.extend(container.labels.get(LABEL_OWNER).cloned());
                continue;
            };
            if self.stopping.get() {
                return Ok(reaped);
            }
            dead.insert(job.clone(), why);
            if container.running && container.labels.get(LABEL_ROLE).is_some_and(|role| role == "helper") {
                // What it does not get to is removed with the next job's helper.
                let _ = self.engine.stop_container(&container.id, SWEEP_GRACE).await;
            }
            let removal = self.engine.remove_container(&container.id).await;
            let is_gone = matches!(removal, Ok(Removal::Removed | Removal::Gone));
            match self.removed("container", &container.name, why, removal, &mut reaped)? {
                Next::GoOn => reaped.jobs.extend((!is_gone).then_some(job)),
                Next::Enough => return Ok(reaped),
            }
        }
        for network in self.engine.networks().await? {
            if let Next::Enough = self.reap_network(network, judge, &mut reaped).await? {
                return Ok(reaped);
            }
        }
        let mut seen = BTreeSet::new();
        for volume in self.engine.volumes().await? {
            seen.insert(volume.name.clone());
            if let Next::Enough = self.reap_volume(volume, judge, &mut reaped).await? {
                return Ok(reaped);
            }
        }
        dead.retain(|job, _| !reaped.jobs.contains(job));
        for (job, why) in dead {
            for name in temporary_volumes(&job, &self.settings.driver.cache_dir) {
                if !self.stopping.get() && !seen.contains(&name) {
                    let removal = self.engine.remove_volume(&name).await;
                    self.removed("volume", &name, why, removal, &mut reaped)?;
                }
            }
        }
        Ok(reaped)
    }

    async fn reap_network(
        &self,
        network: ObjectSummary,
        judge: &Judge<'_>,
        reaped: &mut Reaped,
    ) -> Result<Next, EngineError> {
        let Some(why) = judge.orphaned(&made(&network.labels, network.created)) else {
            return Ok(Next::GoOn);
        };
        if self.stopping.get() {
            return Ok(Next::Enough);
        }
        let removal = self.engine.remove_network(&network.id).await;
        self.removed("network", &network.name, why, removal, reaped)
    }

    async fn reap_volume(
        &self,
        volume: ObjectSummary,
        judge: &Judge<'_>,
        reaped: &mut Reaped,
    ) -> Result<Next, EngineError> {
        let Some(why) = judge.orphaned(&made(&volume.labels, volume.created)) else {
            return Ok(Next::GoOn);
        };
        if self.stopping.get() {
            return Ok(Next::Enough);
        }
        let removal = self.engine.remove_volume(&volume.name).await;
        self.removed("volume", &volume.name, why, removal, reaped)
    }

    /// Notes what came of a removal. One that takes too long ends the reaping of this round, so that the rest of it gets its
    /// turn.
    fn removed(
        &self,
        what: &str,
        name: &str,
        why: Orphaned,
        removal: Result<Removal, EngineError>,
        reaped: &mut Reaped,
    ) -> Result<Next, EngineError> {
        match removal {
            Ok(Removal::Removed) => {
                let done = &mut reaped.done;
                match what {
                    "container" => done.containers += 1,
                    "network" => done.networks += 1,
                    _ => done.volumes += 1,
                }
                self.journal.say(Level::Notice, format!("removed {what} {name}: {why}"));
            }
            // Somebody else removes it, or it waits for something that is being removed: the next round sees.
            Ok(Removal::Gone | Removal::InUse) => {}
            Err(error @ (EngineError::Unreachable { .. } | EngineError::Lost { .. })) => return Err(error),
            Err(error) => {
                let slow = matches!(error, EngineError::Timeout { .. });
                reaped.problems.push(format!("{what} {name} of a dead job stays: {error}"));
                return Ok(if slow { Next::Enough } else { Next::GoOn });
            }
        }
        Ok(Next::GoOn)
    }
}

/// Reads labels. Volumes of older versions say by themselves which are kept.
fn made(labels: &BTreeMap<String, String>, at: Option<Duration>) -> Made {
    Made {
        job: labels.get(LABEL_JOB).cloned(),
        owner: labels.get(LABEL_OWNER).and_then(|text| Owner::parse(text)),
        kept: labels.contains_key(LABEL_KEPT),
        at,
    }
}
