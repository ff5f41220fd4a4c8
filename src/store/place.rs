//! Where the store is, who shares it, and its parameters.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::policy::Score;

/// Where root keeps the facts.
const SYSTEM_DIR: &str = "/var/lib/hearth";
/// The file's name.
const FILE: &str = "hearth.db";

/// Who may use the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// A group: the runner's user, the daemon's and operators, whoever makes the files first.
    Group,
    /// One user runs everything.
    Owner,
}

impl Sharing {
    /// The directory's mode; the group passes on to what is made in it.
    pub(super) fn directory_mode(self) -> u32 {
        match self {
            Self::Group => 0o2770,
            Self::Owner => 0o700,
        }
    }

    /// The files' mode.
    pub fn file_mode(self) -> u32 {
        match self {
            Self::Group => 0o660,
            Self::Owner => 0o600,
        }
    }
}

/// Where the store is and how it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct StorePlace {
    /// Its directory; made if it is missing.
    pub directory: PathBuf,
    /// Who may use it.
    pub sharing: Sharing,
    /// How long a process waits for a locked file the first time; later a tenth of it. For one that is being made, which
    /// happens once in its life, it waits five times as long.
    pub patience: Duration,
    /// In which time a tag's rate of uses halves.
    pub half_life: Duration,
    /// Within which time a use, a proof or a sighting that repeats an earlier one is not written again.
    pub resolution: Duration,
}

impl StorePlace {
    /// Takes a directory, with the usual parameters.
    pub fn new(directory: impl Into<PathBuf>, sharing: Sharing) -> Self {
        Self {
            directory: directory.into(),
            sharing,
            // Other processes' transactions take milliseconds, on a slow card tens of them.
            patience: Duration::from_millis(300),
            half_life: Duration::from_secs_f64(Score::HALF_LIFE),
            resolution: Duration::from_secs(60),
        }
    }

    /// Chooses the directory: the operator's setting, else root's own, else the user's (`XDG_STATE_HOME`, which only counts
    /// if it is absolute, or below `HOME`). `None`: there is no place for facts.
    pub fn choose(
        setting: Option<&Path>,
        is_root: bool,
        state_home: Option<&Path>,
        home: Option<&Path>,
    ) -> Option<Self> {
        let of_user = || {
            let base = state_home.filter(|dir| dir.is_absolute()).map(Path::to_owned);
            Some(base.or_else(|| home.map(|home| home.join(".local/state")))?.join("hearth"))
        };
        match setting {
            Some(dir) => Some(Self::new(dir, Sharing::Group)),
            None if is_root => Some(Self::new(SYSTEM_DIR, Sharing::Group)),
            None => Some(Self::new(of_user()?, Sharing::Owner)),
        }
    }

    /// Returns the file.
    pub fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// The file with something after its name, such as SQLite's `-wal`.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{FILE}{suffix}"))
    }

    /// What names of files that were set aside begin with.
    pub(super) fn corrupt_prefix() -> String {
        format!("{FILE}.corrupt-")
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Sharing, StorePlace};

    #[test]
    fn facts_are_kept_where_the_operator_says_else_by_user() {
        let place = |setting: Option<&str>, root, state: Option<&str>, home: Option<&str>| {
            let place =
                StorePlace::choose(setting.map(Path::new), root, state.map(Path::new), home.map(Path::new))?;
            Some((place.directory, place.sharing))
        };
        let dir = PathBuf::from;
        assert_eq!(place(Some("/x"), true, None, None), Some((dir("/x"), Sharing::Group)));
        assert_eq!(place(Some("/x"), false, None, None), Some((dir("/x"), Sharing::Group)));
        assert_eq!(place(None, true, Some("/s"), Some("/h")), Some((dir("/var/lib/hearth"), Sharing::Group)));
        assert_eq!(place(None, false, Some("/s"), Some("/h")), Some((dir("/s/hearth"), Sharing::Owner)));
        assert_eq!(
            place(None, false, Some("relative"), Some("/h")),
            Some((dir("/h/.local/state/hearth"), Sharing::Owner))
        );
        assert_eq!(place(None, false, None, None), None);
    }
}
