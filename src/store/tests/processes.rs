//! Several processes at once, and one that is killed. The second process is this test program, told by its environment.

#![expect(clippy::disallowed_methods, reason = "the second process learns from its environment what to do")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::super::{Lease, LeaseKind, Sharing, Store, StorePlace, Use};
use super::{Dir, ME, MINUTE, NOW, moment, names, open, raw, used, uses};

const ROLE: &str = "HEARTH_STORE_TEST_ROLE";
const DIRECTORY: &str = "HEARTH_STORE_TEST_DIRECTORY";
const PROCESSES: u32 = 5;
const COMMITS: u32 = 20;

fn place(directory: &Path) -> StorePlace {
    StorePlace { patience: Duration::from_secs(60), ..StorePlace::new(directory, Sharing::Group) }
}

fn child(role: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::processes::second_process", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "it is what other tests run as a second process"]
fn second_process() {
    let (Ok(role), Some(directory)) = (std::env::var(ROLE), std::env::var_os(DIRECTORY)) else { return };
    let place = place(directory.as_ref());
    match role.as_str() {
        "in a transaction" => hang_in_a_transaction(&place),
        "open" => {
            let (store, trouble) = Store::open(&place, NOW);
            assert!(store.is_working(), "{trouble:?}");
            assert!(store.commit(&uses([used("alpine:3")]), NOW));
            println!("\ntroubles: {}", u32::from(trouble.is_some()));
        }
        worker => write_often(&place, worker),
    }
}

fn write_often(place: &StorePlace, worker: &str) {
    for number in 0..COMMITS {
        let store = open(place);
        let lease = Lease {
            job: format!("{worker} {number}"),
            kind: LeaseKind::Reference,
            name: "alpine:3".to_owned(),
            taken: moment(MINUTE),
            owner: ME,
            lasts: MINUTE,
        };
        store.lease(&[lease]);
        let one = Use { project: Some(worker.to_owned()), ..used("alpine:3") };
        assert!(store.commit(&uses([one]), NOW + MINUTE * number), "{:?}", store.trouble());
        assert!(store.hash_key().is_some());
        assert_eq!(store.trouble(), None);
    }
}

fn hang_in_a_transaction(place: &StorePlace) {
    let store = open(place);
    assert!(store.commit(&uses([used("alpine:3")]), NOW));
    store.write(|db| {
        // So small a cache that pages go to the log before the transaction ends.
        db.execute_batch("PRAGMA cache_size = 2; PRAGMA cache_spill = 1")?;
        for number in 0..2000 {
            db.execute("INSERT INTO project (key) VALUES (?1)", [format!("half-written {number}")])?;
        }
        println!("\nhanging");
        std::thread::sleep(Duration::from_secs(600));
        Ok(())
    });
}

#[test]
fn processes_that_open_and_write_at_once_lose_nothing() {
    let dir = Dir::new();
    let directory = dir.0.join("store");
    let children: Vec<Child> = (0..PROCESSES).map(|n| child(&n.to_string(), &directory)).collect();
    for child in children {
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }
    let store = open(&place(&directory));
    let tag = store.tag(&"alpine:3".parse().unwrap()).unwrap();
    assert_eq!(tag.uses, u64::from(PROCESSES * COMMITS));
    assert_eq!(tag.recent.len() as u32, PROCESSES * COMMITS);
    assert_eq!(store.leases(&moment(MINUTE)).len() as u32, PROCESSES * COMMITS);
    whole(&place(&directory));
}

#[test]
fn processes_that_find_the_same_damage_at_once_set_it_aside_once() {
    let dir = Dir::new();
    let directory = dir.0.join("store");
    drop(open(&place(&directory)));
    std::fs::write(place(&directory).file(), "no database at all".repeat(1000)).unwrap();
    let children: Vec<Child> = (0..PROCESSES).map(|_| child("open", &directory)).collect();
    let mut told = 0;
    for child in children {
        let done = child.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{words}");
        told += u32::from(words.contains("troubles: 1"));
    }
    assert_eq!(told, 1);
    let aside = names(&directory).into_iter().filter(|name| name.ends_with(&format!("-{}", NOW.as_secs())));
    assert_eq!(aside.count(), 1);
    assert_eq!(open(&place(&directory)).tags().len(), 1);
    whole(&place(&directory));
}

#[test]
fn a_process_killed_in_a_transaction_leaves_what_was_there_before_it() {
    let dir = Dir::new();
    let directory = dir.0.join("store");
    let mut child = child("in a transaction", &directory);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "hanging"));
    let hasty = StorePlace { patience: Duration::from_millis(20), ..place(&directory) };
    let (waiting, _) = Store::open(&hasty, NOW);
    assert!(!waiting.commit(&uses([used("alpine:4")]), NOW), "it is locked");
    assert_eq!(waiting.tags().len(), 1, "and can be read");
    child.kill().unwrap();
    child.wait().unwrap();
    let store = open(&place(&directory));
    assert_eq!(store.tags().len(), 1);
    assert!(store.commit(&uses([used("alpine:4")]), NOW));
    let half: i64 = raw(&place(&directory))
        .query_row("SELECT count(*) FROM project WHERE key LIKE 'half%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(half, 0);
    whole(&place(&directory));
}

fn whole(place: &StorePlace) {
    let words: String = raw(place).pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(words, "ok");
}
