//! What a replayed host brings before jobs ask: its list, and what its history foresees.
//!
//! One image at a time, and only while no job runs. The candidates, their order and what goes for them are those of
//! [`wanted`](crate::policy::wanted).

use std::collections::HashMap;

use super::super::cost::Size;
use super::super::history::History;
use super::super::room::{Measure, make_room};
use super::super::score::foreseen::Foreseen;
use super::super::score::{Ranking, Score};
use super::super::shelf::TagIx;
use super::super::snapshot::Claim;
use super::super::wanted::{
    Absent, Candidate, Demand, Host, Ranked, Source, claim, is_ample, is_worth, lost, may_begin, rank, wishes,
};
use super::replay::{Policy, Replay};

/// Seconds between two looks at what might be brought.
const EVERY: f64 = 600.0;
/// Seconds for which a host is taken to be busy after a job began: traces do not say how long jobs took.
const JOB: f64 = 180.0;

/// So many of the best are held against what would have to go: if none of them is worth it, hardly a later one is.
const TRIES: usize = 4;

/// What is brought before jobs ask, beside tags that moved.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ahead<'a> {
    /// Whether what jobs used is brought back before they use it again.
    pub history: bool,
    /// The tags that the operator wants here.
    pub list: &'a [TagIx],
}

impl Ahead<'_> {
    fn is_nothing(&self) -> bool {
        !self.history && self.list.is_empty()
    }

    /// The memory that is needed: patterns of use also for rules that do not look at them.
    pub(super) fn memory(&self, score: Score, tags: usize) -> History {
        if self.is_nothing() { score.history(tags) } else { History::new(tags, score.half_life(), true) }
    }
}

/// What is under way ahead of jobs, and what came and was not used yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Coming {
    /// When the next look is due.
    next: f64,
    /// When a job began last.
    last_job: f64,
    /// When each version is complete, and until when it is announced.
    versions: HashMap<usize, (f64, Claim)>,
}

impl Coming {
    /// Begins a second after the first line: traces begin with what the tags name.
    pub(super) fn from(start: f64) -> Self {
        Self { next: start + 1.0, last_job: f64::NEG_INFINITY, versions: HashMap::new() }
    }

    /// Takes notice of a job.
    pub(super) fn used(&mut self, version: usize, now: f64) {
        self.last_job = now;
        if self.versions.get(&version).is_some_and(|(complete, _)| *complete <= now) {
            self.versions.remove(&version);
        }
    }

    /// Returns the seconds that a job still has to wait for a version that is under way.
    pub(super) fn seconds_left(&self, version: usize, now: f64) -> f64 {
        self.versions.get(&version).map_or(0.0, |(complete, _)| (complete - now).max(0.0))
    }

    /// Says whether a version is announced.
    pub(super) fn claimed(&self, version: usize, now: f64) -> bool {
        self.versions.get(&version).is_some_and(|(_, claim)| now <= claim.at + claim.grace)
    }
}

impl Replay<'_> {
    /// Brings what is worth it, one after the other, until something happens on the host.
    pub(super) fn bring_ahead(&mut self, until: f64) {
        if self.setup.ahead.is_nothing() {
            return;
        }
        loop {
            let idle_from = self.coming.last_job + JOB;
            let now = self.coming.next.max(idle_from);
            if now > until {
                break;
            }
            self.coming.next = match self.bring_one(now) {
                Some(seconds) => now + seconds,
                None => now + EVERY,
            };
        }
    }

    /// Brings the best that may be brought now, and returns the seconds that takes.
    fn bring_one(&mut self, now: f64) -> Option<f64> {
        let (candidates, tags) = self.candidates(now);
        if candidates.is_empty() {
            return None;
        }
        self.guard(None, now);
        let best = self.best(&candidates, now);
        self.guard(None, f64::INFINITY);
        let best = best?;
        let tag = tags[best.index];
        let version = self.known[tag].registry?;
        let announced = claim(&candidates[best.index], now);
        self.coming.versions.insert(version, (now + best.seconds, announced));
        if self.known[tag].host.is_some() {
            self.learn(tag, version, now);
        }
        self.pull_ahead(tag, version, 0.0, now);
        Some(best.seconds)
    }

    /// Returns the first that may begin and for which there is room, once what is worth less has gone: as
    /// [`fits`](crate::policy::wanted::fits) says it.
    fn best(&self, candidates: &[Candidate], now: f64) -> Option<Ranked> {
        let Policy::Rule(score) = self.setup.policy else { return None };
        let host = Host { idle: true, ..Host::default() };
        let used = self.shelf.used().unpacked;
        let mut order: Option<(Ranking<'_>, Foreseen)> = None;
        let mut fits = |candidate: &Candidate, ranked: &Ranked| {
            let needs = candidate.missing.unwrap_or_default().unpacked;
            let Some(target) = self.setup.budget.checked_sub(needs) else { return false };
            if used <= target {
                return true;
            }
            let (order, foreseen) = order.get_or_insert_with(|| {
                let foreseen = Foreseen::new(&self.history, &self.shelf, now);
                (Ranking::new(score, &self.history, &self.shelf, now), foreseen)
            });
            let mut left = self.shelf.clone();
            let gone = make_room(&mut left, &self.history, order, Measure::Bytes, target);
            let gone = gone.iter().map(|gone| (gone.item.key, gone.reason));
            left.used().unpacked <= target
                && is_worth(ranked.worth, lost(&mut self.shelf.clone(), foreseen, gone))
        };
        let all = rank(candidates, now).into_iter();
        all.filter(|ranked| may_begin(&candidates[ranked.index], ranked, &host, now).is_ok())
            .take(TRIES)
            .find(|ranked| fits(&candidates[ranked.index], ranked))
    }

    fn candidates(&self, now: f64) -> (Vec<Candidate>, Vec<TagIx>) {
        let here = |version: usize| self.shelf.items().iter().any(|item| item.key == version);
        let absent = |tag: TagIx| {
            let known = &self.known[tag];
            // One whose tag has moved since is for whoever looks tags up.
            let stale = known.host.is_some_and(here);
            let missing = known.registry.filter(|version| !here(*version) && !stale)?;
            let mut size = Size::default();
            for &layer in self.trace.versions[missing].iter().filter(|layer| !self.shelf.holds(**layer)) {
                size += self.shelf.layer(layer);
            }
            let cost = self.trace.cost(tag, self.setup.cost);
            Some(Absent { missing: Some(size), cost, moves: known.moves(now) })
        };
        let mut candidates = Vec::new();
        let mut tags = Vec::new();
        let mut add = |tag: TagIx, candidate: Candidate| {
            candidates.push(candidate);
            tags.push(tag);
        };
        if self.setup.ahead.history {
            let moves = |tag: TagIx| {
                self.known[tag].host?;
                absent(tag).map(|absent| absent.moves)
            };
            let used = self.shelf.used().unpacked;
            let ample = is_ample(self.setup.budget.saturating_sub(used), used);
            for wish in wishes(&self.history, moves, ample, now) {
                if let Some(image) = absent(wish.tag) {
                    add(wish.tag, wish.of(&self.trace.tags[wish.tag], image));
                }
            }
        }
        for &tag in self.setup.ahead.list {
            let Some(Absent { missing, cost, .. }) = absent(tag) else { continue };
            let (name, platform) = (self.trace.tags[tag].clone(), String::new());
            let (source, demand) = (Source::List, Demand::Listed);
            add(tag, Candidate { name, platform, source, demand, cold: 1.0, missing, cost, pipeline: None });
        }
        (candidates, tags)
    }
}
