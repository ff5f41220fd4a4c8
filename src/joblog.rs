//! Lines that hearth itself writes into the job log.

use std::cell::{Cell, RefCell};
use std::io::Write;

/// The job log, for whole lines. What the job's own processes print goes another way: [`crate::stage::exec`].
pub struct JobLog {
    out: RefCell<Box<dyn Write>>,
    broken: Cell<bool>,
}

impl JobLog {
    /// Makes a log that writes to `out`.
    pub fn new(out: Box<dyn Write>) -> Self {
        Self { out: RefCell::new(out), broken: Cell::new(false) }
    }

    /// Writes a line. A reader that hung up is remembered; the stage goes on.
    pub fn line(&self, text: impl AsRef<str>) {
        self.write(format!("{}\n", text.as_ref()).as_bytes());
    }

    /// Writes a warning, in the colour that runners use.
    pub fn warn(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        self.line(format!("\u{1b}[0;33m{text}\u{1b}[0;m"));
    }

    /// Writes a note: a warning where it says so itself.
    pub fn note(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        if text.starts_with("WARNING") { self.warn(text) } else { self.line(text) }
    }

    /// Writes bytes as they are.
    pub fn write(&self, bytes: &[u8]) {
        let mut out = self.out.borrow_mut();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            self.broken.set(true);
        }
    }

    /// Returns whether the reader hung up.
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }
}
