//! How fast unannounced uses come: several decayed rates, each weighted by how well it foresaw the uses so far.
//!
//! A project that works steadily is described best by a long memory, one that starts or ends by a short one. Each memory
//! is a model (uses come at the rate it holds), so its likelihood says how far to believe it; silence counts, too.

use std::f64::consts::LN_2;

use super::DAY;
use super::rhythm::Rhythm;

const MODELS: usize = 7;
/// Half-life of the longest memory in days of rhythm; each next one has half of it, down to half a day.
const LONGEST_DAYS: f64 = 32.0;
/// Uses a day that every model expects at least: what came once may come again.
const FLOOR: f64 = 0.02;
/// What a model's past success counts at each next use: tags change their ways.
const FADING: f64 = 0.95;

/// The rate of a tag's unannounced uses.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    counts: [f64; MODELS],
    credit: [f64; MODELS],
    at: f64,
    uses: u64,
}

impl Pace {
    /// Says whether it has seen no use.
    pub fn is_empty(&self) -> bool {
        self.uses == 0
    }

    /// Learns from a use.
    pub fn note(&mut self, at: f64, rhythm: &Rhythm) {
        let days = if self.is_empty() { 0.0 } else { rhythm.between(self.at, at) / DAY };
        for (model, kept, half_life) in memories(days) {
            let expected = self.counts[model] * (1.0 - kept) + FLOOR * days;
            self.counts[model] *= kept;
            let rate = self.counts[model] * LN_2 / half_life + FLOOR;
            self.credit[model] = self.credit[model] * FADING + rate.ln() - expected;
            self.counts[model] += 1.0;
        }
        let best = self.credit.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.credit.iter_mut().for_each(|credit| *credit -= best);
        self.at = at.max(self.at);
        self.uses += 1;
    }

    /// Returns the uses expected a second of rhythm.
    pub fn rate(&self, now: f64, rhythm: &Rhythm) -> f64 {
        if self.is_empty() {
            return FLOOR / DAY;
        }
        let days = rhythm.between(self.at, now) / DAY;
        let (mut rates, mut credits) = ([0.0; MODELS], [0.0; MODELS]);
        for (model, kept, half_life) in memories(days) {
            rates[model] = self.counts[model] * kept * LN_2 / half_life + FLOOR;
            credits[model] = self.credit[model] * FADING - self.counts[model] * (1.0 - kept) - FLOOR * days;
        }
        let best = credits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (rate, credit) in rates.iter().zip(credits) {
            let weight = (credit - best).exp();
            sum += weight * rate;
            weights += weight;
        }
        sum / weights / DAY
    }
}

/// Yields each memory with the share it keeps over so many days, and its half-life.
fn memories(days: f64) -> impl Iterator<Item = (usize, f64, f64)> {
    let (mut kept, mut half_life) = ((-days / LONGEST_DAYS).exp2(), LONGEST_DAYS);
    (0..MODELS).map(move |model| {
        let this = (model, kept, half_life);
        kept *= kept;
        half_life /= 2.0;
        this
    })
}

#[cfg(test)]
mod tests {
    use super::super::rhythm::Rhythm;
    use super::{DAY, Pace};

    #[test]
    fn a_steady_tag_keeps_its_rate_and_a_silent_one_loses_it() {
        let (rhythm, mut pace) = (Rhythm::default(), Pace::default());
        (0..200).for_each(|day| pace.note(f64::from(day) * DAY / 4.0, &rhythm));
        let end = 199.0 * DAY / 4.0;
        let rate = |after: f64| pace.rate(end + after, &rhythm) * DAY;
        assert!((3.0..5.0).contains(&rate(0.0)), "{}", rate(0.0));
        assert!(rate(3.0 * DAY) < 1.5, "{}", rate(3.0 * DAY));
        assert!(rate(60.0 * DAY) < 0.1, "{}", rate(60.0 * DAY));
    }
}
