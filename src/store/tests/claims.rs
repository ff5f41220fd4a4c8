//! What is claimed for a time: proofs, leases, removals, pins, back-offs.

use std::time::Duration;

use super::super::{BackOff, Batch, Granted, Lease, LeaseKind, Mark, Pin, Proof, Removal, Revocation, Store};
use super::{DAY, Dir, ME, MINUTE, NOW, changes, digest, moment, open};
use crate::moment::Moment;

const ALPINE: &str = "docker.io/library/alpine";
const HOUR: Duration = Duration::from_secs(3600);

/// Returns when a proof for [`ALPINE`] was made.
fn proved(store: &Store, key: Option<&[u8]>, digest: &str) -> Option<Duration> {
    let found = store.repository(ALPINE).proofs;
    found
        .into_iter()
        .find(|(proof, _)| proof.key.as_deref() == key && proof.digest == digest)
        .map(|(_, at)| at)
}

#[test]
fn a_proof_is_of_its_key_repository_and_digest() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let proof = Proof { key: Some(b"mine".to_vec()), repository: ALPINE.to_owned(), digest: digest("a") };
    store.commit(&Batch { proofs: vec![proof.clone()], ..Batch::default() }, NOW);
    assert_eq!(store.repository(ALPINE).proofs, [(proof.clone(), NOW)]);
    assert_eq!(store.repository("reg.lan/alpine").proofs, []);
    assert!(!format!("{proof:?}").contains("109") && !format!("{proof:?}").contains("mine"));
}

#[test]
fn a_proof_is_renewed_after_a_minute_and_revoked_by_a_refusal() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let public = Proof { key: None, repository: ALPINE.to_owned(), digest: digest("a") };
    let mine = Proof { key: Some(b"mine".to_vec()), ..public.clone() };
    let nobody = Proof { key: Some(Vec::new()), digest: digest("z"), ..public.clone() };
    let batch = Batch { proofs: vec![public, mine, nobody], ..Batch::default() };
    let at = |key| proved(&store, key, &digest("a"));
    store.commit(&batch, NOW);
    assert_eq!(store.repository(ALPINE).proofs.len(), 2, "nobody proves nothing");
    let before = changes(&store);
    store.commit(&batch, NOW + MINUTE / 2);
    assert_eq!(changes(&store), before);
    store.commit(&batch, NOW + MINUTE);
    assert_eq!(at(None), Some(NOW + MINUTE));
    // Written by a clock that was ahead: it is not from the future for ever.
    store.commit(&batch, NOW);
    assert_eq!(at(None), Some(NOW));
    let refused = Revocation { key: None, repository: ALPINE.to_owned() };
    store.commit(&Batch { revocations: vec![refused], ..Batch::default() }, NOW);
    assert_eq!(at(None), None);
    assert_eq!(at(Some(b"mine")), Some(NOW));
}

#[test]
fn a_lease_holds_by_the_clock_of_its_boot() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let lease = Lease {
        job: "1".to_owned(),
        kind: LeaseKind::Reference,
        name: format!("{ALPINE}:3"),
        taken: moment(MINUTE),
        owner: ME,
        lasts: HOUR,
    };
    let content = Lease { kind: LeaseKind::Content, name: digest("a"), ..lease.clone() };
    assert_eq!(store.lease(&[lease.clone(), content.clone()]), Granted::default());
    assert_eq!(store.leases(&moment(HOUR)), [content, lease]);
    let stepped = Moment { wall: NOW + DAY * 900, ..moment(HOUR) };
    assert_eq!(store.leases(&stepped).len(), 2);
    assert_eq!(store.leases(&moment(HOUR + MINUTE * 2)), []);
    assert_eq!(store.leases(&Moment { boot_id: "next".to_owned(), ..moment(HOUR) }), []);
    store.drop_leases("2");
    assert_eq!(store.leases(&moment(HOUR)).len(), 2);
    store.drop_leases("1");
    assert_eq!(store.leases(&moment(HOUR)), []);
}

#[test]
fn a_removal_yields_to_a_lease_and_a_lease_sees_a_removal() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let lease = |name: &str, after| Lease {
        job: name.to_owned(),
        kind: LeaseKind::Reference,
        name: name.to_owned(),
        taken: moment(after),
        owner: ME,
        lasts: HOUR,
    };
    store.lease(&[lease("a:1", MINUTE)]);
    let removal = |names: &[&str]| Removal {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        since: moment(MINUTE * 2),
        by: ME,
    };
    let both = removal(&["sha256:1", "a:1"]);
    assert_eq!(store.mark_removal(&both, |_| true), Mark::Leased(Box::new(lease("a:1", MINUTE))));
    assert_eq!(store.mark_removal(&both, |lease| lease.owner != ME), Mark::Made);
    let granted = store.lease(&[lease("a:1", MINUTE * 3)]);
    assert_eq!(granted, Granted { under_way: vec![both.clone()], changes: 1 });
    assert_eq!(store.lease(&[lease("b:1", MINUTE * 3)]), Granted { under_way: Vec::new(), changes: 1 });
    assert_eq!(store.removals(&moment(HOUR / 4)), std::slice::from_ref(&both));
    assert_eq!(store.removals(&moment(HOUR * 2)), []);
    store.unmark_removal(&both);
    assert_eq!(store.removals(&moment(HOUR / 4)), []);
    // Who looked at something while it was being removed hears of that also afterwards.
    assert_eq!(store.lease(&[lease("a:1", MINUTE * 3)]), Granted { under_way: Vec::new(), changes: 2 });
    assert_eq!(Store::void().mark_removal(&both, |_| true), Mark::Unknown);
}

#[test]
fn pins_and_back_offs_end_by_themselves() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let pin = |name: &str, until| Pin { name: name.to_owned(), until, reason: "release".to_owned() };
    assert!(store.pin(&pin("a:1", None), NOW) && store.pin(&pin("b:1", Some(NOW + HOUR)), NOW));
    assert_eq!(store.pins(NOW), [pin("a:1", None), pin("b:1", Some(NOW + HOUR))]);
    assert_eq!(store.pins(NOW + HOUR), [pin("a:1", None)]);
    assert!(store.unpin("a:1") && !store.unpin("a:1"));

    let back_off = |account: &str, until| BackOff {
        registry: "docker.io".to_owned(),
        account: account.to_owned(),
        until,
        words: "slow down".to_owned(),
    };
    let batch = Batch {
        back_offs: vec![back_off("", NOW + HOUR), back_off("ann", NOW + DAY * 30)],
        ..Batch::default()
    };
    store.commit(&batch, NOW);
    assert_eq!(store.back_off("docker.io", "", NOW), Some(back_off("", NOW + HOUR)));
    assert_eq!(store.back_off("docker.io", "", NOW + HOUR), None);
    assert_eq!(store.back_off("docker.io", "", NOW - MINUTE), None);
    assert_eq!(store.back_off("docker.io", "bob", NOW), None);
    assert_eq!(store.back_off("docker.io", "ann", NOW), None);
}
