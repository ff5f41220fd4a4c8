//! `hearth simulate` on a host's own store.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::simulate::Report;
use super::simulate_tests::with_store;
use crate::store::{
    Batch, ContentFact, ContentKey, FoldRules, Layer, Pull, PullOutcome, Sharing, Store, StorePlace, Use,
};

/// A Tuesday.
pub(super) const NOW: Duration = Duration::from_secs(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const MB: u64 = 1_000_000;

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("hearth-own-{}-{count}", std::process::id())))
    }

    fn place(&self) -> StorePlace {
        StorePlace { patience: Duration::from_secs(30), ..StorePlace::new(&self.0, Sharing::Owner) }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key(name: &str) -> ContentKey {
    ContentKey { digest: format!("sha256:{name:0>64}"), platform: "linux/arm64".parse().unwrap() }
}

fn content(name: &str, repository: &str, layers: &[(&str, u64)]) -> ContentFact {
    let layers = layers.iter().map(|(chain, megabytes)| Layer {
        chain: (*chain).to_owned(),
        unpacked: Some(megabytes * MB),
        compressed: Some(megabytes * MB * 2 / 5),
        estimated: false,
    });
    ContentFact {
        key: key(name),
        repository: repository.to_owned(),
        engine_id: None,
        layers: layers.collect(),
    }
}

fn used(reference: &str, content: Option<&str>, waited: u64) -> Use {
    Use {
        reference: reference.parse().unwrap(),
        project: Some("group/app".to_owned()),
        source: Some("push".to_owned()),
        content: content.map(key),
        waited: Duration::from_secs(waited),
    }
}

fn pull(registry: &str, seconds: u64) -> Pull {
    Pull {
        at: NOW,
        registry: registry.to_owned(),
        mirror: None,
        repository: format!("{registry}/x"),
        digest: "sha256:x".to_owned(),
        compressed: Some(100 * MB),
        on_disk: Some(250 * MB),
        download: Some(Duration::from_secs(seconds)),
        extract: Some(Duration::from_secs(5)),
        total: Duration::from_secs(seconds + 7),
        outcome: PullOutcome::Done,
    }
}

/// A month of an image that moves once, a large nightly one from a slow registry, and one that was built here.
fn month(place: &StorePlace) -> Store {
    let (store, trouble) = Store::open(place, NOW);
    assert_eq!(trouble, None);
    let hub = "docker.io/library/node";
    let facts = Batch {
        contents: vec![
            content("a1", hub, &[("base", 100), ("a1", 200)]),
            content("a2", hub, &[("base", 100), ("a2", 220)]),
            content("big", "reg.lan/big", &[("big", 900)]),
            content("bare", "reg.lan/bare", &[]),
        ],
        pulls: [vec![pull("docker.io", 10); 8], vec![pull("reg.lan", 200); 8]].concat(),
        ..Batch::default()
    };
    assert!(store.commit(&facts, NOW - HOUR * 24 * 30));
    for day in 0..30_u32 {
        for hour in [1, 9, 11, 14, 16] {
            let node = if day < 15 { "a1" } else { "a2" };
            let mut uses = match hour {
                1 => vec![used("reg.lan/big:1", Some("big"), 60)],
                _ => vec![used("node:20", Some(node), 2)],
            };
            if day % 10 == 0 && hour == 9 {
                uses.push(used("app:local", None, 0));
                uses.push(used("reg.lan/bare:1", Some("bare"), 0));
            }
            let at = NOW - HOUR * 24 * (30 - day) + HOUR * hour;
            assert!(store.commit(&Batch { uses, ..Batch::default() }, at));
        }
    }
    store
}

fn report(place: &StorePlace, more: &[&str]) -> Report {
    let (code, out, err) = with_store(&[&["simulate", "--json"], more].concat(), Some(place));
    assert_eq!((code, err.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

fn refusal(place: Option<&StorePlace>) -> String {
    let (code, out, err) = with_store(&["simulate"], place);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("hearth simulate --trace FILE"), "{err}");
    err
}

#[test]
fn the_hosts_own_jobs_are_replayed_and_what_is_left_out_is_said() {
    let dir = Dir::new();
    month(&dir.place());
    let report = report(&dir.place(), &["--policy", "lru,foreseen", "--budget", "2g,600m"]);
    assert_eq!((report.jobs, report.tags), (150, 2));
    assert_eq!(report.working_set_bytes, 1220 * MB);
    // 30 nights of a minute and 120 jobs of two seconds.
    assert_eq!(report.recorded_seconds, Some(2040.0));
    let ample = &report.budgets[0].rules[0];
    assert_eq!((ample.evictions, ample.pulled_bytes), (0, (1220 + 200) * MB * 2 / 5));
    assert!(report.budgets[1].rules[0].seconds > ample.seconds);
    let notes = report.notes.join("\n");
    assert!(notes.contains("6 of 156 uses have no known layers and were left out"), "{notes}");
    assert!(!notes.contains("estimated") && !notes.contains("only 3"), "{notes}");
}

#[test]
fn the_table_says_what_really_was_and_from_what_pulls_are_priced() {
    let dir = Dir::new();
    month(&dir.place());
    let (code, out, _) = with_store(&["simulate", "--policy", "foreseen"], Some(&dir.place()));
    assert_eq!(code, 0);
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("150 jobs of 2 images in 30 days; the images in use take 1.1 GiB"));
    assert_eq!(lines.next(), Some("as it was, they waited 34 min for images"));
    let price = "note: pulls from docker.io cost 1.9 s + compressed bytes at 9.";
    assert!(lines.next().unwrap().starts_with(price), "{out}");
    assert!(out.contains("note: pulls from reg.lan cost 1.9 s + compressed bytes at 49"), "{out}");
    assert!(out.contains("budget 349 MiB (30 % of what is in use)"), "{out}");
}

#[test]
fn from_and_to_count_from_the_first_use_on_record() {
    let dir = Dir::new();
    month(&dir.place());
    let week = report(&dir.place(), &["--from", "7d", "--to", "14d"]);
    assert_eq!((week.jobs, week.recorded_seconds), (35, Some(7.0 * 68.0)));
}

#[test]
fn sizes_that_are_missing_are_filled_in_and_said() {
    let dir = Dir::new();
    let store = month(&dir.place());
    let mut part = content("a2", "docker.io/library/node", &[("base", 100), ("a2x", 300), ("a2y", 0)]);
    part.layers[1].compressed = None;
    part.layers[2] = Layer { chain: "a2y".to_owned(), ..Layer::default() };
    store.commit(&Batch { contents: vec![part], ..Batch::default() }, NOW);
    let report = report(&dir.place(), &["--policy", "lru", "--budget", "9g"]);
    assert_eq!(report.working_set_bytes, 1300 * MB);
    assert_eq!(report.budgets[0].rules[0].pulled_bytes, (1300 + 200) * MB * 2 / 5);
    let notes = report.notes.join("\n");
    assert!(notes.contains("1 of 5 layers have estimated sizes"), "{notes}");
    assert!(notes.contains("1 of 5 layers have no known size and count as nothing"), "{notes}");
}

#[test]
fn folded_tags_and_wrong_clocks_are_left_out_and_said() {
    let dir = Dir::new();
    let store = month(&dir.place());
    for commit in 0..5 {
        let one = used(&format!("reg.lan/app:c{commit}"), Some("big"), 0);
        store.commit(&Batch { uses: vec![one], ..Batch::default() }, NOW - HOUR * 24 * 20);
    }
    assert_eq!(store.fold(FoldRules { unused: HOUR * 24 * 14, tags: 3 }, NOW), 5);
    let late = Batch { uses: vec![used("alpine:3", Some("big"), 0)], ..Batch::default() };
    store.commit(&late, NOW + HOUR * 24 * 3650);
    let report = report(&dir.place(), &["--policy", "lru", "--budget", "1g"]);
    assert_eq!((report.jobs, report.days.round()), (150, 30.0));
    let notes = report.notes.join("\n");
    assert!(notes.contains("5 uses of tags that came and went"), "{notes}");
    assert!(notes.contains("1 of 157 uses were written by a wrong clock"), "{notes}");
}

#[test]
fn uses_that_a_busy_image_has_crowded_out_are_not_taken_for_silence() {
    let dir = Dir::new();
    let store = month(&dir.place());
    for minute in 0..Store::MOST_RECENT_USES as u32 + 10 {
        let one = used("alpine:3", Some("big"), 0);
        let at = NOW - HOUR * 24 * 5 + HOUR * minute / 10;
        store.commit(&Batch { uses: vec![one], ..Batch::default() }, at);
    }
    let report = report(&dir.place(), &["--policy", "lru", "--budget", "1g"]);
    assert!(report.days < 5.0, "{report:?}");
    let notes = report.notes.join("\n");
    assert!(notes.contains("older than the oldest on record of the busiest images"), "{notes}");
    assert!(notes.contains("only 5 days are on record"), "{notes}");
}

#[test]
fn no_place_no_store_an_empty_one_and_a_young_one_are_told_apart() {
    let dir = Dir::new();
    assert!(refusal(None).contains("neither [store] dir nor HOME"));
    let place = dir.place();
    let missing = refusal(Some(&place));
    assert!(missing.contains(&format!("there is no store {}", place.file().display())), "{missing}");
    assert!(!place.directory.exists());
    let (store, _) = Store::open(&place, NOW);
    let empty = refusal(Some(&place));
    assert!(empty.contains("knows 0 uses of images with known layers, over 0 hours: too little"), "{empty}");
    store.commit(&Batch { uses: vec![used("app:local", None, 0)], ..Batch::default() }, NOW);
    let unknown = refusal(Some(&place));
    assert!(
        unknown.contains("1 of 1 uses have no known layers") && unknown.contains("try again"),
        "{unknown}"
    );
    std::fs::write(place.file(), [b'x'; 8192]).unwrap();
    let damaged = refusal(Some(&place));
    assert!(damaged.contains("is damaged") && damaged.contains("move the file away"), "{damaged}");
}

#[test]
fn one_name_on_two_platforms_is_two_images() {
    let dir = Dir::new();
    let store = month(&dir.place());
    let other = |name: &str| ContentKey { platform: "linux/arm/v7".parse().unwrap(), ..key(name) };
    let arm = ContentFact { key: other("a2"), ..content("a2", "docker.io/library/node", &[("arm", 100)]) };
    let uses = vec![Use { content: Some(other("a2")), ..used("node:20", None, 0) }];
    store.commit(&Batch { contents: vec![arm], uses, ..Batch::default() }, NOW - HOUR);
    let report = report(&dir.place(), &["--policy", "lru", "--budget", "9g"]);
    assert_eq!((report.jobs, report.tags), (151, 3));
    assert_eq!(report.working_set_bytes, 1320 * MB);
}
