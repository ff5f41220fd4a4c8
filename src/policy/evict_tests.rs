//! The plan, case by case.

use super::snapshot::{Claim, Class, Content, Disk, Layer, Snapshot, Tag, Use};
use super::{Cost, Ending, Plan, PlanError, Reason, Rules, Score, Size, Water, plan};

const MB: u64 = 1_000_000;
const HOUR: f64 = 3600.0;
const NOW: f64 = 100.0 * 24.0 * HOUR;

fn layer(id: &str, megabytes: u64) -> Layer {
    let size = Size { compressed: megabytes * MB * 2 / 5, unpacked: megabytes * MB, inodes: megabytes * 10 };
    Layer { id: id.to_owned(), size }
}

/// An image of one tag with a layer of its own, used once so many hours ago.
fn image(name: &str, megabytes: u64, hours_ago: f64) -> (Tag, Content) {
    let at = NOW - hours_ago * HOUR;
    let tag = Tag {
        name: name.to_owned(),
        names: Some(format!("sha256:{name}")),
        recent: vec![Use { at, project: None, scheduled: false }],
        ..Tag::default()
    };
    let content = Content {
        id: format!("sha256:{name}"),
        tags: vec![name.to_owned()],
        layers: vec![layer(name, megabytes)],
        since: at - HOUR,
        last_use: Some(at),
        ..Content::default()
    };
    (tag, content)
}

fn snapshot(images: impl IntoIterator<Item = (Tag, Content)>) -> Snapshot {
    let (tags, contents) = images.into_iter().unzip();
    Snapshot { tags, contents, ..Snapshot::default() }
}

fn rules(score: Score, megabytes: u64) -> Rules {
    let water = Water { start: megabytes * MB, stop: megabytes * MB };
    Rules { score, image_bytes: Some(water), ..Rules::default() }
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.removals.iter().map(|removal| removal.id.trim_start_matches("sha256:")).collect()
}

fn three() -> Snapshot {
    snapshot([image("a", 100, 50.0), image("b", 200, 30.0), image("c", 300, 10.0)])
}

#[test]
fn nothing_goes_below_the_limit_and_all_that_is_needed_above_it() {
    let planned = |megabytes| plan(&three(), &rules(Score::Lru, megabytes), NOW).unwrap();
    assert_eq!((ids(&planned(600)), planned(600).ending), (vec![], Ending::NotNeeded));
    assert_eq!((ids(&planned(599)), planned(599).ending), (vec!["a"], Ending::Enough));
    assert_eq!((ids(&planned(0)), planned(0).ending), (vec!["a", "b", "c"], Ending::Enough));
}

#[test]
fn eviction_starts_at_one_mark_and_goes_on_to_the_other() {
    let mut rules = rules(Score::Lru, 0);
    rules.image_bytes = Some(Water { start: 550 * MB, stop: 350 * MB });
    assert_eq!(ids(&plan(&three(), &rules, NOW).unwrap()), ["a", "b"]);
    rules.image_bytes = Some(Water { start: 650 * MB, stop: 350 * MB });
    assert_eq!(plan(&three(), &rules, NOW).unwrap().ending, Ending::NotNeeded);
}

#[test]
fn a_full_disk_counts_and_so_do_inodes() {
    let mut snapshot = three();
    snapshot.disk = Disk { free_bytes: Some(50 * MB), free_inodes: Some(1_000) };
    let free = Some(Water { start: 100 * MB, stop: 150 * MB });
    let bytes = Rules { score: Score::Lru, free_bytes: free, ..Rules::default() };
    assert_eq!(ids(&plan(&snapshot, &bytes, NOW).unwrap()), ["a"]);
    let inodes = Some(Water { start: 2_000, stop: 3_500 });
    let inodes = Rules { score: Score::Lru, free_inodes: inodes, ..Rules::default() };
    assert_eq!(ids(&plan(&snapshot, &inodes, NOW).unwrap()), ["a", "b"]);
    snapshot.disk = Disk::default();
    assert_eq!(plan(&snapshot, &inodes, NOW).unwrap().ending, Ending::NotNeeded);
}

#[test]
fn what_a_tag_has_moved_away_from_goes_first() {
    for score in [Score::LayerGdsf, Score::DecayedRate { half_life: Score::HALF_LIFE }, Score::Foreseen] {
        let mut snapshot = three();
        snapshot.tags[2].names = Some("sha256:newer".to_owned());
        let plan = plan(&snapshot, &rules(score, 590), NOW).unwrap();
        assert_eq!((ids(&plan), plan.removals[0].reason), (vec!["c"], Reason::Moved), "{score}");
    }
}

#[test]
fn an_image_goes_by_what_would_really_go_with_it() {
    let mut snapshot = three();
    // a and b hold one large base: to remove a alone frees next to nothing.
    snapshot.contents[0].layers = vec![layer("base", 250), layer("a", 0)];
    snapshot.contents[1].layers = vec![layer("base", 250), layer("b", 50)];
    let plan = plan(&snapshot, &rules(Score::default(), 580), NOW).unwrap();
    assert_eq!(ids(&plan), ["b"]);
    assert_eq!(plan.removals[0].frees.unpacked, 50 * MB);
}

#[test]
fn what_must_stay_stays_and_the_plan_says_what_is_missing() {
    type Guard = fn(&mut Content);
    let guards: [(&str, Guard); 6] = [
        ("pinned", |content| content.pinned = true),
        ("leased", |content| content.leased = true),
        ("running", |content| content.running = true),
        ("young", |content| content.since = NOW - 60.0),
        ("young by a clock that stepped back", |content| content.since = NOW + 9.0 * HOUR),
        ("claimed", |content| content.claims = vec![Claim { at: NOW - HOUR, grace: 2.0 * HOUR }]),
    ];
    for (name, guard) in guards {
        let mut snapshot = three();
        guard(&mut snapshot.contents[0]);
        let plan = plan(&snapshot, &rules(Score::Lru, 100), NOW);
        assert_eq!(ids(plan.as_ref().unwrap()), ["b", "c"], "{name}");
        snapshot.contents.iter_mut().for_each(guard);
        if name != "pinned" {
            let plan = super::plan(&snapshot, &rules(Score::Lru, 100), NOW).unwrap();
            let ending = Ending::NothingLeft { bytes: 500 * MB, inodes: 0 };
            assert_eq!((ids(&plan), plan.ending), (vec![], ending), "{name}");
        }
    }
}

#[test]
fn pins_beyond_the_budget_are_refused_with_both_figures() {
    let mut snapshot = three();
    snapshot.contents[2].pinned = true;
    let error = plan(&snapshot, &rules(Score::default(), 299), NOW).unwrap_err();
    assert_eq!(error, PlanError::PinsBeyondBudget { pinned: 300 * MB, budget: 299 * MB });
    assert!(error.to_string().contains("unpin some, or raise the budget"), "{error}");
}

#[test]
fn a_claim_that_was_not_kept_fades_like_a_use() {
    for score in [Score::DecayedRate { half_life: Score::HALF_LIFE }, Score::Foreseen] {
        let mut snapshot = snapshot([image("a", 100, 60.0), image("b", 100, 50.0)]);
        assert_eq!(ids(&plan(&snapshot, &rules(score, 150), NOW).unwrap()), ["a"], "{score}");
        snapshot.contents[0].claims = vec![Claim { at: NOW - 10.0 * HOUR, grace: HOUR }];
        assert_eq!(ids(&plan(&snapshot, &rules(score, 150), NOW).unwrap()), ["b"], "{score}");
    }
}

#[test]
fn local_builds_have_a_rule_of_their_own() {
    let mut snapshot = three();
    snapshot.contents[0].class = Class::Local;
    snapshot.contents[1].class = Class::Dangling;
    let plan = plan(&snapshot, &rules(Score::default(), 10_000), NOW).unwrap();
    assert_eq!((ids(&plan), plan.ending), (vec!["b"], Ending::NotNeeded));
    assert!(matches!(plan.removals[0].reason, Reason::Dangling { .. }));
    // A named local build is lost once it goes: no pressure takes it, only its own rule.
    let pressed = super::plan(&snapshot, &rules(Score::default(), 0), NOW).unwrap();
    assert_eq!(ids(&pressed), ["b", "c"]);
    let kept = Rules { keep_local: Some(49.0 * HOUR), ..rules(Score::default(), 10_000) };
    assert_eq!(ids(&super::plan(&snapshot, &kept, NOW).unwrap()), ["a", "b"]);
}

#[test]
fn a_clock_that_jumps_ages_nothing() {
    let mut snapshot = three();
    snapshot.contents[0].class = Class::Dangling;
    snapshot.contents[0].last_use = None;
    snapshot.contents.iter_mut().for_each(|content| content.since = NOW - 600.0);
    snapshot.looked_at = Some(NOW);
    for jump in [-1e9, -1.0, 1e6, 1e12] {
        let plan = plan(&snapshot, &rules(Score::default(), 0), NOW + jump).unwrap();
        assert_eq!((ids(&plan), plan.as_of), (vec![], NOW), "{jump}");
    }
    let later = plan(&snapshot, &rules(Score::default(), 0), NOW + 2.0 * HOUR).unwrap();
    assert_eq!(ids(&later).len(), 2);
}

#[test]
fn a_host_that_pulls_slowly_from_one_registry_keeps_what_comes_from_there() {
    let mut snapshot = snapshot([image("far", 100, 50.0), image("near", 100, 50.0)]);
    snapshot.contents[0].cost = Cost { download_bytes_per_second: 1e5, ..Cost::default() };
    assert_eq!(ids(&plan(&snapshot, &rules(Score::default(), 150), NOW).unwrap()), ["near"]);
}

/// Why a higher limit may take more images, by a rule that looks at what is lost: two small ones for one large.
#[test]
fn a_higher_limit_may_take_two_small_images_where_a_lower_one_takes_a_large_one() {
    let mut snapshot = snapshot([image("large", 100, 50.0), image("s1", 10, 50.0), image("s2", 10, 50.0)]);
    // Equally long unused, but the large image is used more often: its bytes are worth a little less each.
    for (index, uses) in [(0, 3), (1, 1), (2, 1)] {
        let at = snapshot.tags[index].recent[0];
        snapshot.tags[index].recent =
            (0..uses).map(|n| Use { at: at.at - f64::from(n) * 24.0 * HOUR, ..at }).collect();
    }
    let gone = |stays| {
        let plan = plan(&snapshot, &rules(Score::Foreseen, stays), NOW).unwrap();
        let freed: u64 = plan.removals.iter().map(|removal| removal.frees.unpacked).sum();
        (ids(&plan).into_iter().map(str::to_owned).collect::<Vec<_>>(), freed)
    };
    assert_eq!(gone(100), (vec!["s1".to_owned(), "s2".to_owned()], 20 * MB));
    assert_eq!(gone(95), (vec!["large".to_owned()], 100 * MB));
}
