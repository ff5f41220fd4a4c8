//! The order in which images are brought ahead: expected seconds saved first.
//!
//! An image is worth its demand × the chance that it is still cold then × the seconds of its pull. That is the measure by
//! which images on the disk are kept (the nearness of the next use × seconds), so the two can be held against each other.

use std::f64::consts::LN_2;

use super::super::cost::Size;
use super::super::score::Score;
use super::candidate::{Candidate, Demand, Soon};

/// Compressed bytes of an image that nobody has looked at, where nothing else is known either.
pub(super) const USUAL_BYTES: u64 = 100_000_000;
/// How many times as many bytes are on the disk, in the mean of official images.
const UNPACKED_RATIO: f64 = 2.65;
/// Seconds by which a time that is foreseen may be missed. What is due now is as near as this, not infinitely near.
const SLACK: f64 = 300.0;
/// Seconds before its time in which an image that is foreseen for that time is brought, beside twice those of its pull.
const LEAD: f64 = 600.0;
/// Seconds until the running job needs what its own script names.
const NOW: f64 = 60.0;
/// Seconds until a job that may run beside the running one begins.
const BESIDE: f64 = 120.0;
/// Seconds that a stage of a pipeline takes.
const STAGE: f64 = 300.0;
/// Uses a second of what the operator lists without a time: as of an image that one job used, just now. That is also what
/// it counts for on the disk once it was brought, so it does not go and come in turns.
const LISTED: f64 = LN_2 / Score::HALF_LIFE;
/// Seconds within which a use is meant where people are told what is saved.
const DAY: f64 = 86_400.0;

/// What one candidate is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Which, an index into the candidates that were ranked.
    pub index: usize,
    /// Expected seconds saved for each second of waiting for it: nearness × chance that it is cold × seconds of the pull.
    pub worth: f64,
    /// Expected seconds saved, for people: of a use within a day where no time is known.
    pub saves: f64,
    /// Seconds of the pull.
    pub seconds: f64,
    /// When it should begin at the earliest, in seconds; 0: at once.
    pub not_before: f64,
}

/// Ranks candidates, the best first. The order does not depend on the one they come in. What nobody has looked at yet is
/// taken to be as large as the median of the others, or 100 MB.
pub fn rank(candidates: &[Candidate], now: f64) -> Vec<Ranked> {
    let usual = usual_size(candidates);
    let mut ranked: Vec<Ranked> = candidates
        .iter()
        .enumerate()
        .map(|(index, candidate)| worth(index, candidate, candidate.missing.unwrap_or(usual), now))
        .collect();
    ranked.sort_by(|a, b| {
        let (one, other) = (&candidates[a.index], &candidates[b.index]);
        (b.worth.total_cmp(&a.worth))
            .then_with(|| one.name.cmp(&other.name))
            .then_with(|| one.platform.cmp(&other.platform))
            .then(one.source.cmp(&other.source))
            .then_with(|| one.pipeline.cmp(&other.pipeline))
            .then(b.saves.total_cmp(&a.saves))
            .then(a.not_before.total_cmp(&b.not_before))
            .then(b.seconds.total_cmp(&a.seconds))
            .then(a.index.cmp(&b.index))
    });
    ranked
}

fn worth(index: usize, candidate: &Candidate, missing: Size, now: f64) -> Ranked {
    let cold = share(candidate.cold);
    let seconds = candidate.cost.pull_seconds(missing);
    let (nearness, chance) = match candidate.demand {
        Demand::Rate(rate) => {
            let rate = if rate.is_finite() { rate.max(0.0) } else { 0.0 };
            (rate, 1.0 - (-rate * DAY).exp())
        }
        Demand::At(at) if at.is_finite() => (1.0 / (at - now).max(SLACK), 1.0),
        Demand::At(_) => (0.0, 0.0),
        Demand::Soon(soon) => (1.0 / seconds_until(soon), 1.0),
        Demand::Listed => (LISTED, 1.0),
    };
    let not_before = match candidate.demand {
        Demand::At(at) => (at - seconds * 2.0 - LEAD).max(0.0),
        Demand::Rate(_) | Demand::Soon(_) | Demand::Listed => 0.0,
    };
    // Adding 0 turns -0, which sorts otherwise, into 0.
    let worth = nearness * cold * seconds + 0.0;
    Ranked { index, worth, saves: chance * cold * seconds, seconds, not_before }
}

fn seconds_until(soon: Soon) -> f64 {
    match soon {
        Soon::Now => NOW,
        Soon::Beside => BESIDE,
        Soon::Stages(stages) => STAGE * f64::from(stages.max(1)),
    }
}

fn share(chance: f64) -> f64 {
    if chance.is_nan() { 0.0 } else { chance.clamp(0.0, 1.0) }
}

/// The median of what is known to be missing.
fn usual_size(candidates: &[Candidate]) -> Size {
    let known = candidates.iter().filter_map(|candidate| candidate.missing);
    let mut known: Vec<Size> = known.filter(|size| size.compressed > 0).collect();
    known.sort_by_key(|size| (size.compressed, size.unpacked, size.inodes));
    let unpacked = (USUAL_BYTES as f64 * UNPACKED_RATIO) as u64;
    let usual = Size { compressed: USUAL_BYTES, unpacked, inodes: 0 };
    known.get(known.len().saturating_sub(1) / 2).copied().unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::super::super::cost::Cost;
    use super::super::candidate::Source;
    use super::{Candidate, Demand, Ranked, Size, Soon, rank};

    const HOUR: f64 = 3600.0;
    const NOW: f64 = 1e9;

    fn candidate(name: &str, megabytes: u64, demand: Demand) -> Candidate {
        let compressed = megabytes * 1_000_000;
        Candidate {
            name: name.to_owned(),
            platform: String::new(),
            source: Source::History,
            demand,
            cold: 1.0,
            missing: Some(Size { compressed, unpacked: compressed * 2, inodes: 0 }),
            cost: Cost::default(),
            pipeline: None,
        }
    }

    fn order(candidates: &[Candidate]) -> Vec<&str> {
        rank(candidates, NOW).iter().map(|ranked| candidates[ranked.index].name.as_str()).collect()
    }

    fn only(candidate: Candidate) -> Ranked {
        rank(&[candidate], NOW)[0]
    }

    #[test]
    fn what_saves_most_comes_first_and_not_what_is_used_most() {
        let small = candidate("used often, small", 5, Demand::Rate(3.0 / HOUR));
        let large = candidate("used less, large", 800, Demand::Rate(1.0 / HOUR));
        assert_eq!(order(&[small, large]), ["used less, large", "used often, small"]);
    }

    #[test]
    fn the_running_pipeline_comes_before_times_and_times_before_rates() {
        let all = [
            candidate("listed", 100, Demand::Listed),
            candidate("three stages on", 100, Demand::Soon(Soon::Stages(3))),
            candidate("twice an hour", 100, Demand::Rate(2.0 / HOUR)),
            candidate("beside", 100, Demand::Soon(Soon::Beside)),
            candidate("in ten minutes", 100, Demand::At(NOW + 600.0)),
            candidate("now", 100, Demand::Soon(Soon::Now)),
            candidate("next stage", 100, Demand::Soon(Soon::Stages(1))),
        ];
        let expected =
            ["now", "beside", "next stage", "in ten minutes", "three stages on", "twice an hour", "listed"];
        assert_eq!(order(&all), expected);
    }

    #[test]
    fn what_is_probably_warm_by_then_is_worth_less_and_nonsense_is_worth_nothing() {
        let whole = only(candidate("a", 100, Demand::Listed));
        let half = only(Candidate { cold: 0.5, ..candidate("a", 100, Demand::Listed) });
        assert!((half.worth * 2.0 - whole.worth).abs() < 1e-12 && half.saves < whole.saves);
        for (cold, demand) in [
            (f64::NAN, Demand::Listed),
            (-1.0, Demand::Listed),
            (1.0, Demand::Rate(f64::NAN)),
            (1.0, Demand::Rate(-1.0)),
            (1.0, Demand::Rate(f64::INFINITY)),
            (1.0, Demand::At(f64::NAN)),
        ] {
            let nothing = only(Candidate { cold, ..candidate("a", 100, demand) });
            assert_eq!((nothing.worth, nothing.saves), (0.0, 0.0), "{cold} {demand:?}");
            assert!(nothing.not_before.is_finite());
        }
    }

    #[test]
    fn what_is_foreseen_for_a_time_begins_shortly_before_it() {
        let ranked = only(candidate("nightly", 250, Demand::At(NOW + 8.0 * HOUR)));
        assert_eq!(ranked.not_before, NOW + 8.0 * HOUR - 2.0 * ranked.seconds - 600.0);
        assert_eq!(only(candidate("a", 250, Demand::Rate(1.0))).not_before, 0.0);
        // One that is overdue is due, not infinitely near.
        let late = only(candidate("a", 250, Demand::At(NOW - HOUR)));
        assert_eq!(late.worth, only(candidate("a", 250, Demand::At(NOW))).worth);
    }

    #[test]
    fn an_image_that_nobody_has_looked_at_is_taken_for_the_median_or_100_megabytes() {
        let unknown = |name| Candidate { missing: None, ..candidate(name, 0, Demand::Listed) };
        let seconds = |all: &[Candidate]| {
            let of = |ranked: &Ranked| all[ranked.index].missing.is_none();
            rank(all, NOW).into_iter().find(of).map(|ranked| ranked.seconds)
        };
        let model = Cost::default();
        let hundred = Size { compressed: 100_000_000, unpacked: 265_000_000, inodes: 0 };
        assert_eq!(seconds(&[unknown("a")]), Some(model.pull_seconds(hundred)));
        let sizes = [900, 30, 40].map(|megabytes| candidate("b", megabytes, Demand::Listed));
        let mut all = vec![unknown("a")];
        all.extend(sizes);
        assert_eq!(seconds(&all), Some(only(candidate("c", 40, Demand::Listed)).seconds));
    }
}
