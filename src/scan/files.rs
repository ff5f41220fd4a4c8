//! The files of a checkout by their paths within it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::limits::{MAX_FILE_BYTES, MAX_FILES, MAX_PATH};

/// A path within the checkout: relative, with `/` between its parts, and never up and out of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckoutPath(String);

impl CheckoutPath {
    /// The checkout itself.
    pub(super) fn root() -> Self {
        Self(String::new())
    }

    /// Returns the path as text, such as `docker/Dockerfile`; the checkout itself is empty.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Joins a path that was written to a directory; `None` if it leaves the checkout, is absolute or is no path.
    pub(super) fn join(&self, written: &str) -> Option<Self> {
        if written.len() > MAX_PATH || written.starts_with('/') || written.contains(|c: char| c.is_control())
        {
            return None;
        }
        let mut parts: Vec<&str> = self.0.split('/').filter(|part| !part.is_empty()).collect();
        for part in written.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        let path = parts.join("/");
        (path.len() <= MAX_PATH).then_some(Self(path))
    }
}

impl fmt::Display for CheckoutPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was read of a checkout so far.
#[derive(Default)]
pub struct Files {
    read: BTreeMap<CheckoutPath, Option<String>>,
}

impl Files {
    /// Makes the start of a scan: nothing is read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a path holds; `None` if there is no regular file of text, or it is longer than
    /// [`super::MAX_FILE_BYTES`].
    pub fn add(&mut self, path: CheckoutPath, text: Option<String>) {
        self.read.insert(path, text.filter(|text| text.len() <= MAX_FILE_BYTES));
    }
}

/// A file as a scan sees it.
pub(super) enum Look<'a> {
    Text(&'a str),
    Absent,
    /// It was not read yet; it is asked for now.
    Asked,
    /// No more files are asked for.
    TooMany,
}

/// The files during one scan, and what it asks for.
pub(super) struct Reading<'a> {
    files: &'a Files,
    asks: RefCell<BTreeSet<CheckoutPath>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(files: &'a Files) -> Self {
        Self { files, asks: RefCell::new(BTreeSet::new()) }
    }

    pub(super) fn look(&self, path: &CheckoutPath) -> Look<'a> {
        match self.files.read.get(path) {
            Some(Some(text)) => return Look::Text(text),
            Some(None) => return Look::Absent,
            None => {}
        }
        let mut asks = self.asks.borrow_mut();
        if !asks.contains(path) && self.files.read.len() + asks.len() >= MAX_FILES {
            return Look::TooMany;
        }
        asks.insert(path.clone());
        Look::Asked
    }

    pub(super) fn into_asks(self) -> Vec<CheckoutPath> {
        self.asks.into_inner().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{CheckoutPath, Files, Look, MAX_FILE_BYTES, MAX_FILES, Reading};

    fn path(text: &str) -> CheckoutPath {
        CheckoutPath::root().join(text).expect("a path")
    }

    #[test]
    fn a_path_stays_in_the_checkout() {
        let dir = path("a/b");
        for (written, joined) in [
            ("c", Some("a/b/c")),
            ("./c//d/", Some("a/b/c/d")),
            ("../c", Some("a/c")),
            ("../..", Some("")),
            ("../../..", None),
            ("../../../x", None),
            ("/etc/passwd", None),
            ("x\0y", None),
        ] {
            assert_eq!(dir.join(written).as_ref().map(CheckoutPath::as_str), joined, "{written}");
        }
        assert_eq!(dir.join(&"x".repeat(600)), None);
    }

    #[test]
    fn what_was_not_read_is_asked_for_once_and_only_so_much() {
        let mut files = Files::new();
        files.add(path("here"), Some("text".to_owned()));
        files.add(path("gone"), None);
        files.add(path("huge"), Some("x".repeat(MAX_FILE_BYTES + 1)));
        let reading = Reading::new(&files);
        assert!(matches!(reading.look(&path("here")), Look::Text("text")));
        assert!(matches!(reading.look(&path("gone")), Look::Absent));
        assert!(matches!(reading.look(&path("huge")), Look::Absent));
        for _ in 0..2 {
            for n in 3..MAX_FILES {
                assert!(matches!(reading.look(&path(&n.to_string())), Look::Asked));
            }
            assert!(matches!(reading.look(&path("one more")), Look::TooMany));
        }
        assert_eq!(reading.into_asks().len(), MAX_FILES - 3);
    }
}
