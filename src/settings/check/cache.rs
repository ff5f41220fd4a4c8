//! `[cache]` and `[daemon]`: marks that go together.

use super::{Checker, optional, value};
use crate::settings::cache::{Amount, CacheSettings, DaemonSettings, Marks};
use crate::settings::raw::{RawCache, RawDaemon, Set};
use crate::settings::values::Maybe;
use crate::units::ByteSize;

/// A budget that holds not even one image is a mistake of units.
const LEAST: ByteSize = ByteSize(64 << 20);

/// Two keys that make a limit, high and low, with their names.
struct Pair<'r, T> {
    start: &'r Option<Set<Maybe<T>>>,
    stop: &'r Option<Set<Maybe<T>>>,
    names: [&'static str; 2],
}

impl<T: Copy> Pair<'_, T> {
    /// Takes both, each read by `read`. Without the one where eviction starts there is no limit; without the other one,
    /// eviction stops where it starts.
    fn marks<U: Copy>(&self, read: impl Fn(T) -> U, checker: &mut Checker<'_>) -> Option<Marks<U>> {
        let (start, stop) = (optional(self.start), optional(self.stop));
        if let (Some(set), None, Some(_)) = (self.stop, start, stop)
            && set.is_written()
        {
            let [needed, own] = self.names;
            checker.complain(
                set,
                format!("{own} says where eviction stops, but {needed}, where it starts, is not set"),
            );
        }
        let start = start?;
        Some(Marks { start: read(start), stop: read(stop.unwrap_or(start)) })
    }
}

/// Checks `[cache]`.
pub(super) fn check_cache(raw: &RawCache, checker: &mut Checker<'_>) -> CacheSettings {
    let images =
        Pair { start: &raw.images_high, stop: &raw.images_low, names: ["images_high", "images_low"] };
    let images = images.marks(|size| size, checker);
    if let (Some(set), Some(marks)) = (&raw.images_high, images) {
        if marks.start < LEAST {
            checker
                .complain(set, format!("{} is too little: write at least {LEAST}, such as 20g", marks.start));
        } else if marks.stop > marks.start {
            let problem = format!("{} is less than images_low, where eviction stops", marks.start);
            checker.complain(set, problem);
        }
    }
    let free = Pair { start: &raw.free_low, stop: &raw.free_high, names: ["free_low", "free_high"] };
    let free_inodes =
        Pair { start: &raw.inodes_low, stop: &raw.inodes_high, names: ["inodes_low", "inodes_high"] };
    let free = check_free(free.marks(|space| space.0, checker), &free, checker);
    let free_inodes = check_free(free_inodes.marks(|inodes| inodes.0, checker), &free_inodes, checker);
    CacheSettings {
        evict: value(&raw.evict),
        scope: value(&raw.scope),
        images,
        free,
        free_inodes,
        rule: value(&raw.rule).0,
        minimum_age: value(&raw.minimum_age).0,
        keep_dangling: value(&raw.keep_dangling).0,
        keep_local: optional(&raw.keep_local).map(|keep| keep.0),
        build_cache: optional(&raw.build_cache),
        keep_volumes: optional(&raw.keep_volumes).map(|keep| keep.0),
        pins: value(&raw.pins),
        data_root: optional(&raw.data_root).map(|path| path.0),
    }
}

/// Sees to it that eviction starts before it stops: a stop that is only a default gives way, one that somebody wrote is
/// complained about. A part of the whole and a number are not compared.
fn check_free<T>(
    marks: Option<Marks<Amount>>,
    keys: &Pair<'_, T>,
    checker: &mut Checker<'_>,
) -> Option<Marks<Amount>> {
    let marks = marks?;
    let fits = match (marks.start, marks.stop) {
        (Amount::Number(start), Amount::Number(stop)) => start <= stop,
        (Amount::Percent(start), Amount::Percent(stop)) => start <= stop,
        _ => true,
    };
    match (keys.start, keys.stop) {
        (Some(set), Some(stop)) if !fits && stop.is_written() => {
            let [low, high] = keys.names;
            checker.complain(
                set,
                format!("eviction starts below {low} and stops at {high}, so it cannot be the larger one"),
            );
        }
        _ if !fits => return Some(Marks { stop: marks.start, ..marks }),
        _ => {}
    }
    Some(marks)
}

/// Checks `[daemon]`.
pub(super) fn check_daemon(raw: &RawDaemon, checker: &mut Checker<'_>) -> DaemonSettings {
    DaemonSettings {
        interval: checker.above_zero(&raw.interval),
        watch: checker.above_zero(&raw.watch),
        longest_job: checker.above_zero(&raw.longest_job),
    }
}
