//! What running pipelines will want, as their checkouts say: pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon::scanning::ScanWish;
use crate::notice::Sources;
use crate::policy::Cost;
use crate::policy::wanted::{Candidate, Demand, Source};
use crate::prefetch::{Prospect, Whose};

/// Images of all pipelines that are remembered at most; the oldest ones go.
const MOST: usize = 500;
/// Images of one pipeline that are remembered at most: the first ones that it wants.
const MOST_OF_ONE: usize = 64;
/// Seconds for which a pipeline is remembered none of whose jobs is known: its next one may come.
const NEXT_JOB: f64 = 300.0;

struct Entry {
    prospect: Prospect,
    project: String,
    /// Whether it is here for that project.
    done: bool,
}

/// What is known of a pipeline.
#[derive(Default)]
struct Pipeline {
    /// Those of its jobs that have their sources and are not over.
    jobs: BTreeSet<String>,
    /// When it is forgotten, in seconds; `None`: while it has jobs.
    ends: Option<f64>,
}

/// The images that running pipelines will want.
#[derive(Default)]
pub(super) struct Scanned {
    /// The oldest first.
    entries: Vec<Entry>,
    pipelines: BTreeMap<String, Pipeline>,
}

impl Scanned {
    /// Takes in what a checkout says. What another job of the pipeline wanted too is wanted with this one's rights from now
    /// on. `cost` says what pulls from a registry cost.
    pub(super) fn found(&mut self, wishes: Vec<ScanWish>, sources: &Sources, cost: impl Fn(&str) -> Cost) {
        let pipeline = self.pipelines.entry(sources.pipeline.clone()).or_default();
        pipeline.jobs.insert(sources.job.clone());
        pipeline.ends = None;
        for ScanWish { wish, soon, place } in wishes {
            let registry = wish.reference.registry().unwrap_or_default();
            let candidate = Candidate {
                name: wish.reference.normalized(),
                platform: wish.platform.as_ref().map(ToString::to_string).unwrap_or_default(),
                source: Source::Scan,
                demand: Demand::Soon(soon),
                cold: 1.0,
                missing: None,
                cost: cost(registry),
                pipeline: Some(sources.pipeline.clone()),
            };
            let is_it = |entry: &Entry| {
                let known = &entry.prospect.candidate;
                (&known.name, &known.platform, &known.pipeline)
                    == (&candidate.name, &candidate.platform, &candidate.pipeline)
            };
            let known = self.entries.iter().position(is_it);
            let done = known.is_some_and(|at| {
                let entry = self.entries.remove(at);
                entry.done && entry.project == sources.project_key
            });
            let of_it =
                |entry: &&Entry| entry.prospect.candidate.pipeline.as_ref() == Some(&sources.pipeline);
            if self.entries.iter().filter(of_it).count() >= MOST_OF_ONE {
                continue;
            }
            if self.entries.len() >= MOST {
                self.entries.remove(0);
            }
            let (whose, until) = (Whose::Job(sources.job.clone()), sources.until as f64);
            let prospect = Prospect { candidate, wish, whose, why: place, until };
            self.entries.push(Entry { prospect, project: sources.project_key.clone(), done });
        }
    }

    /// Returns what is not here yet.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Prospect> {
        self.entries.iter().filter(|entry| !entry.done).map(|entry| &entry.prospect)
    }

    /// Notes that something is here.
    pub(super) fn done(&mut self, key: &str) {
        self.entries
            .iter_mut()
            .filter(|entry| entry.prospect.key() == key)
            .for_each(|entry| entry.done = true);
    }

    /// A job is over and its logins are gone; later jobs of its pipeline want the same images still, and what everybody may read
    /// can come.
    pub(super) fn job_is_over(&mut self, job: &str, now: f64) {
        for entry in &mut self.entries {
            if matches!(&entry.prospect.whose, Whose::Job(of) if of == job) {
                entry.prospect.whose = Whose::Nobody;
            }
        }
        for pipeline in self.pipelines.values_mut() {
            if pipeline.jobs.remove(job) && pipeline.jobs.is_empty() {
                pipeline.ends = Some(now + NEXT_JOB);
            }
        }
    }

    /// Forgets what is expected no more.
    pub(super) fn forget_late(&mut self, now: f64) {
        // A clock may step back, too.
        self.pipelines
            .retain(|_, known| known.ends.is_none_or(|ends| (now..=now + NEXT_JOB).contains(&ends)));
        let Self { entries, pipelines } = self;
        let is_known = |entry: &Entry| {
            let pipeline = entry.prospect.candidate.pipeline.as_ref();
            pipeline.is_some_and(|pipeline| pipelines.contains_key(pipeline))
        };
        entries.retain(|entry| entry.prospect.until >= now && is_known(entry));
    }

    /// Returns when the next pipeline is forgotten, in seconds; infinity: none is.
    pub(super) fn ends(&self) -> f64 {
        self.pipelines.values().filter_map(|known| known.ends).fold(f64::INFINITY, f64::min)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::Scanned;
    use crate::daemon::prefetch::jobs::sources_of;
    use crate::daemon::scanning::ScanWish;
    use crate::notice::Sources;
    use crate::policy::Cost;
    use crate::policy::wanted::Soon;
    use crate::prefetch::{Whose, wish};

    const NOW: f64 = 1000.0;

    fn sources(job: &str, pipeline: &str) -> Sources {
        Sources { pipeline: pipeline.to_owned(), ..sources_of(job, 100_000) }
    }

    fn wishes(names: impl IntoIterator<Item = String>) -> Vec<ScanWish> {
        let one = |name: String| ScanWish {
            wish: wish(name.parse().unwrap(), None),
            soon: Soon::Now,
            place: "Dockerfile:1".to_owned(),
        };
        names.into_iter().map(one).collect()
    }

    fn found(scanned: &mut Scanned, sources: &Sources, names: impl IntoIterator<Item = String>) {
        scanned.found(wishes(names), sources, |_| Cost::default());
    }

    fn names(of: &str, number: usize) -> impl Iterator<Item = String> {
        (0..number).map(move |at| format!("registry.test/{of}/{at}:1"))
    }

    fn wanted(scanned: &Scanned, pipeline: &str) -> Vec<String> {
        let of_it = scanned.wanted().filter(|one| one.candidate.pipeline.as_deref() == Some(pipeline));
        of_it.map(|one| one.candidate.name.clone()).collect()
    }

    #[test]
    fn one_pipeline_leaves_room_for_others_and_the_oldest_go_first() {
        let mut scanned = Scanned::default();
        for _ in 0..2 {
            found(&mut scanned, &sources("a", "p"), names("p", 400));
            found(&mut scanned, &sources("b", "q"), names("q", 2));
        }
        assert_eq!(wanted(&scanned, "p"), names("p", 64).collect::<Vec<_>>(), "the first that it wants");
        assert_eq!(wanted(&scanned, "q").len(), 2);
        for number in 0..8 {
            let pipeline = format!("r{number}");
            found(&mut scanned, &sources("c", &pipeline), names(&pipeline, 64));
        }
        assert_eq!(scanned.entries.len(), super::MOST);
        assert_eq!((wanted(&scanned, "p").len(), wanted(&scanned, "r7").len()), (0, 64));
    }

    #[test]
    fn what_a_pipeline_wants_goes_a_while_after_its_last_job() {
        let mut scanned = Scanned::default();
        found(&mut scanned, &sources("a", "p"), names("p", 1));
        found(&mut scanned, &sources("b", "p"), names("p", 1));
        found(&mut scanned, &sources("c", "q"), names("q", 1));
        scanned.job_is_over("a", NOW);
        scanned.forget_late(NOW + 3600.0);
        assert_eq!(wanted(&scanned, "p").len(), 1, "another job of it runs");
        assert_eq!(scanned.ends(), f64::INFINITY);
        scanned.job_is_over("b", NOW);
        assert_eq!(scanned.ends(), NOW + 300.0);
        scanned.forget_late(NOW + 300.0);
        assert_eq!(wanted(&scanned, "p").len(), 1);
        // Its next job came.
        found(&mut scanned, &sources("d", "p"), []);
        scanned.forget_late(NOW + 3600.0);
        assert_eq!(wanted(&scanned, "p").len(), 1);
        scanned.job_is_over("d", NOW);
        scanned.forget_late(NOW + 301.0);
        assert_eq!((wanted(&scanned, "p").len(), wanted(&scanned, "q").len()), (0, 1));
        assert_eq!(scanned.pipelines.len(), 1);
    }

    #[test]
    fn what_a_job_wanted_comes_with_nobodys_rights_once_it_is_over() {
        let mut scanned = Scanned::default();
        found(&mut scanned, &sources("a", "p"), names("p", 1));
        let whose = |scanned: &Scanned| scanned.wanted().next().unwrap().whose.clone();
        assert_eq!(whose(&scanned), Whose::Job("a".to_owned()));
        scanned.job_is_over("a", NOW);
        assert_eq!(whose(&scanned), Whose::Nobody);
        // Another job of the pipeline wants it with its own.
        found(&mut scanned, &sources("b", "p"), names("p", 1));
        assert_eq!(whose(&scanned), Whose::Job("b".to_owned()));
    }
}
