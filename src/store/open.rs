//! Opening the file: the quick way that nearly always does, and what it finds otherwise.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::make;
use super::place::StorePlace;
use super::trouble::{self, Trouble, TroubleKind};

/// What each version added, in order. They are never changed, only added to: a version is the number of steps taken.
pub(super) const MIGRATIONS: &[&str] =
    &[include_str!("migrations/1.sql"), include_str!("migrations/2.sql"), include_str!("migrations/3.sql")];

/// From how many pages on a log is folded into the file.
const LONG_LOG_PAGES: u64 = 100;

/// An open file.
pub(super) struct Opened {
    pub(super) db: Connection,
    /// Tells the file from one that took its name.
    pub(super) inode: u64,
    log: PathBuf,
}

impl Drop for Opened {
    /// Has the log folded into the file and deleted once it is long, if no other process has the file open. Otherwise it is
    /// left for the next process: folding waits for the disk several times, reading a short log takes a millisecond.
    fn drop(&mut self) {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LONG_LOG_PAGES * 4096) {
            // Where it cannot be set the log stays as it is.
            let _ = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        }
    }
}

/// What a look at the file says.
pub(super) enum Found {
    Ready(Opened),
    /// There is none.
    Missing,
    /// It has so many steps yet to take from this version.
    Older(Connection, usize),
    Corrupt(String),
    Trouble(Trouble),
}

/// Opens the file, and makes, migrates or replaces it if it must.
pub(super) fn open(place: &StorePlace, now: Duration) -> (Option<Opened>, Option<Trouble>) {
    match look(place) {
        Found::Ready(opened) => (Some(opened), None),
        Found::Trouble(trouble) => (None, Some(trouble)),
        Found::Missing | Found::Older(..) | Found::Corrupt(_) => make::ready(place, now),
    }
}

/// Looks at the file and changes nothing. It reads no more than the first page.
pub(super) fn look(place: &StorePlace) -> Found {
    let path = place.file();
    let Some(inode) = inode_of(&path) else { return Found::Missing };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&path, flags).and_then(|db| {
        db.busy_timeout(place.patience)?;
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((db, version))
    });
    let (db, version) = match opened {
        Ok(opened) => opened,
        Err(error) => return failed(place, &error),
    };
    // SQLite opens what it may not write for reading alone. Without leases and proofs that is no use.
    match db.is_readonly(MAIN_DB) {
        Ok(false) => {}
        Ok(true) => return trouble(place, TroubleKind::ReadOnly, "it could only be opened for reading"),
        Err(error) => return Found::Trouble(Trouble::of(place, &error)),
    }
    // The log is found by its name: if the file's name went to another one meanwhile, log and file do not belong together.
    if inode_of(&path) != Some(inode) {
        return Found::Missing;
    }
    let newest = MIGRATIONS.len();
    match usize::try_from(version) {
        Ok(version) if version > newest => trouble(
            place,
            TroubleKind::Newer,
            &format!("version {version}, and this hearth knows up to {newest}"),
        ),
        Ok(version) if version < newest => Found::Older(db, version),
        Ok(_) => match settle(&db) {
            Ok(()) => Found::Ready(Opened { db, inode, log: place.beside("-wal") }),
            Err(error) => failed(place, &error),
        },
        Err(_) => trouble(place, TroubleKind::Foreign, &format!("version {version}")),
    }
}

/// What holds for one connection. WAL mode itself is a property of the file.
fn settle(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.execute_batch(&format!(
        "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = {LONG_LOG_PAGES}; PRAGMA temp_store = MEMORY"
    ))
}

/// Reads what an error says of the file.
fn failed(place: &StorePlace, error: &rusqlite::Error) -> Found {
    match trouble::kind_of(error) {
        TroubleKind::Corrupt => Found::Corrupt(trouble::short(error)),
        TroubleKind::Unusable if inode_of(&place.file()).is_none() => Found::Missing,
        _ => Found::Trouble(Trouble::of(place, error)),
    }
}

fn trouble(place: &StorePlace, kind: TroubleKind, reason: &str) -> Found {
    Found::Trouble(Trouble::at(&place.file(), kind, reason))
}

/// What tells a file from another one of its name; `None` if there is none, or it cannot be seen.
pub(super) fn inode_of(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}
