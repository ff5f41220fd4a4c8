//! How full the host is, against the marks at which images go.

use serde::Serialize;

use super::desk::Seen;
use crate::evict::Room;
use crate::policy::{Rules, Water};
use crate::units::ByteSize;

/// How full the host is, and at which marks images go. `None` throughout: no limit, or it cannot be seen from here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Marks {
    /// Bytes of the distinct layers of all images.
    pub(super) images_bytes: u64,
    /// Bytes above which images go.
    pub(super) images_high: Option<u64>,
    /// Bytes at which that stops.
    pub(super) images_low: Option<u64>,
    /// The disk of the images.
    pub(super) disk_bytes: Option<u64>,
    /// What is free on it.
    pub(super) free_bytes: Option<u64>,
    /// Free bytes below which images go.
    pub(super) free_low: Option<u64>,
    /// Free bytes at which that stops.
    pub(super) free_high: Option<u64>,
    /// Inodes of that disk.
    pub(super) inodes: Option<u64>,
    /// Those that are free.
    pub(super) free_inodes: Option<u64>,
    /// Free inodes below which images go.
    pub(super) inodes_low: Option<u64>,
    /// Free inodes at which that stops.
    pub(super) inodes_high: Option<u64>,
}

impl Marks {
    /// Reads them from a look.
    pub(super) fn of(seen: &Seen) -> Self {
        Self::new(&seen.sight.rules, seen.sight.room, seen.standings.used.unpacked)
    }

    fn new(rules: &Rules, room: Option<Room>, images_bytes: u64) -> Self {
        let start = |water: Option<Water>| water.map(|water| water.start);
        let stop = |water: Option<Water>| water.map(|water| water.stop);
        Self {
            images_bytes,
            images_high: start(rules.image_bytes),
            images_low: stop(rules.image_bytes),
            disk_bytes: room.map(|room| room.bytes),
            free_bytes: room.map(|room| room.free_bytes),
            free_low: start(rules.free_bytes),
            free_high: stop(rules.free_bytes),
            inodes: room.and_then(|room| room.inodes),
            free_inodes: room.and_then(|room| room.free_inodes),
            inodes_low: start(rules.free_inodes),
            inodes_high: stop(rules.free_inodes),
        }
    }

    /// Says it, a line each, the names of one width.
    pub(super) fn lines(&self) -> String {
        let mut text = format!("images   {}", self.images());
        text.push_str(&format!("\ndisk     {}", self.disk()));
        if let Some(inodes) = self.of_inodes() {
            text.push_str(&format!("\ninodes   {inodes}"));
        }
        text + "\n"
    }

    fn images(&self) -> String {
        let used = ByteSize(self.images_bytes);
        match self.images_high.zip(self.images_low) {
            Some((high, low)) => {
                let verdict = if self.images_bytes > high { "too much" } else { "well" };
                format!("{used}: {verdict}; above {} they go down to {}", ByteSize(high), ByteSize(low))
            }
            None => format!("{used}; they have no limit of their own ([cache] images_high)"),
        }
    }

    fn disk(&self) -> String {
        let Some((free, all)) = self.free_bytes.zip(self.disk_bytes) else {
            return "cannot be seen from here: only the images' own limit counts ([cache] images_high)"
                .to_owned();
        };
        let is = format!("{} of {} free", ByteSize(free), ByteSize(all));
        match self.free_low.zip(self.free_high) {
            Some((low, high)) => {
                let verdict = if free < low { "too little" } else { "well" };
                format!(
                    "{is}: {verdict}; below {} images go until {} are free",
                    ByteSize(low),
                    ByteSize(high)
                )
            }
            None => format!("{is}; that has no limit ([cache] free_low)"),
        }
    }

    /// Says nothing of file systems that make inodes as they need them, and where nothing is asked of them.
    fn of_inodes(&self) -> Option<String> {
        let (free, all) = self.free_inodes.zip(self.inodes)?;
        let (low, high) = self.inodes_low.zip(self.inodes_high)?;
        let verdict = if free < low { "too few" } else { "well" };
        let (free, all, low, high) = (count(free), count(all), count(low), count(high));
        Some(format!("{free} of {all} free: {verdict}; below {low} images go until {high} are free"))
    }
}

/// Says a number short.
fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{:.0} k", number as f64 / 1e3),
        _ => format!("{:.1} M", number as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::Marks;
    use crate::evict::Room;
    use crate::policy::{Rules, Water};

    const GIB: u64 = 1 << 30;

    fn lines(rules: &Rules, room: Option<Room>, used: u64) -> String {
        Marks::new(rules, room, used).lines()
    }

    #[test]
    fn each_limit_is_told_with_what_there_is() {
        let rules = Rules {
            image_bytes: Some(Water { start: 20 * GIB, stop: 17 * GIB }),
            free_bytes: Some(Water { start: 10 * GIB, stop: 15 * GIB }),
            free_inodes: Some(Water { start: 500, stop: 800 }),
            ..Rules::default()
        };
        let room = |free_bytes, free_inodes| {
            Some(Room { bytes: 100 * GIB, free_bytes, inodes: Some(10_000), free_inodes: Some(free_inodes) })
        };
        assert_eq!(
            lines(&rules, room(40 * GIB, 900), 12 * GIB),
            "images   12 GiB: well; above 20 GiB they go down to 17 GiB\n\
             disk     40 GiB of 100 GiB free: well; below 10 GiB images go until 15 GiB are free\n\
             inodes   900 of 10 k free: well; below 500 images go until 800 are free\n"
        );
        let full = lines(&rules, room(9 * GIB, 499), 21 * GIB);
        assert!(full.contains("21 GiB: too much;") && full.contains("free: too little;"), "{full}");
        assert!(full.contains("499 of 10 k free: too few;"), "{full}");
    }

    #[test]
    fn what_has_no_limit_or_cannot_be_seen_is_told_as_that() {
        let text = lines(&Rules::default(), None, GIB);
        assert!(text.contains("1 GiB; they have no limit") && text.contains("cannot be seen"), "{text}");
        let btrfs = Room { bytes: GIB, free_bytes: GIB, inodes: None, free_inodes: None };
        let text = lines(&Rules::default(), Some(btrfs), 0);
        assert!(
            text.contains("1 GiB of 1 GiB free; that has no limit") && !text.contains("inodes"),
            "{text}"
        );
    }
}
