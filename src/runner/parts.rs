//! The parts of a job description: image, service, variable, cache, artifacts and the like.

use crate::secret::Secret;
use std::fmt;

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
    pub token: Secret,
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
    pub password: Secret,
}
