//! Uses that come at the same minute every day or every week: scheduled pipelines, also where nobody says so.

use super::{DAY, WEEK};

/// Seconds by which a run may be early or late.
const TOLERANCE: f64 = 300.0;
/// Runs in a row before a pattern is believed; chance alone brings two now and then.
const BELIEVED: u32 = 3;
/// Runs in a row if the runs themselves say that a schedule started them.
const BELIEVED_IF_SAID: u32 = 2;

#[derive(Debug, Clone, Copy)]
struct Slot {
    period: f64,
    last: f64,
    runs: u32,
    said: bool,
}

impl Slot {
    fn believed(&self) -> bool {
        self.runs >= if self.said { BELIEVED_IF_SAID } else { BELIEVED }
    }
}

/// The schedules of one tag. A weekly slot for each of five weekdays is how a schedule that rests at weekends looks.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    slots: Vec<Slot>,
}

impl Schedule {
    /// Says whether it has seen no use within its periods.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Learns from a use and says whether a schedule explains it. `said` is what the pipeline itself says.
    pub fn note(&mut self, at: f64, said: bool) -> bool {
        let mut explained = said;
        for period in [DAY, WEEK] {
            let due =
                |slot: &&mut Slot| slot.period == period && (at - slot.last - period).abs() <= TOLERANCE;
            if let Some(slot) = self.slots.iter_mut().find(due) {
                *slot = Slot { period, last: at, runs: slot.runs.saturating_add(1), said: slot.said || said };
                explained |= slot.believed();
            } else {
                self.slots.push(Slot { period, last: at, runs: 1, said });
            }
        }
        self.slots.retain(|slot| at <= slot.last + slot.period + TOLERANCE);
        explained
    }

    /// Returns when the next run is due; one that is a little late is due now. `None` if no schedule is believed.
    pub fn next(&self, now: f64) -> Option<f64> {
        self.slots
            .iter()
            .filter(|slot| slot.believed() && slot.last + slot.period + TOLERANCE >= now)
            .map(|slot| (slot.last + slot.period).max(now))
            .min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, Schedule, WEEK};

    #[test]
    fn three_nights_make_a_schedule_and_a_missed_one_ends_it() {
        let mut nightly = Schedule::default();
        assert!(!nightly.note(100.0, false));
        assert!(!nightly.note(DAY + 160.0, false));
        assert_eq!(nightly.next(DAY + 200.0), None);
        assert!(nightly.note(2.0 * DAY + 90.0, false));
        assert_eq!(nightly.next(2.0 * DAY + 200.0), Some(3.0 * DAY + 90.0));
        assert_eq!(nightly.next(3.0 * DAY + 150.0), Some(3.0 * DAY + 150.0));
        assert_eq!(nightly.next(3.0 * DAY + 1000.0), None);
    }

    #[test]
    fn runs_that_say_so_are_believed_sooner_and_weeks_count_too() {
        let mut weekly = Schedule::default();
        assert!(weekly.note(0.0, true));
        assert!(weekly.note(WEEK, true));
        assert_eq!(weekly.next(WEEK + 5.0), Some(2.0 * WEEK));
    }
}
