//! On which occasion images go, and what that asks for.

use crate::policy::wanted::with_less_room;
use crate::policy::{Rules, Score, Size, Water};
use crate::settings::{Amount, CacheSettings, Marks, Rule};
use crate::units::ByteSize;

use super::gauge::Room;

/// A full disk shall have at least this much free afterwards, where nobody says how much is needed.
const LEAST: u64 = 256 << 20;
/// The part of the disk's inodes that a full disk shall have free, where the settings set no limit.
const LEAST_INODES: Amount = Amount::Percent(1);

/// Why eviction is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Time has passed.
    Tick,
    /// Something was pulled.
    AfterPull,
    /// A pull is about to begin that needs so many bytes: compressed ones for a while, and unpacked ones that are missing.
    BeforePull {
        /// The bytes.
        bytes: u64,
    },
    /// The engine said that there is no space left.
    NoSpace {
        /// The bytes that were asked for; 0: not known.
        bytes: u64,
    },
    /// What is missing of an image is about to be pulled, and no job waits for it.
    Ahead {
        /// What it needs.
        needs: Size,
    },
    /// An operator asked for it.
    Command,
}

impl Occasion {
    /// Says what room is made for where limits are passed in this way.
    pub(super) fn for_what(&self, passed: &str) -> String {
        let wanted = match *self {
            Self::Tick | Self::AfterPull | Self::Command | Self::NoSpace { bytes: 0 } => String::new(),
            Self::BeforePull { bytes } | Self::NoSpace { bytes } => {
                format!("an image of up to {}", ByteSize(bytes))
            }
            Self::Ahead { needs } => {
                format!("an image of {} ahead of its time", ByteSize(needs.unpacked))
            }
        };
        let separator = if wanted.is_empty() || passed.is_empty() { "" } else { ": " };
        format!("{wanted}{separator}{passed}")
    }
}

/// Makes the rules of the settings, with the marks in numbers of this host's disk. `chosen` is the rule that the host's own
/// history chose.
pub(super) fn rules(cache: &CacheSettings, room: Option<&Room>, chosen: Option<Score>) -> Rules {
    let water =
        |marks: Marks<Amount>, whole: u64| Water { start: marks.start.of(whole), stop: marks.stop.of(whole) };
    let inodes = room.and_then(|room| room.inodes);
    Rules {
        score: match cache.rule {
            Rule::Fixed(score) => score,
            Rule::Auto => chosen.unwrap_or_default(),
        },
        image_bytes: cache.images.map(|marks| Water { start: marks.start.0, stop: marks.stop.0 }),
        free_bytes: cache.free.zip(room).map(|(marks, room)| water(marks, room.bytes)),
        free_inodes: cache.free_inodes.zip(inodes).map(|(marks, inodes)| water(marks, inodes)),
        minimum_age: cache.minimum_age.as_secs_f64(),
        keep_dangling: cache.keep_dangling.as_secs_f64(),
        keep_local: cache.keep_local.map(|keep| keep.as_secs_f64()),
        ..Rules::default()
    }
}

/// Sharpens the rules by what the occasion asks for. `used` is what images take.
pub(super) fn sharpen(rules: &Rules, occasion: &Occasion, room: Option<&Room>, used: u64) -> Rules {
    let mut sharp = rules.clone();
    match *occasion {
        Occasion::Tick | Occasion::AfterPull | Occasion::Command => {}
        Occasion::BeforePull { bytes } => {
            let lower = |water: Water| Water {
                start: water.start.saturating_sub(bytes),
                stop: water.stop.min(water.start.saturating_sub(bytes)),
            };
            sharp.image_bytes = rules.image_bytes.map(lower);
            if room.is_some() {
                let mark = rules.free_bytes.unwrap_or(Water { start: 0, stop: 0 });
                let start = mark.start.saturating_add(bytes);
                sharp.free_bytes = Some(Water { start, stop: mark.stop.max(start) });
            }
        }
        Occasion::Ahead { needs } => {
            let sees_inodes = room.is_some_and(|room| room.free_inodes.is_some());
            return with_less_room(rules, room.is_some(), sees_inodes, needs);
        }
        Occasion::NoSpace { bytes } => {
            let needed = if bytes == 0 { LEAST } else { bytes };
            match room {
                Some(room) => {
                    let mark = rules.free_bytes.map_or(0, |water| water.stop.max(water.start));
                    // The engine may see less than is said to be free: there has to be more than there is in any case.
                    let target = mark.max(room.free_bytes.saturating_add(needed));
                    sharp.free_bytes = Some(Water { start: target, stop: target });
                }
                None => {
                    let target = used.saturating_sub(needed);
                    let stop = rules.image_bytes.map_or(target, |water| water.stop.min(target));
                    sharp.image_bytes = Some(Water { start: target, stop });
                }
            }
            if let (None, Some(whole)) = (rules.free_inodes, room.and_then(|room| room.inodes)) {
                let least = LEAST_INODES.of(whole);
                sharp.free_inodes = Some(Water { start: least, stop: least.saturating_mul(2) });
            }
        }
    }
    sharp
}

/// Says from the disk alone whether a limit may be passed; what images take is only known to who looks at them.
pub fn pressing(cache: &CacheSettings, room: Option<&Room>, occasion: &Occasion) -> bool {
    let rules = sharpen(&rules(cache, room, None), occasion, room, 0);
    let below = |water: Option<Water>, free: Option<u64>| {
        water.zip(free).is_some_and(|(water, free)| free < water.start)
    };
    rules.image_bytes.is_some()
        || below(rules.free_bytes, room.map(|room| room.free_bytes))
        || below(rules.free_inodes, room.and_then(|room| room.free_inodes))
}

/// What has to be reached before a plan may be left unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Goal {
    /// Bytes that shall be free.
    free_bytes: Option<u64>,
    /// Inodes that shall be free.
    free_inodes: Option<u64>,
    /// Bytes that images may take.
    image_bytes: Option<u64>,
}

impl Goal {
    /// Says which limits are passed now, and where each would be kept again.
    pub(super) fn of(rules: &Rules, room: Option<&Room>, used: u64) -> Self {
        let below = |water: Option<Water>, free: Option<u64>| {
            water
                .zip(free)
                .filter(|(water, free)| free < &water.start)
                .map(|(water, _)| water.stop.max(water.start))
        };
        Self {
            free_bytes: below(rules.free_bytes, room.map(|room| room.free_bytes)),
            free_inodes: below(rules.free_inodes, room.and_then(|room| room.free_inodes)),
            image_bytes: rules.image_bytes.filter(|water| used > water.start).map(|water| water.stop),
        }
    }

    /// Says whether all of it is reached.
    pub(super) fn is_reached(&self, room: Option<&Room>, used: u64) -> bool {
        let enough =
            |wanted: Option<u64>, free: Option<u64>| wanted.is_none_or(|w| free.is_none_or(|f| f >= w));
        enough(self.free_bytes, room.map(|room| room.free_bytes))
            && enough(self.free_inodes, room.and_then(|room| room.free_inodes))
            && self.image_bytes.is_none_or(|most| used <= most)
    }

    /// Says in words which limits are passed.
    pub(super) fn words(&self, room: Option<&Room>, used: u64) -> Vec<String> {
        let mut words = Vec::new();
        let free = self.free_bytes.zip(room.map(|room| room.free_bytes));
        if let Some((wanted, free)) = free.filter(|(wanted, free)| free < wanted) {
            words.push(format!("{} are free and {} shall be", ByteSize(free), ByteSize(wanted)));
        }
        let free = self.free_inodes.zip(room.and_then(|room| room.free_inodes));
        if let Some((wanted, free)) = free.filter(|(wanted, free)| free < wanted) {
            words.push(format!("{free} inodes are free and {wanted} shall be"));
        }
        if let Some(most) = self.image_bytes.filter(|most| used > *most) {
            words.push(format!("images take {} and may take {}", ByteSize(used), ByteSize(most)));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Occasion, pressing, rules, sharpen};
    use crate::evict::Room;
    use crate::policy::Water;
    use crate::settings::{Amount, CacheSettings, Marks};
    use crate::units::ByteSize;

    const GB: u64 = 1_000_000_000;

    fn cache() -> CacheSettings {
        CacheSettings {
            free: Some(Marks { start: Amount::Percent(10), stop: Amount::Percent(15) }),
            free_inodes: None,
            images: None,
            ..crate::settings::defaults().unwrap().cache
        }
    }

    fn room(free: u64) -> Room {
        Room { bytes: 100 * GB, free_bytes: free * GB, inodes: Some(1000), free_inodes: Some(500) }
    }

    #[test]
    fn marks_are_parts_of_the_disk() {
        let rules = rules(&cache(), Some(&room(50)), None);
        assert_eq!(rules.free_bytes, Some(Water { start: 10 * GB, stop: 15 * GB }));
        assert_eq!(super::rules(&cache(), None, None).free_bytes, None);
    }

    #[test]
    fn a_pull_shall_leave_the_mark_free() {
        let before = Occasion::BeforePull { bytes: 8 * GB };
        assert!(pressing(&cache(), Some(&room(17)), &before));
        assert!(!pressing(&cache(), Some(&room(18)), &before));
        assert!(!pressing(&cache(), Some(&room(17)), &Occasion::Tick));
        assert!(pressing(&cache(), Some(&room(9)), &Occasion::Tick));
        let sharp = sharpen(&rules(&cache(), Some(&room(17)), None), &before, Some(&room(17)), 0);
        assert_eq!(sharp.free_bytes, Some(Water { start: 18 * GB, stop: 18 * GB }));
        // Without a mark the pull itself needs the room.
        let free = CacheSettings { free: None, ..cache() };
        assert!(pressing(&free, Some(&room(7)), &before) && !pressing(&free, Some(&room(8)), &before));
    }

    #[test]
    fn a_pull_shall_not_take_images_above_their_limit() {
        let marks = Marks { start: ByteSize(20 * GB), stop: ByteSize(17 * GB) };
        let cache = CacheSettings { images: Some(marks), ..cache() };
        let rules = rules(&cache, None, None);
        let sharp = |bytes| sharpen(&rules, &Occasion::BeforePull { bytes }, None, 19 * GB).image_bytes;
        assert_eq!(sharp(2 * GB), Some(Water { start: 18 * GB, stop: 17 * GB }));
        assert_eq!(sharp(5 * GB), Some(Water { start: 15 * GB, stop: 15 * GB }));
    }

    #[test]
    fn a_full_disk_gets_room_whatever_it_says_is_free() {
        let rules = rules(&cache(), Some(&room(40)), None);
        let sharp = |bytes| sharpen(&rules, &Occasion::NoSpace { bytes }, Some(&room(40)), 30 * GB);
        assert_eq!(sharp(3 * GB).free_bytes, Some(Water { start: 43 * GB, stop: 43 * GB }));
        assert!(sharp(0).free_bytes.is_some_and(|water| water.start > 40 * GB));
        assert_eq!(sharp(0).free_inodes, Some(Water { start: 10, stop: 20 }));
        let blind = sharpen(&rules, &Occasion::NoSpace { bytes: 3 * GB }, None, 30 * GB);
        assert_eq!(blind.image_bytes, Some(Water { start: 27 * GB, stop: 27 * GB }));
    }

    #[test]
    fn a_goal_is_what_is_passed_and_is_reached_by_measure() {
        let rules = rules(&cache(), Some(&room(9)), None);
        let goal = Goal::of(&rules, Some(&room(9)), 0);
        assert!(!goal.is_reached(Some(&room(14)), 0) && goal.is_reached(Some(&room(15)), 0));
        assert_eq!(goal.words(Some(&room(9)), 0).len(), 1);
        // What was not passed need not be reached.
        assert!(Goal::of(&rules, Some(&room(11)), 0).is_reached(Some(&room(9)), 0));
    }
}
