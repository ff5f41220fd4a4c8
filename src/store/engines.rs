//! What an engine said about itself, so that not every job asks again.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;
use super::values::{ms, time};

/// What an engine said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Whose they are: an engine's endpoint, or `registry ` and a registry's name.
    pub endpoint: String,
    /// The facts, in JSON of the asker's.
    pub facts: String,
    /// When, since the epoch; [`Store::commit`] sets it.
    pub at: Duration,
}

pub(super) fn write(db: &Connection, facts: &EngineFacts, now: i64) -> Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO engine (endpoint, at_ms, facts) VALUES (?1, ?2, ?3)",
        params![facts.endpoint, now, facts.facts],
    )?;
    Ok(())
}

impl Store {
    /// Returns what the engine at an endpoint said, no longer ago than `ttl` and not in the future.
    pub fn engine_facts(&self, endpoint: &str, ttl: Duration, now: Duration) -> Option<EngineFacts> {
        self.read(|db| {
            db.query_row(
                "SELECT facts, at_ms FROM engine WHERE endpoint = ?1 AND at_ms BETWEEN ?2 AND ?3",
                params![endpoint, ms(now.saturating_sub(ttl)), ms(now)],
                |row| {
                    Ok(EngineFacts {
                        endpoint: endpoint.to_owned(),
                        facts: row.get(0)?,
                        at: time(row.get(1)?),
                    })
                },
            )
            .optional()
        })
    }
}
