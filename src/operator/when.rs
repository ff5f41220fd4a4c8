//! Times as operators write and read them: spans from now, and dates in UTC.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::simulate_args::Span;

const DAY: u64 = 86_400;

/// A time to come, as an operator writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// So long from now.
    In(Duration),
    /// At this time since the epoch.
    At(Duration),
}

impl When {
    /// Returns the time since the epoch.
    pub fn at(self, now: Duration) -> Duration {
        match self {
            Self::In(span) => now.saturating_add(span),
            Self::At(time) => time,
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(time) = date(text) {
            return Ok(Self::At(time));
        }
        match text.parse::<Span>() {
            Ok(Span(seconds)) => Ok(Self::In(Duration::from_secs_f64(seconds))),
            Err(_) => Err(format!(
                "{text:?} is no time: write a span such as 12h or 30d, or a date in UTC such as 2026-12-24 or \
                 2026-12-24T18:00"
            )),
        }
    }
}

/// Reads `2026-12-24`, `2026-12-24T18:00` and `2026-12-24T18:00:30`, with a space for the T or a Z at the end if you like.
fn date(text: &str) -> Option<Duration> {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (day, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00"));
    let day: Vec<u64> = numbers(day, '-', &[4, 2, 2])?;
    let time = numbers(time, ':', &[2, 2]).or_else(|| numbers(time, ':', &[2, 2, 2]))?;
    let (year, month, day) = (day[0], day[1], day[2]);
    let (hour, minute, second) = (time[0], time[1], time.get(2).copied().unwrap_or_default());
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let longest = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if year < 1970 || day == 0 || day > longest || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since the epoch by the civil calendar, years beginning in March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    Some(Duration::from_secs(days * DAY + (hour * 60 + minute) * 60 + second))
}

/// Reads numbers of so many digits each.
fn numbers(text: &str, between: char, digits: &[usize]) -> Option<Vec<u64>> {
    let parts: Vec<&str> = text.split(between).collect();
    let fits = |(part, digits): (&&str, &usize)| {
        part.len() == *digits && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let all = parts.len() == digits.len() && parts.iter().zip(digits).all(fits);
    all.then(|| parts.iter().filter_map(|part| part.parse().ok()).collect())
}

/// A time, shown as a date in UTC to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(pub Duration);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0.as_secs() / DAY, self.0.as_secs() % DAY);
        // The civil calendar from a count of days: years begin in March, so that the leap day is a year's last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

/// Says how long seconds are, in one unit.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 9.95 => format!("{:.1} s", s.max(0.0)),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 100.0 * 60.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / DAY as f64),
    }
}

/// Says how long ago a time was.
pub(super) fn ago(now: f64, at: f64) -> String {
    if now - at < 60.0 { "just now".to_owned() } else { format!("{} ago", span(now - at)) }
}

/// Says how often something happens.
pub(super) fn rate(per_day: f64) -> String {
    match per_day {
        r if r >= 9.95 => format!("{r:.0}/day"),
        r if r >= 0.95 => format!("{r:.1}/day"),
        r if r * 7.0 >= 0.95 => format!("{:.1}/week", r * 7.0),
        r if r * 30.0 >= 0.095 => format!("{:.1}/month", r * 30.0),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Date, When, ago, rate, span};

    #[test]
    fn dates_and_spans_are_read_as_people_write_them() {
        let at = |seconds| Ok(When::At(Duration::from_secs(seconds)));
        for (text, expected) in [
            ("1970-01-01", at(0)),
            ("2000-02-29T12:00Z", at(951_825_600)),
            ("2026-11-23 20:28:56", at(1_795_465_736)),
            ("2026-12-24", at(1_798_070_400)),
            ("12h", Ok(When::In(Duration::from_secs(43_200)))),
            ("1.5d", Ok(When::In(Duration::from_secs(129_600)))),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in [
            "",
            "soon",
            "30",
            "2026-13-01",
            "2026-02-29",
            "2026-04-31",
            "2026-1-1",
            "26-01-01",
            "2026-01-01T24:00",
        ] {
            let problem = text.parse::<When>().unwrap_err();
            assert!(problem.contains("is no time: write a span such as"), "{problem}");
        }
        assert_eq!(When::In(Duration::from_secs(9)).at(Duration::from_secs(1)), Duration::from_secs(10));
    }

    #[test]
    fn dates_are_shown_as_they_are_read() {
        for text in ["1970-01-01 00:00", "2000-02-29 23:59", "2026-12-24 18:00", "2100-03-01 00:00"] {
            let Ok(When::At(time)) = text.parse() else { panic!("{text}") };
            assert_eq!(Date(time).to_string(), format!("{text} UTC"));
        }
    }

    #[test]
    fn times_are_shown_in_one_unit() {
        let shown: Vec<String> = [0.25, 9.96, 99.0, 100.0, 5999.0, 6000.0, 172_800.0].map(span).into();
        assert_eq!(shown, ["0.2 s", "10 s", "99 s", "2 min", "100 min", "2 h", "2 days"]);
        assert_eq!((ago(100.0, 90.0), ago(1e6, 1e6 - 7200.0)), ("just now".into(), "2 h ago".into()));
        assert_eq!(ago(0.0, 90.0), "just now", "the clock stepped back");
    }

    #[test]
    fn rates_are_shown_in_the_unit_in_which_they_are_about_one() {
        let shown: Vec<String> = [240.0, 3.25, 0.5, 0.1, 0.0031, 0.0].map(rate).into();
        assert_eq!(shown, ["240/day", "3.2/day", "3.5/week", "3.0/month", "-", "-"]);
    }
}
