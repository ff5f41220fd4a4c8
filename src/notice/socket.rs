//! The socket that notices go through: `daemon.sock` in the store's directory, for those who share the store.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::UnixDatagram;

use super::{MAX_LETTER, Notice, decode, encode};
use crate::store::StorePlace;

/// The socket's name.
const FILE: &str = "daemon.sock";
/// The name under which it is made ready, before anybody finds it.
const NEW_FILE: &str = "daemon.new";
/// How many of the longest letters wait for the daemon, where the system counts their bytes.
const WAITING: usize = 8;
/// What a message costs beside its bytes, generously.
const OVERHEAD: usize = 4096;

fn path_of(place: &StorePlace) -> PathBuf {
    place.directory.join(FILE)
}

/// A stage's way to the daemon.
#[derive(Debug)]
pub struct Post(net::UnixDatagram);

impl Post {
    /// Finds the daemon; `None`: there is none, or none that this process may write to. It costs a call or two.
    pub fn to(place: &StorePlace) -> Option<Self> {
        let path = path_of(place);
        if !is_of_a_daemon(&path, &place.directory)? {
            return None;
        }
        let socket = net::UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.connect(path).ok()?;
        Some(Self(socket))
    }

    /// Sends a notice, or loses it: to a daemon that is gone or has no time, or because it is too long.
    pub fn send(&self, notice: &Notice) {
        let Some(letter) = encode(notice) else { return };
        // Not every system takes so much at once unless it is asked to.
        let _ = setsockopt(&self.0, sockopt::SndBuf, &(letter.len() + OVERHEAD));
        let _ = self.0.send(&letter);
    }
}

/// Returns whether a socket belongs to who may hear of a job's logins: root, this process's user, or the one whose the store
/// is. Others of the store's group may put something in its place. Whoever swaps it after this look wins; but who may use
/// the engine's socket, as such users mostly do, learns more without that. `None`: nothing is there.
fn is_of_a_daemon(path: &Path, directory: &Path) -> Option<bool> {
    let at = fs::symlink_metadata(path).ok()?;
    let is_trusted = |user: u32| {
        user == 0
            || user == nix::unistd::geteuid().as_raw()
            || fs::metadata(directory).is_ok_and(|of| of.uid() == user)
    };
    Some(at.file_type().is_socket() && is_trusted(at.uid()))
}

/// The daemon's end. The file goes when it is dropped, unless it is another one's by then.
#[derive(Debug)]
pub struct Inbox {
    socket: UnixDatagram,
    path: PathBuf,
    inode: Option<u64>,
    buffer: Vec<u8>,
    dropped: u64,
}

impl Inbox {
    /// Opens the socket, in the place of one that an earlier daemon left. It needs a tokio runtime.
    ///
    /// # Errors
    /// The directory is not there or may not be written; its path is longer than a socket's may be (some 100 bytes).
    pub fn bind(place: &StorePlace) -> io::Result<Self> {
        let (path, new) = (path_of(place), place.directory.join(NEW_FILE));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = net::UnixDatagram::bind(&new).map_err(|error| too_long(&new, error))?;
        let made = || {
            fs::set_permissions(&new, Permissions::from_mode(place.sharing.file_mode()))?;
            let _ = setsockopt(&socket, sockopt::RcvBuf, &(WAITING * (MAX_LETTER + OVERHEAD)));
            socket.set_nonblocking(true)?;
            fs::rename(&new, &path)
        };
        if let Err(error) = made() {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        let inode = inode(&path);
        let socket = UnixDatagram::from_std(socket)?;
        // A byte more, so that a letter that was cut off is too long.
        Ok(Self { socket, path, inode, buffer: vec![0; MAX_LETTER + 1], dropped: 0 })
    }

    /// Waits for the next notice. What is none is dropped. It may be given up at any time without losing one.
    ///
    /// # Errors
    /// The socket is broken.
    pub async fn recv(&mut self) -> io::Result<Notice> {
        loop {
            let length = self.socket.recv(&mut self.buffer).await?;
            let notice = decode(&self.buffer[..length]);
            // Secrets do not lie about until the next letter.
            self.buffer[..length].fill(0);
            match notice {
                Some(notice) => return Ok(notice),
                None => self.dropped += 1,
            }
        }
    }

    /// Returns how many letters came that were none.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    Some(fs::symlink_metadata(path).ok()?.ino())
}

/// The system's own words for it are "invalid argument".
fn too_long(path: &Path, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => {
            let length = path.as_os_str().len();
            let words = format!("a socket's path may have some 100 bytes, and this one has {length}");
            io::Error::new(io::ErrorKind::InvalidInput, words)
        }
        _ => error,
    }
}
