//! What the evictor keeps: sightings, notes, uses of volumes, announcements.

use std::time::Duration;

use super::{DAY, Dir, MINUTE, NOW, open, used, uses};
use crate::policy::Score;
use crate::store::{Announced, Batch, Layer, Limits, VolumeUse};

#[test]
fn images_are_there_since_they_were_seen_and_forgotten_when_they_are_gone() {
    let dir = Dir::new();
    let store = open(&dir.place());
    store.images_seen(&[("a", NOW), ("b", NOW)], &[]);
    // Seen again, an image is as old as before.
    store.images_seen(&[("a", NOW + DAY)], &[]);
    let layer = Layer { chain: "chain".to_owned(), unpacked: Some(7), compressed: None, estimated: true };
    store.image_layers("a", std::slice::from_ref(&layer));
    let seen = open(&dir.place()).sightings();
    assert_eq!((seen["a"].first, seen["b"].first), (NOW, NOW));
    assert_eq!((&seen["a"].layers, seen["b"].layers.len()), (&vec![layer], 0));
    store.images_seen(&[], &["a"]);
    assert_eq!(store.sightings().keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn notes_are_kept_and_the_chosen_rule_is_one() {
    let dir = Dir::new();
    let store = open(&dir.place());
    assert_eq!((store.note("a"), store.chosen_rule()), (None, None));
    assert!(store.set_note("a", "1") && store.set_note("a", "2"));
    assert!(store.choose_rule(Score::DecayedRate { half_life: 3.0 * 86_400.0 }));
    let store = open(&dir.place());
    assert_eq!(store.note("a").as_deref(), Some("2"));
    assert_eq!(store.chosen_rule(), Some(Score::DecayedRate { half_life: 3.0 * 86_400.0 }));
    store.drop_note("a");
    assert_eq!(store.note("a"), None);
}

#[test]
fn a_volume_counts_as_used_when_a_job_used_it_else_when_it_was_first_seen() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let batch = Batch { volumes: vec![VolumeUse { name: "used".to_owned() }], ..Batch::default() };
    assert!(store.commit(&batch, NOW));
    let both = ["new".to_owned(), "used".to_owned()];
    let seen = store.volumes_seen(&both, NOW + DAY).unwrap();
    assert_eq!((seen["used"], seen["new"]), (NOW, NOW + DAY));
    // A time that a wrong clock wrote far ahead gives way to the present.
    let seen = store.volumes_seen(&both, NOW - DAY * 40).unwrap();
    assert_eq!(seen["used"], NOW - DAY * 40);
    // What is gone is forgotten, and new when it comes again.
    store.volumes_seen(&both[..1], NOW).unwrap();
    assert_eq!(store.volumes_seen(&both, NOW + DAY * 9).unwrap()["used"], NOW + DAY * 9);
}

#[test]
fn the_later_of_two_announcements_counts_and_is_tidied_once_it_is_long_over() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let announced = |at| Announced { name: "a".to_owned(), at, grace: MINUTE };
    for at in [NOW, NOW + DAY, NOW + MINUTE] {
        assert!(store.announce(&announced(at), NOW).is_some());
    }
    assert_eq!(store.announced(), [announced(NOW + DAY)]);
    // One that was made by a clock which was ahead does not outlast the others.
    assert!(store.announce(&announced(NOW + DAY * 300), NOW + DAY * 300).is_some());
    assert!(store.announce(&announced(NOW + DAY), NOW).is_some());
    assert_eq!(store.announced(), [announced(NOW + DAY)]);
    let at = |wall| crate::moment::Moment { wall, ..Default::default() };
    store.tidy(&Limits::default(), &at(NOW + DAY * 2));
    assert_eq!(store.announced().len(), 1);
    store.tidy(&Limits::default(), &at(NOW + DAY * 12));
    assert_eq!(store.announced(), []);
}

#[test]
fn demand_is_what_tags_tell_of_their_uses() {
    let dir = Dir::new();
    let store = open(&dir.place());
    for hour in 0..5 {
        assert!(store.commit(&uses([used("alpine:3")]), NOW + Duration::from_secs(3600) * hour));
    }
    let (tags, demand) = (store.tags(), store.demand());
    let uses: Vec<f64> = demand["docker.io/library/alpine:3"].iter().map(|one| one.at).collect();
    assert_eq!(uses, tags[0].recent.iter().map(|one| one.at.as_secs_f64()).collect::<Vec<_>>());
    assert_eq!(store.tags_alone()[0].recent, []);
    assert_eq!(store.newest_fact(), Some(NOW + Duration::from_secs(3600) * 4));
}
