//! The sources of a job.

use std::fmt;

/// How sources come into the project directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitStrategy {
    /// Not at all; what is there stays.
    None,
    /// Into what is there.
    Fetch,
    /// Into a new directory.
    Clone,
    /// Not at all, and into an empty directory.
    Empty,
}

impl GitStrategy {
    /// Returns GitLab's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fetch => "fetch",
            Self::Clone => "clone",
            Self::Empty => "empty",
        }
    }

    /// Reads GitLab's word for it; `None` for any other text.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::None, Self::Fetch, Self::Clone, Self::Empty].into_iter().find(|it| it.word() == word)
    }
}

/// Where the sources come from.
#[derive(Clone, PartialEq, Eq)]
pub struct Git {
    /// The repository without credentials; the stand-in adds the job token where `with_token` says so.
    pub repo_url: String,
    /// Whether the URL in payload and script carries `gitlab-ci-token` and the job token.
    pub with_token: bool,
    /// The branch or tag.
    pub reference: String,
    /// The commit.
    pub sha: String,
    /// What is fetched; empty means the branch into `refs/remotes/origin`.
    pub refspecs: Vec<String>,
    /// The number of commits fetched; 0 means all.
    pub depth: u32,
    /// Given as the variable GIT_STRATEGY; `None` leaves the choice to `allow_fetch`.
    pub strategy: Option<GitStrategy>,
    /// The project's setting: fetch (true) or clone.
    pub allow_fetch: bool,
    /// `git_info.protected`; `None` as GitLab before 18.3 sends it.
    pub protected: Option<bool>,
    /// CI_COMMIT_REF_PROTECTED among the predefined variables.
    pub ref_protected: bool,
    /// The operator's `safe_directory_checkout`: off for custom executors unless set.
    pub safe_directory: bool,
}

impl Default for Git {
    fn default() -> Self {
        Self {
            repo_url: "http://gitlab.invalid/try/project.git".to_owned(),
            with_token: true,
            reference: "main".to_owned(),
            sha: "0000000000000000000000000000000000000001".to_owned(),
            refspecs: Vec::new(),
            depth: 20,
            strategy: Some(GitStrategy::None),
            allow_fetch: true,
            protected: Some(false),
            ref_protected: false,
            safe_directory: false,
        }
    }
}

impl fmt::Debug for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Git")
            .field("reference", &self.reference)
            .field("sha", &self.sha)
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}
