//! What holds for any snapshot: the plan against its promises, and against a slow obvious planner.

use std::collections::HashSet;

use proptest::prelude::*;

use super::guard::must_stay;
use super::snapshot::{Claim, Class, Content, Disk, Layer, Snapshot, Tag, Use};
use super::{Ending, Plan, Reason, Rules, Score, Size, Water, plan};

const MB: u64 = 1_000_000;
const DAY: f64 = 86_400.0;
pub(super) const NOW: f64 = 60.0 * DAY;

fn score() -> impl Strategy<Value = Score> {
    prop::sample::select(vec![
        Score::Lru,
        Score::LfuDa,
        Score::Gdsf,
        Score::LayerGdsf,
        Score::DecayedRate { half_life: 7.0 * DAY },
        Score::Foreseen,
    ])
}

/// Sizes by the layer's number, so that one layer always has one size; some are crumbs.
fn layer(number: u64) -> Layer {
    let unpacked = if number.is_multiple_of(5) { 1_000 } else { (number * 37 % 90 + 1) * MB };
    Layer {
        id: format!("l{number}"),
        size: Size { compressed: unpacked * 2 / 5, unpacked, inodes: number + 1 },
    }
}

fn tag(number: usize) -> impl Strategy<Value = Tag> {
    let uses = prop::collection::vec((0.0..NOW, prop::option::of(0..3_u64), any::<bool>()), 0..6);
    (uses, prop::option::of(0..8_usize)).prop_map(move |(uses, names)| Tag {
        name: format!("t{number}"),
        names: names.map(|content| format!("c{content}")),
        recent: uses.into_iter().map(|(at, project, scheduled)| Use { at, project, scheduled }).collect(),
        ..Tag::default()
    })
}

fn content(number: usize) -> impl Strategy<Value = Content> {
    let class = prop::sample::select(vec![
        Class::Pulled,
        Class::Pulled,
        Class::Pulled,
        Class::Local,
        Class::Dangling,
    ]);
    let layers = prop::collection::vec(0..14_u64, 1..5);
    let guards = prop::array::uniform3(prop::bool::weighted(0.1));
    let claim = prop::option::weighted(0.2, (0.0..2.0 * NOW, 0.0..DAY));
    let times = (0.0..NOW * 1.01, prop::option::of(0.0..NOW), 0.0..5.0);
    (class, layers, guards, claim, prop::collection::vec(0..5_usize, 0..3), times).prop_map(
        move |(class, layers, [pinned, leased, running], claim, tags, (since, last_use, priority))| Content {
            id: format!("c{number}"),
            tags: tags.into_iter().map(|tag| format!("t{tag}")).collect(),
            class,
            layers: layers.into_iter().map(layer).collect(),
            since,
            last_use,
            pinned,
            leased,
            running,
            claims: claim.into_iter().map(|(at, grace)| Claim { at, grace }).collect(),
            priority,
            ..Content::default()
        },
    )
}

pub(super) fn snapshots() -> impl Strategy<Value = Snapshot> {
    let tags: Vec<_> = (0..5).map(tag).collect();
    let contents = (1..8_usize).prop_flat_map(|many| (0..many).map(content).collect::<Vec<_>>());
    let disk = (prop::option::of(0..500 * MB), prop::option::of(0..200_u64));
    (tags, contents, disk).prop_map(|(tags, contents, (free_bytes, free_inodes))| Snapshot {
        tags,
        contents,
        disk: Disk { free_bytes, free_inodes },
        inflation: 1.0,
        looked_at: Some(NOW - 600.0),
    })
}

pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let water = || prop::option::of((0..600 * MB, 0..200 * MB));
    (score(), water(), water(), prop::option::of((0..100_u64, 0..50_u64))).prop_map(
        |(score, images, free, inodes)| Rules {
            score,
            image_bytes: images.map(|(stop, more)| Water { start: stop + more, stop }),
            free_bytes: free.map(|(start, more)| Water { start, stop: start + more }),
            free_inodes: inodes.map(|(start, more)| Water { start, stop: start + more }),
            ..Rules::default()
        },
    )
}

fn unpacked<'a>(contents: impl IntoIterator<Item = &'a Content>) -> Size {
    let mut seen = HashSet::new();
    let mut size = Size::default();
    for layer in contents.into_iter().flat_map(|content| &content.layers) {
        if seen.insert(&layer.id) {
            size += layer.size;
        }
    }
    size
}

fn gone<'a>(snapshot: &'a Snapshot, plan: &'a Plan) -> impl Iterator<Item = &'a Content> {
    let ids: HashSet<&str> = plan.removals.iter().map(|removal| removal.id.as_str()).collect();
    snapshot.contents.iter().filter(move |content| ids.contains(content.id.as_str()))
}

/// The snapshot once the plan was carried out.
fn carried_out(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut after = snapshot.clone();
    after.contents.retain(|content| !plan.removals.iter().any(|removal| removal.id == content.id));
    let freed = |of: fn(Size) -> u64| plan.removals.iter().map(|removal| of(removal.frees)).sum::<u64>();
    after.disk.free_bytes = after.disk.free_bytes.map(|free| free + freed(|size| size.unpacked));
    after.disk.free_inodes = after.disk.free_inodes.map(|free| free + freed(|size| size.inodes));
    after.inflation = plan.inflation;
    after
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_must_stay_is_in_no_plan(snapshot in snapshots(), rules in rules()) {
        let Ok(plan) = plan(&snapshot, &rules, NOW) else { return Ok(()) };
        for content in gone(&snapshot, &plan) {
            prop_assert!(!must_stay(content, &rules, NOW), "{content:?}");
            prop_assert!(content.class != Class::Local);
        }
    }

    #[test]
    fn the_end_is_as_the_plan_says(snapshot in snapshots(), rules in rules()) {
        let Ok(plan) = plan(&snapshot, &rules, NOW) else { return Ok(()) };
        let after = carried_out(&snapshot, &plan);
        let over = |snapshot: &Snapshot| {
            let used = unpacked(&snapshot.contents);
            rules.image_bytes.is_some_and(|water| used.unpacked > water.stop)
                || below(rules.free_bytes, snapshot.disk.free_bytes)
                || below(rules.free_inodes, snapshot.disk.free_inodes)
        };
        let started = |used: Size, disk: Disk| {
            rules.image_bytes.is_some_and(|water| used.unpacked > water.start)
                || rules.free_bytes.zip(disk.free_bytes).is_some_and(|(water, free)| free < water.start)
                || rules.free_inodes.zip(disk.free_inodes).is_some_and(|(water, free)| free < water.start)
        };
        match plan.ending {
            Ending::NotNeeded => prop_assert!(!started(unpacked(&after.contents), after.disk)),
            Ending::Enough => prop_assert!(!started(unpacked(&after.contents), after.disk)),
            Ending::NothingLeft { .. } => {
                prop_assert!(over(&after));
                for content in after.contents.iter().filter(|content| content.class == Class::Pulled) {
                    prop_assert!(must_stay(content, &rules, NOW), "{content:?} could have gone");
                }
            }
        }
        let freed = unpacked(&snapshot.contents).unpacked - unpacked(&after.contents).unpacked;
        prop_assert_eq!(freed, plan.removals.iter().map(|removal| removal.frees.unpacked).sum::<u64>());
    }

    #[test]
    fn the_order_of_what_is_known_does_not_matter(snapshot in snapshots(), rules in rules(), turn in 0..8_usize) {
        let mut turned = snapshot.clone();
        turned.tags.reverse();
        turned.tags.iter_mut().for_each(|tag| tag.recent.reverse());
        let turn = turn % turned.contents.len();
        turned.contents.rotate_left(turn);
        turned.contents.iter_mut().for_each(|content| content.layers.reverse());
        let (one, other) = (plan(&snapshot, &rules, NOW), plan(&turned, &rules, NOW));
        let ids = |plan: Plan| plan.removals.into_iter().map(|removal| removal.id).collect::<Vec<_>>();
        prop_assert_eq!(one.map(ids), other.map(ids));
    }

    #[test]
    fn a_second_plan_is_empty(snapshot in snapshots(), rules in rules()) {
        let Ok(first) = plan(&snapshot, &rules, NOW) else { return Ok(()) };
        let second = plan(&carried_out(&snapshot, &first), &rules, NOW);
        prop_assert_eq!(second.map(|plan| plan.removals), Ok(Vec::new()));
    }

    /// Rules that only take evict fewer or as many images. Foreseen also gives back what fits again: with a higher limit it
    /// may take two small images instead of a large one, but never more bytes. (Where bytes and inodes are both too many,
    /// what goes for the sake of the one changes what goes for the other.)
    #[test]
    fn a_higher_limit_never_evicts_more(snapshot in snapshots(), rules in rules(), more in 0..300 * MB) {
        let raised = Rules {
            image_bytes: rules.image_bytes.map(|water| Water { start: water.start + more, stop: water.stop + more }),
            ..rules.clone()
        };
        let (Ok(low), Ok(high)) = (plan(&snapshot, &rules, NOW), plan(&snapshot, &raised, NOW)) else { return Ok(()) };
        if rules.score != Score::Foreseen {
            prop_assert!(high.removals.len() <= low.removals.len(), "{low:?} {high:?}");
        } else if rules.free_inodes.is_none() {
            let freed = |plan: &Plan| plan.removals.iter().map(|removal| removal.frees.unpacked).sum::<u64>();
            prop_assert!(freed(&high) <= freed(&low), "{low:?} {high:?}");
        }
    }

    /// What foreseen takes by rank is needed: with any of it back, the limit would be passed.
    #[test]
    fn nothing_goes_by_foreseen_worth_that_could_have_stayed(snapshot in snapshots(), stop in 0..600 * MB) {
        let rules = Rules { image_bytes: Some(Water { start: stop, stop }), ..Rules::default() };
        let Ok(plan) = plan(&snapshot, &rules, NOW) else { return Ok(()) };
        let left = carried_out(&snapshot, &plan).contents;
        for removal in plan.removals.iter().filter(|one| matches!(one.reason, Reason::LeastWorth { .. })) {
            let back = snapshot.contents.iter().find(|content| content.id == removal.id);
            prop_assert!(unpacked(left.iter().chain(back)).unpacked > stop, "{removal:?} in {plan:?}");
        }
    }

    #[test]
    fn a_clock_that_jumps_evicts_nothing_that_was_young_or_claimed(
        snapshot in snapshots(), rules in rules(), jump in prop_oneof![-1e9..-1.0, 1e6..1e12],
    ) {
        let before = NOW - 600.0;
        prop_assert_eq!(plan(&snapshot, &rules, NOW + jump), plan(&snapshot, &rules, before));
    }

    #[test]
    fn the_plan_is_that_of_a_slow_obvious_planner(
        snapshot in snapshots(), mut rules in rules(), lru in any::<bool>(), budget in 0..600 * MB,
    ) {
        rules.score = if lru { Score::Lru } else { Score::DecayedRate { half_life: 7.0 * DAY } };
        (rules.free_bytes, rules.free_inodes) = (None, None);
        rules.image_bytes = Some(Water { start: budget, stop: budget });
        let mut snapshot = snapshot;
        snapshot.contents.iter_mut().for_each(|content| content.class = Class::Pulled);
        let Ok(plan) = plan(&snapshot, &rules, NOW) else { return Ok(()) };
        let ids: Vec<String> = plan.removals.into_iter().map(|removal| removal.id).collect();
        prop_assert_eq!(ids, slow(&snapshot, &rules, budget));
    }
}

fn below(water: Option<Water>, free: Option<u64>) -> bool {
    water.zip(free).is_some_and(|(water, free)| free < water.stop)
}

/// Removes one by one, counting everything anew each time.
fn slow(snapshot: &Snapshot, rules: &Rules, budget: u64) -> Vec<String> {
    let mut here: Vec<&Content> = snapshot.contents.iter().collect();
    here.sort_by(|a, b| a.id.cmp(&b.id));
    let mut ids = Vec::new();
    while unpacked(here.iter().copied()).unpacked > budget {
        let key = |content: &Content| {
            let others = unpacked(here.iter().copied().filter(|other| other.id != content.id));
            let all = unpacked(here.iter().copied());
            let frees = (all.unpacked - others.unpacked, all.compressed - others.compressed);
            let last_use = content.last_use.unwrap_or(f64::NEG_INFINITY);
            let tags: Vec<&Tag> =
                snapshot.tags.iter().filter(|tag| content.tags.contains(&tag.name)).collect();
            let names = |tag: &&&Tag| tag.names.as_ref().is_none_or(|id| *id == content.id);
            let naming: Vec<&Tag> = tags.iter().filter(names).copied().collect();
            let moved = !tags.is_empty() && naming.is_empty();
            let last = |tag: &&Tag| tag.recent.iter().map(|use_| use_.at).fold(f64::NEG_INFINITY, f64::max);
            if rules.score == Score::Lru {
                return (1, last_use, last_use);
            } else if moved {
                return (0, tags.iter().map(last).fold(f64::NEG_INFINITY, f64::max), last_use);
            } else if frees.0 < MB {
                return (2, last_use, last_use);
            }
            let uses = naming.iter().flat_map(|tag| &tag.recent);
            let mut rate: f64 = uses.map(|use_| (-(NOW - use_.at) / (7.0 * DAY)).exp2()).sum();
            rate += content
                .claims
                .iter()
                .filter(|claim| claim.at < NOW)
                .map(|claim| (-(NOW - claim.at) / (7.0 * DAY)).exp2())
                .sum::<f64>();
            (1, rate * (1.5 + frees.1 as f64 / 2.5e6 + frees.0 as f64 / 15e6) / frees.0 as f64, last_use)
        };
        let may = here.iter().filter(|content| !must_stay(content, rules, NOW));
        let lowest = may.min_by(|a, b| {
            let (a, b) = (key(a), key(b));
            a.0.cmp(&b.0).then(nearly(a.1, b.1)).then(a.2.total_cmp(&b.2))
        });
        let Some(lowest) = lowest.map(|content| content.id.clone()) else { break };
        here.retain(|content| content.id != lowest);
        ids.push(lowest);
    }
    ids
}

/// Sums in another order differ in the last digits.
fn nearly(a: f64, b: f64) -> std::cmp::Ordering {
    let near = a.is_finite() && b.is_finite() && (a - b).abs() <= 1e-12 * a.abs().max(b.abs());
    if a == b || near { std::cmp::Ordering::Equal } else { a.total_cmp(&b) }
}
