//! Files that are damaged, by whatever: they are set aside, or what is whole of them is used.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Batch, ContentFact, Layer, Store, StorePlace, TroubleKind};
use super::{Dir, MINUTE, NOW, digest, key, names, open, open_troubled, raw, used, uses};

/// A store that fills some pages, all in the file and none in the log.
fn filled(place: &StorePlace) {
    let store = open(place);
    let contents = (0..200).map(|number| ContentFact {
        key: key(&number.to_string()),
        repository: format!("reg.lan/app{}", number % 7),
        engine_id: Some(digest(&number.to_string())),
        layers: vec![Layer { chain: digest(&number.to_string()), ..Layer::default() }],
    });
    store.commit(&Batch { contents: contents.collect(), ..Batch::default() }, NOW);
    store.commit(&uses([used("alpine:3")]), NOW);
    drop(store);
    raw(place).pragma_update_and_check(None, "wal_checkpoint", "truncate", |_| Ok(())).unwrap();
    assert!(std::fs::metadata(place.file()).unwrap().len() > 20 * 4096);
}

fn set_aside(place: &StorePlace) -> Vec<String> {
    let is_main =
        |name: &String| name.contains(".corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm");
    names(&place.directory).into_iter().filter(is_main).collect()
}

fn damage(place: &StorePlace, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(place.file()).unwrap();
    change(&mut bytes);
    std::fs::write(place.file(), bytes).unwrap();
}

#[test]
fn a_damaged_header_or_a_cut_file_is_set_aside_and_begun_anew() {
    let whole: fn(&mut Vec<u8>) = |bytes| bytes[..100].fill(0x55);
    let cut: fn(&mut Vec<u8>) = |bytes| bytes.truncate(bytes.len() / 2);
    let stump: fn(&mut Vec<u8>) = |bytes| bytes.truncate(70);
    let tables: fn(&mut Vec<u8>) = |bytes| bytes[4096..].fill(0x55);
    let text: fn(&mut Vec<u8>) = |bytes| *bytes = b"<html>not a database</html>\n".repeat(500);
    for (what, change) in
        [("header", whole), ("cut", cut), ("stump", stump), ("tables", tables), ("text", text)]
    {
        let dir = Dir::new();
        let place = dir.place();
        filled(&place);
        damage(&place, change);
        let (store, trouble) = open_troubled(&place);
        assert_eq!(trouble.kind, TroubleKind::Corrupt, "{what}");
        assert!(store.is_working() && store.tags().is_empty(), "{what}");
        assert!(store.commit(&uses([used("alpine:4")]), NOW), "{what}");
        assert_eq!(set_aside(&place), [format!("hearth.db.corrupt-{}", NOW.as_secs())], "{what}");
        let words = trouble.to_string();
        assert!(words.contains("hearth.db.corrupt-1700000000") && words.contains("disk or card"), "{words}");
        drop(store);
        assert_eq!(open(&place).tags().len(), 1, "{what}");
    }
}

/// Damages what opening does not read.
fn behind(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x55);
}

#[test]
fn damage_in_the_middle_is_noticed_by_use_and_told_once() {
    let dir = Dir::new();
    let place = dir.place();
    filled(&place);
    damage(&place, |bytes| behind(bytes));
    let store = open(&place);
    assert_eq!(store.contents(), []);
    let trouble = store.trouble().expect("a trouble");
    assert_eq!(trouble.kind, TroubleKind::Corrupt);
    assert!(trouble.words.contains("set aside as"), "{trouble}");
    assert!(!store.is_working() && !store.commit(&uses([used("alpine:4")]), NOW));
    assert_eq!(store.trouble(), None);
    drop(store);
    assert_eq!(set_aside(&place).len(), 1);
    let store = open(&place);
    assert!(store.commit(&uses([used("alpine:4")]), NOW));
    drop(store);
    assert_eq!(open(&place).tags().len(), 1);
}

#[test]
fn who_still_has_the_damaged_file_open_does_not_touch_the_new_one() {
    let dir = Dir::new();
    let place = dir.place();
    filled(&place);
    let old = open(&place);
    assert_eq!(old.tags().len(), 1);
    damage(&place, |bytes| behind(bytes));
    let first = open(&place);
    first.contents();
    assert!(first.trouble().is_some());
    let new = open(&place);
    assert!(new.commit(&uses([used("alpine:4")]), NOW));
    old.commit(&uses([used("alpine:5")]), NOW);
    old.contents();
    old.trouble();
    drop(old);
    drop(first);
    assert!(new.commit(&uses([used("alpine:6")]), NOW));
    drop(new);
    let names: Vec<String> = open(&place).tags().into_iter().map(|tag| tag.name).collect();
    assert_eq!(names, ["docker.io/library/alpine:4", "docker.io/library/alpine:6"]);
    assert_eq!(set_aside(&place).len(), 1);
}

#[test]
fn only_the_newest_damaged_files_are_kept() {
    let dir = Dir::new();
    let place = dir.place();
    for minute in 0..6 {
        let now = NOW + MINUTE * minute;
        drop(Store::open(&place, now));
        damage(&place, |bytes| bytes[..100].fill(0x55));
    }
    open_troubled(&place);
    assert_eq!(set_aside(&place).len(), 3);
}

#[test]
fn a_log_whose_file_was_deleted_is_not_taken_for_the_new_files() {
    let dir = Dir::new();
    let place = dir.place();
    open(&place).commit(&uses([used("alpine:3")]), NOW);
    assert!(std::fs::metadata(place.beside("-wal")).unwrap().len() > 0);
    std::fs::remove_file(place.file()).unwrap();
    let store = open(&place);
    assert_eq!(store.tags(), []);
    assert!(store.commit(&uses([used("alpine:4")]), NOW));
    drop(store);
    assert_eq!(open(&place).tags().len(), 1);
}

#[test]
fn what_a_killed_maker_left_is_no_hindrance() {
    let dir = Dir::new();
    let place = dir.place();
    std::fs::create_dir(&place.directory).unwrap();
    std::fs::write(place.beside(".new"), "half").unwrap();
    std::fs::write(place.beside(".new-journal"), "half").unwrap();
    assert!(open(&place).commit(&uses([used("alpine:3")]), NOW));
    assert!(!names(&place.directory).iter().any(|name| name.contains(".new")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// A power cut leaves any part of the log, and garbage at its end.
    #[test]
    fn whatever_a_power_cut_leaves_of_the_log_the_first_jobs_are_there(
        keep in 0.0_f64..1.0,
        garbage in 0_usize..5000,
    ) {
        let dir = Dir::new();
        let place = dir.place();
        let store = open(&place);
        for minute in 0..8 {
            store.commit(&uses([used("alpine:3")]), NOW + MINUTE * minute);
        }
        let after = Dir::new();
        let copy = after.place();
        std::fs::create_dir(&copy.directory).unwrap();
        std::fs::copy(place.file(), copy.file()).unwrap();
        let mut log = std::fs::read(place.beside("-wal")).unwrap();
        let kept = (log.len() as f64 * keep) as usize;
        log.truncate(kept);
        log.extend(std::iter::repeat_n(0x55, garbage));
        std::fs::write(copy.beside("-wal"), log).unwrap();
        let store = open(&copy);
        let uses_there = store.tags().first().map_or(0, |tag| tag.uses);
        prop_assert_eq!(store.tags().first().map_or(0, |tag| tag.recent.len() as u64), uses_there);
        prop_assert!(uses_there <= 8);
        prop_assert!(store.commit(&uses([used("alpine:4")]), NOW + Duration::from_secs(1)));
        prop_assert!(store.trouble().is_none());
    }
}
