//! Traces from what a host has on record.

use std::collections::HashMap;

use super::super::cost::{Cost, Size};
use super::super::score::Score;
use super::super::snapshot::Layer;
use super::clairvoyant::Future;
use super::trace::Entry;
use super::{Policy, Record, RecordedUse, Setup, Trace, replay};

fn layer(id: &str, unpacked: u64) -> Layer {
    Layer { id: id.to_owned(), size: Size { compressed: unpacked / 2, unpacked, inodes: 0 } }
}

fn used(at: f64, tag: &str, image: usize) -> RecordedUse {
    RecordedUse { at, tag: tag.to_owned(), image, project: Some(7), scheduled: at > 25.0 }
}

/// Two tags over one base, the first of which moves; and an image of which nothing is known.
fn record() -> Record {
    Record {
        uses: vec![used(30.0, "a", 1), used(10.0, "a", 0), used(20.0, "b", 2), used(5.0, "c", 3)],
        images: vec![
            vec![layer("base", 100), layer("a1", 10)],
            vec![layer("base", 100), layer("a2", 20)],
            vec![layer("base", 100), layer("b", 50)],
            Vec::new(),
        ],
        costs: HashMap::new(),
    }
}

fn seen(trace: &Trace) -> Vec<(f64, &str, Option<usize>)> {
    let name = |tag: usize| trace.tags[tag].as_str();
    trace
        .entries
        .iter()
        .map(|entry| match *entry {
            Entry::Moved { at, tag, version } => (at, name(tag), Some(version)),
            Entry::Job { event, .. } => (event.at, name(event.tag), None),
        })
        .collect()
}

#[test]
fn uses_become_jobs_in_order_and_a_tag_moves_halfway() {
    let trace = record().trace();
    let expected = [
        (10.0, "a", Some(0)),
        (10.0, "a", None),
        (20.0, "b", Some(1)),
        (20.0, "a", Some(2)),
        (20.0, "b", None),
        (30.0, "a", None),
    ];
    let mut found = seen(&trace);
    // What happens at one time to different tags is in no order that means anything.
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.2.is_some().cmp(&a.2.is_some())).then(a.2.cmp(&b.2)));
    assert_eq!(found, expected);
    assert_eq!((trace.working_set(), trace.layers.len()), (170, 4));
    let scheduled: Vec<bool> = trace.jobs().map(|(event, _)| event.scheduled).collect();
    assert_eq!(scheduled, [false, false, true]);
    assert!(trace.jobs().all(|(event, _)| event.project == Some(7)));
}

#[test]
fn each_registry_has_its_own_costs() {
    let mut record = record();
    let far = Cost { overhead_seconds: 100.0, ..Cost::default() };
    record.costs.insert("b".to_owned(), far);
    let trace = record.trace();
    let setup = Setup::new(Policy::Rule(Score::Lru), u64::MAX);
    let seconds = replay(&trace, &Future::new(&trace), setup).seconds;
    assert!((seconds - 103.0).abs() < 0.01, "{seconds}");
}

#[test]
fn two_images_under_one_name_at_one_time_stay_apart() {
    let both = vec![used(10.0, "a", 0), used(10.0, "a", 1), used(10.0, "a", 0)];
    let trace = Record { uses: both, ..record() }.trace();
    let versions: Vec<usize> = trace.jobs().map(|(_, version)| version).collect();
    assert_eq!(versions.len(), 3);
    assert!(versions.contains(&0) && versions.contains(&1), "{versions:?}");
}

#[test]
fn nothing_on_record_is_an_empty_trace() {
    let trace = Record::default().trace();
    assert_eq!((trace.jobs().count(), trace.working_set()), (0, 0));
    assert_eq!(replay_of(&trace), 0);
    let unknown = Record { uses: vec![used(1.0, "a", 9), used(f64::NAN, "a", 0)], ..record() };
    assert_eq!(unknown.trace().jobs().count(), 0);
}

fn replay_of(trace: &Trace) -> u64 {
    let setup = Setup { poll: Some(60.0), ..Setup::new(Policy::Clairvoyant, 0) };
    replay(trace, &Future::new(trace), setup).jobs
}
