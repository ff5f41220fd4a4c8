//! Whether the disk is too full: seen between rounds, at no cost.

use super::report::DiskReport;
use crate::evict::{Room, Site};
use crate::settings::CacheSettings;

/// Whether so little is free that images have to go.
pub fn is_too_full(room: &Room, cache: &CacheSettings) -> bool {
    let bytes = cache.free.is_some_and(|marks| room.free_bytes < marks.start.of(room.bytes));
    let inodes = room.inodes.zip(room.free_inodes).zip(cache.free_inodes);
    let inodes = inodes.is_some_and(|((all, free), marks)| free < marks.start.of(all));
    cache.evict && (bytes || inodes)
}

/// Puts down how full the disk is; `None`: it cannot be seen from here.
pub fn report(site: &Site, room: Option<&Room>) -> Option<DiskReport> {
    let (Site::Here(path), Some(room)) = (site, room) else { return None };
    Some(DiskReport {
        path: path.clone(),
        bytes: room.bytes,
        free_bytes: room.free_bytes,
        inodes: room.inodes.unwrap_or_default(),
        free_inodes: room.free_inodes.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Room, is_too_full};
    use crate::settings::{Sources, load};

    #[test]
    fn the_disk_is_too_full_below_either_mark_and_never_where_nothing_may_go() {
        let mut cache = load(&Sources { explicit: None, usual: Vec::new() }, None).unwrap().settings.cache;
        let room = |free_bytes, free_inodes: Option<u64>| Room {
            bytes: 1000,
            free_bytes,
            inodes: free_inodes.map(|_| 100),
            free_inodes,
        };
        assert!(!is_too_full(&room(100, Some(5)), &cache));
        assert!(is_too_full(&room(99, Some(5)), &cache));
        assert!(is_too_full(&room(100, Some(4)), &cache));
        assert!(!is_too_full(&room(100, None), &cache), "a file system without such a limit");
        cache.evict = false;
        assert!(!is_too_full(&room(0, Some(0)), &cache));
    }
}
