//! Many replays of one trace, side by side.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does each piece of work on one of so many threads and returns the results in the order of the work.
pub fn side_by_side<W: Sync, R: Send>(work: &[W], threads: usize, each: impl Fn(&W) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(work.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, work.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, work)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    work.get(index).map(|work| (index, work))
                } {
                    let result = each(work);
                    results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
