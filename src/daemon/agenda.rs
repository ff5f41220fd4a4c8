//! What is due and when: pure, with all times on one clock that counts from the daemon's start.

use std::fmt;
use std::time::Duration;

use crate::settings::DaemonSettings;

/// News of images are looked at once nothing more has come for this long,
const QUIET: Duration = Duration::from_secs(10);
/// and at the latest after this.
const LATEST: Duration = Duration::from_secs(60);
/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Between two rounds for a disk that stays too full. It doubles up to the usual interval.
const PRESSED: Duration = Duration::from_secs(60);

/// Why a round is due. Later ones do all that earlier ones do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Images came, or tags moved.
    News,
    /// The disk is too full.
    Pressure,
    /// A job's runner has died.
    OwnerGone,
    /// It is time.
    Tick,
    /// The settings are new.
    Reloaded,
    /// The engine answers (again).
    Engine,
}

impl Why {
    /// Whether everything is looked at: also what dead jobs left, not only images.
    pub fn is_whole(self) -> bool {
        self >= Self::OwnerGone
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::News => "news of images",
            Self::Pressure => "the disk is too full",
            Self::OwnerGone => "a job's runner has died",
            Self::Tick => "it was time",
            Self::Reloaded => "new settings",
            Self::Engine => "the engine answers",
        })
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Open the way to the engine.
    Connect,
    /// Do a round.
    Round(Why),
    /// Look how full the disk is, and whether runners live.
    Watch,
    /// Wait until this time, or until something happens.
    Wait(Duration),
}

/// What is due.
#[derive(Debug, Clone)]
pub struct Agenda {
    interval: Duration,
    watch: Duration,
    connected: bool,
    next_tick: Duration,
    next_watch: Duration,
    /// What is due at once.
    due: Option<Why>,
    /// When the first and the last of the news came that nobody has looked at.
    news: Option<(Duration, Duration)>,
    /// Since when the way to the engine has been open.
    since: Duration,
    /// Failures in a row, and until when nothing is tried for their sake.
    failures: u32,
    held: Duration,
    /// Rounds in a row that were due for a full disk, and until when there is no further one.
    pressed: u32,
    relief: Duration,
}

impl Agenda {
    /// Begins at time zero, without an engine.
    pub fn new(settings: &DaemonSettings) -> Self {
        Self {
            interval: settings.interval,
            watch: settings.watch,
            connected: false,
            next_tick: settings.interval,
            next_watch: settings.watch,
            due: None,
            news: None,
            since: Duration::ZERO,
            failures: 0,
            held: Duration::ZERO,
            pressed: 0,
            relief: Duration::ZERO,
        }
    }

    /// Says what to do now.
    pub fn next(&self, now: Duration) -> Step {
        if now >= self.next_watch {
            return Step::Watch;
        }
        if now < self.held {
            return Step::Wait(self.held.min(self.next_watch));
        }
        if !self.connected {
            return Step::Connect;
        }
        let tick = (now >= self.next_tick).then_some(Why::Tick);
        let news = self.news_due().filter(|at| now >= *at).map(|_| Why::News);
        match self.due.max(tick).max(news) {
            Some(why) => Step::Round(why),
            None => {
                let times = [Some(self.next_tick), Some(self.next_watch), self.news_due()];
                Step::Wait(times.into_iter().flatten().min().unwrap_or(self.next_watch))
            }
        }
    }

    fn news_due(&self) -> Option<Duration> {
        self.news.map(|(first, last)| (last + QUIET).min(first + LATEST))
    }

    /// The engine has told of images.
    pub fn heard(&mut self, now: Duration) {
        self.news = Some((self.news.map_or(now, |(first, _)| first), now));
    }

    /// Something is due at once.
    pub fn want(&mut self, why: Why) {
        self.due = self.due.max(Some(why));
    }

    /// The way to the engine is open: whatever happened before is to be looked at.
    pub fn connected(&mut self, now: Duration) {
        (self.connected, self.since) = (true, now);
        self.want(Why::Engine);
    }

    /// The way to the engine is closed, for it ended or it is not the right one any more.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// A disk was looked at.
    pub fn watched(&mut self, now: Duration, too_full: bool) {
        self.next_watch = now + self.watch;
        if !too_full {
            (self.pressed, self.relief) = (0, Duration::ZERO);
        } else if now >= self.relief && self.connected && now >= self.held {
            let pause = PRESSED.saturating_mul(2_u32.saturating_pow(self.pressed));
            self.relief = now + pause.min(self.interval.max(PRESSED));
            self.pressed = self.pressed.saturating_add(1);
            self.want(Why::Pressure);
        }
    }

    /// A round is over, and what it was due for with it.
    pub fn done(&mut self, now: Duration, why: Why) {
        if self.due <= Some(why) {
            self.due = None;
        }
        if why.is_whole() {
            self.next_tick = now + self.interval;
        }
    }

    /// A round begins: news that come from now on are for the next one.
    pub fn begun(&mut self) {
        self.news = None;
    }

    /// The engine did not do what it was asked, or closed the way to it. Returns the pause before the next try: the longer
    /// the more often that happened, unless all was well for a while.
    pub fn failed(&mut self, now: Duration) -> Duration {
        if self.connected && now - self.since > LONGEST_PAUSE {
            self.failures = 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.held = now + pause;
        self.connected = false;
        pause
    }

    /// The settings are new.
    pub fn reloaded(&mut self, now: Duration, settings: &DaemonSettings) {
        (self.interval, self.watch) = (settings.interval, settings.watch);
        self.next_tick = self.next_tick.min(now + self.interval);
        self.next_watch = self.next_watch.min(now + self.watch);
        // An engine that is waited for may be another one now.
        (self.failures, self.held) = (0, now);
        self.want(Why::Reloaded);
    }

    /// Returns when the next round comes at the latest.
    pub fn next_tick(&self) -> Duration {
        self.next_tick
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Agenda, Step, Why};
    use crate::settings::DaemonSettings;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn settings() -> DaemonSettings {
        DaemonSettings { interval: s(600), watch: s(30), longest_job: s(86_400) }
    }

    /// At rest, at the time 1: the first round is over.
    fn at_rest() -> Agenda {
        let mut agenda = Agenda::new(&settings());
        assert_eq!(agenda.next(s(0)), Step::Connect);
        agenda.connected(s(0));
        assert_eq!(agenda.next(s(0)), Step::Round(Why::Engine));
        agenda.begun();
        agenda.done(s(1), Why::Engine);
        agenda
    }

    #[test]
    fn at_rest_it_watches_often_and_does_a_round_each_interval() {
        let mut agenda = at_rest();
        let (mut now, mut watches, mut rounds) = (s(1), 0, Vec::new());
        while now < s(3600) {
            match agenda.next(now) {
                Step::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
                Step::Watch => {
                    watches += 1;
                    agenda.watched(now, false);
                }
                Step::Round(why) => {
                    rounds.push((now, why));
                    agenda.begun();
                    agenda.done(now, why);
                }
                Step::Connect => panic!("it is connected"),
            }
        }
        assert_eq!(watches, 119);
        let ticks: Vec<_> = (0..5).map(|n| (s(601 + n * 600), Why::Tick)).collect();
        assert_eq!(rounds, ticks);
    }

    #[test]
    fn news_wait_for_their_end_but_not_for_ever() {
        let mut agenda = at_rest();
        agenda.heard(s(2));
        agenda.heard(s(5));
        assert_eq!(agenda.next(s(6)), Step::Wait(s(15)));
        assert_eq!(agenda.next(s(15)), Step::Round(Why::News));
        for second in 6..=29 {
            agenda.heard(s(second));
        }
        agenda.watched(s(30), false);
        (30..62).for_each(|second| agenda.heard(s(second)));
        agenda.watched(s(60), false);
        assert_eq!(agenda.next(s(61)), Step::Wait(s(62)));
        assert_eq!(agenda.next(s(62)), Step::Round(Why::News));
        agenda.begun();
        agenda.heard(s(63));
        agenda.done(s(64), Why::News);
        assert_eq!(agenda.next(s(64)), Step::Wait(s(73)), "what came during the round is looked at after it");
        assert_eq!(agenda.next_tick(), s(601), "such a round takes nothing from the usual ones");
    }

    #[test]
    fn the_pauses_grow_while_the_engine_is_gone_and_what_was_due_stays_due() {
        let mut agenda = at_rest();
        agenda.want(Why::OwnerGone);
        let mut now = s(2);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(agenda.failed(now).as_secs());
            let held = now + s(*pauses.last().unwrap());
            loop {
                match agenda.next(now) {
                    Step::Wait(until) => now = until,
                    Step::Watch => agenda.watched(now, true),
                    Step::Connect => break,
                    Step::Round(why) => panic!("{why:?} without an engine"),
                }
            }
            assert_eq!(now, held);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        agenda.connected(now);
        assert_eq!(agenda.next(now), Step::Round(Why::Engine));
        agenda.done(now, Why::Engine);
        assert_eq!(agenda.failed(now + s(2)), s(60), "an engine that comes and goes is not hurried");
        agenda.connected(now);
        assert_eq!(agenda.failed(now + s(61)), s(1), "one that was well for a while is");
    }

    #[test]
    fn a_disk_that_stays_too_full_is_not_worked_at_without_end() {
        let mut agenda = at_rest();
        let mut rounds = Vec::new();
        for now in (30..=2400).step_by(30) {
            agenda.watched(s(now), true);
            if let Step::Round(why) = agenda.next(s(now)) {
                rounds.extend((why == Why::Pressure).then_some(now));
                agenda.begun();
                agenda.done(s(now), why);
            }
        }
        assert_eq!(rounds, [30, 90, 210, 450, 930, 1530, 2130]);
        agenda.watched(s(2410), false);
        agenda.watched(s(2420), true);
        assert_eq!(agenda.next(s(2420)), Step::Round(Why::Pressure), "it is full anew");
    }

    #[test]
    fn a_round_for_less_leaves_what_was_due_for_more() {
        let mut agenda = at_rest();
        agenda.want(Why::OwnerGone);
        agenda.want(Why::Pressure);
        assert_eq!(agenda.next(s(2)), Step::Round(Why::OwnerGone));
        agenda.begun();
        agenda.done(s(3), Why::News);
        assert_eq!(agenda.next(s(3)), Step::Round(Why::OwnerGone));
    }

    #[test]
    fn new_settings_count_at_once() {
        let mut agenda = at_rest();
        agenda.failed(s(2));
        agenda.reloaded(s(2), &DaemonSettings { interval: s(60), watch: s(5), ..settings() });
        assert_eq!(agenda.next(s(2)), Step::Connect);
        agenda.connected(s(2));
        agenda.done(s(3), Why::Engine);
        assert_eq!(agenda.next(s(3)), Step::Wait(s(7)));
        assert_eq!(agenda.next_tick(), s(63));
    }
}
