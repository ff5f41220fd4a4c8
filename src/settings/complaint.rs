//! What is wrong with a settings file: every complaint at once, each with its place.

use std::fmt;
use std::path::PathBuf;

use crate::outcome::Failure;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The key, such as `runner."pi".memory`; empty where the file as a whole is meant.
    pub path: String,
    /// The line in the file; `None` where no line is meant.
    pub line: Option<usize>,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

/// All that is wrong with the settings: never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaints {
    /// The file that was read; `None`: there is none, so the arguments are meant.
    pub file: Option<PathBuf>,
    /// The complaints in the order of the file.
    pub list: Vec<Complaint>,
}

impl Complaints {
    pub(super) fn new(file: Option<PathBuf>, mut list: Vec<Complaint>) -> Self {
        list.sort_by_key(|complaint| complaint.line);
        // What the overlays share is checked with each of them.
        let mut seen = Vec::new();
        list.retain(|complaint| {
            let new = !seen.contains(complaint);
            seen.extend(new.then(|| complaint.clone()));
            new
        });
        Self { file, list }
    }

    fn headline(&self) -> String {
        match &self.file {
            Some(file) => format!("the settings in {} are not valid", file.display()),
            None => "the settings are not valid".to_owned(),
        }
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for complaint in &self.list {
            write!(f, "\n  {complaint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}

impl From<Complaints> for Failure {
    /// Bad settings are the operator's to mend, so the system's fault.
    fn from(complaints: Complaints) -> Self {
        let failure = Self::system(complaints.headline());
        complaints
            .list
            .iter()
            .fold(failure, |failure, complaint| failure.hint(complaint.to_string()))
            .hint("`hearth check` tells the same without a job")
    }
}
