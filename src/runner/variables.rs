//! The job's variables, in the order in which the runner puts them together: later ones win.

use super::expand::expand;
use super::flags;
use super::git::GitStrategy;
use super::job::JobDescription;
use super::layout::Layout;
use super::parts::Variable;

/// How far the job is, as CI_JOB_STATUS says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobStatus {
    /// The user's scripts have not ended.
    #[default]
    Running,
    /// They went well.
    Success,
    /// They failed.
    Failed,
    /// They were cancelled.
    Canceled,
    /// RUNNER_SCRIPT_TIMEOUT ended them.
    TimedOut,
}

impl JobStatus {
    /// Returns the runner's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::TimedOut => "timedout",
        }
    }
}

/// Returns the variables as GitLab sends them: the predefined ones, then the job's own; values unexpanded.
pub(super) fn payload_variables(job: &JobDescription) -> Vec<Variable> {
    let mut all = predefined(job);
    all.extend(job.git.strategy.map(|strategy| Variable::plain("GIT_STRATEGY", strategy.word())));
    all.extend(job.variables.iter().cloned());
    all
}

/// Returns what the runner makes of them: its own around them, values expanded, doubles kept.
pub(super) fn all_variables(job: &JobDescription, layout: &Layout, status: JobStatus) -> Vec<Variable> {
    let mut all: Vec<Variable> =
        flags::resolved(job).map(|(name, on)| Variable::plain(name, on.to_string())).collect();
    all.extend(before_job(job, layout, status));
    all.extend(payload_variables(job).into_iter().filter(|variable| !variable.key.starts_with("FF_")));
    all.extend(after_job(job, layout));
    expanded(&all, &layout.temp_dir())
}

/// Expands a text by the job's own variables, as the runner does with image names before the job starts.
pub(super) fn expand_by_job(job: &JobDescription, text: &str) -> String {
    let variables = payload_variables(job);
    expand(text, |name| last(&variables, name).map(|variable| variable.value.clone()))
}

/// Returns the strategy that the job ends up with.
pub(super) fn git_strategy(job: &JobDescription) -> GitStrategy {
    let default = if job.git.allow_fetch { GitStrategy::Fetch } else { GitStrategy::Clone };
    last(&payload_variables(job), "GIT_STRATEGY")
        .and_then(|variable| GitStrategy::from_word(&variable.value))
        .unwrap_or(default)
}

/// Returns the number that a variable such as GET_SOURCES_ATTEMPTS holds: 1 to 10, and 1 for anything else.
pub(super) fn attempts(job: &JobDescription, name: &str) -> u32 {
    last(&job.variables, name)
        .and_then(|variable| variable.value.parse().ok())
        .filter(|count| (1..=10).contains(count))
        .unwrap_or(1)
}

/// Returns the last variable of that name.
pub(super) fn last<'a>(variables: &'a [Variable], name: &str) -> Option<&'a Variable> {
    variables.iter().rev().find(|variable| variable.key == name)
}

fn expanded(variables: &[Variable], temp_dir: &str) -> Vec<Variable> {
    let lookup = |name: &str| {
        let found = last(variables, name)?;
        Some(if found.file { format!("{temp_dir}/{}", found.key) } else { found.value.clone() })
    };
    let expanded = variables.iter().map(|variable| {
        let value = if variable.raw { variable.value.clone() } else { expand(&variable.value, lookup) };
        Variable { value, ..variable.clone() }
    });
    expanded.collect()
}

fn before_job(job: &JobDescription, layout: &Layout, status: JobStatus) -> Vec<Variable> {
    let mut list = Vec::new();
    if !job.image.name.is_empty() {
        list.push(Variable::plain("CI_JOB_IMAGE", expand_by_job(job, &job.image.name)));
    }
    list.push(Variable::plain("CI_RUNNER_SHORT_TOKEN", &job.short_token));
    list.extend(job.environment.iter().cloned());
    for (key, value) in [
        ("CI_BUILDS_DIR", layout.builds_dir.clone()),
        ("CI_PROJECT_DIR", layout.project_dir.clone()),
        ("CI_CONCURRENT_ID", job.concurrent_id.to_string()),
        ("CI_CONCURRENT_PROJECT_ID", job.concurrent_project_id.to_string()),
        ("CI_SERVER", "yes".to_owned()),
        ("CI_JOB_STATUS", status.word().to_owned()),
        ("CI_JOB_TIMEOUT", job.timeouts.job.as_secs().to_string()),
    ] {
        list.push(Variable::plain(key, value));
    }
    list
}

fn after_job(job: &JobDescription, layout: &Layout) -> Vec<Variable> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    vec![
        Variable::plain("CI_SHARED_ENVIRONMENT", "true"),
        Variable::plain("CI_RUNNER_VERSION", job.version.to_string()),
        Variable::plain("CI_RUNNER_REVISION", "HEAD"),
        Variable::plain("CI_RUNNER_EXECUTABLE_ARCH", format!("{os}/{arch}")),
        Variable::plain("RUNNER_TEMP_PROJECT_DIR", layout.temp_dir()),
    ]
}

fn predefined(job: &JobDescription) -> Vec<Variable> {
    let (namespace, project) = job.project_path.rsplit_once('/').unwrap_or(("", &job.project_path));
    let server = &job.server_url;
    let (protocol, host_port) = server.split_once("://").unwrap_or(("http", server));
    let (host, port) =
        host_port.split_once(':').unwrap_or((host_port, if protocol == "https" { "443" } else { "80" }));
    let project_url = format!("{server}/{}", job.project_path);
    let sha = &job.git.sha;
    let token = || Variable::plain("", job.token.expose()).as_masked();
    let named = |key: &str, variable: Variable| Variable { key: key.to_owned(), ..variable };
    let mut list = vec![
        Variable::plain("CI_PIPELINE_ID", job.id.to_string()),
        Variable::plain("CI_PIPELINE_URL", format!("{project_url}/-/pipelines/{}", job.id)),
        Variable::plain("CI_JOB_ID", job.id.to_string()),
        Variable::plain("CI_JOB_URL", format!("{project_url}/-/jobs/{}", job.id)),
        named("CI_JOB_TOKEN", token()),
        Variable::plain("CI_REGISTRY_USER", "gitlab-ci-token"),
        named("CI_REGISTRY_PASSWORD", token()),
        Variable { public: false, ..Variable::plain("CI_REPOSITORY_URL", job.repo_url()) },
        Variable::plain("CI_DEPENDENCY_PROXY_USER", "gitlab-ci-token"),
        named("CI_DEPENDENCY_PROXY_PASSWORD", token()),
    ];
    for (key, value) in [
        ("CI_JOB_NAME", job.name.as_str()),
        ("CI_JOB_NAME_SLUG", &slug(&job.name)),
        ("CI_JOB_STAGE", &job.pipeline_stage),
        ("CI_NODE_TOTAL", "1"),
        ("CI", "true"),
        ("GITLAB_CI", "true"),
        ("CI_SERVER_URL", server),
        ("CI_SERVER_HOST", host),
        ("CI_SERVER_PORT", port),
        ("CI_SERVER_PROTOCOL", protocol),
        ("CI_SERVER_NAME", "GitLab"),
        ("CI_SERVER_VERSION", &job.version.to_string()),
        ("CI_PROJECT_ID", &job.project_id.to_string()),
        ("CI_PROJECT_NAME", project),
        ("CI_PROJECT_PATH", &job.project_path),
        ("CI_PROJECT_PATH_SLUG", &slug(&job.project_path)),
        ("CI_PROJECT_NAMESPACE", namespace),
        ("CI_PROJECT_URL", &project_url),
        ("CI_DEFAULT_BRANCH", "main"),
        ("CI_PIPELINE_IID", "1"),
        ("CI_PIPELINE_SOURCE", "push"),
        ("CI_COMMIT_MESSAGE", "tried"),
        ("CI_COMMIT_SHA", sha),
        ("CI_COMMIT_SHORT_SHA", sha.get(..8).unwrap_or(sha)),
        ("CI_COMMIT_REF_NAME", &job.git.reference),
        ("CI_COMMIT_REF_SLUG", &slug(&job.git.reference)),
        ("CI_COMMIT_BRANCH", &job.git.reference),
        ("CI_COMMIT_REF_PROTECTED", if job.git.ref_protected { "true" } else { "false" }),
        ("CI_RUNNER_ID", "1"),
        ("CI_RUNNER_DESCRIPTION", "hearth try"),
        ("CI_RUNNER_TAGS", "[]"),
    ] {
        list.push(Variable::plain(key, value));
    }
    list
}

/// Returns a name as GitLab writes it into URLs: small letters, digits and dashes, at most 63.
fn slug(text: &str) -> String {
    let dashed: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(63)
        .collect();
    dashed.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{JobStatus, all_variables, attempts, git_strategy, last};
    use crate::runner::git::GitStrategy;
    use crate::runner::job::JobDescription;
    use crate::runner::layout::Layout;
    use crate::runner::parts::Variable;

    fn value(job: &JobDescription, name: &str) -> String {
        let layout = Layout {
            builds_dir: "/builds".into(),
            cache_dir: "/cache".into(),
            project_dir: "/builds/try/project".into(),
        };
        last(&all_variables(job, &layout, JobStatus::Running), name).expect(name).value.clone()
    }

    #[test]
    fn values_are_expanded_but_raw_ones_are_not() {
        let job = JobDescription::new(5)
            .variable("GREETING", "hello $CI_PROJECT_NAME")
            .with_variable(Variable::plain("RAW", "keep $this").as_raw())
            .with_variable(Variable::plain("CONF", "a: $CI_JOB_ID").as_file())
            .variable("WHERE", "$CONF");
        assert_eq!(value(&job, "GREETING"), "hello project");
        assert_eq!(value(&job, "RAW"), "keep $this");
        assert_eq!(value(&job, "CONF"), "a: 5");
        assert_eq!(value(&job, "WHERE"), "/builds/try/project.tmp/CONF");
    }

    #[test]
    fn the_job_can_spoof_what_comes_before_it_but_not_what_comes_after() {
        let job = JobDescription::new(5)
            .image("real:1")
            .variable("CI_JOB_IMAGE", "spoofed:1")
            .variable("CI_PROJECT_DIR", "/etc")
            .variable("CI_RUNNER_VERSION", "0")
            .variable("FF_NETWORK_PER_BUILD", "true");
        assert_eq!(value(&job, "CI_JOB_IMAGE"), "spoofed:1");
        assert_eq!(value(&job, "CI_PROJECT_DIR"), "/etc");
        assert_eq!(value(&job, "CI_RUNNER_VERSION"), "18.6.0");
        assert_eq!(value(&job, "FF_NETWORK_PER_BUILD"), "true");
    }

    #[test]
    fn the_strategy_is_the_last_word_or_else_the_projects_setting() {
        let mut job = JobDescription::new(5);
        assert_eq!(git_strategy(&job), GitStrategy::None);
        job.git.strategy = None;
        assert_eq!(git_strategy(&job), GitStrategy::Fetch);
        job.git.allow_fetch = false;
        assert_eq!(git_strategy(&job), GitStrategy::Clone);
        assert_eq!(git_strategy(&job.variable("GIT_STRATEGY", "empty")), GitStrategy::Empty);
    }

    #[test]
    fn attempts_are_one_to_ten() {
        for (text, count) in [("3", 3), ("0", 1), ("11", 1), ("x", 1)] {
            assert_eq!(attempts(&JobDescription::new(1).variable("N", text), "N"), count, "{text}");
        }
    }
}
