//! How images stand and why, case by case and against the plan.

use proptest::prelude::*;

use super::explain::{Fate, Remedy, explain};
use super::guard::Hold;
use super::properties::{rules as any_rules, snapshots};
use super::snapshot::{Class, Content, Disk, Layer, Snapshot, Tag, Use};
use super::standing::{Standings, pinned, standings};
use super::{Reason, Rules, Score, Size, Water, plan};

const MB: u64 = 1_000_000;
const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;
const NOW: f64 = 100.0 * DAY;

fn layer(id: &str, megabytes: u64) -> Layer {
    let size = Size { compressed: megabytes * MB * 2 / 5, unpacked: megabytes * MB, inodes: megabytes * 10 };
    Layer { id: id.to_owned(), size }
}

/// An image of one tag with a layer of its own on a base of 50 MB that all share, used every so many days up to now.
fn image(name: &str, megabytes: u64, every_days: u32) -> (Tag, Content) {
    let uses = (1..=90 / every_days).map(|use_| NOW - f64::from(use_ * every_days) * DAY);
    let uses: Vec<Use> = uses.map(|at| Use { at, project: None, scheduled: false }).collect();
    let last_use = uses.first().map(|use_| use_.at);
    let tag = Tag { name: name.to_owned(), names: Some(name.to_owned()), recent: uses, ..Tag::default() };
    let content = Content {
        id: name.to_owned(),
        tags: vec![name.to_owned()],
        layers: vec![layer("base", 50), layer(name, megabytes)],
        last_use,
        ..Content::default()
    };
    (tag, content)
}

/// 650 MB: the more often an image is used, the longer is its name.
fn host() -> Snapshot {
    let images = [image("a", 100, 30), image("bb", 200, 10), image("ccc", 300, 1)];
    let (tags, contents) = images.into_iter().unzip();
    Snapshot { tags, contents, ..Snapshot::default() }
}

fn limit(score: Score, megabytes: u64) -> Rules {
    let water = Water { start: megabytes * MB, stop: megabytes * MB };
    Rules { score, image_bytes: Some(water), ..Rules::default() }
}

fn content<'a>(snapshot: &'a mut Snapshot, id: &str) -> &'a mut Content {
    snapshot.contents.iter_mut().find(|content| content.id == id).unwrap()
}

fn ids(standings: &Standings) -> Vec<&str> {
    standings.images.iter().map(|standing| standing.id.as_str()).collect()
}

#[test]
fn images_stand_in_the_order_in_which_they_would_go() {
    let standings = standings(&host(), &limit(Score::Lru, 600), NOW);
    assert_eq!(ids(&standings), ["a", "bb", "ccc"]);
    let of = |id| standings.of(id).unwrap();
    assert_eq!((of("a").goes, of("bb").goes, of("ccc").goes), (true, false, false));
    assert_eq!((of("a").place, of("bb").place, of("ccc").place), (Some(0), Some(1), Some(2)));
    assert_eq!((of("bb").alone.unpacked, of("bb").whole.unpacked), (200 * MB, 250 * MB));
    assert_eq!(standings.used.unpacked, 650 * MB);
    // The last one takes the base with it.
    assert_eq!(of("ccc").frees.unpacked, 350 * MB);
    assert_eq!(of("a").rank(), Some(NOW - 30.0 * DAY));
    assert!((of("ccc").uses_per_day - 1.0).abs() < 0.1, "{}", of("ccc").uses_per_day);
    assert!((of("bb").uses_per_day - 0.1).abs() < 0.05, "{}", of("bb").uses_per_day);
    assert!(standings.of("d").is_none());
}

#[test]
fn what_is_held_has_no_turn_but_the_rank_it_would_have() {
    let mut host = host();
    content(&mut host, "a").pinned = true;
    content(&mut host, "bb").since = NOW - 60.0;
    let standings = standings(&host, &limit(Score::Lru, 0), NOW);
    assert!(standings.plan.is_err(), "150 MB are pinned and 0 are allowed");
    assert_eq!(ids(&standings), ["ccc", "a", "bb"]);
    let of = |id| standings.of(id).unwrap();
    assert_eq!((of("a").place, of("a").hold, of("a").goes), (None, Some(Hold::Pinned), false));
    assert_eq!(of("a").rank(), Some(NOW - 30.0 * DAY));
    assert_eq!(of("bb").hold, Some(Hold::Young { until: NOW - 60.0 + HOUR }));
    assert_eq!(pinned(&host).unpacked, 150 * MB);
}

#[test]
fn a_host_that_runs_out_of_inodes_counts_inodes() {
    let mut host = host();
    host.disk = Disk { free_bytes: None, free_inodes: Some(100) };
    let inodes = Some(Water { start: 500, stop: 500 });
    let rules = Rules { score: Score::Lru, free_inodes: inodes, ..Rules::default() };
    let standings = standings(&host, &rules, NOW);
    assert_eq!(ids(&standings), ["a", "bb", "ccc"]);
    assert!(standings.of("a").unwrap().goes && !standings.of("bb").unwrap().goes);
    let said = explain(&host, &rules, NOW, "a").unwrap();
    assert!(said.remedies.contains(&Remedy::Inodes(400)), "{:?}", said.remedies);
    assert!(!said.remedies.iter().any(|remedy| matches!(remedy, Remedy::Bytes(_))));
}

#[test]
fn what_goes_is_told_what_would_keep_it() {
    let rules = limit(Score::Lru, 570);
    let said = explain(&host(), &rules, NOW, "a").unwrap();
    assert!(matches!(said.fate, Fate::Goes { before: 0, reason: Reason::LeastWorth { .. } }), "{said:?}");
    assert_eq!(said.remedies, [Remedy::Bytes(80 * MB), Remedy::Use, Remedy::Pin]);
    assert_eq!((said.back.unpacked, said.headroom), (100 * MB, None));
    let seconds = 1.5 + 40e6 / 2.5e6 + 100e6 / 15e6;
    assert!((said.back_seconds.unwrap() - seconds).abs() < 1e-6);
}

#[test]
fn what_would_come_back_counts_what_goes_beside_it() {
    let rules = limit(Score::Lru, 0);
    let said = explain(&host(), &rules, NOW, "a").unwrap();
    assert_eq!(said.back.unpacked, 150 * MB, "the base goes, too");
    // A use only changes the order, and nothing may stay; pinning 150 MB where 0 may stay is refused.
    assert_eq!(said.remedies, [Remedy::Bytes(650 * MB)], "it is the first to go, so nothing must");
}

#[test]
fn what_stays_is_told_why_and_for_how_long() {
    let explained = |host: &Snapshot, rules: &Rules, id| explain(host, rules, NOW, id).unwrap();
    let said = explained(&host(), &limit(Score::Lru, 570), "bb");
    assert_eq!((said.fate, said.remedies), (Fate::Spared { before: 1 }, vec![]));
    assert_eq!(said.headroom, Some(20 * MB + 1), "650 − 570 + 20 is what a frees");

    let said = explained(&host(), &limit(Score::Lru, 650), "bb");
    assert_eq!((said.fate, said.headroom), (Fate::NoNeed { before: 1 }, Some(100 * MB + 1)));
    let said = explained(&host(), &Rules::default(), "bb");
    assert_eq!((said.fate, said.headroom), (Fate::NoNeed { before: 1 }, None), "there is no limit");

    let mut some_pinned = host();
    content(&mut some_pinned, "a").pinned = true;
    let said = explained(&some_pinned, &limit(Score::Lru, 650), "bb");
    assert_eq!((said.fate, said.headroom), (Fate::NoNeed { before: 0 }, Some(1)));
    let said = explained(&some_pinned, &limit(Score::Lru, 100), "bb");
    assert!(matches!(said.fate, Fate::Unplanned(_)), "{said:?}");
    let said = explained(&some_pinned, &limit(Score::Lru, 100), "a");
    assert_eq!((said.fate, said.headroom), (Fate::Held(Hold::Pinned), None));
}

#[test]
fn builds_of_this_host_go_by_their_own_rules_and_do_not_come_back() {
    let mut host = host();
    content(&mut host, "a").class = Class::Local;
    content(&mut host, "bb").class = Class::Dangling;
    content(&mut host, "bb").since = NOW - 2.0 * HOUR;
    let rules = Rules { minimum_age: HOUR, ..limit(Score::Lru, 0) };
    let fate = |rules: &Rules, id| explain(&host, rules, NOW, id).unwrap();
    let last_use = NOW - 30.0 * DAY;
    assert_eq!(fate(&rules, "a").fate, Fate::Built { until: None });
    assert_eq!(fate(&rules, "a").back_seconds, None);
    let kept = Rules { keep_local: Some(31.0 * DAY), ..rules.clone() };
    assert_eq!(fate(&kept, "a").fate, Fate::Built { until: Some(last_use + 31.0 * DAY) });
    assert_eq!(fate(&rules, "bb").fate, Fate::Built { until: Some(NOW + 22.0 * HOUR) });
    let short = Rules { keep_dangling: HOUR, ..rules };
    let said = fate(&short, "bb");
    assert!(matches!(said.fate, Fate::Goes { reason: Reason::Dangling { .. }, .. }), "{said:?}");
    assert_eq!(said.remedies, [Remedy::Use], "no limit keeps it, and a pin would be beyond the budget of 0");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn standings_begin_with_what_the_plan_removes(snapshot in snapshots(), rules in any_rules()) {
        let standings = standings(&snapshot, &rules, NOW);
        let planned = plan(&snapshot, &rules, NOW);
        prop_assert_eq!(&standings.plan, &planned);
        let removed: Vec<String> =
            planned.iter().flat_map(|plan| &plan.removals).map(|removal| removal.id.clone()).collect();
        let goes: Vec<String> =
            standings.images.iter().filter(|one| one.goes).map(|one| one.id.clone()).collect();
        prop_assert_eq!(goes, removed);
        prop_assert_eq!(standings.images.len(), snapshot.contents.len());
        let places: Vec<usize> = standings.images.iter().filter_map(|one| one.place).collect();
        prop_assert_eq!(&places, &(0..places.len()).collect::<Vec<_>>());
        for one in &standings.images {
            prop_assert!(one.hold.is_none() || one.place.is_none(), "{:?}", one);
        }
    }

    #[test]
    fn what_is_said_to_keep_an_image_keeps_it(snapshot in snapshots(), rules in any_rules()) {
        for content in &snapshot.contents {
            let said = explain(&snapshot, &rules, NOW, &content.id).unwrap();
            let goes = |rules: &Rules| {
                plan(&snapshot, rules, NOW)
                    .is_ok_and(|plan| plan.removals.iter().any(|removal| removal.id == content.id))
            };
            prop_assert_eq!(matches!(said.fate, Fate::Goes { .. }), goes(&rules));
            for remedy in said.remedies {
                if let Remedy::Bytes(bytes) = remedy {
                    let more = |water: Water| Water { start: water.start + bytes, stop: water.stop + bytes };
                    let less = |water: Water| Water {
                        start: water.start.saturating_sub(bytes),
                        stop: water.stop.saturating_sub(bytes),
                    };
                    let (image_bytes, free_bytes) = (rules.image_bytes.map(more), rules.free_bytes.map(less));
                    let with_more = Rules { image_bytes, free_bytes, ..rules.clone() };
                    prop_assert!(!goes(&with_more));
                }
            }
        }
    }
}
