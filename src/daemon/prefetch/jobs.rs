//! The jobs of this host, as far as their stages tell of them: pure.
//!
//! What they tell is in memory only, the credentials among it too, and goes with the job: when it is over, when its time
//! is, or when its runner is gone.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::job::Owner;
use crate::moment::{Liveness, Moment, Process};
use crate::notice::{Notice, Sources};

/// Jobs that are known at most: more never run on a host.
const MOST: usize = 500;
/// How long a job is believed in that nobody vouches for.
const UNVOUCHED: Duration = Duration::from_secs(3600);

/// A pull that a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPull {
    /// The image, as `repository@digest` with the registry's name.
    pub image: String,
    /// How many bytes are to come; `None`: not known.
    pub bytes: Option<u64>,
}

struct Job {
    /// Who vouches for it; `None`: nobody that is known.
    owner: Option<Owner>,
    /// When it was heard of first.
    since: Moment,
    preparing: bool,
    pulls: Vec<JobPull>,
    sources: Option<Rc<Sources>>,
}

impl Job {
    fn new(owner: &str, since: &Moment) -> Self {
        Self {
            owner: Owner::parse(owner),
            since: since.clone(),
            preparing: false,
            pulls: Vec::new(),
            sources: None,
        }
    }

    fn lives(&self, now: &Moment, is: &impl Fn(Process) -> Liveness) -> bool {
        match &self.owner {
            Some(owner) => owner.lives(now, is),
            None => now.since(&self.since).is_some_and(|since| since <= UNVOUCHED),
        }
    }
}

/// The jobs that are known.
#[derive(Default)]
pub struct Jobs {
    known: BTreeMap<String, Job>,
    /// Jobs that said their end, of late: what the store has of them is about to go.
    over: VecDeque<String>,
}

impl Jobs {
    /// Takes in what a stage tells. Returns the pull that a job is about to begin, or the sources that can be read now; these are
    /// kept only where checkouts are read, which `scans` says.
    pub fn hear(&mut self, notice: Notice, scans: bool, now: &Moment) -> Heard {
        match notice {
            Notice::Prepares { job, owner } => {
                // An attempt before this one was given up, and what it pulled with it.
                if let Some(known) = self.enter(job, &owner, now) {
                    (known.preparing, known.pulls) = (true, Vec::new());
                }
                Heard::Job
            }
            Notice::Pulls { job, image, bytes } => {
                let pull = JobPull { image, bytes };
                if let Some(known) = self.enter(job, "", now) {
                    known.preparing = true;
                    known.pulls.retain(|before| before.image != pull.image);
                    known.pulls.push(pull.clone());
                }
                Heard::Pull(pull)
            }
            Notice::Prepared { job } => {
                if let Some(known) = self.known.get_mut(&job) {
                    (known.preparing, known.pulls) = (false, Vec::new());
                }
                Heard::Job
            }
            Notice::Sources(sources) => {
                let sources = Rc::new(*sources);
                match self.enter(sources.job.clone(), &sources.owner, now) {
                    Some(known) => {
                        known.preparing = false;
                        if !scans {
                            return Heard::Job;
                        }
                        known.sources = Some(Rc::clone(&sources));
                        Heard::Sources(sources)
                    }
                    None => Heard::Job,
                }
            }
            Notice::Over { job } => {
                self.known.remove(&job);
                self.over.push_back(job.clone());
                if self.over.len() > MOST {
                    self.over.pop_front();
                }
                Heard::Over(job)
            }
        }
    }

    /// Returns whether a job said its end, and nothing after that.
    pub fn is_over(&self, job: &str) -> bool {
        self.over.iter().any(|over| over == job)
    }

    fn enter(&mut self, job: String, owner: &str, now: &Moment) -> Option<&mut Job> {
        self.over.retain(|over| *over != job);
        if self.known.len() >= MOST && !self.known.contains_key(&job) {
            return None;
        }
        let known = self.known.entry(job).or_insert_with(|| Job::new(owner, now));
        known.owner = known.owner.take().or_else(|| Owner::parse(owner));
        Some(known)
    }

    /// Forgets jobs whose runner is gone or whose time is over, and returns which.
    pub fn forget_dead(&mut self, now: &Moment, is: impl Fn(Process) -> Liveness) -> Vec<String> {
        let over = |job: &Job| {
            let until = job.sources.as_ref().map(|sources| Duration::from_secs(sources.until));
            !job.lives(now, &is) || until.is_some_and(|until| now.wall > until)
        };
        let dead: Vec<String> =
            self.known.iter().filter(|(_, job)| over(job)).map(|(name, _)| name.clone()).collect();
        dead.iter().for_each(|name| drop(self.known.remove(name)));
        dead
    }

    /// Forgets what jobs told of their checkouts and their logins.
    pub fn forget_sources(&mut self) {
        self.known.values_mut().for_each(|job| job.sources = None);
    }

    /// Returns whether no job is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Returns whether a job is being prepared.
    pub fn is_preparing(&self) -> bool {
        self.known.values().any(|job| job.preparing)
    }

    /// Returns what a job told of its checkout and its logins; `None`: nothing, or it is over.
    pub fn sources(&self, job: &str) -> Option<Rc<Sources>> {
        self.known.get(job)?.sources.clone()
    }
}

/// What a notice comes to.
#[derive(Debug)]
pub enum Heard {
    /// A job came, or went on.
    Job,
    /// A job is about to pull.
    Pull(JobPull),
    /// A job has its sources.
    Sources(Rc<Sources>),
    /// A job is over.
    Over(String),
}

/// What a job tells of its checkout.
#[cfg(test)]
pub(super) fn sources_of(job: &str, until: u64) -> Sources {
    let running = crate::scan::Running {
        name: "build".to_owned(),
        stage: "build".to_owned(),
        tags: Vec::new(),
        variables: BTreeMap::new(),
        script: Vec::new(),
        socket: true,
        platform: String::new(),
    };
    let tokens = Vec::new();
    Sources {
        job: job.to_owned(),
        owner: String::new(),
        helper: "helper".to_owned(),
        dir: "/builds".to_owned(),
        pipeline: "p".to_owned(),
        running,
        own: Vec::new(),
        platform: String::new(),
        number: 7,
        project_key: "k".to_owned(),
        source: None,
        asker: crate::image::proof::Asker { server: String::new(), project: 4, user_id: None, tokens },
        credentials: Vec::new(),
        docker_auth_config: None,
        allowed_images: Vec::new(),
        allowed_services: Vec::new(),
        may_pull: true,
        until,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Heard, Jobs, sources_of};
    use crate::job::Owner;
    use crate::moment::{Liveness, Moment, Process};
    use crate::notice::{Notice, Sources};

    fn at(seconds: u64) -> Moment {
        let (wall, boot) = (Duration::from_secs(1_000_000 + seconds), Duration::from_secs(seconds));
        Moment { wall, boot, boot_id: "b".to_owned() }
    }

    fn owner(pid: u32) -> String {
        let process = Process { pid, started: 1, ..Process::default() };
        Owner::new(process, at(0), Some(Duration::from_secs(600))).to_string()
    }

    fn prepares(job: &str, pid: u32) -> Notice {
        Notice::Prepares { job: job.to_owned(), owner: owner(pid) }
    }

    fn pulls(job: &str, image: &str) -> Notice {
        Notice::Pulls { job: job.to_owned(), image: image.to_owned(), bytes: Some(9) }
    }

    fn prepared(job: &str) -> Notice {
        Notice::Prepared { job: job.to_owned() }
    }

    fn over(job: &str) -> Notice {
        Notice::Over { job: job.to_owned() }
    }

    fn sources(job: &str, until: u64) -> Notice {
        Notice::Sources(Box::new(Sources { owner: owner(1), ..sources_of(job, at(until).wall.as_secs()) }))
    }

    #[test]
    fn a_job_prepares_from_its_first_word_to_its_end() {
        let mut jobs = Jobs::default();
        assert!(jobs.is_empty() && !jobs.is_preparing());
        for (notice, preparing, known) in [
            (prepares("a", 1), true, true),
            (prepares("b", 1), true, true),
            (pulls("a", "x@sha256:0"), true, true),
            (prepared("a"), true, true),
            (prepared("b"), false, true),
            (sources("a", 60), false, true),
            (over("a"), false, true),
            (prepared("c"), false, true),
            (over("b"), false, false),
        ] {
            let told = format!("{notice:?}");
            jobs.hear(notice, true, &at(1));
            assert_eq!((jobs.is_preparing(), !jobs.is_empty()), (preparing, known), "{told}");
        }
    }

    #[test]
    fn a_prepare_that_was_killed_ends_with_its_runner_and_one_that_is_hung_with_its_time() {
        let mut jobs = Jobs::default();
        jobs.hear(prepares("a", 1), true, &at(1));
        jobs.hear(prepares("b", 2), true, &at(1));
        let gone = |pid: u32| move |p: Process| if p.pid == pid { Liveness::Gone } else { Liveness::Runs };
        assert_eq!(jobs.forget_dead(&at(5), |_| Liveness::Unknown), [""; 0]);
        assert_eq!(jobs.forget_dead(&at(5), gone(1)), ["a"]);
        assert!(jobs.is_preparing());
        assert_eq!(jobs.forget_dead(&at(5000), |_| Liveness::Runs), ["b"]);
        // Of a job whose beginning nobody heard, its pull is.
        assert!(
            matches!(jobs.hear(pulls("c", "x"), true, &at(6)), Heard::Pull(pull) if pull.bytes == Some(9))
        );
        assert!(jobs.is_preparing());
        assert_eq!(jobs.forget_dead(&at(3700), |_| Liveness::Runs), ["c"]);
    }

    #[test]
    fn credentials_go_with_the_job_its_time_and_its_runner() {
        for (what, end) in [
            ("over", None),
            ("its time", Some((at(61), 9))),
            ("its runner", Some((at(30), 1))),
            ("another boot", Some((Moment { boot_id: "c".to_owned(), ..at(9) }, 9))),
        ] {
            let mut jobs = Jobs::default();
            let Heard::Sources(sources) = jobs.hear(sources("a", 60), true, &at(1)) else {
                panic!("no sources")
            };
            let memory = std::rc::Rc::downgrade(&sources);
            drop(sources);
            assert!(jobs.sources("a").is_some());
            assert!(jobs.forget_dead(&at(60), |_| Liveness::Runs).is_empty(), "{what}");
            match end {
                None => assert!(matches!(jobs.hear(over("a"), true, &at(9)), Heard::Over(job) if job == "a")),
                Some((now, pid)) => {
                    let is = |p: Process| if p.pid == pid { Liveness::Gone } else { Liveness::Runs };
                    assert_eq!(jobs.forget_dead(&now, is), ["a"], "{what}");
                }
            }
            assert!(jobs.sources("a").is_none() && memory.upgrade().is_none(), "{what}");
        }
    }

    #[test]
    fn credentials_are_kept_only_where_checkouts_are_read() {
        let mut jobs = Jobs::default();
        assert!(matches!(jobs.hear(sources("a", 60), false, &at(1)), Heard::Job));
        assert!(jobs.sources("a").is_none() && !jobs.is_empty());
        let Heard::Sources(sources) = jobs.hear(sources("a", 60), true, &at(1)) else { panic!("no sources") };
        let memory = std::rc::Rc::downgrade(&sources);
        drop(sources);
        jobs.forget_sources();
        assert!(jobs.sources("a").is_none() && memory.upgrade().is_none() && !jobs.is_empty());
    }

    #[test]
    fn more_jobs_than_a_host_has_are_not_kept() {
        let mut jobs = Jobs::default();
        for number in 0..2000 {
            jobs.hear(prepares(&number.to_string(), 1), true, &at(1));
            jobs.hear(over(&format!("over {number}")), true, &at(1));
        }
        assert_eq!((jobs.known.len(), jobs.over.len()), (super::MOST, super::MOST));
    }

    #[test]
    fn a_job_is_over_until_it_comes_again() {
        let mut jobs = Jobs::default();
        jobs.hear(prepares("a", 1), true, &at(1));
        assert!(!jobs.is_over("a"));
        jobs.hear(over("a"), true, &at(2));
        assert!(jobs.is_over("a") && !jobs.is_over("b"));
        jobs.hear(prepares("a", 1), true, &at(3));
        assert!(!jobs.is_over("a"));
    }
}
