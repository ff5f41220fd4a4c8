//! Whether tags in use have moved: each is looked up every so often, with the operator's login or none.

use super::Prefetcher;
use super::state::State;
use super::way::Way;
use crate::daemon::journal::Level;
use crate::daemon::world::World;
use crate::fetch::{Cause, Look};
use crate::policy::wanted::next_look;
use crate::prefetch::Prospect;
use crate::settings::Settings;
use crate::store::Store;

/// Seconds between two looks at a tag that this host may not read.
const DENIED: f64 = 6.0 * 3600.0;

impl<W: World> Prefetcher<'_, W> {
    /// Looks one tag up that is due; `false`: none is.
    pub(super) async fn look_up(&self, way: &Way<W::Engine>, store: &Store, now: f64) -> bool {
        let Some(prospect) = self.due(&way.settings, store, now) else { return false };
        let name = prospect.candidate.name.clone();
        self.state.borrow_mut().looked_up.insert(name.clone(), now);
        let looked = self.look(way, &prospect, false).await;
        let at = self.world.moment().wall.as_secs();
        self.ledger.change(|report| report.prefetch.polled_at = Some(at));
        match looked {
            Ok(Look { here, .. }) => {
                self.reached(&prospect);
                let mut state = self.state.borrow_mut();
                state.memory.readable(&name, true);
                match here {
                    true => drop(state.moved.remove(&prospect.key())),
                    false => drop(state.moved.insert(prospect.key())),
                }
            }
            Err(fault) if fault.cause() == Cause::Denied => {
                self.reached(&prospect);
                self.state.borrow_mut().memory.readable(&name, false);
            }
            Err(fault) => {
                if let Some(words) = self.failed(&prospect, &fault, true, now) {
                    self.journal.say(Level::Warning, words);
                }
            }
        }
        true
    }

    fn due(&self, settings: &Settings, store: &Store, now: f64) -> Option<Prospect> {
        let all = self.look_ups(settings, store, now).into_iter();
        let due = all.filter(|(at, _)| *at <= now).min_by(|(a, _), (b, _)| a.total_cmp(b));
        due.map(|(_, prospect)| prospect)
    }

    /// Returns when the next tag is due; infinity: none is.
    pub(super) fn next_look_up(&self, settings: &Settings, store: &Store, now: f64) -> f64 {
        self.look_ups(settings, store, now).into_iter().map(|(at, _)| at).fold(f64::INFINITY, f64::min)
    }

    fn look_ups(&self, settings: &Settings, store: &Store, now: f64) -> Vec<(f64, Prospect)> {
        let Some(every) = settings.prefetch.poll else { return Vec::new() };
        let mut state = self.state.borrow_mut();
        // Any number will do, so long as other hosts have other ones.
        let seed = *state.seed.get_or_insert_with(|| {
            let key = store.hash_key().map(|key| *key.expose()).unwrap_or_default();
            key.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
        });
        let State { gathered, moved, memory, looked_up, .. } = &mut *state;
        // One that is to be brought is looked at then.
        let is_coming =
            |prospect: &Prospect| prospect.candidate.is_wanted() && moved.contains(&prospect.key());
        let tags = gathered.looked_up.iter().filter(|prospect| !is_coming(prospect));
        tags.map(|prospect| {
            let name = &prospect.candidate.name;
            let is_denied = memory.jobs_only().contains(name);
            let every = if is_denied { DENIED.max(every.as_secs_f64()) } else { every.as_secs_f64() };
            // One that was never looked up counts as if it was when it was first heard of.
            let last = *looked_up.entry(name.clone()).or_insert(now);
            let at = next_look(name, seed, Some(last), every, now);
            let alone = memory.alone_until(prospect, now);
            (alone.map_or(at, |alone| at.max(alone)), prospect.clone())
        })
        .collect()
    }
}
