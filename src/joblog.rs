//! Lines that hearth itself writes into the job log.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// The job log, for whole lines. What the job's own processes print goes another way: [`crate::stage::output`].
pub struct JobLog {
    out: RefCell<Box<dyn Write>>,
    done: Option<Receiver<()>>,
    broken: Cell<bool>,
}

impl JobLog {
    /// Makes a log that writes to `out`.
    pub fn new(out: Box<dyn Write>) -> Self {
        Self { out: RefCell::new(out), done: None, broken: Cell::new(false) }
    }

    /// Makes a log that writes to a file from a thread of its own: a reader that stands still does not hold a stage that
    /// is to end.
    pub fn to_file(mut file: File) -> Self {
        let (lines, taken) = channel::<Vec<u8>>();
        let (tell, done) = channel();
        std::thread::spawn(move || {
            while let Ok(bytes) = taken.recv() {
                if file.write_all(&bytes).is_err() {
                    break;
                }
            }
            drop(taken);
            let _ = tell.send(());
        });
        Self { out: RefCell::new(Box::new(Lines(lines))), done: Some(done), broken: Cell::new(false) }
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

    /// Waits until all is written, at most `limit`.
    pub fn finish(self, limit: Duration) {
        let Self { out, done, .. } = self;
        drop(out);
        if let Some(done) = done {
            let _ = done.recv_timeout(limit);
        }
    }
}

/// The way to the writing thread.
struct Lines(Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::JobLog;

    #[test]
    fn lines_are_all_there_after_the_finish_and_a_reader_that_hung_up_is_noticed() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let log = JobLog::to_file(std::os::fd::OwnedFd::from(writer).into());
        log.line("one");
        log.warn("two");
        log.finish(Duration::from_secs(10));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\n\u{1b}[0;33mtwo\u{1b}[0;m\n");

        let (reader, writer) = std::io::pipe().unwrap();
        let log = JobLog::to_file(std::os::fd::OwnedFd::from(writer).into());
        drop(reader);
        for _ in 0..1000 {
            log.line("lost");
            if log.is_broken() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("nobody noticed");
    }
}
