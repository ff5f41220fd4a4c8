//! What `hearth try` can be asked, and the job that it makes of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::runner::{Cache, Image, JobDescription, RunnerVersion, Service, Variable, quote};

/// Runs one job through the installed driver, the way GitLab Runner would, without GitLab.
///
/// Prints the job's log and a table of seconds per stage. Ends with 0 when the job succeeded, 1 when it failed and 2 when
/// the host or the driver failed. Ctrl-C cancels the job as GitLab does; a second one stops it at once.
#[derive(Debug, Clone, Args)]
pub struct TryArgs {
    /// The job's image. Without it the driver's default image is used.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The image's ENTRYPOINT: one word, or a JSON array of words. An empty word removes it.
    #[arg(long, value_name = "WORDS", value_parser = entrypoint)]
    pub entrypoint: Option<Entrypoint>,
    /// The user in the job's container, as `image:docker:user` gives it.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// The platform of the job's image, such as linux/arm64.
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// A pull policy of the job's image; further ones are tried in order.
    #[arg(long, value_name = "POLICY", value_parser = ["always", "if-not-present", "never"])]
    pub pull_policy: Vec<String>,
    /// A service beside the job, with aliases if need be.
    #[arg(long, value_name = "IMAGE[=ALIAS,...]", value_parser = service)]
    pub service: Vec<Service>,
    /// A job variable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    pub variable: Vec<Variable>,
    /// A path to cache.
    #[arg(long, value_name = "PATH")]
    pub cache: Vec<String>,
    /// A path to upload as an artifact.
    #[arg(long, value_name = "PATH")]
    pub artifact: Vec<String>,
    /// A command of the after_script.
    #[arg(long, value_name = "COMMAND")]
    pub after: Vec<String>,
    /// The sources: a URL, or a directory whose last commit is served to the job. Without it the job has none.
    #[arg(long, value_name = "URL|DIR")]
    pub repo: Option<String>,
    /// The address of this host at which the job reaches it; found by trying when not given.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<std::net::IpAddr>,
    /// The project's path. Caches and checkouts belong to it.
    #[arg(long, value_name = "GROUP/PROJECT")]
    pub project: Option<String>,
    /// Says that the job runs for a protected branch.
    #[arg(long)]
    pub protected: bool,
    /// The GitLab Runner release to act as.
    #[arg(long, value_name = "VERSION", default_value_t)]
    pub runner_version: RunnerVersion,
    /// The job's timeout in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// The driver's settings file, passed on to it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The `[runner."NAME"]` table of the settings to use, passed on to the driver.
    #[arg(long, value_name = "NAME")]
    pub runner: Option<String>,
    /// The driver to run instead of this program.
    #[arg(long, value_name = "PATH")]
    pub driver: Option<PathBuf>,
    /// Writes the result as JSON into this file too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The script: several words are one command, a single one is a line for the shell.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// An ENTRYPOINT as given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrypoint(pub Vec<String>);

impl TryArgs {
    /// Makes the job, without sources and without a server.
    pub(super) fn job(&self, id: u64) -> JobDescription {
        let mut job = JobDescription::new(id).version(self.runner_version);
        job.timeouts.job = Duration::from_secs(self.timeout);
        if let Some(project) = &self.project {
            job.project_path.clone_from(project);
        }
        job.project_id = project_number(&job.project_path);
        job.image = Image {
            name: self.image.clone().unwrap_or_default(),
            entrypoint: self.entrypoint.clone().map(|it| it.0),
            user: self.user.clone().unwrap_or_default(),
            platform: self.platform.clone().unwrap_or_default(),
            pull_policy: self.pull_policy.clone(),
        };
        job.services.clone_from(&self.service);
        job.variables.clone_from(&self.variable);
        job.script = self.script();
        job.after_script.clone_from(&self.after);
        if !self.cache.is_empty() {
            job.cache.push(Cache { key: "try".to_owned(), paths: self.cache.clone(), ..Cache::default() });
        }
        if !self.artifact.is_empty() {
            let paths: Vec<&str> = self.artifact.iter().map(String::as_str).collect();
            job = job.artifacts(&paths);
        }
        job.git.protected = Some(self.protected);
        job.git.ref_protected = self.protected;
        job
    }

    fn script(&self) -> Vec<String> {
        match &self.command[..] {
            [] => ["uname -a", "id", "pwd"].map(str::to_owned).to_vec(),
            [line] => vec![line.clone()],
            words => vec![words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")],
        }
    }
}

/// Gives every project path a number of its own, always the same: volumes are named by it.
fn project_number(path: &str) -> u64 {
    let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    1 + hash % 1_000_000_000
}

fn entrypoint(text: &str) -> Result<Entrypoint, String> {
    if text.trim_start().starts_with('[') {
        let words =
            serde_json::from_str(text).map_err(|error| format!("not a JSON array of words: {error}"))?;
        return Ok(Entrypoint(words));
    }
    Ok(Entrypoint(vec![text.to_owned()]))
}

fn service(text: &str) -> Result<Service, String> {
    let (name, aliases) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("the service has no image".to_owned());
    }
    let aliases = aliases.split(',').filter(|alias| !alias.is_empty()).map(str::to_owned).collect();
    Ok(Service { aliases, ..Service::named(name) })
}

fn variable(text: &str) -> Result<Variable, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Variable::plain(key, value)),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::TryArgs;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: TryArgs,
    }

    fn parse(words: &[&str]) -> TryArgs {
        Line::try_parse_from(std::iter::once(&"try").chain(words)).unwrap().args
    }

    #[test]
    fn the_arguments_are_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn without_arguments_the_job_shows_where_it_runs() {
        let job = parse(&[]).job(5);
        assert_eq!((job.image.name.as_str(), job.script.len()), ("", 3));
        assert_eq!(job.project_id, parse(&[]).job(6).project_id);
        assert_ne!(job.project_id, parse(&["--project", "a/b"]).job(5).project_id);
    }

    #[test]
    fn words_become_one_command_and_a_single_word_a_shell_line() {
        assert_eq!(parse(&["--", "echo", "a b", "-n"]).job(5).script, ["echo $'a b' -n"]);
        assert_eq!(parse(&["--", "echo a; exit 3"]).job(5).script, ["echo a; exit 3"]);
    }

    #[test]
    fn entrypoints_services_and_variables_are_read() {
        let job = parse(&[
            "--entrypoint",
            "[\"/bin/sh\",\"-c\"]",
            "--service",
            "pg:15=db,data",
            "--variable",
            "A=b=c",
            "--protected",
            "--cache",
            "x",
            "--artifact",
            "y",
            "--artifact",
            "z",
        ])
        .job(5);
        assert_eq!(job.image.entrypoint.unwrap(), ["/bin/sh", "-c"]);
        assert_eq!(job.services[0].aliases, ["db", "data"]);
        assert_eq!(job.variables[0].value, "b=c");
        assert_eq!((job.git.protected, job.cache.len(), job.artifacts[0].paths.len()), (Some(true), 1, 2));
        assert_eq!(parse(&["--entrypoint", ""]).job(5).image.entrypoint.unwrap(), [""]);
        for bad in [
            ["--variable", "novalue"],
            ["--runner-version", "x"],
            ["--timeout", "0"],
            ["--pull-policy", "later"],
        ] {
            assert!(Line::try_parse_from(std::iter::once("try").chain(bad)).is_err(), "{bad:?}");
        }
    }
}
