//! Points in the engine's own time, to be compared with each other only.

/// A moment by the clock of the engine's host, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i128);

impl Moment {
    /// Reads what engines write, such as `2026-11-24T09:19:44.856690469Z` or `…+01:00`; `None`: nothing, or the year 1 by
    /// which they say "never".
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let zone = time.find(['Z', '+', '-'])?;
        let (time, zone) = time.split_at(zone);
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
        let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
        let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute - offset(zone)?) * 60 + second;
        (year > 1).then_some(Self(i128::from(seconds) * 1_000_000_000 + i128::from(nanos)))
    }
}

/// Returns the minutes that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some(if zone.starts_with('-') { -minutes } else { minutes })
}

/// Counts the days from the epoch to a date; years begin in March, so that a leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn what_engines_write_is_read() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T23:59:59Z", 951_868_799, 0),
            ("2026-11-24T09:19:44.856690469Z", 1_795_511_984, 856_690_469),
            ("2026-11-24T10:19:44.8+01:00", 1_795_511_984, 800_000_000),
            ("2026-11-24T04:49:44.000000001-04:30", 1_795_511_984, 1),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(seconds * 1_000_000_000 + nanos)), "{text}");
        }
        for text in ["", "0001-01-01T00:00:00Z", "yesterday", "2026-11-24", "2026-11-24T09:19Z"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
