//! Why a job's image was not here, from what is on record: facts in, one cause out.

use std::time::Duration;

use crate::store::{Ahead, AheadOutcome, Gone, How, JobImage};

/// How long before a job a prefetch that did not bring it still says something about it.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// All that is on record about one image of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// How the job came to it.
    pub(super) image: &'a JobImage,
    /// Uses of the same name, oldest first; those of this job and after it do not matter.
    pub(super) uses: &'a [Earlier],
    /// Images that were evicted, oldest first.
    pub(super) gone: &'a [Gone],
    /// Prefetches, in the order in which they ended.
    pub(super) aheads: &'a [Ahead],
    /// When it was announced last that it would be wanted.
    pub(super) announced: Option<Duration>,
}

/// A use of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Earlier {
    /// When, since the epoch.
    pub(super) at: Duration,
    /// What the job got; `None`: that has no registry digest, or is forgotten.
    pub(super) digest: Option<String>,
}

/// Why an image was not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// It was.
    Warm,
    /// Nobody here had wanted it before.
    New,
    /// hearth evicted it.
    Evicted(Gone),
    /// Somebody else removed it: it was here last at this time.
    Vanished {
        /// When that was, since the epoch.
        last: Duration,
    },
    /// Its tag meant something else when it was used last.
    Moved {
        /// What it meant; `None`: that is not on record.
        was: Option<String>,
        /// When that was, since the epoch; `None`: that is not on record.
        last: Option<Duration>,
    },
    /// What was here under its name was something else, though the tag had not moved.
    Replaced,
    /// What was here under its name came from no registry.
    Foreign,
}

impl Cause {
    /// Returns its word for programs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::New => "new",
            Self::Evicted(_) => "evicted",
            Self::Vanished { .. } => "vanished",
            Self::Moved { .. } => "moved",
            Self::Replaced => "replaced",
            Self::Foreign => "foreign",
        }
    }
}

/// What a prefetch of it came to before the job asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prefetch {
    /// It was under way when the job came.
    Late {
        /// Who wanted it.
        source: String,
        /// How long before the job it began.
        head_start: Duration,
        /// How long after the job came it was over.
        by: Duration,
    },
    /// It had not come.
    Failed {
        /// Who wanted it.
        source: String,
        /// How long before the job that was.
        before: Duration,
        /// Whether it was cut for a job's sake or because its process had to go.
        cut: bool,
        /// What went wrong.
        words: String,
    },
    /// It had come, and what it brought was not here any more, or not what the tag means now.
    Brought {
        /// Who wanted it.
        source: String,
        /// How long before the job that was.
        before: Duration,
        /// Whether the tag means something else since.
        moved: bool,
    },
    /// It had been planned, and not begun.
    Planned {
        /// How long before the job it was.
        before: Duration,
    },
}

impl Facts<'_> {
    /// When the job began to ask for it.
    fn came(&self) -> Duration {
        self.image.at.saturating_sub(self.image.waited)
    }

    fn concerns(&self, gone: &Gone) -> bool {
        gone.concerns(&self.image.name)
            || self.image.digest.as_ref().is_some_and(|digest| gone.concerns(digest))
    }

    /// Says why it was not here.
    pub(super) fn cause(&self) -> Cause {
        let came = self.came();
        let last = self.uses.iter().rev().find(|earlier| earlier.at < came);
        let moved = || {
            let was = last.and_then(|last| last.digest.clone());
            let last = last.map(|last| last.at);
            if was.is_some() && was == self.image.digest {
                Cause::Replaced
            } else {
                Cause::Moved { was, last }
            }
        };
        let missing = || {
            let gone = self.gone.iter().rev().find(|gone| gone.at < came && self.concerns(gone));
            // What was used after it went had come back.
            match (gone, last) {
                (Some(gone), last) if last.is_none_or(|last| last.at <= gone.at) => {
                    Cause::Evicted(gone.clone())
                }
                (_, Some(last)) => Cause::Vanished { last: last.at },
                _ => Cause::New,
            }
        };
        match self.image.how {
            How::Here => Cause::Warm,
            How::Missing => missing(),
            How::Moved => moved(),
            How::Foreign => Cause::Foreign,
            // Why the other process had to pull it, only the record says.
            How::Joined => match last {
                Some(Earlier { digest: Some(was), .. }) if self.image.digest.as_ref() != Some(was) => moved(),
                _ => missing(),
            },
        }
    }

    /// Says what the last prefetch of it came to; `None`: there was none that matters.
    pub(super) fn prefetch(&self) -> Option<Prefetch> {
        if self.image.how == How::Here {
            return None;
        }
        let came = self.came();
        let is_of_it = |ahead: &&Ahead| {
            ahead.name == self.image.name || ahead.digest.is_some() && ahead.digest == self.image.digest
        };
        let near = |at: Duration| at <= came && came - at <= RECENT;
        let last =
            self.aheads.iter().filter(is_of_it).filter(|ahead| near(ahead.at)).max_by_key(|ahead| ahead.at);
        let planned = self.announced.filter(|at| near(*at));
        let Some(ahead) = last else {
            return planned.map(|at| Prefetch::Planned { before: came - at });
        };
        let source = ahead.source.clone();
        let ended = ahead.at.saturating_add(ahead.took);
        if ended > came {
            return Some(Prefetch::Late { source, head_start: came - ahead.at, by: ended - came });
        }
        let before = came - ended;
        match ahead.outcome {
            AheadOutcome::Done | AheadOutcome::Here => {
                let moved = ahead.digest.is_some() && ahead.digest != self.image.digest;
                Some(Prefetch::Brought { source, before, moved })
            }
            AheadOutcome::Cut | AheadOutcome::Failed => {
                let cut = ahead.outcome == AheadOutcome::Cut;
                Some(Prefetch::Failed { source, before, cut, words: ahead.words.clone() })
            }
        }
    }
}

#[cfg(test)]
#[path = "why_cold_cause_tests.rs"]
mod tests;
