//! What is seen of images while they come: a bar on a terminal, lines elsewhere, nothing where a document is asked for.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::table::cut;
use crate::engine::Progress;
use crate::joblog::JobLog;
use crate::units::ByteSize;

/// How wide a name may be before its bar.
const NAME: usize = 30;
/// How wide a bar is.
const BAR: u64 = 20;
/// What a warning begins with in a job log.
const YELLOW: &str = "\u{1b}[0;33m";

/// Where it is seen. What cannot be written is not seen: the answer at the end says what came.
pub(super) struct Screen<'s> {
    quiet: bool,
    terminal: bool,
    out: RefCell<&'s mut dyn Write>,
    err: RefCell<&'s mut dyn Write>,
    lines: Lines,
}

/// Lines that were logged and not shown yet.
#[derive(Clone, Default)]
struct Lines(Rc<RefCell<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How far one image is.
pub(super) struct Bar<'b, 's> {
    screen: &'b Screen<'s>,
    name: String,
    /// Bytes that were missing before; `None`: not known.
    missing: Option<u64>,
    began: Instant,
    progress: Cell<Option<Progress>>,
}

impl<'s> Screen<'s> {
    pub(super) fn new(quiet: bool, terminal: bool, out: &'s mut dyn Write, err: &'s mut dyn Write) -> Self {
        Self { quiet, terminal, out: RefCell::new(out), err: RefCell::new(err), lines: Lines::default() }
    }

    /// Returns the log of what fetches: its lines are seen at the next look.
    pub(super) fn log(&self) -> JobLog {
        JobLog::new(Box::new(self.lines.clone()))
    }

    /// Shows a text.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            show(&self.out, text);
        }
    }

    /// Begins to show how far an image is.
    pub(super) fn bar(&self, name: &str, missing: Option<u64>) -> Bar<'_, 's> {
        let (name, began) = (cut(name, NAME), Instant::now());
        Bar { screen: self, name, missing, began, progress: Cell::new(None) }
    }
}

impl Bar<'_, '_> {
    /// Takes how far the pull is.
    pub(super) fn set(&self, progress: &Progress) {
        self.progress.set(Some(*progress));
    }

    /// Shows how far it is now.
    pub(super) fn draw(&self) {
        let text = String::from_utf8_lossy(&self.screen.lines.0.take()).into_owned();
        if self.screen.quiet {
            return;
        }
        if !self.screen.terminal {
            return self.screen.say(&text);
        }
        for line in text.lines().filter(|line| line.starts_with(YELLOW)) {
            show(&self.screen.err, &format!("\r\u{1b}[K{line}\n"));
        }
        let line = match self.progress.get() {
            Some(progress) => bar(&self.name, &progress, self.missing, self.began.elapsed()),
            None => format!("{}  waiting", self.name),
        };
        show(&self.screen.err, &format!("\r{line}\u{1b}[K"));
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.draw();
        if self.screen.terminal && !self.screen.quiet {
            show(&self.screen.err, "\r\u{1b}[K");
        }
    }
}

fn show(to: &RefCell<&mut dyn Write>, text: &str) {
    let mut to = to.borrow_mut();
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// Returns a bar. Engines tell of a few layers at a time, so what was known to be missing before is the whole of it.
fn bar(name: &str, progress: &Progress, missing: Option<u64>, elapsed: Duration) -> String {
    let whole = progress.total.max(missing.unwrap_or_default()).max(progress.done);
    let done = progress.done;
    let full = (done * BAR).checked_div(whole).unwrap_or_default();
    let filled: String = (0..BAR).map(|at| if at < full { '#' } else { '.' }).collect();
    let mut line = format!("{name}  [{filled}] {} of {}", ByteSize(done), ByteSize(whole));
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    if done < whole && rate >= 1.0 {
        line.push_str(&format!(", {}/s, {:.0} s left", ByteSize(rate as u64), (whole - done) as f64 / rate));
    } else if done >= whole && whole > 0 {
        line.push_str(", unpacking");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Screen, bar};
    use crate::engine::Progress;

    #[test]
    fn a_bar_is_of_all_that_is_missing_and_not_of_what_the_engine_has_told_so_far() {
        let shown = |done, total, missing| {
            bar("a:1", &Progress { done, total, layers: 2, here: 0 }, missing, Duration::from_secs(2))
        };
        let mib = 1 << 20;
        assert_eq!(
            shown(10 * mib, 20 * mib, Some(40 * mib)),
            "a:1  [#####...............] 10 MiB of 40 MiB, 5 MiB/s, 6 s left"
        );
        assert_eq!(
            shown(10 * mib, 20 * mib, None),
            "a:1  [##########..........] 10 MiB of 20 MiB, 5 MiB/s, 2 s left"
        );
        assert_eq!(shown(mib, mib, Some(mib)), "a:1  [####################] 1 MiB of 1 MiB, unpacking");
        assert_eq!(shown(0, 0, None), "a:1  [....................] 0 B of 0 B");
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_gets_bars_and_warnings_and_others_get_every_line() {
        for (quiet, terminal, on_out, on_err) in [
            (false, true, "", "\r\u{1b}[K\u{1b}[0;33mWARNING: slow\u{1b}[0;m\n\ra:1  waiting\u{1b}[K"),
            (false, false, "Pulling\n\u{1b}[0;33mWARNING: slow\u{1b}[0;m\n", ""),
            (true, true, "", ""),
        ] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let screen = Screen::new(quiet, terminal, &mut out, &mut err);
            let log = screen.log();
            log.line("Pulling");
            log.warn("WARNING: slow");
            screen.bar("a:1", None).draw();
            drop(screen);
            assert_eq!((out, err), (on_out.into(), on_err.into()), "{quiet} {terminal}");
        }
    }
}
