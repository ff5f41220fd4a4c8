//! What running pipelines will want, as their checkouts say: pure.

use crate::daemon::scanning::ScanWish;
use crate::notice::Sources;
use crate::policy::Cost;
use crate::policy::wanted::{Candidate, Demand, Source};
use crate::prefetch::{Prospect, Whose};

/// Images of all pipelines that are remembered at most.
const MOST: usize = 500;

struct Entry {
    prospect: Prospect,
    project: String,
    /// Whether it is here for that project.
    done: bool,
}

/// The images that running pipelines will want.
#[derive(Default)]
pub(super) struct Scanned {
    entries: Vec<Entry>,
}

impl Scanned {
    /// Takes in what a checkout says. What another job of the pipeline wanted too is wanted with this one's rights from now
    /// on. `cost` says what pulls from a registry cost.
    pub(super) fn found(&mut self, wishes: Vec<ScanWish>, sources: &Sources, cost: impl Fn(&str) -> Cost) {
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
            if self.entries.len() >= MOST {
                continue;
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

    /// A job is over and its logins are gone; later jobs of its pipeline want the same images still, and what may be read
    /// without those logins can come.
    pub(super) fn job_is_over(&mut self, job: &str) {
        for entry in &mut self.entries {
            if matches!(&entry.prospect.whose, Whose::Job(of) if of == job) {
                entry.prospect.whose = Whose::Host;
            }
        }
    }

    /// Forgets what is expected no more.
    pub(super) fn forget_late(&mut self, now: f64) {
        self.entries.retain(|entry| entry.prospect.until >= now);
    }
}
