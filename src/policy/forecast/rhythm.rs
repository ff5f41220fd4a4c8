//! The host's rhythm: a clock that runs fast when many jobs come and slow at night and at weekends.
//!
//! A rate that is measured on it does not fall over night, and nothing looks long unused on Monday morning.

use super::{DAY, WEEK};

const BINS: usize = 168;
/// Days in which what was learned counts half.
const HALF_LIFE_DAYS: f64 = 28.0;
/// Uses that an even day counts for, until more is known.
const PRIOR_HOURS: f64 = 24.0;
/// Uses that an even week counts for; more, since the weekdays are seen less often.
const PRIOR_DAYS: f64 = 70.0;

/// The share of each hour of the day and each day of the week, learned from all uses.
#[derive(Debug, Clone)]
pub struct Rhythm {
    counts: [f64; BINS],
    sums: [f64; BINS + 1],
    refreshed: f64,
}

impl Default for Rhythm {
    fn default() -> Self {
        let mut rhythm = Self { counts: [0.0; BINS], sums: [0.0; BINS + 1], refreshed: 0.0 };
        rhythm.refresh();
        rhythm
    }
}

impl Rhythm {
    /// Learns from a use. The clock itself changes at most once a day.
    pub fn note(&mut self, at: f64) {
        let since = at - self.refreshed;
        if since > DAY {
            let kept = (-since / (HALF_LIFE_DAYS * DAY)).exp2();
            self.counts.iter_mut().for_each(|count| *count *= kept);
            self.refreshed = at;
            self.refresh();
        }
        self.counts[(at.rem_euclid(WEEK) / 3600.0) as usize % BINS] += 1.0;
    }

    /// Returns the seconds of rhythm between two times; an average week has as many as a week. 0 if `to` is earlier.
    pub fn between(&self, from: f64, to: f64) -> f64 {
        (self.reading(to) - self.reading(from)).max(0.0)
    }

    fn reading(&self, at: f64) -> f64 {
        let hours = at.rem_euclid(WEEK) / 3600.0;
        let bin = (hours as usize).min(BINS - 1);
        (at / WEEK).floor() * self.sums[BINS]
            + self.sums[bin]
            + (hours - bin as f64) * (self.sums[bin + 1] - self.sums[bin])
    }

    fn refresh(&mut self) {
        let (mut hours, mut days, mut all) = ([0.0; 24], [0.0; 7], 0.0);
        for (bin, count) in self.counts.iter().enumerate() {
            hours[bin % 24] += count;
            days[bin / 24] += count;
            all += count;
        }
        for bin in 0..BINS {
            let hour = (hours[bin % 24] + PRIOR_HOURS / 24.0) / (all + PRIOR_HOURS) * 24.0;
            let day = (days[bin / 24] + PRIOR_DAYS / 7.0) / (all + PRIOR_DAYS) * 7.0;
            self.sums[bin + 1] = self.sums[bin] + hour * day * 3600.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, Rhythm, WEEK};

    #[test]
    fn a_new_clock_runs_evenly_and_a_week_is_always_a_week() {
        let mut rhythm = Rhythm::default();
        assert!((rhythm.between(0.0, DAY) - DAY).abs() < 1e-6);
        for day in 0..60 {
            (0..20).for_each(|job| rhythm.note(f64::from(day) * DAY + 10.0 * 3600.0 + f64::from(job)));
        }
        assert!((rhythm.between(5.0, WEEK + 5.0) - WEEK).abs() < 1e-3);
        let (night, work) = (rhythm.between(0.0, 3600.0), rhythm.between(10.0 * 3600.0, 11.0 * 3600.0));
        assert!(work > 50.0 * night, "{night} {work}");
        assert_eq!(rhythm.between(DAY, 0.0), 0.0);
    }
}
