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
    /// What was here under its name was for another platform.
    OtherPlatform,
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
            Self::OtherPlatform => "other platform",
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
                Cause::OtherPlatform
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
mod tests {
    use std::time::Duration;

    use super::{Cause, Earlier, Facts, Prefetch};
    use crate::store::{Ahead, AheadOutcome, Gone, How, JobImage};

    const NAME: &str = "registry.test/app:1";

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// An image that a job asked for at 100,000 s and had 60 s later.
    fn image(how: How) -> JobImage {
        JobImage {
            job: String::new(),
            at: s(100_060),
            name: NAME.to_owned(),
            purpose: "image".to_owned(),
            digest: Some("new".to_owned()),
            how,
            unproved: false,
            waited: s(60),
            bytes: None,
        }
    }

    fn gone(at: u64, name: &str) -> Gone {
        Gone { at: s(at), names: vec![name.to_owned()], why: String::new(), for_what: String::new() }
    }

    fn used(at: u64, digest: &str) -> Earlier {
        Earlier { at: s(at), digest: Some(digest.to_owned()).filter(|digest| !digest.is_empty()) }
    }

    fn cause(how: How, uses: &[Earlier], gone: &[Gone]) -> Cause {
        Facts { image: &image(how), uses, gone, aheads: &[], announced: None }.cause()
    }

    #[test]
    fn what_is_on_record_says_why_it_was_not_here() {
        let by_digest = gone(50, "new");
        for (what, how, uses, went, expected) in [
            ("it was here", How::Here, vec![], vec![gone(5, NAME)], Cause::Warm),
            ("nobody had used it", How::Missing, vec![], vec![], Cause::New),
            ("others went", How::Missing, vec![], vec![gone(5, "registry.test/app:2")], Cause::New),
            ("its own use is none before", How::Missing, vec![used(100_060, "new")], vec![], Cause::New),
            (
                "it went",
                How::Missing,
                vec![used(9, "new")],
                vec![gone(50, NAME)],
                Cause::Evicted(gone(50, NAME)),
            ),
            (
                "it went under another name",
                How::Missing,
                vec![],
                vec![by_digest.clone()],
                Cause::Evicted(by_digest),
            ),
            (
                "the last time it went counts",
                How::Missing,
                vec![used(20, "new")],
                vec![gone(10, NAME), gone(50, NAME)],
                Cause::Evicted(gone(50, NAME)),
            ),
            ("it went after the job", How::Missing, vec![], vec![gone(100_001, NAME)], Cause::New),
            (
                "it went, came back, and went by another hand",
                How::Missing,
                vec![used(60, "new")],
                vec![gone(50, NAME)],
                Cause::Vanished { last: s(60) },
            ),
            (
                "only another hand can be it",
                How::Missing,
                vec![used(60, "")],
                vec![],
                Cause::Vanished { last: s(60) },
            ),
            (
                "the tag moved",
                How::Moved,
                vec![used(5, "older"), used(60, "old"), used(100_060, "new")],
                vec![],
                Cause::Moved { was: Some("old".to_owned()), last: Some(s(60)) },
            ),
            (
                "the tag moved from nobody knows what",
                How::Moved,
                vec![],
                vec![],
                Cause::Moved { was: None, last: None },
            ),
            (
                "the same, but not for this platform",
                How::Moved,
                vec![used(60, "new")],
                vec![],
                Cause::OtherPlatform,
            ),
            ("it was built here", How::Foreign, vec![used(60, "")], vec![], Cause::Foreign),
            ("another job pulled what was new", How::Joined, vec![], vec![], Cause::New),
            (
                "another job pulled what went",
                How::Joined,
                vec![used(9, "new")],
                vec![gone(50, NAME)],
                Cause::Evicted(gone(50, NAME)),
            ),
            (
                "another job pulled what moved",
                How::Joined,
                vec![used(60, "old")],
                vec![],
                Cause::Moved { was: Some("old".to_owned()), last: Some(s(60)) },
            ),
        ] {
            assert_eq!(cause(how, &uses, &went), expected, "{what}");
        }
    }

    fn ahead(at: u64, took: u64, digest: Option<&str>, outcome: AheadOutcome) -> Ahead {
        Ahead {
            at: s(at),
            name: NAME.to_owned(),
            digest: digest.map(str::to_owned),
            platform: String::new(),
            source: "list".to_owned(),
            bytes: None,
            took: s(took),
            outcome,
            words: "the link was cut".to_owned(),
        }
    }

    #[test]
    fn the_last_prefetch_before_the_job_counts() {
        use AheadOutcome::{Cut, Done, Failed, Here};
        let source = || "list".to_owned();
        let words = || "the link was cut".to_owned();
        let failed =
            |before, cut| Prefetch::Failed { source: source(), before: s(before), cut, words: words() };
        let brought = |before, moved| Prefetch::Brought { source: source(), before: s(before), moved };
        for (what, aheads, announced, expected) in [
            ("none", vec![], None, None),
            ("one that began after the job came", vec![ahead(100_001, 5, None, Done)], None, None),
            ("one of two days ago", vec![ahead(1000, 5, Some("new"), Failed)], None, None),
            (
                "one under way",
                vec![ahead(99_960, 90, Some("new"), Done)],
                None,
                Some(Prefetch::Late { source: source(), head_start: s(40), by: s(50) }),
            ),
            ("one that failed", vec![ahead(99_900, 40, None, Failed)], None, Some(failed(60, false))),
            ("one that was cut", vec![ahead(99_900, 40, Some("new"), Cut)], None, Some(failed(60, true))),
            (
                "one that failed after one that came",
                vec![ahead(90_000, 10, Some("new"), Done), ahead(99_900, 40, None, Failed)],
                None,
                Some(failed(60, false)),
            ),
            (
                "one that brought what went",
                vec![ahead(99_000, 10, Some("new"), Done)],
                None,
                Some(brought(990, false)),
            ),
            (
                "one that brought what moved",
                vec![ahead(99_000, 10, Some("old"), Here)],
                None,
                Some(brought(990, true)),
            ),
            ("one that was planned", vec![], Some(99_990), Some(Prefetch::Planned { before: s(10) })),
            ("one that was planned after the job", vec![], Some(100_010), None),
        ] {
            let (cold, warm) = (image(How::Missing), image(How::Here));
            let facts =
                |image| Facts { image, uses: &[], gone: &[], aheads: &aheads, announced: announced.map(s) };
            assert_eq!(facts(&cold).prefetch(), expected, "{what}");
            assert_eq!(facts(&warm).prefetch(), None, "{what}");
        }
        let other = Ahead { name: "registry.test/app:2".to_owned(), ..ahead(99_960, 90, Some("new"), Done) };
        let joined = image(How::Joined);
        let facts = Facts { image: &joined, uses: &[], gone: &[], aheads: &[other], announced: None };
        assert!(matches!(facts.prefetch(), Some(Prefetch::Late { .. })), "the same content by another name");
    }
}
