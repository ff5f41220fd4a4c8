//! The daemon's report on its way: rounds and prefetches each tell their part of it, and it is written down as one.

use std::cell::RefCell;

use super::journal::{Journal, Level};
use super::report::Report;
use crate::store::StorePlace;

/// What the daemon has to report.
pub struct Ledger<'a> {
    report: RefCell<Report>,
    place: StorePlace,
    journal: &'a Journal,
}

impl<'a> Ledger<'a> {
    /// Begins with a report that was not written down yet.
    pub fn new(report: Report, place: StorePlace, journal: &'a Journal) -> Self {
        Self { report: RefCell::new(report), place, journal }
    }

    /// Returns where it is written down, and where the facts are.
    pub fn place(&self) -> &StorePlace {
        &self.place
    }

    /// Looks at the report.
    pub fn look<T>(&self, look: impl FnOnce(&Report) -> T) -> T {
        look(&self.report.borrow())
    }

    /// Changes the report; it is written down later.
    pub fn change<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        change(&mut self.report.borrow_mut())
    }

    /// Writes it down.
    pub fn write(&self) {
        match self.report.borrow().write(&self.place) {
            Ok(()) => self.journal.well("report", "what the daemon does can be written down again"),
            Err(error) => {
                let words = format!("what the daemon does cannot be written down for hearth status: {error}");
                self.journal.trouble("report", Level::Warning, words);
            }
        }
    }
}
