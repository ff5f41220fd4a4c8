//! Single values that have no table of their own.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use crate::policy::Score;

/// Which rule was chosen for this host.
const RULE: &str = "rule";

pub(super) fn find(db: &Connection, name: &str) -> Result<Option<String>> {
    let sql = "SELECT value FROM note WHERE name = ?1 AND typeof(value) = 'text'";
    db.query_row(sql, [name], |row| row.get(0)).optional()
}

impl Store {
    /// Returns a note; `None` if there is none.
    pub fn note(&self, name: &str) -> Option<String> {
        self.read(|db| find(db, name))
    }

    /// Writes a note in place of the one of that name; one that says the same already is left. `false`: not written.
    pub fn set_note(&self, name: &str, value: &str) -> bool {
        if self.note(name).as_deref() == Some(value) {
            return true;
        }
        let sql = "INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)";
        self.write(|db| db.execute(sql, params![name, value])).is_some()
    }

    /// Deletes a note; one that is not there is fine.
    pub fn drop_note(&self, name: &str) {
        if self.note(name).is_some() {
            self.write(|db| db.execute("DELETE FROM note WHERE name = ?1", [name]));
        }
    }

    /// Returns the rule that was chosen for this host by its own history; `None`: none was yet.
    pub fn chosen_rule(&self) -> Option<Score> {
        self.note(RULE)?.parse().ok()
    }

    /// Writes down the rule that was chosen.
    pub fn choose_rule(&self, rule: Score) -> bool {
        self.set_note(RULE, &rule.to_string())
    }
}
