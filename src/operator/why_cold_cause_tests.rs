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
        ("it went", How::Missing, vec![used(9, "new")], vec![gone(50, NAME)], Cause::Evicted(gone(50, NAME))),
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
        ("something else had its name", How::Moved, vec![used(60, "new")], vec![], Cause::Replaced),
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
    let failed = |before, cut| Prefetch::Failed { source: source(), before: s(before), cut, words: words() };
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
