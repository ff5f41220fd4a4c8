//! Hours of the week as operators write them: windows in which something may happen, and times at which it is due.
//!
//! Both are of the host's local time, which somebody else has to tell. Where the clocks are put forward or back between
//! now and then, a span that is told here is an hour off; whoever waits for it asks again when it is over.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MINUTE: u32 = 60;
const DAY: u32 = 24 * 60 * MINUTE;
const WEEK: u32 = 7 * DAY;
const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A moment of the week, by the host's local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalTime {
    /// The day, from 0 (Monday) to 6.
    pub weekday: u8,
    /// Seconds since midnight.
    pub second_of_day: u32,
}

impl LocalTime {
    /// Seconds since Monday's midnight.
    fn of_week(self) -> u32 {
        (u32::from(self.weekday) * DAY + self.second_of_day) % WEEK
    }
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// All of them.
    pub const ALL: Self = Self(0x7f);

    /// Tells whether a day is among them: 0 is Monday.
    pub fn has(self, weekday: u8) -> bool {
        weekday < 7 && self.0 >> weekday & 1 == 1
    }

    fn list(self) -> impl Iterator<Item = u8> {
        (0..7).filter(move |day| self.has(*day))
    }
}

impl FromStr for Days {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        let day = |name: &str| {
            let known = NAMES.iter().position(|known| name.trim().eq_ignore_ascii_case(known));
            known.ok_or_else(|| BadHours(text.to_owned()))
        };
        let mut days = 0;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (mut at, last) = (day(first)?, day(last)?);
            days |= 1 << last;
            while at != last {
                days |= 1 << at;
                at = (at + 1) % 7;
            }
        }
        Ok(Self(days))
    }
}

/// Hours in which something may happen: `22:00-06:00`, `mon-fri 01:00-05:30`, `sat,sun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days on which it opens.
    pub days: Days,
    /// The minute of the day at which it opens.
    pub from: u16,
    /// The minute of the day at which it closes. Not after `from`: that of the day after.
    pub to: u16,
}

impl Window {
    /// Tells whether it is open.
    pub fn is_open(&self, at: LocalTime) -> bool {
        let length = self.length();
        self.openings().any(|opening| (at.of_week() + WEEK - opening) % WEEK < length)
    }

    fn length(&self) -> u32 {
        let (from, to) = (u32::from(self.from) * MINUTE, u32::from(self.to) * MINUTE);
        if to > from { to - from } else { to + DAY - from }
    }

    fn openings(&self) -> impl Iterator<Item = u32> {
        let minute = u32::from(self.from);
        self.days.list().map(move |day| u32::from(day) * DAY + minute * MINUTE)
    }
}

/// Returns how long it takes until one of the windows is open: 0 where one is, and where there are none; `None` where none
/// ever opens.
pub fn opens_in(windows: &[Window], at: LocalTime) -> Option<Duration> {
    if windows.is_empty() || windows.iter().any(|window| window.is_open(at)) {
        return Some(Duration::ZERO);
    }
    windows.iter().flat_map(Window::openings).map(|opening| until(opening, at)).min()
}

/// A time at which something is due: `06:00`, `mon-fri 06:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueTime {
    /// The days.
    pub days: Days,
    /// The minute of the day.
    pub minute: u16,
}

impl DueTime {
    /// Returns how long it takes until it is due next: 0 where that is this second.
    pub fn next_in(&self, at: LocalTime) -> Duration {
        let minute = u32::from(self.minute);
        let due = self.days.list().map(|day| until(u32::from(day) * DAY + minute * MINUTE, at)).min();
        due.unwrap_or(Duration::from_secs(WEEK.into()))
    }
}

/// How long it takes until a second of the week comes.
fn until(second: u32, at: LocalTime) -> Duration {
    Duration::from_secs(((second + WEEK - at.of_week()) % WEEK).into())
}

/// A text that is not hours of the week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time of the week")]
pub struct BadHours(pub String);

impl FromStr for Window {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        let bad = || BadHours(text.to_owned());
        let (days, hours) = split(text).map_err(|_| bad())?;
        let Some(hours) = hours else { return Ok(Self { days, from: 0, to: 24 * 60 }) };
        let (from, to) = hours.split_once('-').ok_or_else(bad)?;
        let (from, to) = (minute(from).ok_or_else(bad)?, minute(to).ok_or_else(bad)?);
        // Of equal ends nobody knows whether they mean always or never.
        if from == to || from == 24 * 60 { Err(bad()) } else { Ok(Self { days, from, to }) }
    }
}

impl FromStr for DueTime {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        let bad = || BadHours(text.to_owned());
        let (days, hour) = split(text).map_err(|_| bad())?;
        let minute = hour.and_then(minute).filter(|minute| *minute < 24 * 60).ok_or_else(bad)?;
        Ok(Self { days, minute })
    }
}

/// Splits days and hours; without days it is every day.
fn split(text: &str) -> Result<(Days, Option<&str>), BadHours> {
    let text = text.trim();
    match text.rsplit_once(char::is_whitespace) {
        Some((days, hours)) if hours.contains(':') => Ok((days.parse()?, Some(hours))),
        None if text.contains(':') => Ok((Days::ALL, Some(text))),
        _ => Ok((text.parse()?, None)),
    }
}

/// Reads `HH:MM`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits)
    };
    let minutes = number(minutes).filter(|number| *number < 60 && minutes.len() == 2)?;
    let all = number(hours)? * 60 + minutes;
    (all <= 24 * 60).then_some(all)
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut day = 0;
        while day < 7 {
            let last = (day..7).take_while(|day| self.has(*day)).last();
            if let Some(last) = last {
                let first = NAMES[usize::from(day)];
                match last - day {
                    0 => write!(f, "{separator}{first}")?,
                    1 => write!(f, "{separator}{first},{}", NAMES[usize::from(last)])?,
                    _ => write!(f, "{separator}{first}-{}", NAMES[usize::from(last)])?,
                }
                separator = ",";
            }
            day = last.unwrap_or(day) + 1;
        }
        Ok(())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.from, self.to) == (0, 24 * 60) {
            return self.days.fmt(f);
        }
        if self.days != Days::ALL {
            write!(f, "{} ", self.days)?;
        }
        let (from, to) = (self.from, self.to);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl fmt::Display for DueTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != Days::ALL {
            write!(f, "{} ", self.days)?;
        }
        write!(f, "{:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

#[cfg(test)]
#[path = "hours_tests.rs"]
mod tests;
