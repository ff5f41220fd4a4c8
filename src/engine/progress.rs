//! The progress of a pull: what the engine tells, summed up for a job log.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::units::ByteSize;

/// One thing the engine told about a running pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// A layer waits or its download begins; nothing is known of its size.
    Waiting(String),
    /// A layer is being downloaded: bytes so far and in all (0 where unknown).
    Downloading {
        /// The layer.
        layer: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all; 0: unknown.
        total: u64,
    },
    /// A layer's bytes are all here.
    Downloaded(String),
    /// A layer is being unpacked: bytes so far.
    Extracting {
        /// The layer.
        layer: String,
        /// Bytes so far.
        done: u64,
    },
    /// A layer is unpacked.
    Done(String),
    /// A layer was here before.
    Present(String),
    /// The digest that the registry answered with.
    Digest(String),
    /// Anything else.
    Other,
}

#[derive(Debug, Clone, Default)]
struct Layer {
    done: u64,
    total: u64,
    downloaded: bool,
    extracted: u64,
    finished: bool,
}

/// Sums up the events of one pull. Times are counted from the pull's start.
#[derive(Debug, Clone, Default)]
pub struct PullMeter {
    layers: BTreeMap<String, Layer>,
    first_byte: Option<Duration>,
    last_download: Option<Duration>,
    extracting_since: Option<Duration>,
    extracted: Duration,
    last_move: Duration,
    digest: Option<String>,
}

impl PullMeter {
    /// Takes an event at `at`; returns whether anything moved since the last one.
    pub fn observe(&mut self, event: &PullEvent, at: Duration) -> bool {
        let moved = match event {
            PullEvent::Waiting(layer) => {
                self.layers.entry(layer.clone()).or_default();
                false
            }
            PullEvent::Downloading { layer, done, total } => {
                self.first_byte.get_or_insert(at);
                let layer = self.layers.entry(layer.clone()).or_default();
                let moved = *done > layer.done;
                layer.done = *done;
                layer.total = (*total).max(layer.total);
                moved
            }
            PullEvent::Downloaded(layer) => {
                self.downloaded(layer, at);
                true
            }
            PullEvent::Extracting { layer, done } => {
                self.downloaded(layer, at);
                self.extracting_since.get_or_insert(at);
                let layer = self.layers.entry(layer.clone()).or_default();
                let moved = *done != layer.extracted;
                layer.extracted = *done;
                moved
            }
            PullEvent::Done(layer) => {
                self.downloaded(layer, at);
                self.layers.entry(layer.clone()).or_default().finished = true;
                if !self.layers.values().any(|l| l.extracted > 0 && !l.finished)
                    && let Some(since) = self.extracting_since.take()
                {
                    self.extracted += at.saturating_sub(since);
                }
                true
            }
            PullEvent::Present(layer) => {
                let layer = self.layers.entry(layer.clone()).or_default();
                layer.downloaded = true;
                layer.finished = true;
                true
            }
            PullEvent::Digest(digest) => {
                self.digest = Some(digest.clone());
                true
            }
            PullEvent::Other => false,
        };
        if moved {
            self.last_move = at;
        }
        moved
    }

    fn downloaded(&mut self, layer: &str, at: Duration) {
        let layer = self.layers.entry(layer.to_owned()).or_default();
        if !layer.downloaded {
            layer.downloaded = true;
            layer.done = layer.total;
            self.first_byte.get_or_insert(at);
            self.last_download = Some(at);
        }
    }

    /// Returns whether a layer is being unpacked: then silence is work, not a stalled link.
    pub fn is_extracting(&self) -> bool {
        self.extracting_since.is_some()
    }

    /// Returns when something last moved.
    pub fn last_move(&self) -> Duration {
        self.last_move
    }

    /// Returns the digest that the registry answered with; `None` before it did.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    fn bytes(&self) -> (u64, u64) {
        self.layers.values().fold((0, 0), |(done, total), l| (done + l.done, total + l.total.max(l.done)))
    }

    /// Returns one line of progress: bytes, rate and what is left.
    pub fn line(&self, at: Duration) -> String {
        let (done, total) = self.bytes();
        let begun = self.first_byte.unwrap_or(at);
        let seconds = at.saturating_sub(begun).as_secs_f64();
        let finished = self.layers.values().filter(|l| l.finished).count();
        let mut line = format!("{} of {}", ByteSize(done), ByteSize(total));
        if seconds > 0.0 && done < total {
            let rate = done as f64 / seconds;
            line.push_str(&format!(", {}/s", ByteSize(rate as u64)));
            if rate >= 1.0 {
                line.push_str(&format!(", about {:.0} s left", (total - done) as f64 / rate));
            }
        }
        line.push_str(&format!(", {finished} of {} layers unpacked", self.layers.len()));
        line
    }

    /// Returns the closing line: bytes, seconds of download and of unpacking. Phases the engine does not tell are left out.
    pub fn summary(&self, at: Duration) -> String {
        if self.digest.is_some() && self.first_byte.is_none() {
            return format!("up to date, {:.1} s", at.as_secs_f64());
        }
        let (_, total) = self.bytes();
        let mut line = if total > 0 {
            format!("{} in {:.1} s", ByteSize(total), at.as_secs_f64())
        } else {
            format!("{:.1} s", at.as_secs_f64())
        };
        if let (Some(first), Some(last)) = (self.first_byte, self.last_download) {
            line.push_str(&format!(" (download {:.1} s", last.saturating_sub(first).as_secs_f64()));
            let extracted = self.extracted
                + self.extracting_since.map_or(Duration::ZERO, |since| at.saturating_sub(since));
            line.push_str(&format!(", extract {:.1} s)", extracted.as_secs_f64()));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, PullEvent, PullMeter};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn downloading(layer: &str, done: u64, total: u64) -> PullEvent {
        PullEvent::Downloading { layer: layer.into(), done, total }
    }

    #[test]
    fn overlapping_phases_are_counted_once_each() {
        let mut meter = PullMeter::default();
        meter.observe(&PullEvent::Waiting("a".into()), at(0));
        meter.observe(&downloading("a", 0, 1 << 20), at(1));
        meter.observe(&downloading("b", 512 << 10, 1 << 20), at(2));
        meter.observe(&PullEvent::Downloaded("a".into()), at(3));
        meter.observe(&PullEvent::Extracting { layer: "a".into(), done: 10 }, at(4));
        meter.observe(&PullEvent::Downloaded("b".into()), at(5));
        assert!(meter.is_extracting());
        meter.observe(&PullEvent::Done("a".into()), at(6));
        meter.observe(&PullEvent::Extracting { layer: "b".into(), done: 10 }, at(7));
        meter.observe(&PullEvent::Done("b".into()), at(8));
        assert!(!meter.is_extracting());
        assert_eq!(meter.summary(at(9)), "2 MiB in 9.0 s (download 4.0 s, extract 3.0 s)");
    }

    #[test]
    fn a_line_tells_bytes_rate_and_what_is_left() {
        let mut meter = PullMeter::default();
        meter.observe(&downloading("a", 0, 100 << 20), at(0));
        meter.observe(&downloading("a", 20 << 20, 100 << 20), at(10));
        assert_eq!(meter.line(at(10)), "20 MiB of 100 MiB, 2 MiB/s, about 40 s left, 0 of 1 layers unpacked");
    }

    #[test]
    fn repeated_counts_are_no_movement() {
        let mut meter = PullMeter::default();
        assert!(meter.observe(&downloading("a", 5, 10), at(1)));
        assert!(!meter.observe(&downloading("a", 5, 10), at(2)));
        assert_eq!(meter.last_move(), at(1));
    }

    #[test]
    fn a_pull_that_brought_nothing_says_so() {
        let mut meter = PullMeter::default();
        meter.observe(&PullEvent::Present("a".into()), at(1));
        meter.observe(&PullEvent::Digest("sha256:1".into()), at(1));
        assert_eq!(meter.summary(at(1)), "up to date, 1.0 s");
    }

    #[test]
    fn an_engine_that_tells_no_phases_gets_a_plain_summary() {
        assert_eq!(PullMeter::default().summary(at(3)), "3.0 s");
    }
}
