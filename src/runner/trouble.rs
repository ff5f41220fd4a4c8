//! What may go wrong with a job from outside: cancels, kills, a slow or vanished reader. Tests ask for it at a point.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How a job is cancelled; the higher level wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Cancel {
    /// Not at all.
    #[default]
    No,
    /// As GitLab announces it (`canceling`): a user stage is stopped, what comes after it still runs.
    Graceful,
    /// As a server that already ended the job: whatever runs is stopped, and only cleanup follows.
    Hard,
}

/// The handle by which a running job is cancelled. Clones share one job.
#[derive(Debug, Clone)]
pub struct Canceller(Arc<watch::Sender<Cancel>>);

impl Canceller {
    /// Makes a handle that nobody has used yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Cancel::No)))
    }

    /// Cancels, or cancels harder; a lower level than before changes nothing.
    pub fn cancel(&self, level: Cancel) {
        self.0.send_if_modified(|current| {
            let more = level > *current;
            *current = level.max(*current);
            more
        });
    }

    /// Returns the level reached so far.
    pub fn level(&self) -> Cancel {
        *self.0.borrow()
    }

    /// Waits until a level is reached.
    pub(super) async fn reached(&self, level: Cancel) {
        // The sender lives as long as this handle, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|current| *current >= level).await;
    }
}

impl Default for Canceller {
    fn default() -> Self {
        Self::new()
    }
}

/// A point within a driver call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// So long after it started.
    After(Duration),
    /// When this text has come out of it.
    Output(String),
    /// When so many bytes have come out of it.
    Bytes(u64),
}

/// What happens at that point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The job is cancelled.
    Cancel(Cancel),
    /// The driver process gets SIGKILL.
    KillDriver,
    /// Its whole process group gets SIGKILL.
    KillGroup,
    /// The runner closes its ends of the pipes, and waits on.
    HangUp,
    /// The runner itself is gone: pipes close, nothing is signalled, nothing follows, not even cleanup.
    RunnerDies,
}

/// One thing that goes wrong, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The call: `config`, `prepare`, `cleanup` or a stage's name.
    pub call: String,
    /// The point within it.
    pub at: Moment,
    /// What happens.
    pub what: Mishap,
}

impl Trouble {
    /// Makes trouble for the first such call.
    pub fn new(call: &str, at: Moment, what: Mishap) -> Self {
        Self { call: call.to_owned(), at, what }
    }
}

/// A runner that reads slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The most bytes read at once.
    pub chunk: usize,
    /// The pause after each read.
    pub pause: Duration,
}

/// Watches the output of one call for moments.
#[derive(Debug)]
pub(super) struct Watcher {
    waiting: Vec<(Moment, Mishap)>,
    seen: u64,
    tail: Vec<u8>,
}

impl Watcher {
    pub(super) fn new(waiting: Vec<(Moment, Mishap)>) -> Self {
        Self { waiting, seen: 0, tail: Vec::new() }
    }

    /// Returns the timed mishaps, which the caller keeps.
    pub(super) fn timed(&self) -> Vec<(Duration, Mishap)> {
        let after = |(moment, mishap): &(Moment, Mishap)| match moment {
            Moment::After(duration) => Some((*duration, *mishap)),
            Moment::Output(_) | Moment::Bytes(_) => None,
        };
        self.waiting.iter().filter_map(after).collect()
    }

    /// Takes note of output and returns what it brings about.
    pub(super) fn saw(&mut self, bytes: &[u8]) -> Vec<Mishap> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.seen += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        let (seen, tail) = (self.seen, &self.tail);
        let due = |(moment, _): &mut (Moment, Mishap)| match moment {
            Moment::After(_) => false,
            Moment::Bytes(count) => seen >= *count,
            Moment::Output(text) => holds(tail, text.as_bytes()),
        };
        let mishaps = self.waiting.extract_if(.., due).map(|(_, mishap)| mishap).collect();
        const LONGEST: usize = 256;
        let surplus = self.tail.len().saturating_sub(LONGEST);
        self.tail.drain(..surplus);
        mishaps
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::{Cancel, Canceller, Mishap, Moment, Watcher};

    #[test]
    fn a_text_is_seen_across_reads_and_only_once() {
        let mut watcher = Watcher::new(vec![
            (Moment::Output("ready".into()), Mishap::HangUp),
            (Moment::Bytes(12), Mishap::KillDriver),
        ]);
        assert_eq!(watcher.saw(b"are you re"), []);
        assert_eq!(watcher.saw(b"ady? ready"), [Mishap::HangUp, Mishap::KillDriver]);
        assert_eq!(watcher.saw(b"ready"), []);
    }

    #[test]
    fn a_cancel_only_gets_harder() {
        let canceller = Canceller::new();
        canceller.clone().cancel(Cancel::Hard);
        canceller.cancel(Cancel::Graceful);
        assert_eq!(canceller.level(), Cancel::Hard);
    }
}
