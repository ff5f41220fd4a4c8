//! What is written is read back, and counts as it should.

use std::time::Duration;

use super::super::{
    Batch, ContentFact, EngineFacts, JobTime, Layer, Link, Origin, Proof, Pull, PullOutcome, RepositoryFacts,
    Store, Use,
};
use super::{DAY, Dir, MINUTE, NOW, changes, digest, key, open, raw, used, uses};
use crate::policy::Cost;

const ALPINE: &str = "docker.io/library/alpine";
const HOUR: Duration = Duration::from_secs(3600);

fn rate(store: &Store, name: &str, now: Duration) -> f64 {
    let half_life = store.place().half_life.as_secs_f64();
    store.tag(&name.parse().unwrap()).unwrap().rate.at(now.as_secs_f64(), half_life)
}

#[test]
fn a_use_is_read_back_under_the_full_name() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let one = Use { content: Some(key("a")), waited: Duration::from_millis(1500), ..used("alpine:3") };
    assert!(store.commit(&uses([one]), NOW));
    let tag = store.tag(&"docker.io/library/alpine:3".parse().unwrap()).unwrap();
    assert_eq!((tag.name.as_str(), tag.repository.as_deref()), ("docker.io/library/alpine:3", Some(ALPINE)));
    assert_eq!((tag.content.clone(), tag.uses, tag.last_use), (Some(key("a")), 1, NOW));
    assert_eq!(tag.recent.len(), 1);
    assert_eq!(tag.recent[0].waited, Duration::from_millis(1500));
    assert_eq!(tag.recent[0].source.as_deref(), Some("push"));
    assert_eq!(store.tags(), std::slice::from_ref(&tag));
    let seen = tag.for_policy(|key| Some(key.digest.clone()), Vec::new());
    assert_eq!(seen.names, Some(digest("a")));
    assert_eq!((seen.recent.len(), seen.recent[0].scheduled), (1, false));
    assert!(seen.recent[0].project.is_some());
}

#[test]
fn a_use_repeated_within_a_minute_is_not_written_again() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let batch = uses([Use { content: Some(key("a")), ..used("alpine:3") }]);
    assert!(store.commit(&batch, NOW));
    let before = changes(&store);
    assert!(store.commit(&batch, NOW + MINUTE / 2));
    assert_eq!(changes(&store), before);
    assert!(store.commit(&batch, NOW + MINUTE));
    assert!(changes(&store) > before);
    assert_eq!(store.tag(&"alpine:3".parse().unwrap()).unwrap().uses, 2);
}

#[test]
fn a_repeated_use_that_got_other_content_or_waited_is_brought_up_to_date() {
    let dir = Dir::new();
    let store = open(&dir.place());
    store.commit(&uses([Use { content: Some(key("a")), ..used("alpine:3") }]), NOW);
    let moved = Use { content: Some(key("b")), waited: 20 * MINUTE / 60, ..used("alpine:3") };
    store.commit(&uses([moved]), NOW + MINUTE / 3);
    let tag = store.tag(&"alpine:3".parse().unwrap()).unwrap();
    assert_eq!((tag.uses, tag.recent.len(), tag.content), (1, 1, Some(key("b"))));
    assert_eq!((tag.recent[0].waited, tag.recent[0].content.clone()), (20 * MINUTE / 60, Some(key("b"))));
}

#[test]
fn another_projects_use_in_the_same_minute_counts() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let other = Use { project: Some("q".to_owned()), ..used("alpine:3") };
    store.commit(&uses([used("alpine:3"), other, Use { project: None, ..used("alpine:3") }]), NOW);
    let tag = store.tag(&"alpine:3".parse().unwrap()).unwrap();
    assert_eq!((tag.uses, tag.recent.len()), (3, 3));
    let known = tag.recent.iter().filter_map(|one| one.project).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(known.len(), 2);
}

#[test]
fn a_rate_halves_and_no_clock_makes_it_grow() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let week = store.place().half_life;
    for hour in 0..8 {
        assert!(store.commit(&uses([used("alpine:3")]), NOW + HOUR * hour));
    }
    let start = rate(&store, "alpine:3", NOW + HOUR * 7);
    assert!((7.8..8.0).contains(&start), "{start}");
    assert!((rate(&store, "alpine:3", NOW + HOUR * 7 + week) - start / 2.0).abs() < 1e-9);
    assert_eq!(rate(&store, "alpine:3", NOW - DAY), start);
    // An hour back: no time has passed. The time on record stays, so that the hour does not pass twice.
    store.commit(&uses([used("alpine:3")]), NOW - HOUR);
    assert_eq!(rate(&store, "alpine:3", NOW + HOUR * 7), start + 1.0);
    assert_eq!(store.tag(&"alpine:3".parse().unwrap()).unwrap().last_use, NOW + HOUR * 7);
}

#[test]
fn a_clock_that_was_weeks_ahead_costs_the_decay_of_those_weeks_once() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let week = store.place().half_life;
    for hour in 0..8 {
        assert!(store.commit(&uses([used("alpine:3")]), NOW + HOUR * hour));
    }
    store.commit(&uses([used("alpine:3")]), NOW + week * 4);
    let ahead = rate(&store, "alpine:3", NOW + HOUR * 8);
    assert!((1.4..1.6).contains(&ahead), "{ahead}");
    store.commit(&uses([used("alpine:3")]), NOW + HOUR * 8);
    let tag = store.tag(&"alpine:3".parse().unwrap()).unwrap();
    assert_eq!(tag.last_use, NOW + HOUR * 8);
    assert!((rate(&store, "alpine:3", NOW + HOUR * 8) - ahead - 1.0).abs() < 1e-9);
    assert!((rate(&store, "alpine:3", NOW + HOUR * 8 + week) - (ahead + 1.0) / 2.0).abs() < 1e-9);
}

#[test]
fn a_new_tag_inherits_the_mean_of_its_repository_and_does_not_raise_it() {
    let dir = Dir::new();
    let store = open(&dir.place());
    for hour in 0..4 {
        store.commit(&uses([used("reg.lan/app:1")]), NOW + HOUR * hour);
    }
    let now = NOW + HOUR * 3;
    let prior = store.prior("reg.lan/app", now);
    assert!((prior - rate(&store, "reg.lan/app:1", now)).abs() < 1e-9);
    store.commit(&uses([used("reg.lan/app:2")]), now);
    assert!((rate(&store, "reg.lan/app:2", now) - prior - 1.0).abs() < 1e-9);
    assert!((store.prior("reg.lan/app", now) - (prior + 1.0) / 2.0).abs() < 1e-9);
    assert_eq!(store.prior("reg.lan/other", now), 0.0);
}

fn layer(chain: &str, compressed: Option<u64>, estimated: bool) -> Layer {
    Layer { chain: digest(chain), unpacked: Some(1000), compressed, estimated }
}

fn content(name: &str, layers: Vec<Layer>) -> ContentFact {
    ContentFact { key: key(name), repository: ALPINE.to_owned(), engine_id: Some(digest("e")), layers }
}

#[test]
fn contents_are_known_by_digest_and_platform_and_measured_sizes_stay() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let write = |fact, now| assert!(store.commit(&Batch { contents: vec![fact], ..Batch::default() }, now));
    write(content("a", vec![layer("1", Some(377), true), layer("2", None, true)]), NOW);
    write(content("b", vec![layer("1", Some(400), false)]), NOW);
    write(content("a", vec![layer("1", Some(377), true), layer("2", Some(10), true)]), NOW + HOUR);
    let found = store.content(&key("a")).unwrap();
    assert_eq!(found.layers, [layer("1", Some(400), false), layer("2", Some(10), true)]);
    assert_eq!((found.repository.as_str(), found.engine_id.clone()), (ALPINE, Some(digest("e"))));
    assert_eq!((found.first_seen, found.seen), (NOW, NOW));
    let mut other = key("a");
    other.platform = "linux/amd64".parse().unwrap();
    assert_eq!(store.content(&other), None);
    let before = changes(&store);
    write(content("a", vec![layer("1", Some(400), false), layer("2", Some(10), true)]), NOW + HOUR);
    assert_eq!(changes(&store), before);
    write(ContentFact { engine_id: None, ..content("a", Vec::new()) }, NOW + DAY * 2);
    let found = store.content(&key("a")).unwrap();
    assert_eq!((found.layers.len(), found.seen, found.engine_id), (2, NOW + DAY * 2, Some(digest("e"))));
    write(content("a", vec![layer("9", Some(1), false)]), NOW + DAY * 2);
    assert_eq!(store.content(&key("a")).unwrap().layers, [layer("9", Some(1), false)]);
    assert_eq!(store.contents().len(), 2);
}

#[test]
fn indexes_and_origins_hold_for_their_own_repository_alone() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let platform: crate::image::Platform = "linux/arm64".parse().unwrap();
    let link = Link {
        repository: ALPINE.to_owned(),
        index: digest("1"),
        wanted: platform.clone(),
        manifest: digest("2"),
        platform: "linux/arm/v7".parse().unwrap(),
    };
    let upstream = Origin { repository: ALPINE.to_owned(), digest: digest("1"), through: None };
    let mirrored = Origin { through: Some("mirror.lan/library/alpine".to_owned()), ..upstream.clone() };
    let batch = Batch {
        links: vec![link.clone()],
        origins: vec![upstream.clone(), mirrored.clone()],
        ..Batch::default()
    };
    store.commit(&batch, NOW);
    let before = changes(&store);
    store.commit(&batch, NOW + MINUTE);
    assert_eq!(changes(&store), before);
    let found = store.repository(ALPINE);
    assert_eq!((found.links, found.origins), (vec![link], vec![upstream, mirrored]));
    assert_eq!(store.repository("evil.example/alpine"), RepositoryFacts::default());
}

#[test]
fn pulls_are_kept_and_say_what_pulling_costs() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let pull = Pull {
        at: NOW,
        registry: "docker.io".to_owned(),
        mirror: None,
        repository: ALPINE.to_owned(),
        digest: digest("a"),
        compressed: Some(500_000_000),
        on_disk: Some(900_000_000),
        download: Some(Duration::from_secs(50)),
        extract: Some(Duration::from_secs(30)),
        total: Duration::from_secs(60),
        outcome: PullOutcome::Done,
    };
    let cut = Pull { outcome: PullOutcome::Cut, download: None, extract: None, ..pull.clone() };
    let start = Cost::default();
    assert_eq!(store.cost("docker.io", start), start);
    store.commit(&Batch { pulls: vec![pull.clone(), cut.clone()], ..Batch::default() }, NOW);
    assert_eq!(store.pulls(NOW), [pull, cut]);
    assert_eq!(store.pulls(NOW + MINUTE), []);
    let fitted = store.cost("docker.io", start);
    assert!((9e6..10e6).contains(&fitted.download_bytes_per_second), "{fitted:?}");
    assert!((28e6..30e6).contains(&fitted.unpack_bytes_per_second), "{fitted:?}");
    let elsewhere = store.cost("reg.lan", start);
    assert_eq!(elsewhere.download_bytes_per_second, start.download_bytes_per_second);
    assert_eq!(elsewhere.unpack_bytes_per_second, fitted.unpack_bytes_per_second);
}

#[test]
fn engines_facts_are_believed_for_a_while() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let facts = EngineFacts { endpoint: "unix:///x".to_owned(), facts: "{}".to_owned(), at: NOW };
    store.commit(&Batch { engines: vec![facts.clone()], ..Batch::default() }, NOW);
    assert_eq!(store.engine_facts("unix:///x", HOUR, NOW + MINUTE), Some(facts));
    assert_eq!(store.engine_facts("unix:///x", HOUR, NOW + HOUR + MINUTE), None);
    assert_eq!(store.engine_facts("unix:///x", HOUR, NOW - MINUTE), None);
}

#[test]
fn a_jobs_times_are_added_to_by_later_stages() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let first = JobTime {
        job: "1".to_owned(),
        project: Some("p".to_owned()),
        started: NOW,
        image: "alpine:3".to_owned(),
        warm: true,
        resolve: Some(MINUTE),
        ..JobTime::default()
    };
    let second = JobTime { resolve: None, services: Some(MINUTE), ..first.clone() };
    for times in [&first, &second] {
        store.commit(&Batch { times: vec![times.clone()], ..Batch::default() }, NOW);
    }
    assert_eq!(store.job_times(NOW), [JobTime { services: Some(MINUTE), ..first }]);
    assert_eq!(store.job_times(NOW + MINUTE), []);
}

#[test]
fn the_key_is_made_once_and_not_shown() {
    let dir = Dir::new();
    let key = open(&dir.place()).hash_key().unwrap();
    assert_eq!(open(&dir.place()).hash_key().unwrap(), key);
    assert_eq!(format!("{key:?}"), "[hidden]");
    assert_ne!(key.expose(), &[0; 32]);
    let other = Dir::new();
    assert_ne!(open(&other.place()).hash_key().unwrap(), key);
    assert_eq!(Store::void().hash_key(), None);
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let dir = Dir::new();
    let store = open(&dir.place());
    raw(&dir.place())
        .execute_batch("CREATE TRIGGER no BEFORE INSERT ON proof BEGIN SELECT raise(ABORT, 'no'); END")
        .unwrap();
    let proof = Proof { key: None, repository: ALPINE.to_owned(), digest: digest("a") };
    let batch = Batch { proofs: vec![proof], ..uses([used("alpine:3")]) };
    assert!(!store.commit(&batch, NOW));
    assert!(open(&dir.place()).tags().is_empty());
}
