//! What one process was given by its host: arguments, environment, standard streams. Everything else takes them as values.
#![expect(clippy::disallowed_methods, reason = "the one place that reads the process's own state")]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::outcome::Failure;

/// The state a process starts with.
#[derive(Clone)]
pub struct Host {
    /// Arguments, the program's name first.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// The program's own file.
    pub exe: PathBuf,
    /// The working directory.
    pub cwd: PathBuf,
}

impl Host {
    /// Reads the state of this process.
    pub fn read() -> Self {
        Self {
            args: std::env::args_os().collect(),
            env: std::env::vars_os().collect(),
            exe: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("hearth")),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    /// Returns an environment variable; empty counts as unset.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_os_str()).filter(|v| !v.is_empty())
    }
}

/// Returns the host's own name; `localhost` where it has none.
pub fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Returns stdout as a file: unbuffered, so that bytes reach the job log as they come.
pub fn stdout() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Returns the time since the epoch.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Reads a file of at most `limit` bytes. The message names the file by `what` and its path.
pub fn read_bounded(path: &Path, limit: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let failed =
        |reason: String| Failure::system(format!("{what} {} cannot be read: {reason}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(failed(format!("it is larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::read_bounded;

    #[test]
    fn a_missing_and_a_huge_file_are_told_apart() {
        let missing =
            read_bounded("/nonexistent/response.json".as_ref(), 10, "JOB_RESPONSE_FILE").unwrap_err();
        assert!(missing.message.contains("/nonexistent/response.json"), "{missing}");
        let huge = read_bounded("/dev/zero".as_ref(), 3 << 20, "JOB_RESPONSE_FILE").unwrap_err();
        assert!(huge.message.contains("larger than 3 MiB"), "{huge}");
    }
}
