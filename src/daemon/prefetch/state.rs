//! What the prefetcher has in memory.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use tokio::time::Instant;

use super::jobs::{JobPull, Jobs};
use super::memory::Memory;
use super::scanned::Scanned;
use super::way::Way;
use crate::notice::Sources;
use crate::policy::wanted::{Loses, Running, cut};
use crate::prefetch::{Gathered, Prospect};

/// Checkouts that wait to be read at most.
const MOST_WAITING: usize = 32;

/// What the prefetcher has in memory. It is borrowed between two waits, never over one.
pub(super) struct State<E> {
    pub(super) jobs: Jobs,
    pub(super) memory: Memory,
    /// What the host itself might want, as it was gathered last.
    pub(super) gathered: Gathered,
    /// Tags that have moved, by [`Prospect::key`].
    pub(super) moved: BTreeSet<String>,
    /// When each tag was looked up last, in seconds.
    pub(super) looked_up: HashMap<String, f64>,
    /// By which this host's looks differ from other hosts'; `None`: not known yet.
    pub(super) seed: Option<u64>,
    /// When it is to be gathered anew, in seconds.
    pub(super) gather_at: f64,
    /// What running pipelines might want.
    pub(super) scanned: Scanned,
    /// Checkouts to be read.
    pub(super) unread: VecDeque<Rc<Sources>>,
    /// What is being brought.
    pub(super) going: Option<Going>,
    /// The way to the engine; `None`: none is open.
    pub(super) way: Option<Rc<Way<E>>>,
    /// The news that were taken in.
    pub(super) news: u64,
}

impl<E> State<E> {
    pub(super) fn new() -> Self {
        Self {
            jobs: Jobs::default(),
            memory: Memory::default(),
            gathered: Gathered::default(),
            moved: BTreeSet::new(),
            looked_up: HashMap::new(),
            seed: None,
            gather_at: 0.0,
            scanned: Scanned::default(),
            unread: VecDeque::new(),
            going: None,
            way: None,
            news: 0,
        }
    }

    /// Has a checkout read, in the place of an older one where too many wait.
    pub(super) fn put_unread(&mut self, sources: Rc<Sources>) {
        if self.unread.len() >= MOST_WAITING {
            self.unread.pop_front();
        }
        self.unread.push_back(sources);
    }

    /// Returns all that might be wanted now.
    pub(super) fn prospects(&self) -> Vec<Prospect> {
        let moved = self.gathered.looked_up.iter().filter(|prospect| self.moved.contains(&prospect.key()));
        self.scanned.wanted().chain(&self.gathered.absent).chain(moved).cloned().collect()
    }

    /// Forgets all that came of a job's rights.
    pub(super) fn job_is_over(&mut self, job: &str) {
        self.unread.retain(|sources| sources.job != job);
        self.scanned.job_is_over(job);
        self.memory.forget_job(job);
    }
}

/// An image on its way.
#[derive(Debug, Clone)]
pub(super) struct Going {
    /// `repository@digest`, as a job that pulls it too would name it.
    pub(super) content: String,
    pub(super) began: Instant,
    /// Compressed bytes that have come.
    pub(super) done: u64,
    /// Compressed bytes that come in all; `None`: not known.
    pub(super) total: Option<u64>,
    /// What is lost of it if it is cut.
    pub(super) loses: Loses,
    /// How fast the link is, in bytes a second.
    pub(super) link: f64,
    /// For whom it makes way; `None`: for nobody.
    pub(super) gives_way: Option<String>,
}

impl Going {
    /// Says whether it makes way for a job's pull. One that pulls the same joins it.
    pub(super) fn meets(&mut self, pull: &JobPull) -> bool {
        if pull.image == self.content || self.gives_way.is_some() {
            return false;
        }
        let running = Running {
            seconds_done: self.began.elapsed().as_secs_f64(),
            bytes_done: self.done,
            bytes_total: self.total,
            loses: self.loses,
        };
        let gives_way = cut(&running, pull.bytes, self.link);
        if gives_way {
            self.gives_way = Some(pull.image.clone());
        }
        gives_way
    }
}
