//! What the stand-in is asked to run: one job, as GitLab would describe it.

use std::time::Duration;

use super::git::Git;
use super::parts::{Artifacts, Cache, Credential, Dependency, Image, Service, Variable};
use super::timeouts::Timeouts;
use super::version::RunnerVersion;
use crate::secret::Secret;

/// A job with everything that GitLab and the runner's configuration would say about it.
///
/// Two descriptions that are equal give the same payload, environment and scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDescription {
    /// The job's number.
    pub id: u64,
    /// The job token.
    pub token: Secret,
    /// The job's name.
    pub name: String,
    /// The pipeline stage it belongs to.
    pub pipeline_stage: String,
    /// The project's number.
    pub project_id: u64,
    /// The user whose rights the job token has.
    pub user_id: u64,
    /// The project's path with its namespace, such as `group/project`.
    pub project_path: String,
    /// The GitLab server, also of the artifacts API.
    pub server_url: String,
    /// The runner that the stand-in pretends to be.
    pub version: RunnerVersion,
    /// CI_RUNNER_SHORT_TOKEN.
    pub short_token: String,
    /// The job's slot among all jobs of the runner.
    pub concurrent_id: u32,
    /// The job's slot among the jobs of the project.
    pub concurrent_project_id: u32,
    /// The image of the job.
    pub image: Image,
    /// The services beside it.
    pub services: Vec<Service>,
    /// Variables of project, group and pipeline; they come after the predefined ones and win over them.
    pub variables: Vec<Variable>,
    /// The operator's `[[runners]] environment`.
    pub environment: Vec<Variable>,
    /// The script, one command an element; none at all skips the stage.
    pub script: Vec<String>,
    /// Further steps after the script, such as `release`, by name.
    pub more_steps: Vec<(String, Vec<String>)>,
    /// The after_script.
    pub after_script: Vec<String>,
    /// The pre_get_sources_script hook.
    pub before_sources: Vec<String>,
    /// The caches.
    pub cache: Vec<Cache>,
    /// The artifacts to upload.
    pub artifacts: Vec<Artifacts>,
    /// The earlier jobs whose artifacts are downloaded.
    pub dependencies: Vec<Dependency>,
    /// The registry logins of the payload.
    pub credentials: Vec<Credential>,
    /// The sources.
    pub git: Git,
    /// The waiting times.
    pub timeouts: Timeouts,
    /// The operator's `builds_dir`; used when config gives none.
    pub builds_dir: Option<String>,
    /// The operator's `cache_dir`; used when config gives none.
    pub cache_dir: Option<String>,
    /// Sends every empty array as `null`, as the runner does with what GitLab left out.
    pub null_arrays: bool,
}

impl JobDescription {
    /// Makes a job with that number which does nothing: no image, no script, no sources.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            token: Secret::new(format!("glcbt-try-{id:020}")),
            name: "try".to_owned(),
            pipeline_stage: "test".to_owned(),
            project_id: 1,
            user_id: 1,
            project_path: "try/project".to_owned(),
            server_url: "http://gitlab.invalid".to_owned(),
            version: RunnerVersion::default(),
            short_token: "HearthTry".to_owned(),
            concurrent_id: 0,
            concurrent_project_id: 0,
            image: Image::default(),
            services: Vec::new(),
            variables: Vec::new(),
            environment: Vec::new(),
            script: Vec::new(),
            more_steps: Vec::new(),
            after_script: Vec::new(),
            before_sources: Vec::new(),
            cache: Vec::new(),
            artifacts: Vec::new(),
            dependencies: Vec::new(),
            credentials: Vec::new(),
            git: Git::default(),
            timeouts: Timeouts::default(),
            builds_dir: None,
            cache_dir: None,
            null_arrays: false,
        }
    }

    /// Sets the image's name.
    #[must_use]
    pub fn image(mut self, name: impl Into<String>) -> Self {
        self.image.name = name.into();
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Adds a command to the script.
    #[must_use]
    pub fn script(mut self, command: impl Into<String>) -> Self {
        self.script.push(command.into());
        self
    }

    /// Adds a command to the after_script.
    #[must_use]
    pub fn after_script(mut self, command: impl Into<String>) -> Self {
        self.after_script.push(command.into());
        self
    }

    /// Adds a plain variable.
    #[must_use]
    pub fn variable(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with_variable(Variable::plain(key, value))
    }

    /// Adds a variable of any kind.
    #[must_use]
    pub fn with_variable(mut self, variable: Variable) -> Self {
        self.variables.push(variable);
        self
    }

    /// Adds a cache of these paths under a key.
    #[must_use]
    pub fn cache(mut self, key: impl Into<String>, paths: &[&str]) -> Self {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        self.cache.push(Cache { key: key.into(), paths, ..Cache::default() });
        self
    }

    /// Adds artifacts of these paths.
    #[must_use]
    pub fn artifacts(mut self, paths: &[&str]) -> Self {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        self.artifacts.push(Artifacts { paths, ..Artifacts::default() });
        self
    }

    /// Sets the runner version.
    #[must_use]
    pub fn version(mut self, version: RunnerVersion) -> Self {
        self.version = version;
        self
    }

    /// Sets the job's timeout.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.job = timeout;
        self
    }

    /// Sets the sources.
    #[must_use]
    pub fn git(mut self, git: Git) -> Self {
        self.git = git;
        self
    }

    /// Returns the repository's URL as payload and variables carry it: with the job token where asked.
    pub fn repo_url(&self) -> String {
        match self.git.repo_url.split_once("://") {
            Some((scheme, rest)) if self.git.with_token => {
                format!("{scheme}://gitlab-ci-token:{}@{rest}", self.token.expose())
            }
            _ => self.git.repo_url.clone(),
        }
    }

    /// Returns what is fetched.
    pub(super) fn refspecs(&self) -> Vec<String> {
        if self.git.refspecs.is_empty() {
            let name = &self.git.reference;
            vec![format!("+refs/heads/{name}:refs/remotes/origin/{name}")]
        } else {
            self.git.refspecs.clone()
        }
    }

    /// Says whether any variable is a file.
    pub(super) fn has_file_variables(&self) -> bool {
        self.variables.iter().chain(&self.environment).any(|variable| variable.file)
    }
}

#[cfg(test)]
mod tests {
    use super::JobDescription;
    use crate::runner::parts::{Credential, Variable};
    use crate::secret::Secret;

    #[test]
    fn secrets_do_not_show_in_a_debug_print() {
        let mut job = JobDescription::new(7)
            .variable("OPEN", "seen")
            .with_variable(Variable::plain("HIDDEN", "s3cr3t").as_masked())
            .with_variable(Variable::plain("KEY", "pr1vate").as_file());
        job.credentials.push(Credential {
            url: "r".into(),
            username: "u".into(),
            password: Secret::new("passw0rd"),
        });
        job.git.repo_url = "https://me:ur1secret@host/x.git".into();
        let shown = format!("{job:?}");
        assert!(shown.contains("seen"));
        for secret in ["s3cr3t", "pr1vate", "passw0rd", "ur1secret", job.token.expose()] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }

    #[test]
    fn the_repository_url_carries_the_token_only_where_asked() {
        let mut job = JobDescription::new(7);
        assert!(job.repo_url().contains("gitlab-ci-token:glcbt-try-00000000000000000007@gitlab.invalid/"));
        job.git.with_token = false;
        assert_eq!(job.repo_url(), "http://gitlab.invalid/try/project.git");
    }
}
