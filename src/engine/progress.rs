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
    extracting: bool,
    extracted: u64,
    finished: bool,
    present: bool,
}

/// What a pull did to one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledLayer {
    /// The first 12 hex digits of its blob's digest. Podman lists the image's configuration as well.
    pub id: String,
    /// Whether it was here before: then nothing is told of its size.
    pub present: bool,
    /// Its compressed bytes; `None`: the engine did not tell. Podman and containerd's store tell only of layers that take
    /// a while.
    pub compressed: Option<u64>,
}

/// What a pull came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullTotals {
    /// From the first call to the end.
    pub total: Duration,
    /// From the first byte to the last layer's end of download; `None`: nothing was downloaded, or the engine tells nothing
    /// of unpacking (Podman, containerd's store).
    pub download: Option<Duration>,
    /// The time during which at least one layer was unpacked, which overlaps the download; `None` as above.
    pub extract: Option<Duration>,
    /// All layers that were told of, in the order in which they first were.
    pub layers: Vec<PulledLayer>,
    /// Whether that order is from the base up, as on Docker's own store. Podman and containerd's store tell of layers as
    /// they come to them, and the latter tells nothing of those that are unpacked already.
    pub in_order: bool,
}

impl PullTotals {
    /// Returns the compressed bytes that came; `None`: of some layer that came, the engine did not tell.
    pub fn bytes(&self) -> Option<u64> {
        self.layers.iter().filter(|layer| !layer.present).map(|layer| layer.compressed).sum()
    }
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Compressed bytes that came so far.
    pub done: u64,
    /// Compressed bytes of all layers whose size the engine has told so far: it tells of a few at a time.
    pub total: u64,
    /// Layers that it has told of so far.
    pub layers: usize,
    /// Those of them that are downloaded, or were here before.
    pub here: usize,
}

/// Sums up the events of one pull. Times are counted from the pull's start.
#[derive(Debug, Clone, Default)]
pub struct PullMeter {
    layers: BTreeMap<String, Layer>,
    /// The layers as they were first told of: Docker goes from the base up.
    order: Vec<String>,
    first_byte: Option<Duration>,
    last_download: Option<Duration>,
    extracting_since: Option<Duration>,
    extracted: Duration,
    tells_phases: bool,
    last_move: Duration,
    digest: Option<String>,
}

impl PullMeter {
    /// Takes an event at `at`; returns whether anything moved since the last one.
    pub fn observe(&mut self, event: &PullEvent, at: Duration) -> bool {
        let moved = match event {
            PullEvent::Waiting(layer) => {
                self.layer(layer);
                false
            }
            PullEvent::Downloading { layer, done, total } => {
                self.first_byte.get_or_insert(at);
                let layer = self.layer(layer);
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
                self.tells_phases = true;
                self.extracting_since.get_or_insert(at);
                let layer = self.layer(layer);
                let moved = !layer.extracting || *done != layer.extracted;
                layer.extracting = true;
                layer.extracted = *done;
                moved
            }
            PullEvent::Done(layer) => {
                self.downloaded(layer, at);
                self.tells_phases = true;
                self.layer(layer).finished = true;
                if !self.layers.values().any(|l| l.extracting && !l.finished)
                    && let Some(since) = self.extracting_since.take()
                {
                    self.extracted += at.saturating_sub(since);
                }
                true
            }
            PullEvent::Present(layer) => {
                // containerd's store says so of a blob that it was about to fetch, and that it has to unpack yet.
                let only_fetched = self.layers.contains_key(layer);
                let layer = self.layer(layer);
                layer.downloaded = true;
                layer.finished = !only_fetched;
                layer.present = true;
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
        let layer = self.layer(layer);
        if !layer.downloaded {
            layer.downloaded = true;
            layer.done = layer.total;
            self.first_byte.get_or_insert(at);
            self.last_download = Some(at);
        }
    }

    /// Returns whether a layer may be being unpacked: then silence is work, not a stalled link. Where the engine does not tell,
    /// it may be as soon as all that it told of is here.
    pub fn may_be_unpacking(&self) -> bool {
        let is_here = |layer: &Layer| layer.downloaded || (layer.total > 0 && layer.done >= layer.total);
        let all_are_here = self.layers.values().all(is_here) && self.layers.values().any(|l| !l.finished);
        self.extracting_since.is_some() || all_are_here
    }

    /// Returns when something last moved.
    pub fn last_move(&self) -> Duration {
        self.last_move
    }

    /// Returns the digest that the registry answered with; `None` before it did.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Returns what the pull came to, at its end.
    pub fn totals(&self, at: Duration) -> PullTotals {
        let span = self.first_byte.zip(self.last_download).filter(|_| self.tells_phases);
        let layer = |(id, layer): (&String, &Layer)| PulledLayer {
            id: id.clone(),
            present: layer.present,
            compressed: (layer.total > 0).then_some(layer.total),
        };
        PullTotals {
            total: at,
            download: span.map(|(first, last)| last.saturating_sub(first)),
            extract: span.map(|_| self.extracted_by(at)),
            layers: self.order.iter().filter_map(|id| self.layers.get_key_value(id)).map(layer).collect(),
            in_order: self.tells_phases || self.layers.values().all(|layer| layer.present),
        }
    }

    fn layer(&mut self, id: &str) -> &mut Layer {
        if !self.layers.contains_key(id) {
            self.order.push(id.to_owned());
        }
        self.layers.entry(id.to_owned()).or_default()
    }

    fn extracted_by(&self, at: Duration) -> Duration {
        self.extracted + self.extracting_since.map_or(Duration::ZERO, |since| at.saturating_sub(since))
    }

    /// Returns how far the pull is.
    pub fn progress(&self) -> Progress {
        let (done, total) = self.bytes();
        let (layers, here) = (
            self.layers.len(),
            self.layers.values().filter(|layer| layer.finished || layer.downloaded).count(),
        );
        Progress { done, total, layers, here }
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
        let downloaded = self.layers.values().filter(|l| l.downloaded).count();
        let mut line = format!("{} of {}", ByteSize(done), ByteSize(total));
        if seconds > 0.0 && done < total {
            let rate = done as f64 / seconds;
            line.push_str(&format!(", {}/s", ByteSize(rate as u64)));
            if rate >= 1.0 {
                line.push_str(&format!(", about {:.0} s left", (total - done) as f64 / rate));
            }
        }
        let (count, what) = match self.tells_phases || downloaded == 0 {
            true => (finished, "unpacked"),
            false => (downloaded, "downloaded"),
        };
        line.push_str(&format!(", {count} of {} layers {what}", self.layers.len()));
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
        let totals = self.totals(at);
        if let (Some(download), Some(extract)) = (totals.download, totals.extract) {
            let (download, extract) = (download.as_secs_f64(), extract.as_secs_f64());
            line.push_str(&format!(" (download {download:.1} s, extract {extract:.1} s)"));
        }
        line
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
