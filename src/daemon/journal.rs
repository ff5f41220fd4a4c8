//! The daemon's own lines: to stderr, which is the journal where systemd started it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write;

/// How much a line matters, in syslog's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work, and somebody has to act.
    Error = 3,
    /// Something does not work for now.
    Warning = 4,
    /// Something of note was done.
    Notice = 5,
    /// What goes on.
    Info = 6,
}

/// Where the lines go.
pub struct Journal {
    out: RefCell<Box<dyn Write>>,
    /// Whether lines begin with their level, as the journal reads it.
    levels: bool,
    /// What is wrong at present, by topic.
    said: RefCell<HashMap<&'static str, String>>,
}

impl Journal {
    /// Writes to `out`; `levels` says whether it is the journal.
    pub fn new(out: Box<dyn Write>, levels: bool) -> Self {
        Self { out: RefCell::new(out), levels, said: RefCell::default() }
    }

    /// Writes a line, or several.
    pub fn say(&self, level: Level, text: impl AsRef<str>) {
        let mut out = self.out.borrow_mut();
        for line in text.as_ref().lines() {
            // Nobody may be reading any more; the work goes on.
            let _ = if self.levels {
                writeln!(out, "<{}>{line}", level as u8)
            } else {
                writeln!(out, "hearth: {line}")
            };
        }
        let _ = out.flush();
    }

    /// Says what is wrong with something, unless that was the last that was said of it.
    pub fn trouble(&self, topic: &'static str, level: Level, text: impl Into<String>) {
        let text = text.into();
        let before = self.said.borrow_mut().insert(topic, text.clone());
        if before.as_ref() != Some(&text) {
            self.say(level, text);
        }
    }

    /// Says that something is well again, if anything was wrong with it.
    pub fn well(&self, topic: &'static str, text: &str) {
        if self.said.borrow_mut().remove(topic).is_some() {
            self.say(Level::Notice, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;
    use std::rc::Rc;

    use super::{Journal, Level};

    #[derive(Clone, Default)]
    struct Page(Rc<RefCell<Vec<u8>>>);

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_has_its_level_in_the_journal_and_none_elsewhere() {
        let page = Page::default();
        Journal::new(Box::new(page.clone()), true).say(Level::Error, "gone\nhint: look");
        assert_eq!(page.text(), "<3>gone\n<3>hint: look\n");
        let page = Page::default();
        Journal::new(Box::new(page.clone()), false).say(Level::Info, "up");
        assert_eq!(page.text(), "hearth: up\n");
    }

    #[test]
    fn what_stays_wrong_is_said_once_and_its_end_too() {
        let page = Page::default();
        let journal = Journal::new(Box::new(page.clone()), true);
        journal.well("engine", "back");
        for text in ["gone", "gone", "slow", "gone"] {
            journal.trouble("engine", Level::Warning, text);
        }
        journal.trouble("store", Level::Warning, "gone");
        journal.well("engine", "back");
        journal.well("engine", "back");
        journal.trouble("engine", Level::Warning, "gone");
        assert_eq!(page.text(), "<4>gone\n<4>slow\n<4>gone\n<4>gone\n<5>back\n<4>gone\n");
    }
}
