//! Whether there is room for an image, and what would have to go for it: only what is clearly worth less.

use super::super::cost::Size;
use super::super::evict::{Ending, Plan, PlanError, plan};
use super::super::reading::Reading;
use super::super::reason::Reason;
use super::super::rules::{Rules, Water};
use super::super::score::foreseen::Foreseen;
use super::super::shelf::Shelf;
use super::super::snapshot::Snapshot;
use super::manners::Held;

/// How many times as much an image must be worth as what goes for it. Without that, what is worth about the same goes and
/// comes in turns: on a host with half of the room it needs, twice the bytes for nothing.
const CLEARLY: f64 = 3.0;

/// Whether there is room.
#[derive(Debug, Clone, PartialEq)]
pub enum Fit {
    /// There is.
    Fits,
    /// There is once these are gone, in this order.
    ByEvicting {
        /// The images, as [`Content::id`](crate::policy::Content::id) has them.
        ids: Vec<String>,
        /// What that loses: expected seconds for each second that passes.
        loses: f64,
    },
    /// What would have to go is not clearly worth less.
    TooDear {
        /// What that would lose, in the same measure.
        loses: f64,
    },
    /// Nothing is left that may go, and that is not enough.
    NoRoom {
        /// Bytes that are missing.
        bytes: u64,
        /// Inodes that are missing.
        inodes: u64,
    },
}

impl Fit {
    /// Returns the images that go first.
    ///
    /// # Errors
    /// What holds the image up, if there is no room for it.
    pub fn room(self) -> Result<Vec<String>, Held> {
        match self {
            Self::Fits => Ok(Vec::new()),
            Self::ByEvicting { ids, .. } => Ok(ids),
            Self::TooDear { loses } => Err(Held::TooDear { loses }),
            Self::NoRoom { bytes, inodes } => Err(Held::NoRoom { bytes, inodes }),
        }
    }
}

/// Says whether there is room for what is missing of an image. What goes for it is what [`plan`] would remove with as much
/// less room, and no more than that; `worth` is what [`rank`](super::rank) says of the image. While it comes, its
/// compressed bytes take room on the disk, too.
pub fn fits(snapshot: &Snapshot, rules: &Rules, needs: Size, worth: f64, now: f64) -> Fit {
    if let Some(water) = rules.image_bytes.filter(|water| needs.unpacked > water.start) {
        return Fit::NoRoom { bytes: needs.unpacked - water.start, inodes: 0 };
    }
    let (bytes, inodes) = (snapshot.disk.free_bytes.is_some(), snapshot.disk.free_inodes.is_some());
    let plan = match plan(snapshot, &with_less_room(rules, bytes, inodes, needs), now) {
        Ok(plan) => plan,
        Err(PlanError::PinsBeyondBudget { pinned, budget }) => {
            return Fit::NoRoom { bytes: pinned.saturating_sub(budget), inodes: 0 };
        }
    };
    if let Ending::NothingLeft { bytes, inodes } = plan.ending {
        return Fit::NoRoom { bytes, inodes };
    }
    if plan.removals.is_empty() {
        return Fit::Fits;
    }
    let loses = loses(snapshot, rules, &plan);
    if is_worth(worth, loses) {
        Fit::ByEvicting { ids: plan.removals.into_iter().map(|removal| removal.id).collect(), loses }
    } else {
        Fit::TooDear { loses }
    }
}

/// Returns the marks as they have to be kept beforehand, on a disk that tells of its free bytes and inodes or not. There is no
/// hysteresis: that is for what jobs pull.
pub fn with_less_room(rules: &Rules, bytes: bool, inodes: bool, needs: Size) -> Rules {
    let exactly = |mark: u64| Water { start: mark, stop: mark };
    let more_free = |water: Option<Water>, more: u64| {
        Some(exactly(water.map_or(0, |water| water.start).saturating_add(more)))
    };
    let coming = needs.unpacked.saturating_add(needs.compressed);
    Rules {
        image_bytes: rules.image_bytes.map(|water| exactly(water.start.saturating_sub(needs.unpacked))),
        free_bytes: more_free(rules.free_bytes, coming).filter(|_| bytes),
        free_inodes: more_free(rules.free_inodes, needs.inodes).filter(|_| inodes),
        ..rules.clone()
    }
}

fn loses(snapshot: &Snapshot, rules: &Rules, plan: &Plan) -> f64 {
    let reading = Reading::new(snapshot, rules, true, plan.as_of);
    let mut shelf = reading.shelf();
    reading.images.iter().for_each(|(item, _)| {
        shelf.put(item.clone());
    });
    let foreseen = Foreseen::new(&reading.history, &shelf, plan.as_of);
    let place = |id: &str| reading.images.iter().position(|(_, place)| snapshot.contents[*place].id == id);
    let gone = plan.removals.iter().filter_map(|removal| Some((place(&removal.id)?, removal.reason)));
    lost(&mut shelf, &foreseen, gone)
}

/// Says whether an image is worth what it costs to make room for it. Both are guesses, and what goes may have to come back,
/// so twice as much is not enough.
pub(in super::super) fn is_worth(worth: f64, loses: f64) -> bool {
    loses * CLEARLY < worth
}

/// Takes images off the shelf and returns what that loses: expected seconds for each second that passes. Builds of this
/// host that go for their age would go anyway.
pub(in super::super) fn lost(
    shelf: &mut Shelf,
    foreseen: &Foreseen,
    gone: impl Iterator<Item = (usize, Reason)>,
) -> f64 {
    let mut lost = 0.0;
    for (key, reason) in gone {
        let Some(index) = shelf.items().iter().position(|item| item.key == key) else { continue };
        if !matches!(reason, Reason::Dangling { .. } | Reason::LocalUnused { .. }) {
            lost += foreseen.worth(shelf, &shelf.items()[index]);
        }
        shelf.take(index);
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::super::super::guard::must_stay;
    use super::super::super::properties::{NOW, rules, snapshots};
    use super::super::super::snapshot::{Claim, Content, Disk, Layer, Tag, Use};
    use super::{Fit, Held, Rules, Size, Snapshot, Water, fits};
    use proptest::prelude::*;

    const MB: u64 = 1_000_000;
    const DAY: f64 = 86_400.0;

    fn mb(megabytes: u64) -> Size {
        Size { compressed: megabytes * MB * 2 / 5, unpacked: megabytes * MB, inodes: 0 }
    }

    /// An image of so many megabytes that was used once a day until now, at no fixed hour; or never.
    fn image(id: &str, megabytes: u64, used: bool) -> (Content, Option<Tag>) {
        let days = (1..30).map(|day| NOW - f64::from(day) * DAY + f64::from(day * 5 % 11) * 3600.0);
        let recent = days.map(|at| Use { at, project: None, scheduled: false }).collect();
        let tag = Tag { name: format!("tag-{id}"), names: Some(id.to_owned()), recent, ..Tag::default() };
        let content = Content {
            id: id.to_owned(),
            tags: vec![tag.name.clone()],
            layers: vec![Layer { id: format!("layer-{id}"), size: mb(megabytes) }],
            last_use: used.then_some(NOW - DAY + 5.0 * 3600.0),
            ..Content::default()
        };
        (content, used.then_some(tag))
    }

    fn host(images: impl IntoIterator<Item = (Content, Option<Tag>)>) -> Snapshot {
        let (contents, tags): (Vec<_>, Vec<_>) = images.into_iter().unzip();
        Snapshot { contents, tags: tags.into_iter().flatten().collect(), ..Snapshot::default() }
    }

    fn limit(megabytes: u64) -> Rules {
        let start = megabytes * MB;
        Rules { image_bytes: Some(Water { start, stop: start / 2 }), ..Rules::default() }
    }

    const DAILY: f64 = 1.0 / DAY;

    #[test]
    fn only_what_is_worth_less_goes_and_no_more_than_has_to() {
        let snapshot = host([image("used", 300, true), image("idle", 200, false), image("old", 200, false)]);
        let asked = |needs, worth| fits(&snapshot, &limit(800), mb(needs), worth, NOW);
        assert_eq!(asked(100, 0.0), Fit::Fits);
        let Fit::ByEvicting { ids, loses } = asked(150, DAILY * 60.0) else {
            panic!("{:?}", asked(150, 1.0))
        };
        assert_eq!((ids.len(), ids.contains(&"used".to_owned())), (1, false), "{ids:?} {loses}");
        // Nothing that is known of those two brings them back.
        assert_eq!(loses, 0.0);
        let Fit::TooDear { loses } = asked(550, DAILY * 20.0) else { panic!("{:?}", asked(550, 1.0)) };
        assert!((DAILY * 20.0..DAILY * 200.0).contains(&loses), "{loses}");
        assert!(
            matches!(asked(550, DAILY * 500.0), Fit::ByEvicting { ids, .. } if ids.contains(&"used".to_owned()))
        );
        assert_eq!(asked(900, 1.0), Fit::NoRoom { bytes: 100 * MB, inodes: 0 });
    }

    #[test]
    fn what_is_held_is_no_room() {
        let held = |change: fn(&mut Content)| {
            let (mut content, tag) = image("a", 500, false);
            change(&mut content);
            fits(&host([(content, tag)]), &limit(600), mb(300), f64::INFINITY, NOW)
        };
        assert!(matches!(held(|_| {}), Fit::ByEvicting { .. }));
        let none = Fit::NoRoom { bytes: 200 * MB, inodes: 0 };
        assert_eq!(held(|content| content.pinned = true), none);
        assert_eq!(held(|content| content.leased = true), none);
        assert_eq!(held(|content| content.claims = vec![Claim { at: NOW, grace: DAY }]), none);
    }

    #[test]
    fn the_image_that_a_tag_has_moved_away_from_goes_first_and_costs_nothing() {
        let (mut content, mut tag) = image("before", 500, true);
        content.layers[0].id = "only here".to_owned();
        if let Some(tag) = &mut tag {
            tag.names = Some("after".to_owned());
        }
        let snapshot = host([(content, tag), image("idle", 500, false)]);
        let fit = fits(&snapshot, &limit(1000), mb(400), DAILY, NOW);
        assert_eq!(fit, Fit::ByEvicting { ids: vec!["before".to_owned()], loses: 0.0 });
    }

    #[test]
    fn a_pull_takes_its_compressed_bytes_on_the_disk_too() {
        let mut snapshot = host([]);
        snapshot.disk = Disk { free_bytes: Some(140 * MB), free_inodes: None };
        assert_eq!(fits(&snapshot, &Rules::default(), mb(100), 1.0, NOW), Fit::Fits);
        snapshot.disk.free_bytes = Some(139 * MB);
        let none = Fit::NoRoom { bytes: MB, inodes: 0 };
        assert_eq!(fits(&snapshot, &Rules::default(), mb(100), 1.0, NOW), none);
        assert_eq!(
            fits(&snapshot, &Rules::default(), mb(100), 1.0, NOW).room(),
            Err(Held::NoRoom { bytes: MB, inodes: 0 })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn what_fits_fits_and_nothing_that_must_stay_goes(
            snapshot in snapshots(),
            rules in rules(),
            (compressed, unpacked, inodes) in (0..200 * MB, 0..400 * MB, 0..100_u64),
            worth in prop_oneof![Just(0.0), 0.0..0.1_f64, Just(f64::INFINITY)],
        ) {
            let needs = Size { compressed, unpacked, inodes };
            let fit = fits(&snapshot, &rules, needs, worth, NOW);
            let gone = match &fit {
                Fit::Fits => Vec::new(),
                Fit::ByEvicting { ids, loses } => {
                    prop_assert!(!ids.is_empty() && *loses * 2.9 < worth);
                    ids.clone()
                }
                Fit::TooDear { loses } => {
                    prop_assert!(*loses * 3.1 >= worth);
                    return Ok(());
                }
                Fit::NoRoom { bytes, inodes } => {
                    prop_assert!(*bytes > 0 || *inodes > 0);
                    return Ok(());
                }
            };
            let (left, freed): (Vec<&Content>, Vec<&Content>) =
                snapshot.contents.iter().partition(|content| !gone.contains(&content.id));
            prop_assert!(freed.iter().all(|content| !must_stay(content, &rules, NOW)));
            let layers = |contents: &[&Content]| -> std::collections::BTreeMap<String, Size> {
                contents.iter().flat_map(|one| &one.layers).map(|l| (l.id.clone(), l.size)).collect()
            };
            let sum = |layers: &std::collections::BTreeMap<String, Size>| {
                let mut sum = Size::default();
                layers.values().for_each(|size| sum += *size);
                sum
            };
            let (all, kept) = (sum(&layers(&snapshot.contents.iter().collect::<Vec<_>>())), sum(&layers(&left)));
            let water = |water: Option<Water>| water.map_or(0, |water| water.start);
            if let Some(images) = rules.image_bytes {
                prop_assert!(kept.unpacked + unpacked <= images.start, "{kept:?} {fit:?}");
            }
            if let Some(free) = snapshot.disk.free_bytes {
                let then = free + (all.unpacked - kept.unpacked);
                prop_assert!(then >= water(rules.free_bytes) + unpacked + compressed, "{then} {fit:?}");
            }
            if let Some(free) = snapshot.disk.free_inodes {
                prop_assert!(free + (all.inodes - kept.inodes) >= water(rules.free_inodes) + inodes, "{fit:?}");
            }
        }

        #[test]
        fn what_is_worth_more_finds_at_least_as_much_room(
            snapshot in snapshots(),
            rules in rules(),
            unpacked in 0..400 * MB,
            (worth, more) in (0.0..0.1_f64, 0.0..0.1_f64),
        ) {
            let needs = Size { compressed: unpacked / 3, unpacked, inodes: 0 };
            let (less, more) = (fits(&snapshot, &rules, needs, worth, NOW), fits(&snapshot, &rules, needs, worth + more, NOW));
            prop_assert!(less.clone().room().is_err() || less == more, "{less:?} {more:?}");
        }
    }
}
