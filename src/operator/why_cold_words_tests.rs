use std::time::Duration;

use super::{Around, help, prefetch, why};
use crate::operator::why_cold_cause::{Cause, Prefetch};
use crate::settings::{PrefetchSettings, ScanMode};
use crate::store::{Gone, How, JobImage};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn image(how: How, unproved: bool) -> JobImage {
    JobImage {
        job: String::new(),
        at: s(100_060),
        name: "docker.io/library/alpine:3".to_owned(),
        purpose: "build image".to_owned(),
        digest: Some(format!("sha256:{}", "b".repeat(64))),
        how,
        unproved,
        waited: s(60),
        bytes: None,
    }
}

fn gone(for_what: &str) -> Cause {
    let why = "its tag has moved on".to_owned();
    Cause::Evicted(Gone { at: s(92_800), names: Vec::new(), why, for_what: for_what.to_owned() })
}

fn moved() -> Cause {
    Cause::Moved { was: Some(format!("sha256:{}", "a".repeat(64))), last: Some(s(92_800)) }
}

fn late() -> Prefetch {
    Prefetch::Late { source: "history".to_owned(), head_start: s(40), by: s(50) }
}

fn failed(cut: bool, words: &str) -> Prefetch {
    Prefetch::Failed { source: "list".to_owned(), before: s(600), cut, words: words.to_owned() }
}

#[test]
fn each_cause_is_a_sentence() {
    for (how, cause, expected) in [
        (How::Here, Cause::Warm, "was here"),
        (How::Missing, Cause::New, "was not here: no use of it by an earlier job is on record"),
        (How::Missing, gone(""), "was not here: hearth removed it 2 h before the job (its tag has moved on)"),
        (
            How::Missing,
            gone("images take 9 GiB and may take 8 GiB"),
            "was not here: hearth removed it 2 h before the job (its tag has moved on); room was needed: images take 9 GiB and may take 8 GiB",
        ),
        (
            How::Missing,
            Cause::Vanished { last: s(92_800) },
            "was not here: a job used it 2 h before the job, and something else than hearth removed it",
        ),
        (
            How::Moved,
            moved(),
            "its tag moved: it meant aaaaaaaaaaaa, which a job used 2 h before the job, and means bbbbbbbbbbbb now",
        ),
        (
            How::Moved,
            Cause::Moved { was: None, last: None },
            "its tag moved: what was here is not what it means now",
        ),
        (
            How::Moved,
            Cause::Replaced,
            "its tag had not moved, but what was here under its name was something else: for another platform, or put there by a job",
        ),
        (
            How::Foreign,
            Cause::Foreign,
            "what was here under its name was built or loaded here, and came from no registry",
        ),
        (
            How::Joined,
            Cause::New,
            "was not here: no use of it by an earlier job is on record; another process was pulling it, and the job waited for that",
        ),
    ] {
        assert_eq!(why(&image(how, false), &cause), expected);
    }
    assert!(why(&image(How::Here, true), &Cause::Warm).ends_with("so its registry was asked"));
}

#[test]
fn each_prefetch_is_a_sentence() {
    let brought = |moved| Prefetch::Brought { source: "scan".to_owned(), before: s(600), moved };
    for (one, expected) in [
        (late(), "a prefetch of it (history) had begun 40 s before the job: too late by 50 s"),
        (
            failed(false, "the registry is down"),
            "a prefetch of it (list) failed 10 min before the job: the registry is down",
        ),
        (failed(true, ""), "a prefetch of it (list) was cut 10 min before the job"),
        (brought(false), "a prefetch (scan) had brought it 10 min before the job, and it went again"),
        (
            brought(true),
            "a prefetch (scan) had brought it 10 min before the job, and its tag moved again since",
        ),
        (
            Prefetch::Planned { before: s(600) },
            "a prefetch of it was planned 10 min before the job, and none ended before it came",
        ),
    ] {
        assert_eq!(prefetch(&one), expected);
    }
}

#[test]
fn what_helps_fits_the_cause_and_the_host() {
    let usual = crate::settings::defaults().unwrap().prefetch;
    let off = PrefetchSettings { enabled: false, ..usual.clone() };
    let blind = PrefetchSettings { poll: None, scan: ScanMode::Off, ..usual.clone() };
    let nights = PrefetchSettings { windows: vec!["22:00-06:00".parse().unwrap()], ..usual.clone() };
    let list = "what helps: [[prefetch.images]] image = \"alpine:3\"";
    let around = |prefetch, daemon, listed| Around { prefetch, daemon, listed, jobs_only: false };
    let told = |cause: Cause, prefetch: Option<Prefetch>, around: Around<'_>| {
        help(&image(How::Missing, false), &cause, prefetch.as_ref(), &around).unwrap_or_default()
    };
    let is = around(&usual, true, false);
    for (what, told, expected) in [
        ("new", told(Cause::New, None, is), list.to_owned()),
        (
            "new, no daemon",
            told(Cause::New, None, around(&usual, false, false)),
            format!("what helps: `hearth daemon`, which does not run now, or {}", &list[12..]),
        ),
        (
            "new, prefetch off",
            told(Cause::New, None, around(&off, true, false)),
            format!("what helps: [prefetch] enabled, which is off, or {}", &list[12..]),
        ),
        ("new, no scan", told(Cause::New, None, around(&blind, true, false)), format!("{list}, or [prefetch] scan")),
        (
            "new, listed",
            told(Cause::New, None, around(&usual, true, true)),
            "what helps: the list, which has it by now".to_owned(),
        ),
        (
            "new, listed, no daemon",
            told(Cause::New, None, around(&usual, false, true)),
            "what helps: `hearth daemon`, which does not run now".to_owned(),
        ),
        ("late", told(Cause::New, Some(late()), is), list.to_owned()),
        (
            "late by the windows",
            told(Cause::New, Some(late()), around(&nights, true, true)),
            "what helps: an earlier `at` in the list, or none, or [prefetch] windows that open earlier or for longer"
                .to_owned(),
        ),
        (
            "failed",
            told(gone(""), Some(failed(false, "")), is),
            "what helps: hearth prefetch alpine:3, which says what is in the way".to_owned(),
        ),
        (
            "evicted",
            told(gone(""), None, is),
            "what helps: hearth pin alpine:3, or more room for images ([cache] images_high, images_low, free_low, free_high)"
                .to_owned(),
        ),
        (
            "moved",
            told(moved(), None, is),
            "what helps: a shorter [prefetch] poll, which is 30 min".to_owned(),
        ),
        (
            "moved, private",
            told(moved(), None, Around { jobs_only: true, ..is }),
            "what helps: a login of this host's own that reads it ([pull] docker_config_dir): now only jobs can ask"
                .to_owned(),
        ),
        (
            "moved, not polled",
            told(moved(), None, around(&blind, true, false)),
            "what helps: [prefetch] poll, which is off".to_owned(),
        ),
        (
            "moved, no daemon",
            told(moved(), None, around(&usual, false, false)),
            "what helps: `hearth daemon`, which does not run now".to_owned(),
        ),
    ] {
        assert_eq!(told, expected, "{what}");
    }
    assert_eq!(help(&image(How::Here, false), &Cause::Warm, None, &is), None);
    let asked = help(&image(How::Here, true), &Cause::Warm, None, &is);
    assert_eq!(asked.as_deref(), Some("what helps: a longer [access] proof_ttl"));
    for cause in [Cause::Vanished { last: s(1) }, Cause::Replaced, Cause::Foreign] {
        assert!(help(&image(How::Missing, false), &cause, None, &is).is_some(), "{cause:?}");
    }
}
