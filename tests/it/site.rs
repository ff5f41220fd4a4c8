//! A small GitLab for the jobs of one test: a repository and artifacts, at an address that jobs reach.

use hearth::runner::{Git, GitStrategy, HttpServer, JobDescription, Repository, Served};

use crate::driving::{git, host_address};
use crate::world::{World, write};

/// The server, and what its repository holds.
pub(crate) struct Site {
    /// The server.
    pub(crate) server: HttpServer,
    /// The commit at the tip of `main`.
    pub(crate) sha: String,
}

impl Site {
    /// Serves a repository of one commit to these jobs.
    pub(crate) async fn start(world: &World, jobs: &[&JobDescription]) -> Self {
        Self::with(world, jobs, &[]).await
    }

    /// As [`Site::start`], with further files in the commit.
    pub(crate) async fn with(world: &World, jobs: &[&JobDescription], files: &[(&str, &str)]) -> Self {
        let dir = world.dir.join("repository");
        std::fs::create_dir_all(&dir).expect("a directory");
        git(&dir, &["init", "-q", "-b", "main"]);
        write(&dir.join("README"), "the sources\n");
        files.iter().for_each(|(name, holds)| write(&dir.join(name), holds));
        git(&dir, &["add", "."]);
        git(&dir, &["commit", "-q", "-m", "first"]);
        let sha = git(&dir, &["rev-parse", "HEAD"]);
        let path = (std::ffi::OsString::from("PATH"), std::env::var_os("PATH").unwrap_or_default());
        let home = (std::ffi::OsString::from("HOME"), world.dir.clone().into_os_string());
        let served = Served {
            repository: Some(Repository::new(dir.join(".git"), &[path, home])),
            tokens: jobs.iter().map(|job| job.token.clone()).collect(),
        };
        let server =
            HttpServer::start(host_address(), served).await.expect("a server on the engine's bridge");
        Self { server, sha }
    }

    /// Points a job to the server, for artifacts and for its sources.
    pub(crate) fn attach(&self, mut job: JobDescription, strategy: GitStrategy) -> JobDescription {
        job.server_url = self.server.url();
        job.git = Git {
            repo_url: format!("{}/{}.git", self.server.url(), job.project_path),
            sha: self.sha.clone(),
            strategy: Some(strategy),
            ..job.git
        };
        job
    }
}
