//! What a turn does: a look at a registry, or one image brought; and what is told and remembered of it.

use std::cell::RefCell;

use super::Prefetcher;
use super::memory::{Looked, Unanswered};
use super::way::Way;
use crate::daemon::journal::Level;
use crate::daemon::report::Said;
use crate::daemon::world::World;
use crate::fetch::{Arrival, Cause, Coming, Look, PullFault};
use crate::policy::Size;
use crate::policy::wanted::{Held, fits};
use crate::prefetch::{LEASES, Prospect};
use crate::store::{Ahead, AheadOutcome, Announced, Batch, Made, Store};
use crate::units::ByteSize;

impl<W: World> Prefetcher<'_, W> {
    /// Asks a registry about a prospect.
    pub(super) async fn look_at(&self, way: &Way<W::Engine>, prospect: &Prospect, now: f64) {
        match self.look(way, prospect, true).await {
            Ok(Look { digest, here, missing, .. }) => {
                self.reached(prospect);
                let mut state = self.state.borrow_mut();
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

    /// Brings a prospect, and tells what came of it.
    pub(super) async fn fetch(&self, way: &Way<W::Engine>, store: &Store, prospect: &Prospect, worth: f64) {
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
        // From the moment on at which it is here, it is not the first to go: this very image, since its name stands for the
        // one too that its tag moves away from. What is decided now comes, whatever the look said.
        let (made, digest) = (RefCell::new(Vec::<Made>::new()), RefCell::new(look.digest.clone()));
        let decided = |coming: &Coming<'_>| {
            let announce = |digest: &str| {
                let announced =
                    Announced { name: digest.to_owned(), at: begun, grace: prospect.grace(begun) };
                store.announce(&announced, begun)
            };
            made.borrow_mut().extend(coming.digests().filter_map(announce));
            coming.digest.clone_into(&mut digest.borrow_mut());
        };
        self.put_down_now(Some((prospect, begun, look.missing)));
        let result = self.bring(way, prospect, &look, may_go, &decided).await;
        self.put_down_now(None);
        let going = self.state.borrow_mut().going.take();
        store.drop_leases(LEASES);
        let now = self.world.moment().wall;
        let took = now.saturating_sub(begun);
        let so_far = going.as_ref().map(|going| going.done);
        let (outcome, bytes, words) = match &result {
            Ok(arrived) => {
                self.reached(prospect);
                let outcome = match arrived.how {
                    Arrival::Pulled => AheadOutcome::Done,
                    Arrival::Here | Arrival::Joined => AheadOutcome::Here,
                };
                (outcome, arrived.bytes, String::new())
            }
            Err(PullFault::Stopped) => {
                let gives_way = going.as_ref().and_then(|going| going.gives_way.clone());
                let words = match gives_way {
                    Some(image) => format!("a job pulls {image} and gets the link"),
                    None if *self.ending.borrow() => "the daemon ends".to_owned(),
                    None => "[prefetch] enabled is off now".to_owned(),
                };
                (AheadOutcome::Cut, so_far, words)
            }
            Err(fault) => {
                self.failed(prospect, fault, false, now.as_secs_f64());
                (AheadOutcome::Failed, so_far, fault.words())
            }
        };
        if result.is_err() {
            made.take().iter().for_each(|made| store.withdraw(made));
        }
        let ahead = Ahead {
            at: begun,
            name: prospect.candidate.name.clone(),
            digest: Some(digest.into_inner()),
            platform: prospect.candidate.platform.clone(),
            source: prospect.candidate.source.to_string(),
            bytes,
            took,
            outcome,
            words,
        };
        self.settle(&key, prospect, &ahead);
        store.commit(&Batch { aheads: vec![ahead], ..Batch::default() }, now);
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
        if let Some(pipeline) = &prospect.candidate.pipeline {
            state.memory.spend(pipeline, came);
        }
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
            Cause::Link if asked => match state.memory.unanswered(prospect, words.clone(), now) {
                Unanswered::Once { is_news } => {
                    is_news.then(|| format!("{name} does not come ahead: {words}"))
                }
                Unanswered::Often { until, is_news } => is_news.then(|| alone(until)),
            },
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
