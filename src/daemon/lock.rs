//! The lock that says that a daemon looks after this host.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::outcome::Failure;
use crate::store::StorePlace;

/// Its file, in the store's directory.
const FILE: &str = "daemon.lock";
/// Bytes of a process's number.
const MOST: u64 = 20;

/// Held until it is dropped, also by kill -9.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, and writes down who has it.
    ///
    /// # Errors
    /// Another daemon has it, or its file cannot be made.
    pub fn take(place: &StorePlace, pid: u32) -> Result<Self, Failure> {
        let path = place.directory.join(FILE);
        let failed = |error: io::Error| {
            Failure::system(format!("the daemon's lock {} cannot be taken: {error}", path.display()))
                .hint("make the store's directory writable for the daemon's user, or set [store] dir")
        };
        let (mut file, writable) = open(&path, place).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                let who = holder.map_or_else(String::new, |pid| format!(", process {pid}"));
                return Err(Failure::system(format!(
                    "another hearth daemon{who} already looks after this host: it holds {}",
                    path.display()
                ))
                .hint("one daemon a host is enough; see systemctl status hearth"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if writable {
            // The number is for people; the lock holds without it.
            let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{pid}"));
        }
        Ok(Self { _file: file })
    }

    /// Returns whether a daemon runs.
    pub fn is_held(place: &StorePlace) -> bool {
        let file = File::open(place.directory.join(FILE));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Opens the file and makes it if it is missing. On a disk that has become read-only the one that is there serves too.
fn open(path: &Path, place: &StorePlace) -> io::Result<(File, bool)> {
    std::fs::create_dir_all(&place.directory)?;
    let mode = place.sharing.file_mode();
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path);
    if let Ok(file) = made {
        // The process's mask may have taken the group's right.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        return Ok((file, true));
    }
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(error) => File::open(path).map(|file| (file, false)).map_err(|_| error),
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use crate::store::{Sharing, StorePlace};

    #[test]
    fn one_has_it_and_the_other_is_told_who() {
        let dir = std::env::temp_dir().join(format!("hearth-lock-{}", std::process::id()));
        let place = StorePlace::new(&dir, Sharing::Owner);
        assert!(!Lock::is_held(&place));
        let lock = Lock::take(&place, 4242).unwrap();
        assert!(Lock::is_held(&place));
        let refused = Lock::take(&place, 1).unwrap_err();
        assert!(refused.message.contains("process 4242"), "{refused}");
        drop(lock);
        assert!(!Lock::is_held(&place));
        // A look at the lock does not take it from the next one.
        drop(Lock::take(&place, 5).unwrap());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
