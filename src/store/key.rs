//! The key with which names of credentials are hashed: made once for each store, never shown.

use std::fmt;
use std::fs::File;
use std::io::Read;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Store;

const NAME: &str = "hash key";
const BYTES: usize = 32;

/// A store's own random bytes. Who loses the store loses the key, and with it all proofs: they are not kept elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey([u8; BYTES]);

impl HashKey {
    /// Returns the bytes, for a keyed hash and nothing else.
    pub fn expose(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Store {
    /// Returns the store's key, which is made at the first call. `None`: there is no store, so no proof is kept.
    pub fn hash_key(&self) -> Option<HashKey> {
        if let Some(key) = self.read(find) {
            return Some(key);
        }
        if !self.is_working() {
            return None;
        }
        let mut key = [0; BYTES];
        File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).ok()?;
        self.write(|db| {
            db.execute("INSERT OR IGNORE INTO note (name, value) VALUES (?1, ?2)", params![NAME, key])?;
            find(db)
        })?
    }
}

fn find(db: &Connection) -> Result<Option<HashKey>> {
    let sql = "SELECT value FROM note WHERE name = ?1 AND length(value) = 32";
    let key = db.query_row(sql, [NAME], |row| row.get(0)).optional()?;
    Ok(key.map(HashKey))
}
