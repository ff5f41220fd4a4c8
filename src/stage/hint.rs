//! Hints that a stage leaves for later ones in the attempt's directory: never secrets, never truth.

use std::path::{Path, PathBuf};

/// The file of [`BuildHint`].
const BUILD_FILE: &str = "hearth-build";
/// The file that is there while prepare has the engine make things.
const MAKING_FILE: &str = "hearth-making";

/// What is known of the build container's main process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildHint {
    /// It has no ENTRYPOINT and was started in prepare.
    Idle,
    /// It has an ENTRYPOINT and was not started yet.
    Entrypoint,
    /// Its ENTRYPOINT handed over; execs run as this user (empty: the container's own).
    HandedOver(String),
}

impl BuildHint {
    fn text(&self) -> String {
        match self {
            Self::Idle => "idle".to_owned(),
            Self::Entrypoint => "entrypoint".to_owned(),
            Self::HandedOver(user) => format!("user {user}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.trim_end_matches('\n') {
            "idle" => Some(Self::Idle),
            "entrypoint" => Some(Self::Entrypoint),
            other => {
                let user = other.strip_prefix("user ")?;
                user.chars()
                    .all(|c| c.is_ascii_digit() || c == ':')
                    .then(|| Self::HandedOver(user.to_owned()))
            }
        }
    }
}

/// The hints of one attempt.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    directory: Option<PathBuf>,
}

impl Hints {
    /// Keeps hints in the attempt's directory; `None`: there are none.
    pub fn new(directory: Option<&Path>) -> Self {
        Self { directory: directory.map(Path::to_owned) }
    }

    /// Returns a hint's text.
    pub fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.directory.as_ref()?.join(file)).ok()
    }

    /// Leaves a hint; a full disk loses it.
    pub fn write(&self, file: &str, text: &str) {
        if let Some(directory) = &self.directory {
            let _ = std::fs::write(directory.join(file), text);
        }
    }

    /// Remembers that the engine makes things, or that it has made all that it was asked for.
    pub fn set_making(&self, making: bool) {
        if making {
            self.write(MAKING_FILE, "");
        } else if let Some(directory) = &self.directory {
            let _ = std::fs::remove_file(directory.join(MAKING_FILE));
        }
    }

    /// Returns whether prepare ended while the engine was making things: one of them may yet appear.
    pub fn was_making(&self) -> bool {
        self.read(MAKING_FILE).is_some()
    }

    /// Returns what is known of the build container.
    pub fn build(&self) -> Option<BuildHint> {
        BuildHint::parse(&self.read(BUILD_FILE)?)
    }

    /// Leaves what is known of the build container.
    pub fn set_build(&self, hint: &BuildHint) {
        self.write(BUILD_FILE, &hint.text());
    }
}

#[cfg(test)]
mod tests {
    use super::{BuildHint, Hints};

    #[test]
    fn a_prepare_that_was_cut_is_known_until_it_is_told_otherwise() {
        let directory = std::env::temp_dir().join(format!("hearth-hint-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let hints = Hints::new(Some(&directory));
        assert!(!hints.was_making());
        hints.set_making(true);
        assert!(hints.was_making() && !Hints::new(None).was_making());
        hints.set_making(false);
        assert!(!hints.was_making());
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn hints_are_read_back_and_anything_else_is_no_hint() {
        for hint in [BuildHint::Idle, BuildHint::Entrypoint, BuildHint::HandedOver("1000:1000".into())] {
            assert_eq!(BuildHint::parse(&hint.text()), Some(hint));
        }
        for text in ["", "user root;x", "anything"] {
            assert_eq!(BuildHint::parse(text), None, "{text}");
        }
    }
}
