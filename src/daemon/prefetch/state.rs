//! What the prefetcher has in memory.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;

use tokio::time::Instant;

use super::jobs::{JobPull, Jobs};
use super::memory::Memory;
use super::scanned::Scanned;
use super::way::Way;
use crate::engine::Progress;
use crate::notice::Sources;
use crate::policy::wanted::{Loses, Running, cut};
use crate::prefetch::{Gathered, Prospect};
use crate::settings::Settings;

/// Seconds after which all is gathered anew although nothing happened: what is likely changes with the hours.
const GATHER: f64 = 3600.0;
/// The least time from one gathering to the next, in seconds.
const GATHER_LEAST: f64 = 60.0;
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
    /// When it is to be gathered anew, in seconds, and when it was last.
    pub(super) gather_at: f64,
    pub(super) gathered_at: f64,
    /// What running pipelines might want.
    pub(super) scanned: Scanned,
    /// Checkouts to be read.
    pub(super) unread: VecDeque<Rc<Sources>>,
    /// What is being brought.
    pub(super) going: Option<Going>,
    /// The way to the engine; `None`: none is open.
    pub(super) way: Option<Rc<Way<E>>>,
    /// The settings that were taken in; `None`: none yet.
    pub(super) settings: Option<Rc<Settings>>,
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
            gathered_at: f64::NEG_INFINITY,
            scanned: Scanned::default(),
            unread: VecDeque::new(),
            going: None,
            way: None,
            settings: None,
            news: 0,
        }
    }

    /// Takes in the settings, if they are new: whoever opened a way by them first.
    pub(super) fn take_in(&mut self, settings: &Rc<Settings>, now: f64) {
        if self.settings.as_ref().is_some_and(|known| Rc::ptr_eq(known, settings)) {
            return;
        }
        self.settings = Some(Rc::clone(settings));
        self.memory.begin_anew();
        (self.gather_at, self.gathered_at) = (now, f64::NEG_INFINITY);
    }

    /// Returns when to gather what the host itself might want, in seconds. That costs time which a job would have, so
    /// beside jobs it is seldom done whatever happens, and not often where many images come and go.
    pub(super) fn gathers_at(&self, is_free: bool) -> f64 {
        self.gather_at.max(self.gathered_at + if is_free { GATHER_LEAST } else { GATHER })
    }

    /// Takes in what was gathered.
    pub(super) fn gathered(&mut self, gathered: Gathered, now: f64) {
        self.looked_up.retain(|name, _| gathered.looked_up.iter().any(|one| one.candidate.name == *name));
        self.gathered = gathered;
        self.memory.forget_what_is_here();
        (self.gathered_at, self.gather_at) = (now, now + GATHER);
    }

    /// Takes in what time it is: a wall clock may have stepped back.
    pub(super) fn keep_time(&mut self, now: f64) {
        self.memory.keep_time(now);
        self.looked_up.values_mut().for_each(|last| *last = last.min(now));
        self.gathered_at = self.gathered_at.min(now);
        self.gather_at = self.gather_at.min(now + GATHER);
    }

    /// Forgets what was learned of what is wanted no more, a job's that is over among it.
    pub(super) fn tidy(&mut self) {
        let looked_up: HashSet<String> = self.gathered.looked_up.iter().map(Prospect::key).collect();
        self.moved.retain(|key| looked_up.contains(key));
        let of_host = self.gathered.absent.iter().chain(&self.gathered.looked_up);
        let wanted: Vec<&Prospect> = self.scanned.wanted().chain(of_host).collect();
        self.memory.keep_only(&wanted);
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

    /// Forgets checkouts, the logins that came with them, and what they said: they are not read any more.
    pub(super) fn forget_checkouts(&mut self) {
        self.jobs.forget_sources();
        self.unread.clear();
        self.scanned.clear();
    }

    /// Forgets all that came of a job's rights.
    pub(super) fn job_is_over(&mut self, job: &str, now: f64) {
        self.unread.retain(|sources| sources.job != job);
        self.scanned.job_is_over(job, now);
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
    /// Compressed bytes that may come at most; `None`: no limit.
    pub(super) may: Option<u64>,
    /// Why it is stopped; `None`: it goes on.
    pub(super) gives_way: Option<Stop>,
}

/// Why an image on its way is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// A job pulls this, and gets the link.
    Job(String),
    /// More has come than may: it is larger than its registry said.
    Bytes,
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
            self.gives_way = Some(Stop::Job(pull.image.clone()));
        }
        gives_way
    }

    /// Takes in how far it is. Returns whether it makes way now, for more came than may.
    pub(super) fn came(&mut self, progress: &Progress) -> bool {
        self.done = progress.done;
        self.total = Some(self.total.unwrap_or_default().max(progress.total));
        let stops = self.gives_way.is_none() && self.may.is_some_and(|may| self.done > may);
        if stops {
            self.gives_way = Some(Stop::Bytes);
        }
        stops
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::time::Instant;

    use super::{Going, State, Stop};
    use crate::daemon::prefetch::memory::Looked;
    use crate::engine::Progress;
    use crate::policy::Cost;
    use crate::policy::wanted::{Candidate, Demand, Loses, Source};
    use crate::prefetch::{Gathered, Prospect, Whose, wish};

    const NOW: f64 = 1.0e9;

    fn listed(name: &str) -> Prospect {
        let candidate = Candidate {
            name: name.to_owned(),
            platform: String::new(),
            source: Source::List,
            demand: Demand::Listed,
            cold: 1.0,
            missing: None,
            cost: Cost::default(),
            pipeline: None,
        };
        let wish = wish(name.parse().unwrap(), None);
        Prospect { candidate, wish, whose: Whose::Host, why: "listed".to_owned(), until: NOW + 3600.0 }
    }

    #[test]
    fn it_is_gathered_once_a_minute_at_most_and_beside_jobs_once_an_hour() {
        let mut state = State::<()>::new();
        assert!(state.gathers_at(false) <= 0.0, "the first time at once");
        state.gathered(Gathered::default(), NOW);
        assert_eq!((state.gathers_at(true), state.gathers_at(false)), (NOW + 3600.0, NOW + 3600.0));
        // Images came and went.
        state.gather_at = NOW + 5.0;
        assert_eq!((state.gathers_at(true), state.gathers_at(false)), (NOW + 60.0, NOW + 3600.0));
        let settings = Rc::new(crate::settings::defaults().unwrap());
        state.take_in(&settings, NOW + 6.0);
        state.take_in(&settings, NOW + 7.0);
        assert_eq!(state.gathers_at(false), NOW + 6.0);
    }

    #[test]
    fn a_clock_that_stepped_back_stops_nothing() {
        let mut state = State::<()>::new();
        state.gathered(Gathered::default(), NOW);
        state.looked_up.insert("a".to_owned(), NOW);
        let now = NOW - 1.0e7;
        state.keep_time(now);
        assert_eq!(state.gathers_at(true), now + 3600.0);
        assert_eq!(state.looked_up["a"], now);
    }

    #[test]
    fn what_is_wanted_no_more_is_forgotten_and_what_is_looked_up_is_kept() {
        let mut state = State::<()>::new();
        let (tag, absent) = (listed("registry.test/tag:1"), listed("registry.test/absent:1"));
        let gathered = Gathered { absent: vec![absent.clone()], looked_up: vec![tag.clone()] };
        state.gathered(gathered, NOW);
        let all = [tag.key(), absent.key(), "registry.test/left:1  job".to_owned()];
        for key in &all {
            let looked = Looked { at: NOW, digest: "sha256:0".to_owned(), here: false, missing: None };
            state.memory.looked(key.clone(), looked);
            state.moved.insert(key.clone());
        }
        state.tidy();
        let known = all.each_ref().map(|key| state.memory.look(key, NOW).is_some());
        assert_eq!(known, [true, true, false]);
        assert_eq!(state.moved.iter().collect::<Vec<_>>(), [&tag.key()]);
    }

    #[test]
    fn what_is_larger_than_it_may_be_is_stopped_once() {
        for (may, stops) in [(Some(9), [false, true, false]), (None, [false; 3])] {
            let mut going = Going {
                content: String::new(),
                began: Instant::now(),
                done: 0,
                total: Some(5),
                loses: Loses::All,
                link: 1.0,
                may,
                gives_way: None,
            };
            let came = [9, 10, 11].map(|done| going.came(&Progress { done, ..Progress::default() }));
            assert_eq!((came, going.done, going.total), (stops, 11, Some(5)));
            assert_eq!(going.gives_way, may.map(|_| Stop::Bytes));
        }
    }
}
