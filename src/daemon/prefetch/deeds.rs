//! What a turn does: a look at a registry, or one image brought; and what is told and remembered of it.

use std::time::Duration;

use super::Prefetcher;
use super::memory::{Looked, Unanswered};
use super::state::Stop;
use super::way::Way;
use crate::daemon::journal::Level;
use crate::daemon::report::Said;
use crate::daemon::world::World;
use crate::engine::StoreKind;
use crate::fetch::{Cause, Coming, Look, PullFault};
use crate::policy::Size;
use crate::policy::wanted::{Held, fits};
use crate::prefetch::{Announcing, LEASES, Prospect, ended};
use crate::store::{Ahead, AheadOutcome, Batch, Store};
use crate::units::ByteSize;

impl<W: World> Prefetcher<'_, W> {
    /// Asks a registry about a prospect.
    pub(super) async fn look_at(&self, way: &Way<W::Engine>, prospect: &Prospect, now: f64) {
        match self.look(way, prospect, true).await {
            Ok(Look { digest, here, missing, .. }) => {
                self.reached(prospect);
                let mut state = self.state.borrow_mut();
                if let Some(pipeline) = &prospect.candidate.pipeline {
                    state.memory.answered(pipeline, true, now);
                }
                let key = prospect.key();
                if here {
                    state.scanned.done(&key);
                    state.moved.remove(&key);
                }
                state.memory.looked(key, Looked { at: now, digest, here, missing });
            }
            Err(fault) => {
                if let Some(words) = self.failed(prospect, &fault, true, now) {
                    self.journal.say(Level::Warning, words);
                }
            }
        }
    }

    /// Brings a prospect that is worth so much, `may` compressed bytes of it at most, and tells what came of it.
    pub(super) async fn fetch(
        &self,
        way: &Way<W::Engine>,
        store: &Store,
        prospect: &Prospect,
        (worth, may): (f64, Option<u64>),
    ) {
        let (key, begun) = (prospect.key(), self.world.moment().wall);
        let look = self.state.borrow().memory.look(&key, begun.as_secs_f64()).cloned();
        let Some(look) = look else { return };
        let may_go = match self.room(way, store, look.missing, worth).await {
            Ok(may_go) => may_go,
            Err(held) => return self.state.borrow_mut().memory.unfit(key, held, begun.as_secs_f64()),
        };
        // A job may have come meanwhile.
        if self.state.borrow().jobs.is_preparing() {
            return;
        }
        let announcing = Announcing::new(store, begun, prospect.grace(begun), Some(look.digest.clone()));
        let decided = |coming: &Coming<'_>| announcing.decided(coming);
        self.put_down_now(Some((prospect, begun, look.missing)));
        let result = self.bring(way, prospect, &look, (may_go, may), &decided).await;
        self.put_down_now(None);
        let going = self.state.borrow_mut().going.take();
        store.drop_leases(LEASES);
        let now = self.world.moment().wall;
        let took = now.saturating_sub(begun);
        let so_far = going.as_ref().map(|going| going.done);
        let missing = look.missing.map(|missing| missing.compressed);
        let (outcome, bytes) = ended(&result, so_far, missing);
        let words = match &result {
            Ok(_) => {
                self.reached(prospect);
                String::new()
            }
            Err(PullFault::Stopped) => self.stopped(&key, going.and_then(|going| going.gives_way), now),
            Err(fault) => {
                self.failed(prospect, fault, false, now.as_secs_f64());
                fault.words()
            }
        };
        let ahead = Ahead {
            at: begun,
            name: prospect.candidate.name.clone(),
            digest: announcing.end(result.is_ok()),
            platform: prospect.candidate.platform.clone(),
            source: prospect.candidate.source.to_string(),
            bytes,
            took,
            outcome,
            words,
        };
        if let Some(pipeline) = &prospect.candidate.pipeline {
            let spent = spent(&ahead, missing, way.kind == StoreKind::DockerClassic);
            self.state.borrow_mut().memory.spend(pipeline, spent, now.as_secs_f64());
        }
        self.settle(&key, prospect, &ahead);
        store.commit(&Batch { aheads: vec![ahead], ..Batch::default() }, now);
    }

    /// Says why an image was stopped on its way; one that is larger than it may be is not tried again soon.
    fn stopped(&self, key: &str, gives_way: Option<Stop>, now: Duration) -> String {
        match gives_way {
            Some(Stop::Job(image)) => format!("a job pulls {image} and gets the link"),
            Some(Stop::Bytes) => {
                let words = "it is larger than its registry says, and more than may come";
                let memory = &mut self.state.borrow_mut().memory;
                memory.fail(key.to_owned(), words.to_owned(), true, now.as_secs_f64());
                words.to_owned()
            }
            None if *self.ending.borrow() => "the daemon ends".to_owned(),
            None => "[prefetch] enabled is off now".to_owned(),
        }
    }

    /// Returns the images that may go for what is missing of another one.
    async fn room(
        &self,
        way: &Way<W::Engine>,
        store: &Store,
        missing: Option<Size>,
        worth: f64,
    ) -> Result<Vec<String>, Held> {
        let Some(missing) = missing else { return Ok(Vec::new()) };
        // An engine that does not answer now says so when it is to pull.
        let Ok(sight) = self.sight(way, store).await else { return Ok(Vec::new()) };
        fits(&sight.snapshot, &sight.rules, missing, worth, sight.at.wall.as_secs_f64()).room()
    }

    /// Remembers and tells what came of bringing an image.
    fn settle(&self, key: &str, prospect: &Prospect, ahead: &Ahead) {
        let now = (ahead.at + ahead.took).as_secs_f64();
        let came = ahead.bytes.unwrap_or_default();
        let is_here = matches!(ahead.outcome, AheadOutcome::Done | AheadOutcome::Here);
        let mut state = self.state.borrow_mut();
        if is_here {
            let digest = ahead.digest.clone().unwrap_or_default();
            let looked = Looked { at: now, digest, here: true, missing: None };
            state.memory.looked(key.to_owned(), looked);
            state.scanned.done(key);
            state.moved.remove(key);
        }
        drop(state);
        let (name, source, why) = (prospect.wish.reference.familiar(), &ahead.source, &prospect.why);
        let took = ahead.took.as_secs();
        let (level, words) = match ahead.outcome {
            AheadOutcome::Done => (
                Level::Notice,
                format!("fetched {name} ahead ({source}: {why}): {} in {took} s", ByteSize(came)),
            ),
            AheadOutcome::Here => (Level::Info, format!("{name} ({source}: {why}) came by another pull")),
            AheadOutcome::Cut => (
                Level::Notice,
                format!(
                    "stopped fetching {name} ahead after {} in {took} s: {}",
                    ByteSize(came),
                    ahead.words
                ),
            ),
            AheadOutcome::Failed => (Level::Warning, format!("{name} did not come ahead: {}", ahead.words)),
        };
        let said = Said::new(ahead.at + ahead.took, &words);
        self.ledger.change(|report| report.prefetch.last = Some(said));
        self.journal.say(level, words);
    }

    /// Remembers why an image was not to be had, and returns what is to be said of it; `None`: that was said before.
    /// `asked`: it was only asked about, so that it is the registry that does not answer if the link fails.
    pub(super) fn failed(
        &self,
        prospect: &Prospect,
        fault: &PullFault,
        asked: bool,
        now: f64,
    ) -> Option<String> {
        let (key, words) = (prospect.key(), fault.words());
        let name = prospect.wish.reference.familiar();
        let registry = prospect.wish.reference.registry().unwrap_or_default();
        let mut state = self.state.borrow_mut();
        let alone = |until: f64| {
            let minutes = ((until - now) / 60.0).ceil();
            format!("nothing is fetched ahead from {registry} for {minutes:.0} min: {words}")
        };
        match fault.cause() {
            Cause::Limited(lasts) => {
                let lasts = lasts.as_secs_f64();
                let (until, is_first) = state.memory.leave_alone(prospect.account(), lasts, now);
                is_first.then(|| alone(until))
            }
            Cause::Link if asked => {
                if let Some(pipeline) = &prospect.candidate.pipeline {
                    state.memory.answered(pipeline, false, now);
                }
                match state.memory.unanswered(prospect, words.clone(), now) {
                    Unanswered::Once { is_news } => {
                        is_news.then(|| format!("{name} does not come ahead: {words}"))
                    }
                    Unanswered::Often { until, is_news } => is_news.then(|| alone(until)),
                }
            }
            Cause::Room => {
                let look = state.memory.look(&key, now);
                let bytes = look.and_then(|look| look.missing).map_or(0, |missing| missing.unpacked);
                state.memory.unfit(key, Held::NoRoom { bytes, inodes: 0 }, now);
                Some(format!("{name} did not come ahead: {words}"))
            }
            cause => {
                let for_good = matches!(cause, Cause::Gone | Cause::Denied | Cause::Platform | Cause::Name);
                let is_news = state.memory.fail(key, words.clone(), for_good, now);
                is_news.then(|| format!("{name} does not come ahead: {words}"))
            }
        }
    }

    /// A registry has answered.
    pub(super) fn reached(&self, prospect: &Prospect) {
        let account = prospect.account();
        if self.state.borrow_mut().memory.reached(&account) {
            self.journal.say(Level::Notice, format!("{} answers again", account.0));
        }
    }
}

/// Returns what is charged to a pipeline for an image of which so much was missing. `tells_all`: the engine tells of all that
/// comes; of other ones only large layers are heard, and what was missing counts even if the image did not come.
fn spent(ahead: &Ahead, missing: Option<u64>, tells_all: bool) -> u64 {
    let came = ahead.bytes.unwrap_or_default();
    match ahead.outcome {
        AheadOutcome::Here => came,
        AheadOutcome::Cut | AheadOutcome::Failed if tells_all => came,
        AheadOutcome::Done | AheadOutcome::Cut | AheadOutcome::Failed => {
            came.max(missing.unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::spent;
    use crate::store::{Ahead, AheadOutcome};

    #[test]
    fn a_pipeline_is_charged_for_what_may_have_come() {
        for (outcome, bytes, missing, tells_all, charged) in [
            (AheadOutcome::Done, None, Some(50), true, 50),
            (AheadOutcome::Done, Some(0), Some(50), false, 50),
            (AheadOutcome::Done, Some(90), Some(50), true, 90),
            (AheadOutcome::Done, Some(90), None, true, 90),
            (AheadOutcome::Here, Some(0), Some(50), false, 0),
            (AheadOutcome::Cut, Some(20), Some(50), true, 20),
            (AheadOutcome::Cut, Some(20), Some(50), false, 50),
            (AheadOutcome::Failed, None, Some(50), false, 50),
            (AheadOutcome::Failed, Some(70), Some(50), false, 70),
        ] {
            let ahead = Ahead {
                at: Duration::ZERO,
                name: String::new(),
                digest: None,
                platform: String::new(),
                source: String::new(),
                bytes,
                took: Duration::ZERO,
                outcome,
                words: String::new(),
            };
            assert_eq!(spent(&ahead, missing, tells_all), charged, "{outcome:?} {bytes:?} {missing:?}");
        }
    }
}
