//! What bytes cost: sizes of layers, and the seconds that pulling them takes.

use std::ops::{AddAssign, SubAssign};

/// The size of layers: what the registry sends and what lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Bytes that the registry sends.
    pub compressed: u64,
    /// Bytes on disk.
    pub unpacked: u64,
    /// Files and directories on disk; 0 where that is not known.
    pub inodes: u64,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.compressed = self.compressed.saturating_add(other.compressed);
        self.unpacked = self.unpacked.saturating_add(other.unpacked);
        self.inodes = self.inodes.saturating_add(other.inodes);
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.compressed = self.compressed.saturating_sub(other.compressed);
        self.unpacked = self.unpacked.saturating_sub(other.unpacked);
        self.inodes = self.inodes.saturating_sub(other.inodes);
    }
}

/// The seconds model of a pull. The default is only a start: the host measures its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Seconds for login, manifest and configuration, whatever the size.
    pub overhead_seconds: f64,
    /// Compressed bytes a second from this image's registry.
    pub download_bytes_per_second: f64,
    /// Unpacked bytes a second onto this host's disk.
    pub unpack_bytes_per_second: f64,
}

impl Default for Cost {
    /// Returns a board behind a 20 Mbit/s line with an SD card.
    fn default() -> Self {
        Self { overhead_seconds: 1.5, download_bytes_per_second: 2.5e6, unpack_bytes_per_second: 15e6 }
    }
}

impl Cost {
    /// Returns the seconds for layers of this size, without the overhead.
    pub fn layer_seconds(&self, size: Size) -> f64 {
        size.compressed as f64 / self.download_bytes_per_second.max(1.0)
            + size.unpacked as f64 / self.unpack_bytes_per_second.max(1.0)
    }

    /// Returns the seconds for a pull that is missing layers of this size.
    pub fn pull_seconds(&self, missing: Size) -> f64 {
        self.overhead_seconds + self.layer_seconds(missing)
    }
}

/// Compressed bytes that the speeds to begin with count as, beside the host's own pulls.
const PRIOR_BYTES: f64 = 4.0e6;
/// By how much a pull counts less than the next newer one: links change, and a dozen pulls say enough.
const AGEING: f64 = 0.9;
/// Phases below this are too short to say anything.
const SHORTEST_SECONDS: f64 = 0.02;
/// What lies beside the bytes takes no longer than this; more is a pause between two tries.
const LONGEST_OVERHEAD: f64 = 15.0;

/// What one pull took; `None` where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PullSample {
    /// Bytes that came over the link.
    pub compressed: Option<u64>,
    /// Bytes that came onto the disk.
    pub unpacked: Option<u64>,
    /// Seconds in which bytes came.
    pub download_seconds: Option<f64>,
    /// Seconds in which layers were unpacked.
    pub extract_seconds: Option<f64>,
    /// Seconds of the whole pull.
    pub total_seconds: Option<f64>,
}

impl PullSample {
    /// Returns the seconds beside the bytes; 0 where both phases ran side by side.
    fn overhead_seconds(&self) -> Option<f64> {
        let rest = self.total_seconds? - self.download_seconds? - self.extract_seconds?;
        rest.is_finite().then(|| rest.clamp(0.0, LONGEST_OVERHEAD))
    }
}

/// Fits what pulls cost from this host's own, newest first: the link's speed from those of one registry, the disk's and
/// the overhead from `all`. A speed is bytes over seconds of all of them together, so large pulls say more than small ones;
/// `start` counts as one small pull, so that a single odd one does not decide, and is all there is where no pull says
/// anything.
pub fn fit(link: &[PullSample], all: &[PullSample], start: Cost) -> Cost {
    let download = link.iter().map(|pull| (pull.compressed, pull.download_seconds));
    let unpack = all.iter().map(|pull| (pull.unpacked, pull.extract_seconds));
    Cost {
        overhead_seconds: overhead(all, start.overhead_seconds),
        download_bytes_per_second: speed(download, start.download_bytes_per_second),
        unpack_bytes_per_second: speed(unpack, start.unpack_bytes_per_second),
    }
}

fn overhead(pulls: &[PullSample], start: f64) -> f64 {
    let (mut seconds, mut weights, mut weight) = (start, 1.0, 1.0);
    for overhead in pulls.iter().filter_map(PullSample::overhead_seconds) {
        seconds += weight * overhead;
        weights += weight;
        weight *= AGEING;
    }
    seconds / weights
}

fn speed(pulls: impl Iterator<Item = (Option<u64>, Option<f64>)>, start: f64) -> f64 {
    let (mut bytes, mut seconds) = (PRIOR_BYTES, PRIOR_BYTES / start.max(1.0));
    let mut weight = 1.0;
    for (came, took) in pulls.filter_map(|(came, took)| came.zip(took)) {
        if came > 0 && took.is_finite() && took >= SHORTEST_SECONDS {
            bytes += weight * came as f64;
            seconds += weight * took;
            weight *= AGEING;
        }
    }
    bytes / seconds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cost, PullSample, fit};

    fn pull(megabytes: u64, seconds: f64) -> PullSample {
        PullSample {
            compressed: Some(megabytes * 1_000_000),
            download_seconds: Some(seconds),
            ..Default::default()
        }
    }

    fn link(pulls: &[PullSample]) -> f64 {
        fit(pulls, &[], Cost::default()).download_bytes_per_second
    }

    #[test]
    fn a_host_without_pulls_has_the_speeds_to_begin_with() {
        let silent = PullSample { compressed: Some(1 << 30), ..Default::default() };
        assert_eq!(fit(&[], &[], Cost::default()), Cost::default());
        assert_eq!(fit(&[silent], &[silent], Cost::default()), Cost::default());
    }

    #[test]
    fn one_large_pull_outweighs_the_start_and_one_small_one_does_not() {
        let large = link(&[pull(300, 300.0)]);
        assert!((0.9e6..1.1e6).contains(&large), "{large}");
        let small = link(&[pull(0, 0.1), PullSample { compressed: Some(1000), ..pull(0, 0.5) }]);
        assert!((1.5e6..2.5e6).contains(&small), "{small}");
    }

    #[test]
    fn the_overhead_is_what_the_bytes_do_not_explain() {
        let pull = |total| PullSample {
            download_seconds: Some(3.0),
            extract_seconds: Some(2.0),
            total_seconds: Some(total),
            ..Default::default()
        };
        let overhead = |pulls: &[PullSample]| fit(&[], pulls, Cost::default()).overhead_seconds;
        assert!((overhead(&[pull(9.0); 30]) - 4.0).abs() < 0.3);
        // Phases that overlap leave no rest, and a pause between two tries is none.
        assert!(overhead(&[pull(4.0); 30]) < 0.3);
        assert!(overhead(&[pull(4000.0); 40]) <= 15.0);
        assert_eq!(overhead(&[PullSample { total_seconds: None, ..pull(9.0) }]), 1.5);
    }

    #[test]
    fn a_link_that_became_slow_is_known_after_a_few_pulls() {
        let mut pulls = vec![pull(50, 100.0); 10];
        pulls.extend(vec![pull(50, 5.0); 10]);
        assert!(link(&pulls) < 1.0e6, "{}", link(&pulls));
    }

    proptest! {
        #[test]
        fn a_fitted_speed_lies_between_the_slowest_and_the_fastest_pull(
            pulls in prop::collection::vec((1_u64..500, 0.02_f64..900.0), 1..30)
        ) {
            let start = Cost::default().download_bytes_per_second;
            let speeds = pulls.iter().map(|(megabytes, seconds)| *megabytes as f64 * 1e6 / seconds).chain([start]);
            let least = speeds.clone().fold(f64::INFINITY, f64::min);
            let most = speeds.fold(0.0, f64::max);
            let pulls: Vec<_> = pulls.iter().map(|(megabytes, seconds)| pull(*megabytes, *seconds)).collect();
            let fitted = link(&pulls);
            prop_assert!(fitted >= least * 0.999 && fitted <= most * 1.001, "{} {} {}", least, fitted, most);
        }
    }
}
