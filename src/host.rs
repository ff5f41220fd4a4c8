//! What one process was given by its host: arguments, environment, standard streams. Everything else takes them as values.
#![expect(clippy::disallowed_methods, reason = "the one place that reads the process's own state")]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::moment::{Moment, Process};
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

/// Returns whether this process runs as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Returns the time on all clocks. Systems without `/proc` have only the first.
pub fn moment() -> Moment {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let boot = read("/proc/uptime").split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    let boot = boot.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // Without its clock, which boot it is says nothing.
    let boot_id = if boot.is_some() { read("/proc/sys/kernel/random/boot_id") } else { String::new() };
    Moment { wall: now(), boot: boot.unwrap_or_default(), boot_id: boot_id.trim().to_owned() }
}

/// Returns whether a time server has set the clock since boot, as far as a look at files tells: systemd's own client leaves
/// one. `None`: nothing is known of it. Systems other than Linux keep the time in the machine.
pub fn clock_is_set() -> Option<bool> {
    if !cfg!(target_os = "linux") {
        return Some(true);
    }
    Path::new("/run/systemd/timesync/synchronized").exists().then_some(true)
}

/// Returns whether stderr is the journal: `JOURNAL_STREAM` names what systemd connected.
pub fn stderr_is_journal(stream: Option<&OsStr>) -> bool {
    let named = stream.and_then(OsStr::to_str).and_then(|value| value.split_once(':'));
    let Some((device, inode)) = named else { return false };
    let own = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    own.is_ok_and(|own| own.dev().to_string() == device && own.ino().to_string() == inode)
}

/// Returns a running process with the time of its start, so that a later one with its number can be told apart; `None` if
/// there is none, or the system does not say.
pub fn process(pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name comes before, in parentheses; it may hold spaces and parentheses.
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(Process { pid, started })
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
    use super::{moment, process, read_bounded};

    #[test]
    fn a_process_is_known_by_its_start() {
        if !std::path::Path::new("/proc/uptime").exists() {
            return eprintln!("SKIPPED: there is no /proc here");
        }
        let this = process(std::process::id()).unwrap();
        assert_eq!(process(this.pid), Some(this));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = process(child.id()).unwrap().started;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(started >= this.started);
        assert_eq!(process(u32::MAX), None);
    }

    #[test]
    fn the_clock_of_the_boot_runs_and_its_name_stays() {
        let (one, other) = (moment(), moment());
        assert!(other.since(&one).is_some() && one.boot <= other.boot);
        assert_eq!(one.boot_id, other.boot_id);
    }

    #[test]
    fn a_missing_and_a_huge_file_are_told_apart() {
        let missing =
            read_bounded("/nonexistent/response.json".as_ref(), 10, "JOB_RESPONSE_FILE").unwrap_err();
        assert!(missing.message.contains("/nonexistent/response.json"), "{missing}");
        let huge = read_bounded("/dev/zero".as_ref(), 3 << 20, "JOB_RESPONSE_FILE").unwrap_err();
        assert!(huge.message.contains("larger than 3 MiB"), "{huge}");
    }
}
