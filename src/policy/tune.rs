//! Which rule fits this host: a replay of what it did lately, with each rule that it could follow.
//!
//! Meant to run once a week. The rule changes only for a clear gain, so that it does not waver between equals.

use super::cost::Cost;
use super::score::Score;
use super::simulate::clairvoyant::Future;
use super::simulate::{Policy, Setup, Trace, replay};

const DAY: f64 = 86_400.0;
/// Seconds of history that are judged.
const JUDGED: f64 = 28.0 * DAY;
/// Seconds before that in which the rules learn and fill the shelf, as far as the history goes back.
const LEARNED: f64 = 28.0 * DAY;
/// What a rule must spare of the current one's seconds to take its place.
const CLEAR_GAIN: f64 = 0.02;

/// What was chosen, and from what.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The rule to follow from now on.
    pub rule: Score,
    /// Each rule with the seconds that jobs would have waited, the current one first.
    pub tried: Vec<(Score, f64)>,
}

/// Returns the rules that a host may follow: the default, and the decayed rate with several half-lives.
pub fn candidates() -> impl Iterator<Item = Score> {
    let decayed = [3.0, 7.0, 14.0].into_iter().map(|days| Score::DecayedRate { half_life: days * DAY });
    std::iter::once(Score::Foreseen).chain(decayed)
}

/// Chooses a rule for the next week by the weeks before `now`. Without jobs in them the current rule stays.
pub fn tune(trace: &Trace, now: f64, budget: u64, cost: Cost, current: Score) -> Choice {
    let recent = trace.clone().window(now - JUDGED - LEARNED, now);
    let future = Future::default();
    let seconds = |rule: Score| {
        let setup = Setup { cost, count_from: now - JUDGED, ..Setup::new(Policy::Rule(rule), budget) };
        replay(&recent, &future, setup).seconds
    };
    let others = candidates().filter(|rule| *rule != current);
    let tried: Vec<_> = std::iter::once(current).chain(others).map(|rule| (rule, seconds(rule))).collect();
    let least = tried.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    let better = least.filter(|(_, least)| *least < tried[0].1 * (1.0 - CLEAR_GAIN));
    Choice { rule: better.map_or(current, |(rule, _)| rule), tried }
}

#[cfg(test)]
mod tests {
    use super::{DAY, tune};
    use crate::policy::simulate::Trace;
    use crate::policy::{Cost, Score};

    /// Two images for the day and a large nightly one, on a disk that holds all but one of them.
    fn trace(days: u32) -> Trace {
        let mut lines = String::new();
        for (tag, bytes) in [("a", 400_000_000_u64), ("b", 500_000_000), ("nightly", 600_000_000)] {
            let packed = bytes * 2 / 5;
            lines += &format!("{{\"at\":0,\"moved\":\"{tag}\",\"layers\":[[\"{tag}\",{packed},{bytes}]]}}\n");
        }
        for hour in 0..days * 24 {
            let job = match hour % 24 {
                2 => "nightly",
                9..=17 if hour % 2 == 0 => "a",
                9..=17 => "b",
                _ => continue,
            };
            lines += &format!("{{\"at\":{},\"job\":\"{job}\"}}\n", hour * 3600);
        }
        Trace::parse(&lines).unwrap()
    }

    #[test]
    fn a_rule_that_clearly_waited_less_is_chosen_and_says_so() {
        let choice = tune(&trace(60), 60.0 * DAY, 1_050_000_000, Cost::default(), Score::Lru);
        assert_ne!(choice.rule, Score::Lru, "{choice:?}");
        let seconds = |rule| choice.tried.iter().find(|(tried, _)| *tried == rule).unwrap().1;
        assert!(seconds(choice.rule) < 0.98 * seconds(Score::Lru), "{choice:?}");
    }

    #[test]
    fn equals_and_silence_change_nothing() {
        let decayed = Score::DecayedRate { half_life: 7.0 * DAY };
        assert_eq!(tune(&trace(60), 60.0 * DAY, u64::MAX, Cost::default(), decayed).rule, decayed);
        assert_eq!(tune(&trace(5), 900.0 * DAY, 1, Cost::default(), decayed).rule, decayed);
    }

    #[test]
    fn what_comes_after_now_does_not_count() {
        let (short, long) = (trace(60), trace(90));
        let tuned = |trace| tune(trace, 60.0 * DAY, 1_050_000_000, Cost::default(), Score::Lru);
        assert_eq!(tuned(&short), tuned(&long));
    }
}
