//! When a tag will be used next, learned from when it was used.
//!
//! Uses come from people at work (a rate, on the host's own rhythm of hours and weekdays), from schedules (the same
//! minute every day or week) and from pipelines (images that follow each other within a minute or two). One short file
//! each; [`Outlook`] joins what they say.

pub mod companions;
pub mod pace;
pub mod rhythm;
pub mod schedule;

use companions::Companions;
use pace::Pace;
use rhythm::Rhythm;
use schedule::Schedule;

use super::history::Event;
use super::shelf::TagIx;

pub(super) const DAY: f64 = 86_400.0;
pub(super) const WEEK: f64 = 7.0 * DAY;

/// How many mean intervals between jobs count as "a companion comes soon". Nearer than it is, so that a pipeline that
/// has begun protects its other images but does not outweigh all else.
const COMPANION_JOBS: f64 = 15.0;

/// Seconds of rhythm that a scheduled use counts as further away, so that one that is due does not outweigh all else.
const SCHEDULE_SLACK: f64 = 300.0;

/// How far the plain decayed rate is heard beside the forecast, which is right more often, but too sure that a tag that
/// has fallen silent will stay so. 0.3 to 0.4 are nearly alike.
const STEADY_SHARE: f64 = 0.35;

/// What is expected of a tag or a layer, in seconds of the host's rhythm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Uses a second that come unannounced.
    pub rate: f64,
    /// Seconds to the next announced use; infinity if there is none.
    pub next: f64,
    /// Uses a second by the plain decayed rate: slow to believe anything.
    pub steady: f64,
}

impl Outlook {
    /// Expects nothing.
    pub const NOTHING: Self = Self { rate: 0.0, next: f64::INFINITY, steady: 0.0 };

    /// Joins the demand of two tags for one layer.
    pub fn join(&mut self, other: Self) {
        self.rate += other.rate;
        self.next = self.next.min(other.next);
        self.steady += other.steady;
    }

    /// Adds uses that come with this rate by any measure.
    pub fn add(&mut self, rate: f64) {
        self.rate += rate;
        self.steady += rate;
    }

    /// Returns one over the expected seconds to the next use, the forecast and the plain rate joined as a geometric mean.
    pub fn nearness(&self) -> f64 {
        self.foreseen().powf(1.0 - STEADY_SHARE) * self.steady.powf(STEADY_SHARE)
    }

    /// For a rate r and an announced use in s seconds, the first of the two is expected in (1 − e^(−r·s)) / r.
    fn foreseen(&self) -> f64 {
        if self.next.is_infinite() {
            self.rate
        } else if self.rate * self.next < 1e-6 {
            1.0 / self.next.max(1.0)
        } else {
            self.rate / (1.0 - (-self.rate * self.next).exp())
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Pattern {
    pace: Pace,
    schedule: Schedule,
}

/// The patterns of all tags.
#[derive(Debug, Clone)]
pub struct Forecast {
    rhythm: Rhythm,
    patterns: Vec<Pattern>,
    companions: Companions,
    first: f64,
    uses: u64,
}

impl Forecast {
    /// Makes a memory for so many tags that has seen nothing.
    pub fn new(tags: usize) -> Self {
        Self {
            rhythm: Rhythm::default(),
            patterns: vec![Pattern::default(); tags],
            companions: Companions::new(tags),
            first: f64::INFINITY,
            uses: 0,
        }
    }

    /// Learns from a use. Uses come in the order of time.
    pub fn note(&mut self, event: Event) {
        self.first = self.first.min(event.at);
        self.uses += 1;
        let pattern = &mut self.patterns[event.tag];
        if !pattern.schedule.note(event.at, event.scheduled) {
            pattern.pace.note(event.at, &self.rhythm);
        }
        self.companions.note(event);
        self.rhythm.note(event.at);
    }

    /// Returns when a schedule will use the tag next; one that is a little late is due now. `None` if none is believed in.
    pub fn next_run(&self, tag: TagIx, now: f64) -> Option<f64> {
        self.patterns.get(tag)?.schedule.next(now)
    }

    /// Returns how many unannounced uses of the tag are expected in so many seconds, at the hours that these are.
    pub fn uses_within(&self, tag: TagIx, now: f64, seconds: f64) -> f64 {
        let rate = self.patterns.get(tag).map_or(0.0, |pattern| pattern.pace.rate(now, &self.rhythm));
        rate * self.rhythm.between(now, now + seconds)
    }

    /// Returns the chance that a pipeline that has begun still brings the tag.
    pub fn follows(&self, tag: TagIx, now: f64) -> f64 {
        self.companions.expects(tag, now, 0.0)
    }

    /// Returns what is expected of each tag that was ever used. `steady` says the plain rate of one, in uses a second.
    pub fn outlooks(
        &self,
        now: f64,
        steady: impl Fn(TagIx) -> f64,
    ) -> impl Iterator<Item = (TagIx, Outlook)> {
        (0..self.patterns.len()).filter_map(move |tag| Some((tag, self.outlook(tag, now, &steady)?)))
    }

    /// Returns what is expected of one tag; `None` if it was never used.
    pub fn outlook(&self, tag: TagIx, now: f64, steady: impl Fn(TagIx) -> f64) -> Option<Outlook> {
        let pattern = self.patterns.get(tag)?;
        if pattern.pace.is_empty() && pattern.schedule.is_empty() {
            return None;
        }
        let interval = ((now - self.first) / (self.uses.max(1) as f64 + 1.0)).max(1.0);
        let mut rate = pattern.pace.rate(now, &self.rhythm);
        let chance = 1.0 - (-rate * self.rhythm.between(now, now + companions::WINDOW)).exp();
        let soon = self.companions.expects(tag, now, chance);
        if soon > 0.0 {
            rate = rate * (1.0 - soon) + soon / (COMPANION_JOBS * interval);
        }
        let next = pattern
            .schedule
            .next(now)
            .map_or(f64::INFINITY, |at| self.rhythm.between(now, at) + SCHEDULE_SLACK);
        Some(Outlook { rate, next, steady: steady(tag) })
    }
}
