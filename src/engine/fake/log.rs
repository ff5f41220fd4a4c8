//! A container's log, line by line, as the engine's log drivers keep it.

use crate::engine::LogsRequest;

/// One line with its newline; the last may lack it.
#[derive(Clone)]
pub(super) struct Line {
    /// When it came, in nanoseconds since the epoch.
    at: i128,
    pub(super) stderr: bool,
    bytes: Vec<u8>,
}

/// A container's log.
#[derive(Default)]
pub(super) struct Log {
    lines: Vec<Line>,
    begun: [Vec<u8>; 2],
}

impl Log {
    /// Takes output; a line is there once its newline is.
    pub(super) fn write(&mut self, at: i128, stderr: bool, bytes: &[u8]) {
        let begun = &mut self.begun[usize::from(stderr)];
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.lines.push(Line { at, stderr, bytes: std::mem::take(begun) });
            }
        }
    }

    /// Keeps the last lines, as the end of the container does.
    pub(super) fn flush(&mut self, at: i128) {
        for stderr in [false, true] {
            let bytes = std::mem::take(&mut self.begun[usize::from(stderr)]);
            if !bytes.is_empty() {
                self.lines.push(Line { at, stderr, bytes });
            }
        }
    }

    /// Returns how many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns the lines from `from` on that a request wants.
    pub(super) fn read(&self, from: usize, request: &LogsRequest) -> Vec<(bool, Vec<u8>)> {
        let since = i128::from(request.since) * 1_000_000_000;
        let lines = self.lines.get(from..).unwrap_or_default().iter().filter(|line| line.at >= since);
        lines
            .map(|line| {
                let mut bytes = if request.timestamps { rfc3339(line.at).into_bytes() } else { Vec::new() };
                bytes.extend_from_slice(&line.bytes);
                (line.stderr, bytes)
            })
            .collect()
    }
}

/// Writes a time as the engine does before a line, in UTC with nanoseconds.
fn rfc3339(at: i128) -> String {
    let (seconds, nanos) = (at.div_euclid(1_000_000_000), at.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil calendar from a count of days: years begin in March, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z ")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_as_the_engine_does() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000000000Z "),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z "),
            (1_700_000_000_500_000_000, "2023-11-14T22:13:20.500000000Z "),
        ] {
            assert_eq!(rfc3339(at), text);
        }
    }
}
