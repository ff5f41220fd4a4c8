//! CI_DEBUG_SERVICES: what services print goes into the job log, no line twice and none missing.
//!
//! Each stage goes on where the last one stopped; the engine's time stamps tell where that was. They grow within one
//! output of a service only: engines stamp stdout and stderr before they put them in order.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::begin::Begun;
use super::output::{JobOutput, Room};
use crate::engine::{Engine, LogsRequest};
use crate::image::ImageRef;
use crate::job::{Feature, ServiceRequest};
use crate::plan::wish::requested_services;

/// How long a service's line waits for the script to end its own.
const LINE_WAIT: Duration = Duration::from_secs(2);

/// Follows the services of a job.
pub struct Follower<'a, E> {
    begun: &'a Begun,
    engine: &'a E,
    out: &'a JobOutput,
    services: Vec<Service>,
}

struct Service {
    container: String,
    label: String,
    hint: String,
    last: RefCell<Last>,
}

/// How many seconds a line may be stamped before one of the other output that came earlier.
const DISORDER: i64 = 5;

/// The time stamps of the last lines printed of stdout and stderr, as the engine wrote them: fixed width, so they sort
/// as texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Last([String; 2]);

impl Last {
    fn read(hint: &str) -> Self {
        let mut stamps = hint.lines().map(|line| line.trim().to_owned());
        Self([stamps.next().unwrap_or_default(), stamps.next().unwrap_or_default()])
    }

    fn text(&self) -> String {
        self.0.join("\n")
    }

    /// Returns from when on the engine is asked for lines, in seconds after the epoch.
    fn since(&self) -> i64 {
        let newest = self.0.iter().map(|stamp| epoch_seconds(stamp)).max().unwrap_or_default();
        (newest - DISORDER).max(0)
    }

    /// Takes note of a line; `false`: it was there before.
    fn is_new(&mut self, stderr: bool, stamp: &str) -> bool {
        let last = &mut self.0[usize::from(stderr)];
        let new = stamp > last.as_str();
        if new {
            stamp.clone_into(last);
        }
        new
    }
}

impl<'a, E: Engine> Follower<'a, E> {
    /// Finds where the last stage stopped. Without CI_DEBUG_SERVICES there is nothing to follow.
    pub fn new(begun: &'a Begun, engine: &'a E, out: &'a JobOutput) -> Self {
        let Begun { job, settings, names, hints, .. } = begun;
        let requests =
            if job.has(Feature::DebugServices) { requested_services(job, &settings.job) } else { Vec::new() };
        let services = requests
            .into_iter()
            .enumerate()
            .map(|(index, (request, _))| {
                let hint = format!("hearth-service-{index}");
                Service {
                    container: names.service(index),
                    label: label(&request),
                    last: RefCell::new(Last::read(&hints.read(&hint).unwrap_or_default())),
                    hint,
                }
            })
            .collect();
        Self { begun, engine, out, services }
    }

    /// Follows until it is dropped, or until all services ended.
    pub async fn follow(&self) {
        join_all(self.services.iter().map(|service| self.print(service, true))).await;
    }

    /// Prints what was logged up to now and not printed yet, and remembers where it stopped.
    pub async fn catch_up(&self) {
        for service in &self.services {
            self.print(service, false).await;
            self.begun.hints.write(&service.hint, &service.last.borrow().text());
        }
    }

    /// Waits for room at the start of a line: something put into the middle of one would hide a secret from the runner
    /// that masks it. Gives up waiting where the script prints no line end for long.
    async fn room(&self) -> Option<Room<'_>> {
        let deadline = Instant::now() + LINE_WAIT;
        loop {
            let room = self.out.reserve().await?;
            if room.is_at_line_start() || Instant::now() >= deadline {
                return Some(room);
            }
            drop(room);
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn print(&self, service: &Service, follow: bool) {
        let since = service.last.borrow().since();
        let request = LogsRequest { since, follow, timestamps: true, tail: None };
        let Ok(mut output) = self.engine.logs(&service.container, &request).await else { return };
        let mut cutters = [LineCutter::default(), LineCutter::default()];
        while let Some(Ok(chunk)) = output.next().await {
            for line in cutters[usize::from(chunk.stderr)].take(&chunk.bytes) {
                let (stamp, _) = line.split_once(' ').unwrap_or((line.trim_end(), ""));
                // Sent and remembered in one go: what is dropped between two awaits was neither.
                let Some(room) = self.room().await else { return };
                if service.last.borrow_mut().is_new(chunk.stderr, stamp) {
                    let text = format!("\u{1b}[0;90m[service:{}] {line}\u{1b}[0;m\n", service.label);
                    room.send(text.into());
                }
            }
        }
    }
}

/// A service is called by its first alias, else by the first name that its image gives it.
fn label(service: &ServiceRequest) -> String {
    let from_image = || service.image.name.parse::<ImageRef>().ok()?.service_aliases().into_iter().next();
    service.aliases.first().cloned().or_else(from_image).unwrap_or_else(|| service.image.name.clone())
}

/// Cuts a stream into lines.
#[derive(Default)]
struct LineCutter {
    held: Vec<u8>,
}

impl LineCutter {
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.held.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.held.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line[..end]).trim_end_matches('\r').to_owned());
        }
        lines
    }
}

/// Reads the seconds of a time stamp such as `2026-11-23T20:28:56.473998666Z`; 0 for anything else.
fn epoch_seconds(stamp: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| stamp.get(range).and_then(|t| t.parse::<i64>().ok());
    let parts = (|| {
        Some((
            number(0..4)?,
            number(5..7)?,
            number(8..10)?,
            number(11..13)?,
            number(14..16)?,
            number(17..19)?,
        ))
    })();
    let Some((year, month, day, hour, minute, second)) = parts else { return 0 };
    // Days since the epoch by the civil calendar, years beginning in March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 719_469;
    ((days * 24 + hour) * 60 + minute) * 60 + second
}

#[cfg(test)]
mod tests {
    use crate::job::{ImageRequest, ServiceRequest};

    use super::{Last, LineCutter, epoch_seconds, label};

    #[test]
    fn a_line_that_was_overtaken_by_the_other_output_is_still_new() {
        let mut last = Last::default();
        assert!(last.is_new(false, "2026-11-23T20:28:56.000000002Z"));
        assert!(last.is_new(true, "2026-11-23T20:28:56.000000001Z"));
        assert!(!last.is_new(true, "2026-11-23T20:28:56.000000001Z"));
        assert_eq!(Last::read(&last.text()), last);
        assert_eq!(last.since(), 1_795_465_731);
        assert_eq!(Last::read("").since(), 0);
    }

    #[test]
    fn time_stamps_are_read_as_seconds() {
        assert_eq!(epoch_seconds("1970-01-01T00:00:00.000000000Z"), 0);
        assert_eq!(epoch_seconds("2000-02-29T12:00:00.5Z"), 951_825_600);
        assert_eq!(epoch_seconds("2026-11-23T20:28:56.473998666Z"), 1_795_465_736);
        assert_eq!(epoch_seconds("no stamp"), 0);
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let mut cutter = LineCutter::default();
        assert_eq!(cutter.take(b"one\ntw"), ["one"]);
        assert_eq!(cutter.take(b"o\r\nthree"), ["two"]);
    }

    #[test]
    fn a_service_is_called_by_its_first_alias() {
        let service = |name: &str, aliases: &[&str]| ServiceRequest {
            image: ImageRequest { name: name.into(), ..ImageRequest::default() },
            aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
            ..ServiceRequest::default()
        };
        assert_eq!(label(&service("postgres:16", &["db", "other"])), "db");
        assert_eq!(label(&service("group/postgres:16", &[])), "group__postgres");
    }
}
