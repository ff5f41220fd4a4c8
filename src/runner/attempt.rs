//! The directory of one attempt: payload, scripts, exit code file.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::version::RunnerVersion;

/// The directory that is TMPDIR and working directory of every call of an attempt.
#[derive(Debug)]
pub(super) struct AttemptDir {
    path: PathBuf,
    scripts: u32,
}

impl AttemptDir {
    /// Makes a new directory below `root` with the payload in it.
    pub(super) fn new(root: &Path, response: &str) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = root.join(format!("custom-executor{}{number:04}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let dir = Self { path, scripts: 0 };
        write_new(&dir.path.join("response.json"), response, 0o600)?;
        Ok(dir)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the script of a stage into a directory of its own, where it stays until the attempt is over.
    pub(super) fn write_script(&mut self, script: &str, version: RunnerVersion) -> io::Result<PathBuf> {
        self.scripts += 1;
        let dir = self.path.join(format!("script{:04}", self.scripts));
        DirBuilder::new().mode(0o700).create(&dir)?;
        let path = dir.join(if version.since(17, 4) { "script" } else { "script." });
        write_new(&path, script, 0o700)?;
        Ok(path)
    }

    /// Returns the code in the exit code file, by the runner's strict rules. `Ok(None)` when there is no file.
    pub(super) fn exit_code(&self) -> Result<Option<i32>, String> {
        let text = match std::fs::read(self.path.join("build_exit_code")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let text = String::from_utf8_lossy(&text);
        let line = text.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.parse().map(Some).map_err(|error| format!("parsing {line:?}: {error}"))
    }

    /// Removes the directory with all that is in it.
    pub(super) fn remove(self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.path)
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::AttemptDir;
    use crate::runner::test_dir::TestDir;
    use crate::runner::version::RunnerVersion;

    #[test]
    fn everything_in_it_is_for_the_owner_alone() {
        let root = TestDir::new();
        let mut dir = AttemptDir::new(root.path(), "{}\n").unwrap();
        let script = dir.write_script("#!", RunnerVersion::new(16, 0, 0)).unwrap();
        assert!(script.ends_with("script0001/script."));
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.path().join("response.json")), 0o600);
        assert_eq!((mode(&script), mode(script.parent().unwrap())), (0o700, 0o700));
        let path = dir.path().to_owned();
        dir.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_exit_code_file_is_read_strictly() {
        let root = TestDir::new();
        let dir = AttemptDir::new(root.path(), "").unwrap();
        assert_eq!(dir.exit_code(), Ok(None));
        for (text, code) in [
            ("42\n", Some(42)),
            ("42\r\nmore", Some(42)),
            ("7", Some(7)),
            ("42 ", None),
            (" 1", None),
            ("", None),
        ] {
            std::fs::write(dir.path().join("build_exit_code"), text).unwrap();
            assert_eq!(dir.exit_code().ok().flatten(), code, "{text:?}");
        }
    }
}
