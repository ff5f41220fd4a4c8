//! Why facts cannot be had, in words for people.

use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use super::place::StorePlace;

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// Another process holds it for longer than one waits.
    Locked,
    /// It cannot be written.
    ReadOnly,
    /// It is damaged.
    Corrupt,
    /// A newer hearth made it.
    Newer,
    /// It is not hearth's.
    Foreign,
    /// The disk is full.
    Full,
    /// It cannot be opened or made, or does not answer as it should.
    Unusable,
}

/// What is wrong with the store, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is.
    pub kind: TroubleKind,
    /// What happened to which file, and what that means.
    pub words: String,
    /// What to do about it.
    pub hint: String,
}

impl Trouble {
    /// Describes an error of SQLite's.
    pub(super) fn of(place: &StorePlace, error: &rusqlite::Error) -> Self {
        Self::at(&place.file(), kind_of(error), &short(error))
    }

    /// Describes an error of the file system's.
    pub(super) fn io(path: &Path, what: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TroubleKind::Full,
            io::ErrorKind::ReadOnlyFilesystem => TroubleKind::ReadOnly,
            _ => TroubleKind::Unusable,
        };
        Self::at(path, kind, &format!("{what}: {error}"))
    }

    /// Describes what is wrong with a file.
    pub(super) fn at(path: &Path, kind: TroubleKind, reason: &str) -> Self {
        let file = path.display();
        let (is, hint) = match kind {
            TroubleKind::Locked => (
                "is locked by another process",
                "nothing, if this is rare; else see which process holds the file",
            ),
            TroubleKind::ReadOnly => {
                ("cannot be written", "make the file and its directory writable for the runner's user")
            }
            TroubleKind::Corrupt => ("is damaged", "move the file away; a new one is made"),
            TroubleKind::Newer => (
                "was made by a newer hearth and is left alone",
                "install that version again, or move the file away",
            ),
            TroubleKind::Foreign => ("is not hearth's", "set another directory, or move the file away"),
            TroubleKind::Full => ("does not fit on the disk", "make room"),
            TroubleKind::Unusable => {
                ("cannot be used", "see that the directory exists and is the runner's user's or group's")
            }
        };
        Self {
            kind,
            words: format!("the store {file} {is} ({reason}): jobs go on without what it knows"),
            hint: hint.to_owned(),
        }
    }

    /// Describes a damaged file that was moved.
    pub(super) fn set_aside(place: &StorePlace, to: &Path, reason: &str) -> Self {
        Self {
            kind: TroubleKind::Corrupt,
            words: format!(
                "the store {} was damaged ({reason}) and was set aside as {}: what it knew is forgotten",
                place.file().display(),
                to.display()
            ),
            hint: "if this happens again, check the disk or card; the file set aside may be deleted"
                .to_owned(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.words, self.hint)
    }
}

/// Reads what an error of SQLite's means.
pub(super) fn kind_of(error: &rusqlite::Error) -> TroubleKind {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return TroubleKind::Unusable };
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => TroubleKind::Locked,
        ErrorCode::ReadOnly => TroubleKind::ReadOnly,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => TroubleKind::Corrupt,
        ErrorCode::DiskFull => TroubleKind::Full,
        _ if failure.extended_code == SQLITE_IOERR_SHMSIZE => TroubleKind::Full,
        _ => TroubleKind::Unusable,
    }
}

/// SQLite's words without the statement that met the error.
pub(super) fn short(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, words) => {
            words.clone().unwrap_or_else(|| failure.to_string())
        }
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}
