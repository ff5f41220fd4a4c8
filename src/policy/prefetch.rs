//! Which tags to look after, and when a moved one is worth pulling before a job asks for it.

use std::f64::consts::LN_2;

use super::forecast::DAY;
use super::history::History;
use super::shelf::TagIx;

/// Uses a day from which a tag is looked up in its registry.
const LOOKED_AFTER: f64 = 0.1;
/// How probable it must be that a job comes before the tag moves again. Below, bytes are pulled for nobody.
const WORTH_PULLING: f64 = 0.85;
/// Uses that are expected at most in as long a time as the tag has been silent: nobody waits for what has ended.
const SILENCE_USES: f64 = 2.0;
/// Uses within so many seconds from which a moved tag is pulled now: over night it may move once more.
const SOON: (f64, f64) = (0.2, 12.0 * 3600.0);
/// Uses within so many seconds from which an image that went is brought back now: before, others need its room.
const VERY_SOON: (f64, f64) = (0.5, 3.0 * 3600.0);
/// Days between two moves of a tag, until more is known: the median of official images.
const USUAL_DAYS: f64 = 9.0;

/// How often a tag was seen to move.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moves {
    /// How often.
    pub seen: u32,
    /// Seconds in which that was.
    pub over: f64,
}

impl Moves {
    fn per_day(self) -> f64 {
        (f64::from(self.seen) + 1.0) / (self.over.max(0.0) / DAY + USUAL_DAYS)
    }
}

/// Says whether a tag is used often enough to look it up.
pub fn looked_after(history: &History, tag: TagIx, now: f64) -> bool {
    uses_per_day(history, tag, now) >= LOOKED_AFTER
}

/// Says whether a tag that has moved is worth pulling now.
pub fn worth_pulling(history: &History, tag: TagIx, moves: Moves, now: f64) -> bool {
    chance_of_use(history, tag, moves, now) >= WORTH_PULLING
}

/// Says whether a tag that has moved should be pulled now, and not at one of the next looks: a schedule uses it, or other
/// jobs are expected within half a day. Without patterns of use nobody knows, and it should.
pub fn due(history: &History, tag: TagIx, now: f64) -> bool {
    let scheduled = history.forecast().is_some_and(|forecast| forecast.next_run(tag, now).is_some());
    scheduled || expected(history, tag, SOON, now)
}

/// Says whether an image that went should be brought back now: jobs are expected within hours.
pub fn due_back(history: &History, tag: TagIx, now: f64) -> bool {
    expected(history, tag, VERY_SOON, now)
}

fn expected(history: &History, tag: TagIx, (uses, seconds): (f64, f64), now: f64) -> bool {
    history.forecast().is_none_or(|forecast| forecast.uses_within(tag, now, seconds) >= uses)
}

/// Returns the chance that a job comes before the tag moves again.
pub fn chance_of_use(history: &History, tag: TagIx, moves: Moves, now: f64) -> f64 {
    let silence = (now - history.last_use(&[tag])).max(1.0) / DAY;
    let uses = uses_per_day(history, tag, now).min(SILENCE_USES / silence);
    uses / (uses + moves.per_day())
}

fn uses_per_day(history: &History, tag: TagIx, now: f64) -> f64 {
    history.rate(tag, now) * LN_2 / (history.half_life / DAY)
}

#[cfg(test)]
mod tests {
    use super::super::history::{Event, History};
    use super::{DAY, Moves, looked_after, worth_pulling};

    #[test]
    fn a_daily_tag_is_pulled_and_a_monthly_one_is_not_even_looked_up() {
        let mut history = History::new(2, 7.0 * DAY, false);
        for day in 0..60 {
            let at = f64::from(day) * DAY;
            history.note(Event { at, tag: 0, project: None, scheduled: false });
            if day == 10 {
                history.note(Event { at, tag: 1, project: None, scheduled: false });
            }
        }
        let now = 60.0 * DAY;
        assert!(looked_after(&history, 0, now) && !looked_after(&history, 1, now));
        assert!(worth_pulling(&history, 0, Moves { seen: 6, over: now }, now));
        assert!(!worth_pulling(&history, 0, Moves { seen: 60, over: now }, now));
    }

    #[test]
    fn a_tag_that_came_all_the_time_and_has_ended_is_not_pulled() {
        let mut history = History::new(1, 7.0 * DAY, false);
        for hour in 0..24 * 30 {
            let at = f64::from(hour) * DAY / 24.0;
            history.note(Event { at, tag: 0, project: None, scheduled: false });
        }
        let moves = |now| Moves { seen: 3, over: now };
        let worth = |now| worth_pulling(&history, 0, moves(now), now);
        // A weekend is no end.
        assert!(worth(30.0 * DAY) && worth(32.5 * DAY));
        assert!(looked_after(&history, 0, 36.0 * DAY) && !worth(36.0 * DAY));
    }
}
