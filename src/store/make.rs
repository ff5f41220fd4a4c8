//! Making, migrating and setting aside the file: each under the lock, each after another look.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::lock::Lock;
use super::open::{self, Found, MIGRATIONS, Opened};
use super::place::StorePlace;
use super::trouble::{Trouble, TroubleKind};

/// What belongs to the file besides itself.
const SIBLINGS: [&str; 2] = ["-wal", "-shm"];
/// Where a new file is made before it gets its name.
const NEW: &str = ".new";
/// How many damaged files are kept for who wants to look at them.
const KEPT: usize = 3;

/// Makes the file usable, whatever is wrong with it, or says why not.
pub(super) fn ready(place: &StorePlace, now: Duration) -> (Option<Opened>, Option<Trouble>) {
    match under_lock(place, now) {
        Ok((opened, trouble)) => (Some(opened), trouble),
        Err(trouble) => (None, Some(trouble)),
    }
}

fn under_lock(place: &StorePlace, now: Duration) -> Result<(Opened, Option<Trouble>), Trouble> {
    make_directory(place)?;
    let _lock = Lock::take(place)?;
    let mut told = None;
    // Another process may have done it meanwhile.
    match open::look(place) {
        Found::Ready(opened) => return Ok((opened, None)),
        Found::Trouble(trouble) => return Err(trouble),
        Found::Older(db, version) => migrate_in_place(place, &db, version)?,
        Found::Corrupt(reason) => {
            let to = set_aside(place, now)?;
            told = Some(Trouble::set_aside(place, &to, &reason));
            make_new(place)?;
        }
        Found::Missing => make_new(place)?,
    }
    match open::look(place) {
        Found::Ready(opened) => Ok((opened, told)),
        Found::Trouble(trouble) => Err(trouble),
        Found::Missing | Found::Older(..) | Found::Corrupt(_) => {
            Err(Trouble::at(&place.file(), TroubleKind::Unusable, "it does not stay as it was made"))
        }
    }
}

/// Sets a file aside that turned out damaged while it was used, unless another one has its name by now. The next process
/// makes a new one.
pub(super) fn set_aside_later(place: &StorePlace, inode: u64, now: Duration, trouble: Trouble) -> Trouble {
    let Ok(_lock) = Lock::take(place) else { return trouble };
    let is_same = open::inode_of(&place.file()) == Some(inode);
    match if is_same { set_aside(place, now).ok() } else { None } {
        Some(to) => Trouble::set_aside(place, &to, "noticed while it was used"),
        None => trouble,
    }
}

/// Takes the steps that an older file lacks. A file without a version must be empty to be ours.
fn migrate_in_place(place: &StorePlace, db: &Connection, from: usize) -> Result<(), Trouble> {
    let failed = |error: rusqlite::Error| Trouble::of(place, &error);
    if from == 0 {
        let tables: i64 =
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
        if tables > 0 {
            return Err(Trouble::at(&place.file(), TroubleKind::Foreign, "it has tables but no version"));
        }
    }
    migrate(db, MIGRATIONS).map_err(failed)
}

/// Takes all steps beyond the file's version, all or none.
pub(super) fn migrate(db: &Connection, steps: &[&str]) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    super::in_transaction(db, |db| {
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        for step in steps.iter().skip(usize::try_from(version).unwrap_or_default()) {
            db.execute_batch(step)?;
        }
        db.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or(i64::MAX))
    })
}

/// Makes a complete file under another name, and gives it its own.
fn make_new(place: &StorePlace) -> Result<(), Trouble> {
    let new = place.beside(NEW);
    let made = |error: io::Error| Trouble::io(&place.file(), "it cannot be made", &error);
    // Left by a process that was killed here; or by one that had a file which somebody deleted: its log must not be
    // taken for the new file's.
    for suffix in ["", "-journal", "-wal", "-shm"] {
        remove(&place.beside(&format!("{NEW}{suffix}"))).map_err(made)?;
    }
    for suffix in SIBLINGS {
        remove(&place.beside(suffix)).map_err(made)?;
    }
    let mode = place.sharing.file_mode();
    OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).map_err(made)?;
    set_mode(&new, mode).map_err(made)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let filled = Connection::open_with_flags(&new, flags).and_then(|db| {
        migrate(&db, MIGRATIONS)?;
        db.close().map_err(|(_, error)| error)
    });
    if let Err(error) = filled {
        let _ = remove(&new);
        return Err(Trouble::of(place, &error));
    }
    fs::rename(&new, place.file()).map_err(made)
}

/// Moves the file with all that belongs to it, the file first: without it nobody opens the rest. Processes that have it
/// open notice that it moved, and do not delete what has its name then.
fn set_aside(place: &StorePlace, now: Duration) -> Result<PathBuf, Trouble> {
    let failed = |error: io::Error| {
        let trouble = Trouble::io(&place.file(), "it is damaged, and cannot be set aside", &error);
        Trouble { kind: TroubleKind::Corrupt, ..trouble }
    };
    let name = format!("{}{}", StorePlace::corrupt_prefix(), now.as_secs());
    let to = place.directory.join(&name);
    fs::rename(place.file(), &to).map_err(failed)?;
    for suffix in SIBLINGS {
        match fs::rename(place.beside(suffix), place.directory.join(format!("{name}{suffix}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    forget_oldest(place);
    Ok(to)
}

/// Deletes all but the newest files set aside; what cannot be deleted stays.
fn forget_oldest(place: &StorePlace) {
    let prefix = StorePlace::corrupt_prefix();
    let mut times: Vec<u64> = fs::read_dir(&place.directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
        .collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    for time in times.into_iter().skip(KEPT) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = remove(&place.directory.join(format!("{prefix}{time}{suffix}")));
        }
    }
}

fn make_directory(place: &StorePlace) -> Result<(), Trouble> {
    let directory = &place.directory;
    let failed = |error: io::Error| Trouble::io(directory, "it cannot be made", &error);
    let mode = place.sharing.directory_mode();
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match fs::DirBuilder::new().mode(mode).create(directory) {
        // The umask may have taken some of it.
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(mode)).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Sets a new file's mode whatever the umask, and gives it to its directory's group. Where the process is not in that
/// group the directory does it, if its mode says so.
///
/// By path: SQLite's locks go when any descriptor of the file is closed.
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    let group = path.parent().map(fs::metadata).transpose()?.map(|directory| directory.gid());
    if group.is_some_and(|group| fs::metadata(path).is_ok_and(|file| file.gid() != group)) {
        let _ = chown(path, None, group);
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
