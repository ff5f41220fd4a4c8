//! One trace under one rule and one budget.

use super::super::cost::{Cost, Size};
use super::super::history::{Event, History};
use super::super::prefetch::{Moves, due, looked_after, worth_pulling};
use super::super::reason::Reason;
use super::super::room::{Gone, Measure, make_room};
use super::super::score::{Ranking, Score};
use super::super::shelf::{Item, Shelf};
use super::ahead::{Ahead, Coming};
use super::clairvoyant::{Clairvoyant, Future};
use super::trace::{Entry, Trace};

/// Who decides what goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// A rule that a host can follow.
    Rule(Score),
    /// One who knows the trace to its end.
    Clairvoyant,
}

/// What is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup<'a> {
    /// Who decides.
    pub policy: Policy,
    /// Bytes that images may take.
    pub budget: u64,
    /// Seconds between two looks at the registry for moved tags; `None` to see a move only when a job pulls.
    pub poll: Option<f64>,
    /// What pulls cost where the trace does not say.
    pub cost: Cost,
    /// From when on jobs count, in seconds: those before only fill the shelf. Negative infinity to count all.
    pub count_from: f64,
    /// What is brought before jobs ask, beside tags that moved.
    pub ahead: Ahead<'a>,
}

impl Setup<'_> {
    /// Replays all jobs at the usual cost, and brings nothing ahead.
    pub fn new(policy: Policy, budget: u64) -> Self {
        let (poll, cost, ahead) = (None, Cost::default(), Ahead::default());
        Self { policy, budget, poll, cost, count_from: f64::NEG_INFINITY, ahead }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// How many jobs ran.
    pub jobs: u64,
    /// How many of them found their image.
    pub warm: u64,
    /// Seconds that jobs waited for pulls.
    pub seconds: f64,
    /// Compressed bytes from registries, for jobs and ahead of them.
    pub pulled_bytes: u64,
    /// Bytes written to the disk.
    pub written_bytes: u64,
    /// Compressed bytes pulled ahead of jobs.
    pub prefetched_bytes: u64,
    /// Those of them that a job used before they went.
    pub prefetched_used_bytes: u64,
    /// Images that went.
    pub evictions: u64,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    /// What the registry says the tag names; `None` before the first line of the trace that says so.
    pub(super) registry: Option<usize>,
    /// What this host believes that it names; `None` before the first use.
    pub(super) host: Option<usize>,
    first: f64,
    moves: u32,
}

impl Known {
    /// How often the tag was seen to move until now.
    pub(super) fn moves(&self, now: f64) -> Moves {
        Moves { seen: self.moves, over: now - self.first }
    }
}

pub(super) struct Replay<'a> {
    pub(super) trace: &'a Trace,
    future: &'a Future,
    pub(super) setup: Setup<'a>,
    score: Score,
    pub(super) shelf: Shelf,
    pub(super) history: History,
    pub(super) known: Vec<Known>,
    inflation: f64,
    /// Layers that came ahead of jobs and were not used yet.
    ahead: Vec<bool>,
    /// What is under way ahead of jobs, and was.
    pub(super) coming: Coming,
    job: usize,
    outcome: Outcome,
}

/// Runs the whole trace and says what came of it.
pub fn replay(trace: &Trace, future: &Future, setup: Setup<'_>) -> Outcome {
    let score = match setup.policy {
        Policy::Rule(score) => score,
        Policy::Clairvoyant => Score::Lru,
    };
    let mut replay = Replay {
        trace,
        future,
        setup,
        score,
        shelf: Shelf::new(trace.layers.iter().copied()),
        history: setup.ahead.memory(score, trace.tags.len()),
        known: vec![Known::default(); trace.tags.len()],
        inflation: 0.0,
        ahead: vec![false; trace.layers.len()],
        coming: Coming::from(trace.entries.first().map_or(0.0, Entry::at)),
        job: 0,
        outcome: Outcome::default(),
    };
    let poll = setup.poll.filter(|poll| *poll >= 1.0);
    let mut next_poll = trace.start();
    let mut counting = setup.count_from == f64::NEG_INFINITY;
    for entry in &trace.entries {
        let at = entry.at();
        while let Some(every) = poll.filter(|_| next_poll <= at) {
            replay.poll(next_poll);
            // Long silences are passed over: nothing moves between two entries.
            let steps = ((at - next_poll) / every).floor().max(0.0);
            next_poll = if steps > 1.0 { next_poll + steps * every } else { next_poll + every };
        }
        replay.bring_ahead(at);
        match *entry {
            Entry::Moved { tag, version, .. } => replay.known[tag].registry = Some(version),
            Entry::Job { event, version } => {
                if !counting && event.at >= setup.count_from {
                    counting = true;
                    replay.outcome = Outcome::default();
                }
                replay.job(event, version);
            }
        }
    }
    if counting { replay.outcome } else { Outcome::default() }
}

impl Replay<'_> {
    fn job(&mut self, event: Event, version: usize) {
        let Event { at, tag, .. } = event;
        self.history.note(event);
        self.learn(tag, version, at);
        self.outcome.jobs += 1;
        self.coming.used(version, at);
        let index = match self.shelf.items().iter().position(|item| item.key == version) {
            Some(index) => {
                let rest = self.coming.seconds_left(version, at);
                self.outcome.seconds += rest;
                self.outcome.warm += u64::from(rest == 0.0);
                index
            }
            None => {
                let missing = self.pull(tag, version);
                self.outcome.seconds += self.trace.cost(tag, self.setup.cost).pull_seconds(missing);
                self.shelf.items().len() - 1
            }
        };
        for &layer in self.trace.versions[version].iter() {
            if std::mem::take(&mut self.ahead[layer as usize]) {
                self.outcome.prefetched_used_bytes += self.shelf.layer(layer).compressed;
            }
        }
        let uses = self.history.tag(tag).uses as f64;
        let priority = self.score.priority(&self.shelf, &self.shelf.items()[index], uses, self.inflation);
        if let Some(item) = self.shelf.item_mut(index) {
            item.last_use = at;
            item.priority = priority;
        }
        self.keep_budget(index, at);
        self.job += 1;
    }

    /// Takes notice of what the tag names: images that it named before have moved.
    pub(super) fn learn(&mut self, tag: usize, version: usize, at: f64) {
        let known = &mut self.known[tag];
        if known.host == Some(version) {
            return;
        }
        match known.host {
            None => known.first = at,
            Some(_) => known.moves += 1,
        }
        known.host = Some(version);
        self.history.tag_mut(tag).layers = self.trace.versions[version].clone();
        for index in 0..self.shelf.items().len() {
            if let Some(item) = self.shelf.item_mut(index).filter(|item| item.tags == [tag]) {
                item.moved = item.key != version;
            }
        }
    }

    fn pull(&mut self, tag: usize, version: usize) -> Size {
        let missing = self.shelf.put(Item {
            key: version,
            tags: vec![tag],
            layers: self.trace.versions[version].clone(),
            cost: self.trace.cost(tag, self.setup.cost),
            last_use: self.history.last_use(&[tag]),
            moved: false,
            guarded: false,
            priority: 0.0,
            claimed: 0.0,
        });
        self.outcome.pulled_bytes = self.outcome.pulled_bytes.saturating_add(missing.compressed);
        self.outcome.written_bytes = self.outcome.written_bytes.saturating_add(missing.unpacked);
        missing
    }

    /// Looks every tag up that is used often enough, and pulls what has moved and will be used.
    fn poll(&mut self, now: f64) {
        for tag in 0..self.known.len() {
            let Known { registry, host, .. } = self.known[tag];
            let (Some(version), true) = (registry, host.is_some() && host != registry) else { continue };
            if !looked_after(&self.history, tag, now) || !due(&self.history, tag, now) {
                continue;
            }
            let before = self.shelf.items().iter().filter(|item| item.tags == [tag]);
            let before = before.map(|item| item.priority).reduce(f64::max);
            self.learn(tag, version, now);
            let moves = self.known[tag].moves(now);
            let Some(priority) = before.filter(|_| worth_pulling(&self.history, tag, moves, now)) else {
                continue;
            };
            self.pull_ahead(tag, version, priority, now);
        }
    }

    /// Pulls before a job asks.
    pub(super) fn pull_ahead(&mut self, tag: usize, version: usize, priority: f64, now: f64) {
        let fresh: Vec<_> = self.trace.versions[version].iter().filter(|l| !self.shelf.holds(**l)).collect();
        fresh.into_iter().for_each(|&layer| self.ahead[layer as usize] = true);
        self.outcome.prefetched_bytes += self.pull(tag, version).compressed;
        let index = self.shelf.items().len() - 1;
        if let Some(item) = self.shelf.item_mut(index) {
            item.priority = priority;
        }
        self.keep_budget(index, now);
    }

    fn keep_budget(&mut self, running: usize, now: f64) {
        if self.shelf.used().unpacked <= self.setup.budget {
            return;
        }
        let key = self.shelf.items()[running].key;
        self.guard(Some(key), now);
        let (shelf, history, budget) = (&mut self.shelf, &self.history, self.setup.budget);
        let gone: Vec<Gone> = match self.setup.policy {
            Policy::Rule(score) => {
                let mut order = Ranking::new(score, history, shelf, now);
                make_room(shelf, history, &mut order, Measure::Bytes, budget)
            }
            Policy::Clairvoyant => {
                let mut order = Clairvoyant { future: self.future, job: self.job };
                make_room(shelf, history, &mut order, Measure::Bytes, budget)
            }
        };
        self.guard(None, f64::INFINITY);
        self.outcome.evictions += gone.len() as u64;
        for Gone { item, reason } in gone {
            if let (Reason::LeastWorth { rank }, true) = (reason, self.score.notes()) {
                self.inflation = rank;
            }
            for &layer in item.layers.iter().filter(|layer| !self.shelf.holds(**layer)) {
                self.ahead[layer as usize] = false;
            }
        }
    }

    /// Guards the running image and what was announced, if the time for it is not over.
    pub(super) fn guard(&mut self, running: Option<usize>, now: f64) {
        for index in 0..self.shelf.items().len() {
            if let Some(item) = self.shelf.item_mut(index) {
                item.guarded = running == Some(item.key) || self.coming.claimed(item.key, now);
            }
        }
    }
}
