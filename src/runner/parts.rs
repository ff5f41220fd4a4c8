//! The parts of a job description: image, service, variable, cache, artifacts and the rest.

use std::fmt;
use std::time::Duration;

/// A token or password that never shows in a debug print.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// An image as the job writes it. The default asks for none, so that the driver's own default is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// The reference as written, variables unexpanded; empty when the job names no image.
    pub name: String,
    /// The ENTRYPOINT override; `None` keeps the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// `image:docker:user`; empty when not asked.
    pub user: String,
    /// `image:docker:platform`; empty when not asked.
    pub platform: String,
    /// The list of pull policies, tried in order; empty when not asked.
    pub pull_policy: Vec<String>,
}

impl Image {
    /// Makes an image that has only a name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A service beside the job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// The image and how to run it.
    pub image: Image,
    /// Host names besides the ones made from the image's name.
    pub aliases: Vec<String>,
    /// The CMD override; `None` keeps the image's own.
    pub command: Option<Vec<String>>,
    /// Variables of this service alone.
    pub variables: Vec<Variable>,
}

impl Service {
    /// Makes a service that has only an image name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { image: Image::named(name), ..Self::default() }
    }
}

/// A job variable.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value, unexpanded.
    pub value: String,
    /// Whether GitLab calls it public.
    pub public: bool,
    /// Whether the script sees a file's path instead of the value.
    pub file: bool,
    /// Whether GitLab masks it in the log.
    pub masked: bool,
    /// Whether `$X` in the value stays as it is.
    pub raw: bool,
}

impl Variable {
    /// Makes a public, plain variable.
    pub fn plain(key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self { key, value, public: true, file: false, masked: false, raw: false }
    }

    /// Makes it a file variable.
    #[must_use]
    pub fn as_file(mut self) -> Self {
        self.file = true;
        self.public = false;
        self
    }

    /// Makes it masked, and so not public.
    #[must_use]
    pub fn as_masked(mut self) -> Self {
        self.masked = true;
        self.public = false;
        self
    }

    /// Keeps its value from being expanded.
    #[must_use]
    pub fn as_raw(mut self) -> Self {
        self.raw = true;
        self
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.public && !self.masked { &self.value } else { "[redacted]" };
        write!(f, "{}={value:?}", self.key)
    }
}

/// When a cache or an archive of artifacts is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// After a job that went well.
    #[default]
    OnSuccess,
    /// After a job that failed.
    OnFailure,
    /// After both.
    Always,
}

impl When {
    /// Returns GitLab's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::OnSuccess => "on_success",
            Self::OnFailure => "on_failure",
            Self::Always => "always",
        }
    }

    /// Says whether it holds for a job that went well, or failed.
    pub fn holds(self, success: bool) -> bool {
        match self {
            Self::OnSuccess => success,
            Self::OnFailure => !success,
            Self::Always => true,
        }
    }
}

/// Whether a cache is fetched, stored, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePolicy {
    /// Both.
    #[default]
    PullPush,
    /// Only fetched.
    Pull,
    /// Only stored.
    Push,
}

impl CachePolicy {
    /// Returns GitLab's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::PullPush => "pull-push",
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

/// A cache of the job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cache {
    /// Its key.
    pub key: String,
    /// What it holds, relative to the project directory.
    pub paths: Vec<String>,
    /// Whether it is fetched, stored, or both.
    pub policy: CachePolicy,
    /// When it is stored.
    pub when: When,
    /// Keys to try when its own is not there.
    pub fallback_keys: Vec<String>,
    /// Whether it holds files that git does not track.
    pub untracked: bool,
}

/// An archive of artifacts to upload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifacts {
    /// The archive's name; empty for GitLab's default.
    pub name: String,
    /// What it holds, relative to the project directory.
    pub paths: Vec<String>,
    /// What it leaves out.
    pub exclude: Vec<String>,
    /// When it is uploaded.
    pub when: When,
}

/// An earlier job whose artifacts this one downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The earlier job's number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The token that may download them.
    pub token: Token,
    /// The archive's file name.
    pub filename: String,
    /// The archive's size in bytes.
    pub size: u64,
}

/// A registry login in the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The registry: `host` or `host:port`.
    pub url: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Token,
}

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

/// How long the stand-in waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// The whole job, cleanup excepted.
    pub job: Duration,
    /// Between SIGTERM and SIGKILL. The runner's default is 600 s; this one is what an operator should set.
    pub graceful_kill: Duration,
    /// Between SIGKILL and giving up.
    pub force_kill: Duration,
    /// The pause after a failed attempt of config and prepare.
    pub prepare_retry: Duration,
    /// The pause before get_sources, restore_cache or download_artifacts is tried again.
    pub stage_retry: Duration,
    /// `config_exec_timeout`.
    pub config: Duration,
    /// `prepare_exec_timeout`.
    pub prepare: Duration,
    /// `cleanup_exec_timeout`.
    pub cleanup: Duration,
    /// RUNNER_SCRIPT_TIMEOUT; `None` as by default.
    pub script: Option<Duration>,
    /// RUNNER_AFTER_SCRIPT_TIMEOUT.
    pub after_script: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            job: HOUR,
            graceful_kill: Duration::from_secs(30),
            force_kill: Duration::from_secs(10),
            prepare_retry: Duration::from_secs(3),
            stage_retry: Duration::from_secs(5),
            config: HOUR,
            prepare: HOUR,
            cleanup: HOUR,
            script: None,
            after_script: Duration::from_secs(300),
        }
    }
}
