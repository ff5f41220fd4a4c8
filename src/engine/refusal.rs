//! Refusals of create and start that are the *job's* fault, and a full disk, told by the engine's words.
//!
//! Engines answer 400 or 500 with runc's or crun's text; there are no codes to go by.

use super::error::EngineError;

/// What of the job's wishes the engine could not fulfil.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The user or group does not exist in the image.
    NoSuchUser,
    /// The entrypoint or command does not exist in the image, or may not be executed.
    NoSuchProgram,
    /// The program is for another architecture, or no program at all.
    WrongFormat,
    /// The working directory cannot be used.
    BadWorkingDir,
}

impl Refusal {
    /// Reads the engine's words; `None`: not the job's fault.
    pub fn of(words: &str) -> Option<Self> {
        let words = words.to_ascii_lowercase();
        let has = |part: &str| words.contains(part);
        if has("exec format error") {
            Some(Self::WrongFormat)
        } else if has("unable to find user")
            || has("unable to find group")
            || has("no matching entries in passwd")
        {
            Some(Self::NoSuchUser)
        } else if has("mount") && has("not a directory") || has("/proc/") || has("apparmor") {
            None
        } else if has("executable file not found")
            || has("executable file `")
            || (has("exec:") || has("exec "))
                && (has("no such file or directory") || has("permission denied") || has("is a directory"))
            || has("no command specified")
        {
            Some(Self::NoSuchProgram)
        } else if has("working directory") || has("chdir to cwd") || has("cannot mkdir:") {
            Some(Self::BadWorkingDir)
        } else {
            None
        }
    }

    /// Returns what the author can do.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoSuchUser => "image:docker:user must name a user of the image, or a number",
            Self::NoSuchProgram => {
                "the image needs its ENTRYPOINT and a shell (sh) in PATH; if the ENTRYPOINT runs no shell: entrypoint: [\"\"]"
            }
            Self::WrongFormat => {
                "the image is for another architecture, or its ENTRYPOINT is a script without #!"
            }
            Self::BadWorkingDir => "the image's WORKDIR must be a directory",
        }
    }
}

/// Tells whether the engine's disk is full: of blocks, of inodes or by a quota.
pub fn is_no_space(error: &EngineError) -> bool {
    says_no_space(&error.words())
}

/// As [`is_no_space`], of words alone.
pub fn says_no_space(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["no space left", "not enough space", "disk quota exceeded", "enospc"]
        .iter()
        .any(|part| words.contains(part))
}

#[cfg(test)]
mod tests {
    use super::{EngineError, Refusal, is_no_space};

    #[test]
    fn a_full_disk_is_told_from_other_troubles() {
        let refused =
            |status, words: &str| EngineError::Refused { call: "x".into(), status, message: words.into() };
        for full in [
            refused(
                0,
                "failed to register layer: Error processing tar file(exit status 1): write /big: no space left on device",
            ),
            refused(
                0,
                "failed to extract layer sha256:1: write /var/lib/containerd/big: no space left on device: unknown",
            ),
            refused(500, "mkdir /var/lib/docker/overlay2/1: disk quota exceeded"),
            refused(0, "writing blob: storing blob to file \"/var/tmp/1\": No space left on device"),
        ] {
            assert!(is_no_space(&full), "{full}");
        }
        for other in [
            refused(500, "conflict: unable to delete 1 (must be forced)"),
            refused(0, "read tcp: connection reset by peer"),
            EngineError::Timeout { call: "pull".into(), seconds: 120 },
        ] {
            assert!(!is_no_space(&other), "{other}");
        }
    }

    #[test]
    fn the_engines_words_are_told_apart() {
        for (words, refusal) in [
            ("unable to find user nobodyx: no matching entries in passwd file", Some(Refusal::NoSuchUser)),
            (
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"sh\": executable file not found in $PATH: unknown",
                Some(Refusal::NoSuchProgram),
            ),
            (
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/nope\": stat /nope: no such file or directory: unknown",
                Some(Refusal::NoSuchProgram),
            ),
            ("exec /entry: exec format error", Some(Refusal::WrongFormat)),
            (
                "crun: executable file `sh` not found in $PATH: No such file or directory",
                Some(Refusal::NoSuchProgram),
            ),
            ("No command specified", Some(Refusal::NoSuchProgram)),
            ("failed to create endpoint on network bridge: no available IPv4 addresses", None),
            ("Cannot mkdir: /etc/passwd is not a directory", Some(Refusal::BadWorkingDir)),
            ("no space left on device", None),
            ("runc create failed: write /proc/self/attr/apparmor/exec: no such file or directory", None),
            ("error while creating mount source path '/x': mkdir /x: read-only file system", None),
        ] {
            assert_eq!(Refusal::of(words), refusal, "{words}");
        }
    }
}
