//! Listens to a job's log: when its script began, and when the engine fetched images for it meanwhile.

use std::time::{Duration, Instant};

use hearth::runner::{CallReport, Events};

/// What the first command of every script prints.
pub(crate) const MARKER: &str = "the script begins";
/// How the engine says that a build fetches an image, and that it has it.
const FETCHES: &str = ": Pulling from ";
const HAS_IT: &str = "Status: ";

/// The stage that runs the script, in the runner's words of all versions.
const SCRIPT: [&str; 2] = ["build_script", "step_script"];

/// What is heard of a job.
pub(crate) struct Watch {
    began: Instant,
    line: Vec<u8>,
    log: Vec<u8>,
    first_line: Option<Duration>,
    script_ended: Option<Duration>,
    fetching: Option<Duration>,
    fetched: Vec<(Duration, Duration)>,
}

impl Watch {
    /// Begins to listen; the job begins now.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            line: Vec::new(),
            log: Vec::new(),
            first_line: None,
            script_ended: None,
            fetching: None,
            fetched: Vec::new(),
        }
    }

    /// Returns when the job's first script line came, counted from its begin.
    pub(crate) fn first_line(&self) -> Option<Duration> {
        self.first_line
    }

    /// Returns when the job's script ended, counted from the job's begin.
    pub(crate) fn script_ended(&self) -> Option<Duration> {
        self.script_ended
    }

    /// Returns from when to when the engine fetched images while the script ran, counted from the job's begin.
    pub(crate) fn fetched(&self) -> &[(Duration, Duration)] {
        &self.fetched
    }

    /// Returns the job's log.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.log).into_owned()
    }

    fn hear_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        let now = self.began.elapsed();
        if self.first_line.is_none() {
            self.first_line = line.contains(MARKER).then_some(now);
        } else if line.contains(FETCHES) {
            self.fetching.get_or_insert(now);
        } else if line.starts_with(HAS_IT)
            && let Some(from) = self.fetching.take()
        {
            self.fetched.push((from, now));
        }
    }
}

impl Events for Watch {
    fn log(&mut self, bytes: &[u8]) {
        self.log.extend_from_slice(bytes);
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => self.hear_line(),
                other => self.line.push(*other),
            }
        }
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.log.extend_from_slice(bytes);
    }

    fn call_ends(&mut self, call: &CallReport) {
        if SCRIPT.contains(&call.name.as_str()) {
            self.script_ended = Some(self.began.elapsed());
        }
    }
}
