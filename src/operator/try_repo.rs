//! The sources of a tried job: what commit, and whence.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::outcome::Failure;
use crate::runner::Repository;

/// The sources as the operator names them.
#[derive(Debug)]
pub(super) enum Sources {
    /// A URL that the job fetches from by itself.
    Remote { url: String, reference: String, sha: String },
    /// A directory that is served to the job.
    Local { repository: Repository, reference: String, sha: String, detached: bool },
}

impl Sources {
    /// Finds out what the last commit of a URL or directory is.
    pub(super) fn find(repo: &str, env: &[(OsString, OsString)]) -> Result<Self, Failure> {
        if repo.contains("://") { remote(repo, env) } else { local(Path::new(repo), env) }
    }
}

fn remote(url: &str, env: &[(OsString, OsString)]) -> Result<Sources, Failure> {
    let listed = git(env, &["ls-remote", "--symref", url, "HEAD"])?;
    let mut reference = "main".to_owned();
    for line in listed.lines() {
        if let Some(rest) = line.strip_prefix("ref: refs/heads/") {
            rest.split('\t').next().unwrap_or(rest).clone_into(&mut reference);
        } else if let Some((sha, "HEAD")) = line.split_once('\t') {
            return Ok(Sources::Remote { url: url.to_owned(), reference, sha: sha.to_owned() });
        }
    }
    Err(Failure::job("the repository has no commit to check out"))
}

fn local(dir: &Path, env: &[(OsString, OsString)]) -> Result<Sources, Failure> {
    let dir =
        dir.canonicalize().map_err(|error| Failure::job(format!("--repo {}: {error}", dir.display())))?;
    let dir_text = dir.to_string_lossy();
    let ask = |words: &[&str]| git(env, &[&["-C", &dir_text], words].concat());
    let sha = ask(&["rev-parse", "--verify", "HEAD^{commit}"])
        .map_err(|failure| failure.hint(format!("is {dir_text} a git repository with a commit?")))?;
    // Relative to the directory asked about, or absolute.
    let common = PathBuf::from(ask(&["rev-parse", "--git-common-dir"])?);
    let branch = ask(&["symbolic-ref", "-q", "--short", "HEAD"]).ok();
    Ok(Sources::Local {
        repository: Repository::new(dir.join(common), env),
        detached: branch.is_none(),
        reference: branch.unwrap_or_else(|| sha.clone()),
        sha,
    })
}

/// Runs git and returns what it printed, without the last line end.
fn git(env: &[(OsString, OsString)], words: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("git");
    command.env_clear().envs(env.iter().cloned()).args(words).stdin(Stdio::null());
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_COUNT", "1");
    command.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    let output = command.output().map_err(|error| {
        Failure::system(format!("git cannot be run: {error}")).hint("install git, or leave --repo out")
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::job(format!("git {}: {}", words.first().unwrap_or(&""), said.trim_end())))
    }
}
