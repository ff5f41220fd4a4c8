//! What tells later why an image was cold: evictions, prefetches, how jobs came to their images.

use std::time::Duration;

use super::super::{Ahead, AheadOutcome, Announced, Batch, Gone, How, JobImage, Store};
use super::{DAY, Dir, MINUTE, NOW, digest, open};

fn ahead(name: &str, at: Duration, bytes: Option<u64>, outcome: AheadOutcome) -> Ahead {
    Ahead {
        at,
        name: name.to_owned(),
        digest: Some(digest(name)),
        platform: "linux/arm64".to_owned(),
        source: "list".to_owned(),
        bytes,
        took: Duration::from_millis(1500),
        outcome,
        words: "the link was cut".to_owned(),
    }
}

fn image(job: &str, name: &str, how: How) -> JobImage {
    JobImage {
        job: job.to_owned(),
        at: NOW,
        name: name.to_owned(),
        purpose: "image".to_owned(),
        digest: None,
        how,
        unproved: true,
        waited: Duration::from_millis(2500),
        bytes: Some(9),
    }
}

#[test]
fn an_evicted_image_is_known_by_all_its_names() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let gone = |at, name: &str| Gone {
        at,
        names: vec![name.to_owned(), digest(name)],
        why: "its tag has moved on".to_owned(),
        for_what: "images took 20 GiB".to_owned(),
    };
    assert!(store.note_gone(&gone(NOW, "a:1")) && store.note_gone(&gone(NOW + MINUTE, "b:1")));
    assert_eq!(open(&dir.place()).gone(NOW), [gone(NOW, "a:1"), gone(NOW + MINUTE, "b:1")]);
    let later = store.gone(NOW + MINUTE);
    assert!(later.len() == 1 && later[0].concerns("b:1") && later[0].concerns(&digest("b:1")));
    assert!(!later[0].concerns("a:1"));
    assert!(!Store::void().note_gone(&gone(NOW, "a:1")));
}

#[test]
fn prefetches_are_read_back_and_their_bytes_summed_whatever_came_of_them() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let aheads = vec![
        ahead("a:1", NOW, Some(100), AheadOutcome::Done),
        ahead("b:1", NOW + DAY, Some(30), AheadOutcome::Cut),
        ahead("c:1", NOW + DAY, None, AheadOutcome::Here),
        ahead("d:1", NOW + DAY, Some(4), AheadOutcome::Failed),
    ];
    assert!(store.commit(&Batch { aheads: aheads.clone(), ..Batch::default() }, NOW));
    assert_eq!(store.aheads(Duration::ZERO), aheads);
    assert_eq!(store.aheads(NOW + DAY), aheads[1..]);
    assert_eq!(
        (store.ahead_bytes(NOW), store.ahead_bytes(NOW + DAY), store.ahead_bytes(NOW + DAY * 2)),
        (134, 34, 0)
    );
    assert_eq!(Store::void().ahead_bytes(NOW), 0);
}

#[test]
fn a_jobs_images_are_found_by_a_part_of_its_text_newest_first() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let old = "hearth-tok-job-17 https://gitlab.example";
    let new = "hearth-tok-job-171 https://gitlab.example";
    let batch = |images| Batch { job_images: images, ..Batch::default() };
    let hows = [How::Here, How::Joined, How::Missing, How::Moved, How::Foreign];
    let images: Vec<JobImage> = hows.iter().map(|how| image(old, how.word(), *how)).collect();
    assert!(store.commit(&batch(images.clone()), NOW));
    assert!(store.commit(&batch(vec![image(new, "a:1", How::Here)]), NOW + MINUTE));
    assert_eq!(store.job_images(old), images);
    assert_eq!(store.find_jobs(""), [new, old]);
    assert_eq!(store.find_jobs("-job-17 "), [old]);
    assert_eq!(store.find_jobs("%"), Vec::<String>::new());
    assert!(store.job_images("17").is_empty());
    assert_eq!(store.job_images_called("a:1"), [image(new, "a:1", How::Here)]);
}

#[test]
fn an_announcement_has_its_time_and_can_be_taken_back() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let announced = |name: &str, at| Announced { name: name.to_owned(), at, grace: MINUTE };
    let a = store.announce(&announced("a:1", NOW), NOW).unwrap();
    store.announce(&announced("b:1", NOW), NOW).unwrap();
    assert_eq!((store.announced_when("a:1"), store.announced_when("c:1")), (Some(NOW), None));
    store.withdraw(&a);
    assert_eq!(store.announced(), [announced("b:1", NOW)]);
    store.withdraw(&a);
    assert_eq!(store.announced(), [announced("b:1", NOW)]);
}

#[test]
fn taking_an_announcement_back_leaves_those_of_others() {
    let dir = Dir::new();
    let store = open(&dir.place());
    let announced = |at| Announced { name: "a:1".to_owned(), at, grace: MINUTE };
    store.announce(&announced(NOW + MINUTE), NOW).unwrap();
    // One that ends sooner does not count, and there is nothing to take back.
    let sooner = store.announce(&announced(NOW), NOW).unwrap();
    store.withdraw(&sooner);
    assert_eq!(store.announced(), [announced(NOW + MINUTE)]);
    // One that ends later makes way for what was there before.
    let later = store.announce(&announced(NOW + MINUTE * 2), NOW + MINUTE).unwrap();
    assert_eq!(store.announced(), [announced(NOW + MINUTE * 2)]);
    store.withdraw(&later);
    assert_eq!((store.announced(), store.announced_when("a:1")), (vec![announced(NOW + MINUTE)], Some(NOW)));
    // And not for one that was made in its place since.
    let later = store.announce(&announced(NOW + MINUTE * 2), NOW).unwrap();
    store.announce(&announced(NOW + MINUTE * 3), NOW).unwrap();
    store.withdraw(&later);
    assert_eq!(store.announced(), [announced(NOW + MINUTE * 3)]);
}
