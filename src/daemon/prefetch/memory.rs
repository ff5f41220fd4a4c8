//! What looking and trying taught, for as long as it says something: pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::policy::Size;
use crate::policy::wanted::Held;
use crate::prefetch::{Prospect, Waits, Whose};

/// Seconds for which a look at a registry counts.
const FRESH: f64 = 1800.0;
/// Seconds after the first failure that another try may mend; twice as long after each further one.
const FIRST_PAUSE: f64 = 300.0;
/// The longest of these pauses.
const LONGEST_PAUSE: f64 = 6.0 * 3600.0;
/// The longest for which a registry is left alone, unless it wants longer.
const LONGEST_ALONE: f64 = 3600.0;
/// Seconds for which it counts that something has no room: what is on the disk, and what it is worth, changes unnoticed.
const FULL: f64 = 300.0;
/// Seconds for which it counts even though images come and go.
const FULL_AT_LEAST: f64 = 60.0;
/// Pipelines whose bytes are counted at most.
const MOST_PIPELINES: usize = 1000;

/// What a registry said of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// When, in seconds.
    pub at: f64,
    /// The digest that it has now.
    pub digest: String,
    /// Whether nothing has to be fetched.
    pub here: bool,
    /// What is missing; `None`: it does not say.
    pub missing: Option<Size>,
}

#[derive(Debug, Clone, PartialEq)]
struct Failed {
    until: f64,
    times: u32,
    words: String,
}

/// A registry that is left alone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Alone {
    until: f64,
    times: u32,
}

/// What was learned.
#[derive(Debug, Default)]
pub struct Memory {
    looks: HashMap<String, Looked>,
    failed: HashMap<String, Failed>,
    /// What has no room as things are, and when that was seen.
    unfit: HashMap<String, (Held, f64)>,
    alone: HashMap<(String, Whose), Alone>,
    jobs_only: BTreeSet<String>,
    spent: BTreeMap<String, u64>,
}

impl Memory {
    /// Notes what a registry said.
    pub fn looked(&mut self, key: String, looked: Looked) {
        self.failed.remove(&key);
        self.looks.insert(key, looked);
    }

    /// Returns what a registry said not long ago.
    pub fn look(&self, key: &str, now: f64) -> Option<&Looked> {
        self.looks.get(key).filter(|looked| (0.0..FRESH).contains(&(now - looked.at)))
    }

    /// Notes that something could not be had. It is tried again later: the later, the more often that happened, and not
    /// soon where it is `for_good`. Returns whether it is news.
    pub fn fail(&mut self, key: String, words: String, for_good: bool, now: f64) -> bool {
        let known = self.failed.get(&key);
        let (times, is_news) = known.map_or((0, true), |failed| (failed.times, failed.words != words));
        let pause = if for_good { LONGEST_PAUSE } else { FIRST_PAUSE * f64::from(2_u32.pow(times.min(10))) };
        let until = now + pause.min(LONGEST_PAUSE);
        self.looks.remove(&key);
        self.failed.insert(key, Failed { until, times: times + 1, words });
        is_news
    }

    /// Notes that a registry is to be left alone by this login for so many seconds at least: the longer, the more often that
    /// happened since it last answered. Returns until when, and whether that is the first time.
    pub fn leave_alone(&mut self, account: (String, Whose), seconds: f64, now: f64) -> (f64, bool) {
        let times = self.alone.get(&account).map_or(0, |alone| alone.times);
        let pause = FIRST_PAUSE * f64::from(2_u32.pow(times.min(10)));
        let until = now + pause.min(LONGEST_ALONE).max(seconds);
        self.alone.insert(account, Alone { until, times: times + 1 });
        (until, times == 0)
    }

    /// Notes that a registry answered; returns whether it was left alone before.
    pub fn reached(&mut self, account: &(String, Whose)) -> bool {
        self.alone.remove(account).is_some()
    }

    /// Returns until when a prospect's registry is left alone.
    pub fn alone_until(&self, prospect: &Prospect, now: f64) -> Option<f64> {
        self.alone.get(&prospect.account()).map(|alone| alone.until).filter(|until| *until > now)
    }

    /// Notes that something has no room as things are.
    pub fn unfit(&mut self, key: String, held: Held, now: f64) {
        self.unfit.insert(key, (held, now));
    }

    /// Forgets what depends on which images are here: they are others now.
    pub fn images_changed(&mut self, now: f64) {
        self.unfit.retain(|_, (_, at)| (0.0..FULL_AT_LEAST).contains(&(now - *at)));
        self.looks.retain(|_, looked| !looked.here);
    }

    /// Forgets all but what counts bytes: settings and logins may be others now.
    pub fn begin_anew(&mut self) {
        *self = Self { spent: std::mem::take(&mut self.spent), ..Self::default() };
    }

    /// Returns what a prospect waits for by what was tried.
    pub fn waits(&self, key: &str, now: f64) -> Waits {
        if let Some(failed) = self.failed.get(key).filter(|failed| failed.until > now) {
            return Waits::Failed { until: failed.until, words: failed.words.clone() };
        }
        let unfit = self.unfit.get(key).filter(|(_, at)| (0.0..FULL).contains(&(now - at)));
        unfit.map_or(Waits::Nothing, |(held, _)| Waits::Held(*held))
    }

    /// Notes whether the operator's login, or none, reads a tag.
    pub fn readable(&mut self, name: &str, is_readable: bool) {
        if is_readable {
            self.jobs_only.remove(name);
        } else {
            self.jobs_only.insert(name.to_owned());
        }
    }

    /// Returns the tags that only jobs can read.
    pub fn jobs_only(&self) -> &BTreeSet<String> {
        &self.jobs_only
    }

    /// Counts bytes that were fetched for a pipeline.
    pub fn spend(&mut self, pipeline: &str, bytes: u64) {
        if self.spent.len() >= MOST_PIPELINES && !self.spent.contains_key(pipeline) {
            self.spent.pop_first();
        }
        *self.spent.entry(pipeline.to_owned()).or_default() += bytes;
    }

    /// Returns the bytes that were fetched for a pipeline.
    pub fn spent(&self, pipeline: &str) -> u64 {
        self.spent.get(pipeline).copied().unwrap_or_default()
    }

    /// Forgets what was learned with a job's rights, for it is over.
    pub fn forget_job(&mut self, job: &str) {
        let ends = format!(" {job}");
        self.looks.retain(|key, _| !key.ends_with(&ends));
        self.failed.retain(|key, _| !key.ends_with(&ends));
        self.unfit.retain(|key, _| !key.ends_with(&ends));
        self.alone.retain(|(_, whose), _| *whose != Whose::Job(job.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Looked, Memory};
    use crate::policy::wanted::Held;
    use crate::prefetch::{Waits, Whose};

    fn looked(at: f64) -> Looked {
        Looked { at, digest: "sha256:0".to_owned(), here: false, missing: None }
    }

    #[test]
    fn a_failure_is_tried_again_later_each_time_and_forgotten_by_an_answer() {
        let mut memory = Memory::default();
        let fail = |memory: &mut Memory, good, now| memory.fail("a".to_owned(), "down".to_owned(), good, now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(fail(&mut memory, false, 0.0), pauses.is_empty(), "it is news once");
            pauses.push(memory.waits("a", 0.0).until().unwrap());
        }
        assert_eq!(pauses, [300.0, 600.0, 1200.0, 2400.0, 4800.0, 9600.0, 19200.0, 21600.0, 21600.0]);
        assert_eq!(memory.waits("a", 21_600.0), Waits::Nothing);
        memory.looked("a".to_owned(), looked(5.0));
        assert!(fail(&mut memory, true, 10.0));
        assert_eq!(memory.waits("a", 10.0).until(), Some(21_610.0));
        assert!(memory.look("a", 11.0).is_none(), "what was seen before does not count");
    }

    #[test]
    fn a_look_counts_for_half_an_hour_and_until_images_change() {
        let mut memory = Memory::default();
        memory.looked("a".to_owned(), looked(100.0));
        memory.unfit("a".to_owned(), Held::NoRoom { bytes: 1, inodes: 0 }, 40.0);
        assert!(memory.look("a", 1800.0).is_some() && memory.look("a", 1900.0).is_none());
        assert!(memory.look("a", 99.0).is_none(), "a clock that stepped back");
        assert!(matches!(memory.waits("a", 100.0), Waits::Held(Held::NoRoom { .. })));
        memory.looked("b".to_owned(), Looked { here: true, ..looked(100.0) });
        memory.images_changed(100.0);
        assert!(memory.look("a", 100.0).is_some() && memory.look("b", 100.0).is_none());
        assert_eq!(memory.waits("a", 100.0), Waits::Nothing);
    }

    #[test]
    fn what_has_no_room_is_tried_again_in_five_minutes_or_in_one_if_images_come_and_go() {
        let mut memory = Memory::default();
        let dear = Held::TooDear { loses: 1.0 };
        memory.unfit("a".to_owned(), dear, 100.0);
        assert_eq!(memory.waits("a", 399.0), Waits::Held(dear));
        assert_eq!(memory.waits("a", 400.0), Waits::Nothing);
        assert_eq!(memory.waits("a", 99.0), Waits::Nothing, "a clock that stepped back");
        memory.images_changed(159.0);
        assert_eq!(memory.waits("a", 159.0), Waits::Held(dear), "many come at once");
        memory.images_changed(160.0);
        assert_eq!(memory.waits("a", 160.0), Waits::Nothing);
    }

    #[test]
    fn a_registry_is_left_alone_longer_each_time_until_it_answers() {
        let mut memory = Memory::default();
        let account = |name: &str| (name.to_owned(), Whose::Host);
        let pauses: Vec<f64> = (0..6).map(|_| memory.leave_alone(account("a"), 60.0, 0.0).0).collect();
        assert_eq!(pauses, [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]);
        assert_eq!(memory.leave_alone(account("b"), 7200.0, 0.0), (7200.0, true), "what it asks for is kept");
        assert!(memory.reached(&account("a")) && !memory.reached(&account("a")));
        assert_eq!(memory.leave_alone(account("a"), 60.0, 10.0), (310.0, true));
        let of_job = (account("a").0, Whose::Job("j".to_owned()));
        memory.leave_alone(of_job.clone(), 60.0, 10.0);
        memory.forget_job("j");
        assert!(!memory.reached(&of_job) && memory.reached(&account("a")));
    }

    #[test]
    fn what_a_pipeline_fetched_adds_up_and_outlives_new_settings() {
        let mut memory = Memory::default();
        memory.spend("p", 5);
        memory.spend("p", 6);
        memory.begin_anew();
        assert_eq!((memory.spent("p"), memory.spent("q")), (11, 0));
        for number in 0..3000 {
            memory.spend(&format!("{number:04}"), 1);
        }
        assert_eq!(memory.spent.len(), super::MOST_PIPELINES);
    }
}
