//! Folding and tidying.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{
    Ahead, AheadOutcome, Batch, ContentFact, FoldRules, Gone, How, JobImage, Layer, Lease, LeaseKind, Limits,
    Pin, Proof, Pull, PullOutcome, Sharing, Store, StorePlace, Use,
};
use super::{DAY, Dir, ME, MINUTE, NOW, digest, key, moment, open, raw, used, uses};
use crate::moment::Moment;

const APP: &str = "reg.lan/app";

fn sum_of_rates(store: &Store, now: Duration) -> f64 {
    let at = |rate: crate::policy::history::Decayed| {
        rate.at(now.as_secs_f64(), store.place().half_life.as_secs_f64())
    };
    store.tags().into_iter().map(|tag| at(tag.rate)).sum::<f64>() + store.folded_rate(APP).map_or(0.0, at)
}

fn rows(place: &StorePlace, table: &str) -> i64 {
    raw(place).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// One moment, far from boot.
fn later(after: Duration) -> Moment {
    moment(after)
}

#[test]
fn tags_of_a_crowded_repository_that_nobody_uses_become_part_of_it() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let rules = FoldRules { unused: DAY * 14, tags: 3 };
    store.pin(&Pin { name: format!("{APP}:c0"), until: None, reason: String::new() }, NOW);
    for commit in 0..6 {
        store.commit(&uses([used(&format!("{APP}:c{commit}"))]), NOW);
    }
    store.commit(&uses([used("alpine:3"), used("alpine:4")]), NOW);
    assert_eq!(store.fold(rules, NOW + DAY * 13), 0);
    store.commit(&uses([used(&format!("{APP}:c5"))]), NOW + DAY * 13);
    let prior = store.prior(APP, NOW + DAY * 15);
    assert_eq!(store.folded_uses(Duration::ZERO), 0);
    assert_eq!(store.fold(rules, NOW + DAY * 15), 4);
    assert_eq!((store.folded_uses(NOW), store.folded_uses(NOW + DAY * 30)), (4, 0));
    let names: Vec<String> = store.tags().into_iter().map(|tag| tag.name).collect();
    assert_eq!(
        names,
        ["docker.io/library/alpine:3", "docker.io/library/alpine:4", "reg.lan/app:c0", "reg.lan/app:c5"]
    );
    assert!((store.prior(APP, NOW + DAY * 15) - prior).abs() < 1e-9);
    assert!(store.folded_rate(APP).unwrap().value > 0.0);
    assert_eq!(store.folded_rate("docker.io/library/alpine"), None);
    assert_eq!(rows(&dir.place(), "recent_use"), 5);
}

#[test]
fn a_repository_that_always_has_new_tags_keeps_its_prior() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let rules = FoldRules { unused: DAY * 7, tags: 3 };
    let mut priors = Vec::new();
    for day in 0..120_u32 {
        let name = format!("{APP}:c{day}");
        for hour in 0..3 {
            assert!(store.commit(&uses([used(&name)]), NOW + DAY * day + MINUTE * 60 * hour));
        }
        store.fold(rules, NOW + DAY * day);
        priors.push(store.prior(APP, NOW + DAY * day));
    }
    assert!(store.tags().len() < 12, "{}", store.tags().len());
    let (early, late) = (priors[40], priors[119]);
    assert!(late > 0.5 && late < 3.0 && (early - late).abs() < 0.1, "{early} {late}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn folding_neither_makes_nor_loses_rate(
        seen in prop::collection::vec((0_u32..12, 0_u64..60 * 24), 1..40),
        folds in prop::collection::vec(0_u64..80 * 24, 1..4),
    ) {
        let dir = Dir::new();
        let store = open(&dir.place());
        let mut own: Vec<(u64, Option<u32>)> = seen.iter().map(|(tag, hour)| (*hour, Some(*tag))).collect();
        own.extend(folds.iter().map(|hour| (*hour, None)));
        own.sort();
        let end = NOW + DAY * 90;
        for (hour, what) in own {
            let now = NOW + MINUTE * 60 * u32::try_from(hour).unwrap();
            match what {
                Some(tag) => assert!(store.commit(&uses([used(&format!("{APP}:{tag}"))]), now)),
                None => {
                    // What new tags inherit is no use, and stays with them.
                    raw(&dir.place()).execute("UPDATE tag SET inherited = 0", []).unwrap();
                    let before = sum_of_rates(&store, end);
                    store.fold(FoldRules { unused: DAY * 5, tags: 2 }, now);
                    let after = sum_of_rates(&store, end);
                    prop_assert!((before - after).abs() < 1e-9, "{} {}", before, after);
                }
            }
        }
    }
}

#[test]
fn recent_uses_are_bounded_in_number_at_once() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let most = super::super::uses::MAX_RECENT;
    for minute in 0..most + 30 {
        store.commit(&uses([used("alpine:3")]), NOW + MINUTE * minute);
    }
    let tag = store.tag(&"alpine:3".parse().unwrap()).unwrap();
    assert_eq!((tag.recent.len() as u32, tag.uses), (most, u64::from(most) + 30));
    assert_eq!(tag.recent[0].at, NOW + MINUTE * 30);
}

fn everything(now: Duration) -> Batch {
    let at = now.as_secs();
    let pull = Pull {
        at: now,
        registry: "reg.lan".to_owned(),
        mirror: None,
        repository: APP.to_owned(),
        digest: digest("a"),
        compressed: None,
        on_disk: None,
        download: None,
        extract: None,
        total: MINUTE,
        outcome: PullOutcome::Done,
    };
    let layers = vec![Layer { chain: digest(&at.to_string()), ..Layer::default() }];
    let content = key(&at.to_string());
    Batch {
        contents: vec![ContentFact {
            key: content.clone(),
            repository: APP.to_owned(),
            engine_id: None,
            layers,
        }],
        pulls: vec![pull],
        proofs: vec![Proof { key: None, repository: APP.to_owned(), digest: content.digest.clone() }],
        aheads: vec![Ahead {
            at: now,
            name: format!("{APP}:1"),
            digest: Some(digest("a")),
            platform: String::new(),
            source: "list".to_owned(),
            bytes: Some(7),
            took: MINUTE,
            outcome: AheadOutcome::Done,
            words: String::new(),
        }],
        job_images: vec![JobImage {
            job: format!("hearth-abcdef-job-{at} https://gitlab.example"),
            at: now,
            name: format!("{APP}:1"),
            purpose: "image".to_owned(),
            digest: Some(digest("a")),
            how: How::Missing,
            unproved: false,
            waited: MINUTE,
            bytes: None,
        }],
        times: vec![super::super::JobTime { job: at.to_string(), started: now, ..Default::default() }],
        ..uses([Use {
            content: Some(content),
            project: Some(at.to_string()),
            ..used(&format!("{APP}:{at}"))
        }])
    }
}

/// Writes a batch of everything, and what comes in no batch.
fn write_everything(store: &Store, now: Duration) -> bool {
    let gone = Gone { at: now, names: vec![digest("a")], why: String::new(), for_what: String::new() };
    store.commit(&everything(now), now) && store.note_gone(&gone)
}

const TABLES: [&str; 11] = [
    "tag",
    "recent_use",
    "content",
    "content_layer",
    "layer",
    "pull",
    "proof",
    "job_time",
    "job_image",
    "gone",
    "ahead",
];

#[test]
fn everything_that_grows_is_bounded_in_number() {
    let dir = Dir::new();
    let store = open(&dir.place());
    for minute in 0..30 {
        assert!(write_everything(&store, NOW + MINUTE * 2 * minute));
    }
    let limits = Limits { tags: 10, rows: 10, contents: 10, proofs: 10, ..Limits::default() };
    store.tidy(&limits, &later(MINUTE * 60));
    for table in TABLES {
        assert_eq!(rows(&dir.place(), table), 10, "{table}");
    }
    assert_eq!(rows(&dir.place(), "project"), 10);
    assert!(store.folded_rate(APP).unwrap().value > 19.0);
    assert!(store.pulls(Duration::ZERO).iter().all(|pull| pull.at >= NOW + MINUTE * 40));
}

#[test]
fn everything_that_grows_is_bounded_in_age() {
    let dir = Dir::new();
    let store = open(&dir.place());
    for day in 0..30 {
        assert!(write_everything(&store, NOW + DAY * day));
    }
    let limits = Limits {
        fold: FoldRules { unused: DAY * 9, tags: 1 },
        uses_for: DAY * 9,
        rows_for: DAY * 9,
        proofs_for: DAY * 9,
        ..Limits::default()
    };
    store.tidy(&limits, &later(DAY * 29));
    for table in TABLES {
        assert_eq!(rows(&dir.place(), table), 10, "{table}");
    }
    store.tidy(&limits, &later(DAY * 29 + DAY * 10));
    for table in TABLES {
        assert!(rows(&dir.place(), table) <= 1, "{table}");
    }
}

#[test]
fn a_clock_that_jumps_deletes_nothing_for_its_age() {
    let dir = Dir::new();
    let store = open(&dir.place());
    write_everything(&store, NOW);
    store.tidy(&Limits::default(), &later(MINUTE));
    for jump in [DAY * 400, Duration::ZERO, DAY * 300, MINUTE] {
        store.tidy(&Limits::default(), &later(jump));
        for table in TABLES {
            assert_eq!(rows(&dir.place(), table), 1, "{table} {jump:?}");
        }
    }
    store.tidy(&Limits::default(), &later(DAY * 9));
    assert_eq!(rows(&dir.place(), "proof"), 0);
}

#[test]
fn tidying_is_due_once_a_day_and_drops_what_is_over() {
    let dir = Dir::new();
    let store = open(&dir.place());
    assert!(store.tidy_is_due(NOW));
    let lease = Lease {
        job: "1".to_owned(),
        kind: LeaseKind::Reference,
        name: "a".to_owned(),
        taken: moment(Duration::ZERO),
        owner: ME,
        lasts: MINUTE,
    };
    store.lease(&[lease.clone(), Lease { job: "2".to_owned(), lasts: DAY, ..lease }]);
    store.pin(&Pin { name: "a".to_owned(), until: Some(NOW), reason: String::new() }, NOW);
    store.tidy(&Limits::default(), &later(MINUTE * 5));
    assert_eq!((rows(&dir.place(), "lease"), rows(&dir.place(), "pin")), (1, 0));
    assert!(!store.tidy_is_due(NOW + DAY));
    assert!(store.tidy_is_due(NOW + DAY + MINUTE * 5));
    assert!(store.tidy_is_due(NOW - DAY));
    assert!(!Store::void().tidy_is_due(NOW));
}

#[test]
fn a_store_of_a_busy_year_stays_small() {
    let dir = Dir::new();
    let place = StorePlace { sharing: Sharing::Owner, ..dir.place() };
    let store = open(&place);
    for day in 0..365_u32 {
        write_everything(&store, NOW + DAY * day);
        if store.tidy_is_due(NOW + DAY * day) {
            store.tidy(&Limits::default(), &later(DAY * day));
        }
    }
    let tags = store.tags().len();
    assert!(tags <= 16, "{tags}");
    let size = std::fs::metadata(place.file()).unwrap().len();
    assert!(size < 1 << 20, "{size}");
}
