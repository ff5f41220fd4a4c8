//! Files that cannot be used: jobs go on, and hear of it once.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::super::{Sharing, Store, StorePlace, TroubleKind};
use super::{Dir, NOW, open, open_troubled, raw, skip, used, uses};

/// Says nothing, keeps nothing, and holds nobody up.
fn is_void(store: &Store) {
    assert!(!store.is_working());
    assert!(!store.commit(&uses([used("alpine:3")]), NOW));
    assert_eq!((store.tags(), store.hash_key(), store.trouble()), (Vec::new(), None, None));
    assert_eq!(store.prior("docker.io/library/alpine", NOW), 0.0);
}

#[test]
fn a_store_that_is_void_knows_nothing() {
    is_void(&Store::void());
}

#[test]
fn a_file_that_is_locked_while_it_is_opened_is_done_without() {
    let dir = Dir::new();
    let place = dir.place();
    open(&place).commit(&uses([used("alpine:3")]), NOW);
    let other = raw(&place);
    other
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; INSERT INTO project (key) VALUES ('x')",
        )
        .unwrap();
    let hasty = StorePlace { patience: Duration::from_millis(50), ..place.clone() };
    let (store, trouble) = open_troubled(&hasty);
    assert_eq!(trouble.kind, TroubleKind::Locked);
    assert!(trouble.words.contains("hearth.db is locked by another process"), "{trouble}");
    is_void(&store);
    drop(other);
    assert_eq!(open(&place).tags().len(), 1);
}

#[test]
fn a_write_lock_that_another_process_keeps_costs_the_wait_once() {
    let dir = Dir::new();
    let place = StorePlace { patience: Duration::from_millis(400), ..dir.place() };
    open(&place).commit(&uses([used("alpine:3")]), NOW);
    let other = raw(&place);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = open(&place);
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(!store.commit(&uses([used("alpine:4")]), NOW));
    }
    // Each wait is 400 ms: 100 of them would be 40 s.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(store.trouble().map(|trouble| trouble.kind), Some(TroubleKind::Locked));
    assert_eq!(store.trouble(), None);
    assert_eq!(store.tags().len(), 1, "it can still be read");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.commit(&uses([used("alpine:4")]), NOW), "and written when the lock is gone");
}

#[test]
fn a_file_that_another_process_takes_long_to_make_is_done_without() {
    let dir = Dir::new();
    let place = StorePlace { patience: Duration::from_millis(20), ..dir.place() };
    std::fs::create_dir(&place.directory).unwrap();
    let lock = std::fs::File::create(place.beside(".lock")).unwrap();
    lock.lock().unwrap();
    let (store, trouble) = open_troubled(&place);
    assert_eq!(trouble.kind, TroubleKind::Locked);
    is_void(&store);
    drop(lock);
    open(&place);
}

#[test]
fn what_is_no_directory_and_no_file_is_told() {
    let dir = Dir::new();
    std::fs::write(dir.0.join("file"), "").unwrap();
    let (store, trouble) = open_troubled(&StorePlace::new(dir.0.join("file"), Sharing::Group));
    assert_eq!(trouble.kind, TroubleKind::Unusable);
    is_void(&store);
    let (store, _) = open_troubled(&StorePlace::new(dir.0.join("file/below"), Sharing::Group));
    is_void(&store);
    let place = dir.place();
    std::fs::create_dir_all(place.file()).unwrap();
    let (store, trouble) = open_troubled(&place);
    assert!(trouble.words.contains("hearth.db cannot be used"), "{trouble}");
    is_void(&store);
}

#[test]
fn a_missing_directory_is_made() {
    let dir = Dir::new();
    let place = StorePlace::new(dir.0.join("a/b/c"), Sharing::Group);
    assert!(open(&place).commit(&uses([used("alpine:3")]), NOW));
}

#[test]
fn a_statement_that_the_file_does_not_understand_makes_the_store_void() {
    let dir = Dir::new();
    let place = dir.place();
    drop(open(&place));
    raw(&place).execute_batch("DROP TABLE recent_use").unwrap();
    let store = open(&place);
    assert!(!store.commit(&uses([used("alpine:3")]), NOW));
    let trouble = store.trouble().unwrap();
    assert_eq!(trouble.kind, TroubleKind::Unusable);
    assert!(trouble.words.contains("recent_use") && !trouble.words.contains("INSERT"), "{trouble}");
    is_void(&store);
}

/// A small file system of a test's own, where root may have one.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(at: &'a Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mount = Self(at);
        mount.run(&["-t", "tmpfs", "-o", options, "tmpfs"]).then_some(mount)
    }

    fn run(&self, arguments: &[&str]) -> bool {
        let done = Command::new("mount").args(arguments).arg(self.0).output();
        done.is_ok_and(|done| done.status.success())
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_file_system_that_cannot_be_written_is_told() {
    let dir = Dir::new();
    let place = dir.place();
    let Some(mount) = Mount::new(&place.directory, "size=4m") else {
        return skip("a_file_system_that_cannot_be_written_is_told", "no tmpfs can be mounted");
    };
    open(&place).commit(&uses([used("alpine:3")]), NOW);
    assert!(mount.run(&["-o", "remount,ro"]));
    let (store, trouble) = open_troubled(&place);
    assert_eq!(trouble.kind, TroubleKind::ReadOnly);
    is_void(&store);
    drop(store);
    assert!(mount.run(&["-o", "remount,rw"]));
    std::fs::remove_file(place.file()).unwrap();
    assert!(mount.run(&["-o", "remount,ro"]));
    let (store, trouble) = open_troubled(&place);
    assert_eq!(trouble.kind, TroubleKind::ReadOnly, "{trouble}");
    is_void(&store);
}

#[test]
fn a_full_disk_loses_facts_and_not_the_file() {
    let dir = Dir::new();
    let place = dir.place();
    let Some(_mount) = Mount::new(&place.directory, "size=512k") else {
        return skip("a_full_disk_loses_facts_and_not_the_file", "no tmpfs can be mounted");
    };
    let store = open(&place);
    assert!(store.commit(&uses([used("alpine:3")]), NOW));
    let filler = place.directory.join("filler");
    let fill = || std::fs::write(&filler, vec![0; 1 << 20]).is_err();
    assert!(fill());
    let many = |from: u32| uses((0..400).map(|number| used(&format!("reg.lan/app{from}:{number}"))));
    let lost = (0..20).any(|from| !store.commit(&many(from), NOW));
    assert!(lost);
    assert_eq!(store.trouble().map(|trouble| trouble.kind), Some(TroubleKind::Full));
    assert!(store.tag(&"alpine:3".parse().unwrap()).is_some(), "what is known is still known");
    drop(store);
    // A process that comes now has nothing to wait for, whether it finds the file usable or not.
    let (late, _) = Store::open(&place, NOW);
    late.commit(&many(99), NOW);
    drop(late);
    std::fs::remove_file(&filler).unwrap();
    let store = open(&place);
    assert!(store.tag(&"alpine:3".parse().unwrap()).is_some());
    assert!(store.commit(&uses([used("alpine:4")]), NOW));
}

#[test]
fn a_disk_that_is_full_from_the_start_is_told() {
    let dir = Dir::new();
    let place = dir.place();
    let Some(_mount) = Mount::new(&place.directory, "size=16k") else {
        return skip("a_disk_that_is_full_from_the_start_is_told", "no tmpfs can be mounted");
    };
    let (store, trouble) = open_troubled(&place);
    assert_eq!(trouble.kind, TroubleKind::Full, "{trouble}");
    is_void(&store);
}
