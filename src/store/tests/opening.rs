//! Modes, versions, and what opening makes.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use nix::sys::stat::{Mode, umask};
use rusqlite::Connection;

use super::super::make::migrate;
use super::super::open::MIGRATIONS;
use super::super::{Sharing, Store, StorePlace, TroubleKind};
use super::{Dir, NOW, names, open, open_troubled, raw, used, uses};

fn modes(place: &StorePlace) -> Vec<(String, u32)> {
    names(&place.directory)
        .into_iter()
        .map(|name| {
            let mode = std::fs::metadata(place.directory.join(&name)).unwrap().permissions().mode() & 0o7777;
            (name, mode)
        })
        .collect()
}

fn expected(mode: u32) -> Vec<(String, u32)> {
    ["hearth.db", "hearth.db-shm", "hearth.db-wal", "hearth.db.lock"]
        .map(|name| (name.to_owned(), mode))
        .to_vec()
}

/// One test, since the umask is the whole process's.
#[test]
fn files_have_their_modes_whatever_the_umask() {
    for (mask, sharing, directory, file) in [
        (0o077, Sharing::Group, 0o2770, 0o660),
        (0o000, Sharing::Group, 0o2770, 0o660),
        (0o000, Sharing::Owner, 0o700, 0o600),
        (0o022, Sharing::Owner, 0o700, 0o600),
    ] {
        let dir = Dir::new();
        let place = StorePlace { sharing, ..dir.place() };
        let before = umask(Mode::from_bits_truncate(mask));
        let store = open(&place);
        store.commit(&uses([used("alpine:3")]), NOW);
        umask(before);
        let mode = std::fs::metadata(&place.directory).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, directory, "{mask:o} {sharing:?}");
        assert_eq!(modes(&place), expected(file), "{mask:o} {sharing:?}");
    }
}

#[test]
fn files_have_their_directorys_group_whoever_makes_them() {
    let dir = Dir::new();
    let place = dir.place();
    std::fs::create_dir(&place.directory).unwrap();
    if chown(&place.directory, None, Some(12_345)).is_err() {
        return super::skip(
            "files_have_their_directorys_group",
            "this user cannot give a directory to a group",
        );
    }
    // Without the set-group-ID bit.
    std::fs::set_permissions(&place.directory, std::fs::Permissions::from_mode(0o770)).unwrap();
    let store = open(&place);
    store.commit(&uses([used("alpine:3")]), NOW);
    for name in ["hearth.db", "hearth.db-wal", "hearth.db-shm", "hearth.db.lock"] {
        assert_eq!(std::fs::metadata(place.directory.join(name)).unwrap().gid(), 12_345, "{name}");
    }
}

#[test]
fn a_second_opening_finds_what_the_first_wrote_and_takes_no_lock() {
    let dir = Dir::new();
    let place = dir.place();
    open(&place).commit(&uses([used("alpine:3")]), NOW);
    let lock = std::fs::File::open(place.beside(".lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(open(&place).tags().len(), 1);
}

#[test]
fn the_log_is_not_folded_into_the_file_at_every_end_and_does_not_grow_for_ever() {
    let dir = Dir::new();
    let place = dir.place();
    let size = |name| std::fs::metadata(place.beside(name)).unwrap().len();
    open(&place).commit(&uses([used("alpine:3")]), NOW);
    assert!(size("-wal") > 0);
    for number in 0..200 {
        open(&place).commit(&uses([used(&format!("reg.lan/app:{number}"))]), NOW);
    }
    assert!(size("-wal") < 1 << 20, "{}", size("-wal"));
    assert_eq!(open(&place).tags().len(), 201);
}

#[test]
fn a_file_of_every_earlier_version_is_taken_along() {
    let fixtures = [
        include_str!("../fixtures/version-1.sql"),
        include_str!("../fixtures/version-2.sql"),
        include_str!("../fixtures/version-3.sql"),
    ];
    assert_eq!(fixtures.len(), MIGRATIONS.len(), "each version has a file as it was then");
    for (version, fixture) in (1..).zip(fixtures) {
        let dir = Dir::new();
        let place = dir.place();
        std::fs::create_dir(&place.directory).unwrap();
        let db = raw(&place);
        db.execute_batch(fixture).unwrap();
        db.pragma_update(None, "user_version", version).unwrap();
        drop(db);
        let store = open(&place);
        let tags = store.tags();
        let names: Vec<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["docker.io/library/alpine:3", "reg.lan:5000/app:1"]);
        assert_eq!((tags[0].uses, tags[0].recent.len()), (2, 2));
        let content = store.content(tags[0].content.as_ref().unwrap()).unwrap();
        assert_eq!(content.layers.len(), 2);
        assert_eq!(store.pulls(std::time::Duration::ZERO).len(), 1);
        assert_eq!(store.pins(NOW).len(), 1);
        assert_eq!(store.job_times(std::time::Duration::ZERO).len(), 1);
        let of_version_3 = usize::from(version >= 3);
        let all = std::time::Duration::ZERO;
        assert_eq!((store.gone(all).len(), store.aheads(all).len()), (of_version_3, of_version_3));
        assert_eq!(store.job_images("job").len(), of_version_3);
        assert_eq!(store.hash_key().unwrap().expose(), &[0xab; 32]);
        assert!(store.commit(&uses([used("alpine:3")]), NOW));
    }
}

#[test]
fn steps_are_taken_in_order_from_each_version_and_all_or_none() {
    let steps =
        ["CREATE TABLE a (x)", "ALTER TABLE a ADD y; INSERT INTO a VALUES (1, 2)", "UPDATE a SET y = 3"];
    for from in 0..=steps.len() {
        let db = Connection::open_in_memory().unwrap();
        migrate(&db, &steps[..from]).unwrap();
        migrate(&db, &steps).unwrap();
        migrate(&db, &steps).unwrap();
        let found = db.query_row("SELECT count(*), max(y) FROM a", [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(found, Ok((1, 3)), "from {from}");
    }
    let db = Connection::open_in_memory().unwrap();
    migrate(&db, &steps[..1]).unwrap();
    assert!(migrate(&db, &[steps[0], steps[1], "nonsense"]).is_err());
    assert!(db.prepare("SELECT y FROM a").is_err());
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
}

#[test]
fn a_newer_file_is_left_alone() {
    let dir = Dir::new();
    let place = dir.place();
    open(&place).commit(&uses([used("alpine:3")]), NOW);
    raw(&place).pragma_update(None, "user_version", 4711).unwrap();
    let (store, trouble) = open_troubled(&place);
    assert_eq!(trouble.kind, TroubleKind::Newer);
    assert!(trouble.to_string().contains("version 4711"), "{trouble}");
    assert!(!store.commit(&uses([used("alpine:4")]), NOW) && store.tags().is_empty());
    drop(store);
    let tags: i64 = raw(&place).query_row("SELECT count(*) FROM tag", [], |row| row.get(0)).unwrap();
    assert_eq!(tags, 1);
}

#[test]
fn a_file_of_another_programs_is_left_alone_and_an_empty_one_is_filled() {
    let dir = Dir::new();
    let place = dir.place();
    std::fs::create_dir(&place.directory).unwrap();
    raw(&place).execute_batch("CREATE TABLE theirs (x)").unwrap();
    let (_, trouble) = open_troubled(&place);
    assert_eq!(trouble.kind, TroubleKind::Foreign);
    assert!(raw(&place).prepare("SELECT x FROM theirs").is_ok());
    std::fs::write(place.file(), "").unwrap();
    assert!(open(&place).commit(&uses([used("alpine:3")]), NOW));
}

#[test]
fn a_look_at_what_is_there_makes_nothing_and_sets_nothing_aside() {
    let dir = Dir::new();
    let place = dir.place();
    assert!(Store::open_existing(&place, NOW).unwrap().is_none());
    assert!(!place.directory.exists());
    open(&place).commit(&uses([used("alpine:3")]), NOW);
    assert_eq!(Store::open_existing(&place, NOW).unwrap().unwrap().tags().len(), 1);
    std::fs::write(place.file(), [b'x'; 8192]).unwrap();
    let trouble = Store::open_existing(&place, NOW).map(|_| ()).unwrap_err();
    assert_eq!((trouble.kind, std::fs::read(place.file()).unwrap()[0]), (TroubleKind::Corrupt, b'x'));
}
