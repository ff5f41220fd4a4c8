//! What the prefetcher reports for `hearth status` and `hearth prefetch --plan`.

use std::time::Duration;

use super::Prefetcher;
use crate::daemon::report::Fetching;
use crate::daemon::world::World;
use crate::policy::Size;
use crate::prefetch::{Planned, Prospect};
use crate::store::Store;

/// How many of those that come next are written down.
const MOST: usize = 50;

impl<W: World> Prefetcher<'_, W> {
    /// Puts down what comes next.
    pub(super) fn put_down(&self, mut next: Vec<Planned>, store: Option<&Store>) {
        next.truncate(MOST);
        let (jobs_only, polled): (Vec<String>, u64) = {
            let state = self.state.borrow();
            (state.memory.jobs_only().iter().cloned().collect(), state.gathered.looked_up.len() as u64)
        };
        let month = store.map(|store| {
            let now = self.world.moment().wall;
            store.ahead_bytes(self.world.month_began(now))
        });
        let is_news = self.ledger.change(|report| {
            let prefetch = &mut report.prefetch;
            let month_bytes = month.unwrap_or(prefetch.month_bytes);
            let same = prefetch.next == next
                && prefetch.jobs_only == jobs_only
                && prefetch.polled == polled
                && prefetch.month_bytes == month_bytes;
            (prefetch.next, prefetch.jobs_only) = (next, jobs_only);
            (prefetch.polled, prefetch.month_bytes) = (polled, month_bytes);
            !same
        });
        if is_news {
            self.ledger.write();
        }
    }

    /// Puts down what is being brought: what, since when, and how large it is.
    pub(super) fn put_down_now(&self, now: Option<(&Prospect, Duration, Option<Size>)>) {
        let now = now.map(|(prospect, since, missing)| Fetching {
            name: prospect.candidate.name.clone(),
            source: prospect.candidate.source.to_string(),
            why: prospect.why.clone(),
            since: since.as_secs(),
            bytes: missing.map(|size| size.compressed),
        });
        let is_news = self.ledger.change(|report| {
            let same = report.prefetch.now == now;
            report.prefetch.now = now;
            !same
        });
        if is_news {
            self.ledger.write();
        }
    }
}
