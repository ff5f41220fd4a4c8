//! The lock under which the file is made, migrated or set aside.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::make::set_mode;
use super::place::StorePlace;
use super::trouble::{Trouble, TroubleKind};

const SUFFIX: &str = ".lock";
const STEP: Duration = Duration::from_millis(10);
/// Making a file happens once in its life and takes several times as long as a write.
const MAKING: u32 = 5;

/// Held until it is dropped, also by kill -9.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock, for a limited time.
    pub(super) fn take(place: &StorePlace) -> Result<Self, Trouble> {
        let path = place.beside(SUFFIX);
        let until = Instant::now() + place.patience.saturating_mul(MAKING);
        loop {
            let (last, passes) = match attempt(&path, place) {
                Ok(Some(file)) => return Ok(Self { _file: file }),
                Ok(None) => {
                    (Trouble::at(&place.file(), TroubleKind::Locked, "it is being made or set aside"), true)
                }
                Err(error) => {
                    // Who makes it sets its mode a moment later.
                    let passes = error.kind() == io::ErrorKind::PermissionDenied && path.exists();
                    (Trouble::io(&path, "its lock cannot be opened", &error), passes)
                }
            };
            if !passes || Instant::now() >= until {
                return Err(last);
            }
            sleep(STEP);
        }
    }
}

/// A lock of another purpose in the store's directory, held until it is dropped, also by kill -9.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

impl Held {
    /// Takes a lock by name if nobody has it: a file of that name is locked, and stays. `None`: somebody has it.
    ///
    /// # Errors
    /// A directory that is not there, or may not be written.
    pub fn take(place: &StorePlace, name: &str) -> io::Result<Option<Self>> {
        Ok(attempt(&place.directory.join(name), place)?.map(|file| Self { _file: file }))
    }
}

fn attempt(path: &Path, place: &StorePlace) -> io::Result<Option<File>> {
    let mode = place.sharing.file_mode();
    let file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => {
            set_mode(path, mode)?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).open(path)?
        }
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
