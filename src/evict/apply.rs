//! Carrying out a plan: one image after the other, one name after the other, never by force.
//!
//! Each removal is marked first, in one transaction with a look at the leases, and looked at again before each of its
//! names. No lock of the store is held while the engine deletes. After each the disk is measured: what counts is what
//! became free, not what was reckoned.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::engine::{Engine, EngineError, Removal as Answer};
use crate::outcome::Failure;
use crate::policy::{Plan, Reason, Removal as Planned};
use crate::store::{self, Mark, Removal};

use super::barrier::{job_of, jobs_here};
use super::gauge::Room;
use super::limits::Goal;
use super::look::Sight;
use super::names::ImageNames;
use super::told::{Gone, Left, Told};
use super::{Evictor, inside};

/// How long one name may take the engine: tens of seconds on a slow card. Longer ones are left to it, and the next image
/// has its turn.
const LONGEST: Duration = Duration::from_secs(180);
/// So many removals in a row that free almost nothing end a plan: something else holds the bytes.
const FRUITLESS: u32 = 3;
/// Below this a removal was not expected to free anything.
const CRUMB: u64 = 1_000_000;
/// How long bytes may take to appear as free after the engine has answered.
const LAG: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(100);

/// What a plan is carried out for.
pub(super) struct Errand<'a> {
    /// What has to be reached.
    pub(super) goal: &'a Goal,
    /// What room is made for, in words.
    pub(super) for_what: &'a str,
    /// Whether no further removal shall be begun.
    pub(super) stops: &'a dyn Fn() -> bool,
}

/// How far a plan was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Images that went.
    pub(super) gone: usize,
    /// Bytes that they were reckoned to free.
    pub(super) reckoned: u64,
    /// Bytes that became free.
    pub(super) freed: u64,
    /// It was given up, since removals freed almost nothing.
    pub(super) fruitless: bool,
    /// The store cannot be written: nothing more may be removed.
    pub(super) storeless: bool,
}

/// What became of one image.
enum Fate {
    Gone,
    Left(String),
    Storeless,
}

impl<E: Engine> Evictor<'_, E> {
    /// Carries a plan out until the goal is reached by measure.
    ///
    /// # Errors
    /// The engine is not there any more.
    pub(super) async fn carry_out(
        &self,
        sight: &Sight,
        plan: &Plan,
        errand: &Errand<'_>,
        tell: &mut dyn FnMut(Told),
    ) -> Result<Progress, Failure> {
        let mut progress = Progress::default();
        let mut used = sight.used();
        let mut room = sight.room;
        let mut fruitless = 0;
        for planned in &plan.removals {
            if (errand.stops)() {
                break;
            }
            let by_its_own_rule =
                matches!(planned.reason, Reason::Dangling { .. } | Reason::LocalUnused { .. });
            if !by_its_own_rule && errand.goal.is_reached(room.as_ref(), used) {
                continue;
            }
            let name = sight.called(&planned.id).to_owned();
            let for_what = if by_its_own_rule { "" } else { errand.for_what };
            match self.remove(sight, planned, for_what).await? {
                Fate::Storeless => {
                    progress.storeless = true;
                    break;
                }
                Fate::Left(why) => tell(Told::Left(Left { id: planned.id.clone(), name, why })),
                Fate::Gone => {
                    let reckoned = planned.frees.unpacked;
                    let after = self.measure_after(sight, room, reckoned).await;
                    let freed = room
                        .zip(after)
                        .map(|(before, after)| after.free_bytes.saturating_sub(before.free_bytes));
                    room = after;
                    used = used.saturating_sub(reckoned);
                    progress.gone += 1;
                    progress.reckoned += reckoned;
                    progress.freed += freed.unwrap_or_default();
                    let (id, reason) = (planned.id.clone(), planned.reason);
                    tell(Told::Gone(Gone { id, name, reason, reckoned, freed }));
                    match freed {
                        Some(freed) if reckoned >= CRUMB && freed < reckoned / 10 => fruitless += 1,
                        Some(_) if reckoned >= CRUMB => fruitless = 0,
                        _ => {}
                    }
                    if fruitless >= FRUITLESS {
                        progress.fruitless = true;
                        break;
                    }
                }
            }
        }
        Ok(progress)
    }

    /// Removes one image, if nothing has come up since it was planned.
    async fn remove(&self, sight: &Sight, planned: &Planned, for_what: &str) -> Result<Fate, Failure> {
        let containers = self.engine.containers().await?;
        if let Some(container) = containers.iter().find(|container| container.image_id == planned.id) {
            return Ok(Fate::Left(format!("container {} is made from it", container.name)));
        }
        let Some(facts) = self.engine.image(&planned.id).await? else { return Ok(Fate::Gone) };
        let mut names = ImageNames::new(&planned.id, &facts.tags, &facts.repo_digests);
        if let Some(known) = sight.names.get(&planned.id) {
            names.all.extend(known.all.iter().cloned());
        }
        let mark = Removal { names: names.marks(), since: (self.here.moment)(), by: self.here.process };
        let jobs = jobs_here(&containers);
        match self.store.mark_removal(&mark, |lease| jobs.contains(job_of(lease)) || (self.here.lives)(lease))
        {
            Mark::Made => {}
            Mark::Leased(lease) => return Ok(Fate::Left(format!("a job needs it ({})", job_of(&lease)))),
            Mark::Unknown => return Ok(Fate::Storeless),
        }
        let ended = self.take_names(&planned.id, &names.removable).await;
        // The engine may still be at it after a call without an answer; then whoever asks is told to wait a while longer.
        if !matches!(
            &ended,
            Ok(Taken::Unanswered) | Err(EngineError::Timeout { .. } | EngineError::Lost { .. })
        ) {
            self.store.unmark_removal(&mark);
        }
        Ok(match ended {
            Ok(Taken::Gone) => {
                let (why, for_what) = (planned.reason.to_string(), for_what.to_owned());
                self.store.note_gone(&store::Gone { at: mark.since.wall, names: mark.names, why, for_what });
                Fate::Gone
            }
            Ok(Taken::InUse) => Fate::Left("something uses it".to_owned()),
            Ok(Taken::Unanswered) => {
                Fate::Left(format!("the engine did not finish within {} s", LONGEST.as_secs()))
            }
            Err(error @ (EngineError::Unreachable { .. } | EngineError::Lost { .. })) => {
                return Err(error.into());
            }
            Err(error) => Fate::Left(format!("the engine refused: {error}")),
        })
    }

    /// Takes its names away one by one; the content goes with the last.
    async fn take_names(&self, id: &str, names: &[String]) -> Result<Taken, EngineError> {
        let mut in_use = false;
        for name in names {
            match self.engine.image(name).await? {
                // Gone with another name, or moved to another image since.
                None => continue,
                Some(facts) if facts.id != id => continue,
                Some(_) => {}
            }
            match timeout(LONGEST, self.engine.remove_image(name)).await {
                Err(_) => return Ok(Taken::Unanswered),
                Ok(Err(error)) => return Err(error),
                // Some engines keep a digest as long as there are other names: only what is left in the end counts.
                Ok(Ok(Answer::InUse)) => in_use = true,
                Ok(Ok(Answer::Removed | Answer::Gone)) => {}
            }
        }
        let Some(facts) = self.engine.image(id).await? else { return Ok(Taken::Gone) };
        // Named anew meanwhile, or held by a container: it stays. Without names it goes by its ID.
        if in_use && !facts.tags.is_empty() || facts.tags.iter().any(|tag| !names.contains(tag)) {
            return Ok(Taken::InUse);
        }
        match timeout(LONGEST, self.engine.remove_image(id)).await {
            Err(_) => Ok(Taken::Unanswered),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Answer::InUse)) => Ok(Taken::InUse),
            Ok(Ok(Answer::Removed | Answer::Gone)) => Ok(Taken::Gone),
        }
    }

    /// Measures once the bytes are free, or it is clear that they do not become it.
    async fn measure_after(&self, sight: &Sight, before: Option<Room>, reckoned: u64) -> Option<Room> {
        let before = before?;
        let mut waited = Duration::ZERO;
        loop {
            let now = self.measure(sight).await?;
            let freed = now.free_bytes.saturating_sub(before.free_bytes);
            if freed >= reckoned / 2 || reckoned < CRUMB || waited >= LAG {
                return Some(now);
            }
            sleep(STEP).await;
            waited += STEP;
        }
    }

    pub(super) async fn measure(&self, sight: &Sight) -> Option<Room> {
        match sight.site.measure(self.here.disk) {
            Some(room) => Some(room),
            None => inside::measure(self.engine, &sight.containers).await,
        }
    }

    /// Deletes marks of removals that are over: no other evictor is at work while this one is.
    pub(super) async fn clear_marks(&self) {
        let now = (self.here.moment)();
        for mark in self.store.removals(&now) {
            let is_own = mark.by == self.here.process;
            let lingers = is_own && now.since(&mark.since).is_some_and(|since| since < LONGEST * 2);
            let there = match mark.names.first() {
                Some(id) if lingers => self.engine.image(id).await.is_ok_and(|found| found.is_some()),
                _ => false,
            };
            if !there {
                self.store.unmark_removal(&mark);
            }
        }
    }
}

/// What came of taking an image's names.
enum Taken {
    Gone,
    InUse,
    Unanswered,
}
