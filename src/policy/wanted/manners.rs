//! Manners: when an image may be brought ahead, and what holds it up until then.

use std::fmt;

use super::candidate::{Candidate, Source};
use super::rank::Ranked;
use crate::units::ByteSize;

/// What the host is doing, and what the operator lets it do.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Host {
    /// Whether no job is here.
    pub idle: bool,
    /// Whether a job is being prepared.
    pub preparing: bool,
    /// When the next window of hours opens, in seconds; `None`: one is open, or all hours are.
    pub window_opens: Option<f64>,
    /// Compressed bytes that may still come this month; `None` for no limit.
    pub month_left: Option<u64>,
    /// Compressed bytes that may still come for the candidate's pipeline; `None` for no limit.
    pub pipeline_left: Option<u64>,
    /// Whether what a running pipeline will want may come beside jobs.
    pub scans_beside: bool,
    /// Until when the candidate's registry wants to be left alone, in seconds; `None`: it does not.
    pub backed_off_until: Option<f64>,
}

/// What holds an image up. Its text is a part of a sentence: "… waits: a job is being prepared".
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Held {
    /// Jobs are here.
    Busy,
    /// A job is being prepared.
    Preparing,
    /// It is not the hour.
    Window {
        /// When it is, in seconds.
        opens: f64,
    },
    /// The month's bytes do not suffice.
    Month {
        /// What is left of them.
        left: u64,
        /// What is needed; 0: not known.
        needs: u64,
    },
    /// The pipeline's bytes do not suffice.
    Pipeline {
        /// What is left of them.
        left: u64,
        /// What is needed; 0: not known.
        needs: u64,
    },
    /// The registry wants to be left alone.
    BackOff {
        /// Until when, in seconds.
        until: f64,
    },
    /// It would come too early.
    NotYet {
        /// When it is time, in seconds.
        at: f64,
    },
    /// Nothing is left that may go, and that is not enough.
    NoRoom {
        /// Bytes that are missing.
        bytes: u64,
        /// Inodes that are missing.
        inodes: u64,
    },
    /// What would have to go is worth more.
    TooDear {
        /// Expected seconds lost for each second that passes.
        loses: f64,
    },
    /// Nothing is saved by it.
    NotWorth,
    /// Nobody knows how large it is, and it is to be counted beforehand.
    Unknown,
}

impl Held {
    /// Returns until when it holds, in seconds; `None` where that depends on what happens.
    pub fn until(&self) -> Option<f64> {
        match *self {
            Self::Window { opens: at } | Self::BackOff { until: at } | Self::NotYet { at } => Some(at),
            _ => None,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cap = |f: &mut fmt::Formatter<'_>, whose: &str, left: u64, needs: u64| match needs {
            0 => write!(f, "nothing is left of {whose} bytes"),
            needs => {
                write!(f, "it needs {}, and {} of {whose} bytes are left", ByteSize(needs), ByteSize(left))
            }
        };
        match *self {
            Self::Busy => f.write_str("jobs are running"),
            Self::Preparing => f.write_str("a job is being prepared"),
            Self::Window { .. } => f.write_str("the hours for it have not begun"),
            Self::Month { left, needs } => cap(f, "this month's", left, needs),
            Self::Pipeline { left, needs } => cap(f, "the pipeline's", left, needs),
            Self::BackOff { .. } => f.write_str("its registry wants to be left alone"),
            Self::NotYet { .. } => f.write_str("it is too early for it"),
            Self::NoRoom { bytes: 0, inodes } => {
                write!(f, "there is no room: {inodes} inodes are missing, and nothing more may go")
            }
            Self::NoRoom { bytes, .. } => {
                write!(f, "there is no room: {} are missing, and nothing more may go", ByteSize(bytes))
            }
            Self::TooDear { .. } => f.write_str("what would have to go for it is worth more"),
            Self::NotWorth => f.write_str("nothing would be saved"),
            Self::Unknown => f.write_str("how large it is is not known"),
        }
    }
}

/// Says whether a candidate may begin now, by all but room on the disk, which [`fits`](super::fits) knows. Ask again once
/// its size is known: what nobody has looked at only waits where no byte is left.
///
/// Hours bind what comes from the list, from the history and from moved tags; a scan is a job's own need, and passes them.
///
/// # Errors
/// What holds it up; of several things the one that will mostly last longest.
pub fn may_begin(candidate: &Candidate, ranked: &Ranked, host: &Host, now: f64) -> Result<(), Held> {
    let scan = candidate.source == Source::Scan;
    let needs = candidate.missing.map(|size| size.compressed);
    let short = |left: Option<u64>| {
        let left = left.filter(|left| needs.map_or(*left == 0, |needs| needs > *left))?;
        Some((left, needs.unwrap_or_default()))
    };
    // Not "at most 0": what is no number is worth nothing, either.
    if ranked.worth.is_nan() || ranked.worth <= 0.0 {
        return Err(Held::NotWorth);
    }
    if let Some((left, needs)) = short(host.month_left) {
        return Err(Held::Month { left, needs });
    }
    if let Some((left, needs)) = short(host.pipeline_left.filter(|_| candidate.pipeline.is_some())) {
        return Err(Held::Pipeline { left, needs });
    }
    if ranked.not_before > now {
        return Err(Held::NotYet { at: ranked.not_before });
    }
    if let Some(opens) = host.window_opens.filter(|_| !scan) {
        return Err(Held::Window { opens });
    }
    if let Some(until) = host.backed_off_until.filter(|until| *until > now) {
        return Err(Held::BackOff { until });
    }
    if host.preparing {
        return Err(Held::Preparing);
    }
    if !(host.idle || scan && host.scans_beside) {
        return Err(Held::Busy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::cost::{Cost, Size};
    use super::super::candidate::{Demand, Soon};
    use super::super::rank;
    use super::{Candidate, Held, Host, Source, may_begin};

    const NOW: f64 = 1e9;
    const MB: u64 = 1_000_000;

    fn candidate(source: Source) -> Candidate {
        let scan = source == Source::Scan;
        Candidate {
            name: "docker.io/library/python:3".to_owned(),
            platform: String::new(),
            source,
            demand: if scan { Demand::Soon(Soon::Now) } else { Demand::Listed },
            cold: 1.0,
            missing: Some(Size { compressed: 100 * MB, unpacked: 265 * MB, inodes: 0 }),
            cost: Cost::default(),
            pipeline: scan.then(|| "https://gitlab.example.com 7".to_owned()),
        }
    }

    fn asked(candidate: &Candidate, host: &Host) -> Result<(), Held> {
        may_begin(candidate, &rank(std::slice::from_ref(candidate), NOW)[0], host, NOW)
    }

    #[test]
    fn what_holds_the_list_up_and_what_holds_a_scan_up() {
        let idle = Host { idle: true, scans_beside: true, ..Host::default() };
        let opens = NOW + 60.0;
        let (month, pipeline) = (99 * MB, 50 * MB);
        for (what, host, list, scan) in [
            ("an idle host", idle, Ok(()), Ok(())),
            ("jobs", Host { idle: false, ..idle }, Err(Held::Busy), Ok(())),
            (
                "jobs, and scans wait too",
                Host { idle: false, scans_beside: false, ..idle },
                Err(Held::Busy),
                Err(Held::Busy),
            ),
            ("a prepare", Host { preparing: true, ..idle }, Err(Held::Preparing), Err(Held::Preparing)),
            ("the hours", Host { window_opens: Some(opens), ..idle }, Err(Held::Window { opens }), Ok(())),
            (
                "the month",
                Host { month_left: Some(month), ..idle },
                Err(Held::Month { left: month, needs: 100 * MB }),
                Err(Held::Month { left: month, needs: 100 * MB }),
            ),
            ("just enough of the month", Host { month_left: Some(100 * MB), ..idle }, Ok(()), Ok(())),
            (
                "the pipeline",
                Host { pipeline_left: Some(pipeline), ..idle },
                Ok(()),
                Err(Held::Pipeline { left: pipeline, needs: 100 * MB }),
            ),
            (
                "a registry that says 429",
                Host { backed_off_until: Some(opens), ..idle },
                Err(Held::BackOff { until: opens }),
                Err(Held::BackOff { until: opens }),
            ),
            ("one that said so a while ago", Host { backed_off_until: Some(NOW), ..idle }, Ok(()), Ok(())),
        ] {
            assert_eq!(asked(&candidate(Source::List), &host), list, "the list, {what}");
            assert_eq!(asked(&candidate(Source::Scan), &host), scan, "a scan, {what}");
        }
    }

    #[test]
    fn an_unknown_size_waits_only_where_no_byte_is_left() {
        let unknown = Candidate { missing: None, ..candidate(Source::List) };
        let month = |left| Host { idle: true, month_left: Some(left), ..Host::default() };
        assert_eq!(asked(&unknown, &month(1)), Ok(()));
        assert_eq!(asked(&unknown, &month(0)), Err(Held::Month { left: 0, needs: 0 }));
        let nothing = Candidate { missing: Some(Size::default()), ..candidate(Source::List) };
        assert_eq!(asked(&nothing, &month(0)), Ok(()));
    }

    #[test]
    fn what_is_too_early_waits_for_its_time_and_what_is_warm_for_ever() {
        let nightly = Candidate { demand: Demand::At(NOW + 9e4), ..candidate(Source::Schedule) };
        let host = Host { idle: true, ..Host::default() };
        let held = asked(&nightly, &host);
        let at = rank(std::slice::from_ref(&nightly), NOW)[0].not_before;
        assert_eq!(held, Err(Held::NotYet { at }));
        assert_eq!(held.err().and_then(|held| held.until()), Some(at));
        let warm = Candidate { cold: 0.0, ..candidate(Source::List) };
        assert_eq!(asked(&warm, &host), Err(Held::NotWorth));
    }

    #[test]
    fn what_holds_is_said_in_words() {
        let month = Held::Month { left: 5 << 20, needs: 1 << 30 };
        assert_eq!(month.to_string(), "it needs 1 GiB, and 5 MiB of this month's bytes are left");
        assert_eq!(
            Held::Pipeline { left: 0, needs: 0 }.to_string(),
            "nothing is left of the pipeline's bytes"
        );
        assert_eq!(
            Held::NoRoom { bytes: 3 << 20, inodes: 0 }.to_string(),
            "there is no room: 3 MiB are missing, and nothing more may go"
        );
    }
}
