//! What looking and trying taught, for as long as it says something: pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::policy::Size;
use crate::policy::wanted::Held;
use crate::prefetch::{Prospect, Waits, Whose};

/// Seconds for which a look at a registry counts.
const FRESH: f64 = 1800.0;
/// Seconds after the first failure that another try may mend; twice as long after each further one.
const FIRST_PAUSE: f64 = 300.0;
/// The same where a registry did not answer with what a running job lends: its pipeline does not wait.
const FIRST_OF_JOB: f64 = 20.0;
/// The longest of these pauses.
const LONGEST_PAUSE: f64 = 6.0 * 3600.0;
/// The longest for which what does not answer is left alone, unless it wants longer.
const LONGEST_ALONE: f64 = 3600.0;
/// Seconds for which it counts that something has no room: what is on the disk, and what it is worth, changes unnoticed.
const FULL: f64 = 300.0;
/// Seconds for which it counts even though images come and go.
const FULL_AT_LEAST: f64 = 60.0;
/// Pipelines that are remembered at most.
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

/// How long something is not tried, and since when, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pause {
    since: f64,
    lasts: f64,
}

impl Pause {
    fn until(self) -> f64 {
        self.since + self.lasts
    }

    /// The pause after so many failures before: twice as long after each.
    fn after(times: u32, first: f64, longest: f64, now: f64) -> Self {
        Self { since: now, lasts: (first * f64::from(2_u32.pow(times.min(10)))).min(longest) }
    }

    /// A clock that stepped back makes no pause longer.
    fn keep(&mut self, now: f64) {
        self.since = self.since.min(now);
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Failed {
    pause: Pause,
    times: u32,
    words: String,
}

/// A registry that is left alone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Alone {
    pause: Pause,
    times: u32,
}

/// What comes of it that a registry does not answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unanswered {
    /// What was asked about is put off.
    Once {
        /// Whether it did not fail for that before.
        is_news: bool,
    },
    /// The registry is left alone.
    Often {
        /// Until when, in seconds.
        until: f64,
        /// Whether it answered when it was asked before.
        is_news: bool,
    },
}

/// What a pipeline has cost.
#[derive(Debug, Clone, Copy, Default)]
struct Pipeline {
    /// Compressed bytes that were fetched for it.
    spent: u64,
    /// How often in a row a registry that it names did not answer.
    faults: u32,
    /// When that was last, in seconds.
    at: f64,
}

/// What was learned.
#[derive(Debug, Default)]
pub struct Memory {
    looks: HashMap<String, Looked>,
    failed: HashMap<String, Failed>,
    /// What has no room as things are, and when that was seen.
    unfit: HashMap<String, (Held, f64)>,
    alone: HashMap<(String, Whose), Alone>,
    /// What a registry did not answer about since it last answered.
    unanswered: HashMap<(String, Whose), BTreeSet<String>>,
    jobs_only: BTreeSet<String>,
    pipelines: HashMap<String, Pipeline>,
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
        let first = if for_good { LONGEST_PAUSE } else { FIRST_PAUSE };
        self.put_off(key, words, first, LONGEST_PAUSE, now)
    }

    fn put_off(&mut self, key: String, words: String, first: f64, longest: f64, now: f64) -> bool {
        let known = self.failed.get(&key);
        let (times, is_news) = known.map_or((0, true), |failed| (failed.times, failed.words != words));
        let pause = Pause::after(times, first, longest, now);
        self.looks.remove(&key);
        self.failed.insert(key, Failed { pause, times: times + 1, words });
        is_news
    }

    /// Notes that a registry did not answer about something: one image alone may be what is wrong, so it is put off, and
    /// says whether that is news. Where the registry does not answer about a second one either, it is left alone, and what
    /// it did not answer about waits a little longer than that: first it is asked about something else.
    pub fn unanswered(&mut self, prospect: &Prospect, words: String, now: f64) -> Unanswered {
        let (key, account) = (prospect.key(), prospect.account());
        let first = if account.1 == Whose::Host { FIRST_PAUSE } else { FIRST_OF_JOB };
        let is_news = self.put_off(key.clone(), words, first, LONGEST_ALONE, now);
        let keys = self.unanswered.entry(account.clone()).or_default();
        keys.insert(key);
        if keys.len() < 2 {
            return Unanswered::Once { is_news };
        }
        let times = self.alone.get(&account).map_or(0, |alone| alone.times);
        let pause = Pause::after(times, first, LONGEST_ALONE, now);
        for key in keys.iter() {
            if let Some(failed) = self.failed.get_mut(key) {
                let until = failed.pause.until().max(pause.until() + first);
                failed.pause = Pause { since: now, lasts: until - now };
            }
        }
        self.alone.insert(account, Alone { pause, times: times + 1 });
        Unanswered::Often { until: pause.until(), is_news: times == 0 }
    }

    /// Notes that a registry is to be left alone by this login for so many seconds at least: the longer, the more often that
    /// happened since it last answered. Returns until when, and whether that is the first time.
    pub fn leave_alone(&mut self, account: (String, Whose), seconds: f64, now: f64) -> (f64, bool) {
        let times = self.alone.get(&account).map_or(0, |alone| alone.times);
        let usual = Pause::after(times, FIRST_PAUSE, LONGEST_ALONE, now);
        let pause = Pause { lasts: usual.lasts.max(seconds), ..usual };
        self.alone.insert(account, Alone { pause, times: times + 1 });
        (pause.until(), times == 0)
    }

    /// Notes that a registry answered; returns whether it was left alone before.
    pub fn reached(&mut self, account: &(String, Whose)) -> bool {
        self.unanswered.remove(account);
        self.alone.remove(account).is_some()
    }

    /// Returns until when a prospect's registry is left alone.
    pub fn alone_until(&self, prospect: &Prospect, now: f64) -> Option<f64> {
        self.alone.get(&prospect.account()).map(|alone| alone.pause.until()).filter(|until| *until > now)
    }

    /// Takes in what time it is: a wall clock may have stepped back.
    pub fn keep_time(&mut self, now: f64) {
        self.failed.values_mut().for_each(|failed| failed.pause.keep(now));
        self.alone.values_mut().for_each(|alone| alone.pause.keep(now));
    }

    /// Notes that something has no room as things are.
    pub fn unfit(&mut self, key: String, held: Held, now: f64) {
        self.unfit.insert(key, (held, now));
    }

    /// Images come and go: what had no room may have some.
    pub fn room_changed(&mut self, now: f64) {
        self.unfit.retain(|_, (_, at)| (0.0..FULL_AT_LEAST).contains(&(now - *at)));
    }

    /// Forgets what is said to be here: that is seen anew.
    pub fn forget_what_is_here(&mut self) {
        self.looks.retain(|_, looked| !looked.here);
    }

    /// Forgets all but what pipelines have cost: settings and logins may be others now.
    pub fn begin_anew(&mut self) {
        *self = Self { pipelines: std::mem::take(&mut self.pipelines), ..Self::default() };
    }

    /// Returns what a prospect waits for by what was tried.
    pub fn waits(&self, key: &str, now: f64) -> Waits {
        if let Some(failed) = self.failed.get(key).filter(|failed| failed.pause.until() > now) {
            return Waits::Failed { until: failed.pause.until(), words: failed.words.clone() };
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
    pub fn spend(&mut self, pipeline: &str, bytes: u64, now: f64) {
        let known = self.pipeline(pipeline, now);
        known.spent = known.spent.saturating_add(bytes);
    }

    /// Returns the bytes that were fetched for a pipeline.
    pub fn spent(&self, pipeline: &str) -> u64 {
        self.pipelines.get(pipeline).map_or(0, |known| known.spent)
    }

    /// Notes whether a registry that a pipeline names answered.
    pub fn answered(&mut self, pipeline: &str, it_did: bool, now: f64) {
        if it_did {
            if let Some(known) = self.pipelines.get_mut(pipeline) {
                known.faults = 0;
            }
        } else {
            let known = self.pipeline(pipeline, now);
            known.faults = known.faults.saturating_add(1);
        }
    }

    /// Returns how often in a row a registry that a pipeline names did not answer: what others want goes first.
    pub fn faults(&self, pipeline: &str) -> u32 {
        self.pipelines.get(pipeline).map_or(0, |known| known.faults)
    }

    /// What a pipeline has cost, which costs something now. Where too many are known, the one is forgotten that cost something
    /// longest ago.
    fn pipeline(&mut self, pipeline: &str, now: f64) -> &mut Pipeline {
        if self.pipelines.len() >= MOST_PIPELINES && !self.pipelines.contains_key(pipeline) {
            let oldest = self.pipelines.iter().min_by(|(_, a), (_, b)| a.at.total_cmp(&b.at));
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.pipelines.remove(&oldest);
            }
        }
        let known = self.pipelines.entry(pipeline.to_owned()).or_default();
        known.at = now;
        known
    }

    /// Forgets what was learned with a job's rights, for it is over.
    pub fn forget_job(&mut self, job: &str) {
        let ends = format!(" {job}");
        self.looks.retain(|key, _| !key.ends_with(&ends));
        self.failed.retain(|key, _| !key.ends_with(&ends));
        self.unfit.retain(|key, _| !key.ends_with(&ends));
        self.alone.retain(|(_, whose), _| *whose != Whose::Job(job.to_owned()));
        self.unanswered.retain(|(_, whose), _| *whose != Whose::Job(job.to_owned()));
    }

    /// Forgets all that is about nothing that might be wanted.
    pub fn keep_only(&mut self, wanted: &[&Prospect]) {
        let keys: HashSet<String> = wanted.iter().map(|prospect| prospect.key()).collect();
        let accounts: HashSet<_> = wanted.iter().map(|prospect| prospect.account()).collect();
        let names: HashSet<&str> = wanted.iter().map(|prospect| prospect.candidate.name.as_str()).collect();
        self.looks.retain(|key, _| keys.contains(key));
        self.failed.retain(|key, _| keys.contains(key));
        self.unfit.retain(|key, _| keys.contains(key));
        self.jobs_only.retain(|name| names.contains(name.as_str()));
        // A registry that wants to be left alone wants it of this host, whatever else it is asked for.
        self.alone.retain(|account, _| account.1 == Whose::Host || accounts.contains(account));
        self.unanswered.values_mut().for_each(|unanswered| unanswered.retain(|key| keys.contains(key)));
        self.unanswered.retain(|_, unanswered| !unanswered.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::{Looked, Memory, Unanswered};
    use crate::policy::Cost;
    use crate::policy::wanted::{Candidate, Demand, Held, Source};
    use crate::prefetch::{Prospect, Waits, Whose, wish};

    fn prospect(name: &str, whose: Whose) -> Prospect {
        let name = format!("registry.test/{name}:1");
        let candidate = Candidate {
            name: name.clone(),
            platform: String::new(),
            source: Source::List,
            demand: Demand::Listed,
            cold: 1.0,
            missing: None,
            cost: Cost::default(),
            pipeline: None,
        };
        let wish = wish(name.parse().unwrap(), None);
        Prospect { candidate, wish, whose, why: "listed".to_owned(), until: 3600.0 }
    }

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
    fn a_look_counts_for_half_an_hour_and_what_is_here_until_that_is_seen_anew() {
        let mut memory = Memory::default();
        memory.looked("a".to_owned(), looked(100.0));
        memory.unfit("a".to_owned(), Held::NoRoom { bytes: 1, inodes: 0 }, 40.0);
        assert!(memory.look("a", 1800.0).is_some() && memory.look("a", 1900.0).is_none());
        assert!(memory.look("a", 99.0).is_none(), "a clock that stepped back");
        assert!(matches!(memory.waits("a", 100.0), Waits::Held(Held::NoRoom { .. })));
        memory.looked("b".to_owned(), Looked { here: true, ..looked(100.0) });
        memory.forget_what_is_here();
        assert!(memory.look("a", 100.0).is_some() && memory.look("b", 100.0).is_none());
    }

    #[test]
    fn what_has_no_room_is_tried_again_in_five_minutes_or_in_one_if_images_come_and_go() {
        let mut memory = Memory::default();
        let dear = Held::TooDear { loses: 1.0 };
        memory.unfit("a".to_owned(), dear, 100.0);
        assert_eq!(memory.waits("a", 399.0), Waits::Held(dear));
        assert_eq!(memory.waits("a", 400.0), Waits::Nothing);
        assert_eq!(memory.waits("a", 99.0), Waits::Nothing, "a clock that stepped back");
        memory.room_changed(159.0);
        assert_eq!(memory.waits("a", 159.0), Waits::Held(dear), "many come at once");
        memory.room_changed(160.0);
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
    fn one_image_that_is_not_answered_about_holds_up_itself_and_a_second_one_the_registry() {
        let mut memory = Memory::default();
        let of = |name: &str| prospect(name, Whose::Host);
        let fails =
            |memory: &mut Memory, name: &str, now: f64| memory.unanswered(&of(name), "503".to_owned(), now);
        let waits = |memory: &Memory, name: &str| memory.waits(&of(name).key(), 0.0).until();
        assert_eq!(fails(&mut memory, "odd", 0.0), Unanswered::Once { is_news: true });
        assert_eq!(memory.alone_until(&of("fine"), 0.0), None);
        assert_eq!(waits(&memory, "odd"), Some(300.0));
        assert!(!memory.reached(&of("fine").account()));
        assert_eq!(fails(&mut memory, "odd", 300.0), Unanswered::Once { is_news: false });
        assert_eq!(waits(&memory, "odd"), Some(900.0));
        // It may be the registry, or a second odd one: when its pause is over, others are asked about before both.
        assert_eq!(fails(&mut memory, "queer", 300.0), Unanswered::Often { until: 600.0, is_news: true });
        assert_eq!(memory.alone_until(&of("fine"), 300.0), Some(600.0));
        assert_eq!((waits(&memory, "odd"), waits(&memory, "queer")), (Some(900.0), Some(900.0)));
        assert_eq!(fails(&mut memory, "third", 600.0), Unanswered::Often { until: 1200.0, is_news: false });
        for name in ["odd", "queer", "third"] {
            assert_eq!(waits(&memory, name), Some(1500.0), "{name}");
        }
        assert!(memory.reached(&of("fine").account()), "it is told that it answers again");
        // No image that is wanted is put off for longer than a registry is.
        let last = (0..9).map(|_| fails(&mut memory, "odd", 0.0)).last();
        assert_eq!(last, Some(Unanswered::Once { is_news: false }));
        assert_eq!(waits(&memory, "odd"), Some(3600.0));
    }

    #[test]
    fn a_lost_answer_costs_a_pipeline_seconds() {
        let mut memory = Memory::default();
        let of = |name: &str| prospect(name, Whose::Job("j".to_owned()));
        let fails = |memory: &mut Memory, name: &str| memory.unanswered(&of(name), "EOF".to_owned(), 0.0);
        assert_eq!(fails(&mut memory, "a"), Unanswered::Once { is_news: true });
        assert_eq!(memory.waits(&of("a").key(), 0.0).until(), Some(20.0));
        assert_eq!(fails(&mut memory, "b"), Unanswered::Often { until: 20.0, is_news: true });
        assert_eq!(memory.alone_until(&prospect("b", Whose::Host), 0.0), None);
    }

    #[test]
    fn a_clock_that_stepped_back_makes_no_pause_longer() {
        let mut memory = Memory::default();
        let one = prospect("a", Whose::Host);
        memory.fail(one.key(), "gone".to_owned(), true, 1.0e9);
        memory.leave_alone(one.account(), 7200.0, 1.0e9);
        let now = 1.0e9 - 400.0 * 86_400.0;
        memory.keep_time(now);
        assert_eq!(memory.waits(&one.key(), now).until(), Some(now + 21_600.0));
        assert_eq!(memory.alone_until(&one, now), Some(now + 7200.0));
        memory.keep_time(now + 21_600.0);
        assert_eq!(memory.waits(&one.key(), now + 21_600.0), Waits::Nothing);
        assert_eq!(memory.alone_until(&one, now + 21_600.0), None);
    }

    #[test]
    fn what_is_wanted_no_more_is_forgotten() {
        let mut memory = Memory::default();
        let (stays, goes) = (prospect("a", Whose::Host), prospect("b", Whose::Job("j".to_owned())));
        for one in [&stays, &goes] {
            memory.unfit(one.key(), Held::NotWorth, 0.0);
            memory.unanswered(one, "EOF".to_owned(), 0.0);
            memory.leave_alone(one.account(), 60.0, 0.0);
            memory.looked(one.key(), looked(0.0));
            memory.fail(one.key(), "down".to_owned(), false, 0.0);
            memory.readable(&one.candidate.name, false);
        }
        memory.looked("left over".to_owned(), looked(0.0));
        memory.keep_only(&[&stays]);
        assert_eq!(memory.failed.keys().collect::<Vec<_>>(), [&stays.key()]);
        assert_eq!(memory.unfit.keys().collect::<Vec<_>>(), [&stays.key()]);
        assert_eq!(memory.alone.keys().collect::<Vec<_>>(), [&stays.account()]);
        assert_eq!(memory.unanswered.keys().collect::<Vec<_>>(), [&stays.account()]);
        assert!(memory.looks.is_empty() && memory.jobs_only.contains(&stays.candidate.name));
        memory.keep_only(&[]);
        assert_eq!(memory.jobs_only.len() + memory.failed.len() + memory.unanswered.len(), 0);
        assert_eq!(memory.alone.len(), 1, "whoever wants to be left alone wants it still");
    }

    #[test]
    fn what_a_pipeline_fetched_adds_up_and_outlives_new_settings() {
        let mut memory = Memory::default();
        memory.spend("p", 5, 0.0);
        memory.spend("p", 6, 1.0);
        memory.begin_anew();
        assert_eq!((memory.spent("p"), memory.spent("q")), (11, 0));
        memory.spend("p", u64::MAX, 2.0);
        assert_eq!(memory.spent("p"), u64::MAX);
    }

    #[test]
    fn the_pipeline_is_forgotten_that_fetched_longest_ago() {
        let mut memory = Memory::default();
        memory.spend("0", 5, 0.0);
        for number in 1..2000_u32 {
            memory.spend(&format!("{number:04}"), 1, f64::from(number));
            memory.spend("0", 1, f64::from(number));
        }
        assert_eq!(memory.pipelines.len(), super::MOST_PIPELINES);
        assert_eq!((memory.spent("0"), memory.spent("0001"), memory.spent("1999")), (2004, 0, 1));
    }

    #[test]
    fn faults_of_a_pipeline_count_until_a_registry_answers_it() {
        let mut memory = Memory::default();
        memory.answered("p", true, 0.0);
        assert!(memory.pipelines.is_empty(), "that costs nothing");
        memory.answered("p", false, 1.0);
        memory.answered("p", false, 2.0);
        memory.spend("p", 5, 3.0);
        assert_eq!((memory.faults("p"), memory.faults("q")), (2, 0));
        memory.answered("p", true, 4.0);
        assert_eq!((memory.faults("p"), memory.spent("p")), (0, 5));
    }
}
