//! Registries that asked to be left alone for a while, for the whole host.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use super::values::{ms, time};

/// No registry means more than a day; a clock that was wrong could.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// That a registry asked to wait. One author's exhausted account does not stall others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackOff {
    /// The registry.
    pub registry: String,
    /// The account, as a text that is no secret; empty for who does not log in.
    pub account: String,
    /// Until when, since the epoch.
    pub until: Duration,
    /// What the registry said.
    pub words: String,
}

pub(super) fn write(db: &Connection, back_off: &BackOff, now: i64) -> Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO back_off (registry, account, at_ms, until_ms, words) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![back_off.registry, back_off.account, now, ms(back_off.until), back_off.words],
    )?;
    Ok(())
}

impl Store {
    /// Returns whether this registry asked this account to wait beyond `now`. A wait that began in the future, or that
    /// would last longer than a day, is not believed.
    pub fn back_off(&self, registry: &str, account: &str, now: Duration) -> Option<BackOff> {
        self.read(|db| {
            db.query_row(
                "SELECT until_ms, words FROM back_off
                 WHERE registry = ?1 AND account = ?2 AND at_ms <= ?3 AND until_ms > ?3 AND until_ms <= ?3 + ?4",
                params![registry, account, ms(now), ms(LONGEST)],
                |row| {
                    Ok(BackOff {
                        registry: registry.to_owned(),
                        account: account.to_owned(),
                        until: time(row.get(0)?),
                        words: row.get(1)?,
                    })
                },
            )
            .optional()
        })
    }
}
