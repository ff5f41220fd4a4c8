//! The [`JobSpec`]: one job, checked, from the response file and the stage's environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::env::StageEnv;
use super::expand::expand;
use super::response::{self, Image, Response, Variable};
use crate::image::proof::Asker;
use crate::outcome::Failure;
use crate::secret::Secret;
use crate::settings::PullPolicy;

/// The step that holds `before_script` and `script`.
const MAIN_SCRIPT: &str = "script";
/// The user name that goes with job tokens.
const TOKEN_USER: &str = "gitlab-ci-token";

/// How sources are fetched; decides whether the builds volume outlives the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitStrategy {
    /// The checkout is kept and brought up to date.
    Fetch,
    /// Anything else: clone, none, empty, or a value the scripts will refuse.
    Other,
}

/// Behaviour that job authors may switch, by the docker executor's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// CI_DEBUG_SERVICES: service logs go to the job log.
    DebugServices,
    /// FF_USE_INIT_WITH_DOCKER_EXECUTOR: an init process in services too.
    InitEverywhere,
}

/// An image as the job asks for it; names are expanded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageRequest {
    /// The image as written; empty: the settings' default.
    pub name: String,
    /// Replaces ENTRYPOINT; `None`: the image's own; `[""]` clears it.
    pub entrypoint: Option<Vec<String>>,
    /// The user; empty: the image's own.
    pub user: String,
    /// The platform; empty: the settings' or the engine's.
    pub platform: String,
    /// Pull policies in fallback order; empty: the settings'.
    pub pull_policy: Vec<PullPolicy>,
}

/// A service as the job asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceRequest {
    /// The image.
    pub image: ImageRequest,
    /// Extra host names.
    pub aliases: Vec<String>,
    /// Replaces CMD; `None`: the image's own.
    pub command: Option<Vec<String>>,
    /// Variables of its own, expanded.
    pub variables: Vec<(String, String)>,
}

/// A registry credential of the job's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryCredential {
    /// Host with optional port and path; expanded.
    pub url: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// One job, as everything after parsing sees it.
#[derive(Clone)]
pub struct JobSpec {
    /// The job's number on its GitLab instance.
    pub id: i64,
    /// The job's name.
    pub name: String,
    /// The project's number.
    pub project_id: i64,
    /// The project's full path; empty where the runner does not tell.
    pub project_path: String,
    /// The server the job came from, without credentials: tells instances with equal numbers apart.
    pub server: String,
    /// The runner's short token; `None`: it could have been set by the author.
    pub short_token: Option<String>,
    /// The project's slot on this runner; `None`: it could have been set by the author.
    pub slot: Option<u32>,
    /// Whether the ref is a protected one.
    pub protected: bool,
    /// The build image.
    pub image: ImageRequest,
    /// The services, in the job's order.
    pub services: Vec<ServiceRequest>,
    /// Credentials from the payload.
    pub credentials: Vec<RegistryCredential>,
    /// The DOCKER_AUTH_CONFIG variable.
    pub docker_auth_config: Option<Secret>,
    /// How sources are fetched.
    pub strategy: GitStrategy,
    /// Whether caches or artifacts need a `gitlab-runner` in the helper.
    pub needs_runner_binary: bool,
    /// What the pipeline was made by, such as `push` or `schedule`; `None` where the payload does not tell.
    pub pipeline_source: Option<String>,
    /// The job's time limit; `None` where the payload has none.
    pub timeout: Option<Duration>,
    /// The runner's version, such as `18.6.0`; `None` where it does not tell.
    pub runner_version: Option<String>,
    /// Facts for labels: GitLab's label name after `com.gitlab.gitlab-runner.` to value.
    pub facts: BTreeMap<&'static str, String>,
    /// Lines for the job log about what was not taken as given.
    pub notes: Vec<String>,
    asker: Asker,
    features: Vec<Feature>,
    environment: BTreeMap<String, String>,
    private: BTreeSet<String>,
    script: Vec<String>,
}

impl fmt::Debug for JobSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobSpec")
            .field("id", &self.id)
            .field("project_id", &self.project_id)
            .field("image", &self.image.name)
            .field("variables", &self.environment.keys())
            .finish_non_exhaustive()
    }
}

impl JobSpec {
    /// Reads a job from the bytes of JOB_RESPONSE_FILE and the environment of the stage.
    pub fn read(bytes: &[u8], env: &StageEnv) -> Result<Self, Failure> {
        let response = response::parse(bytes)?;
        if response.id < 1 {
            return Err(Failure::system(format!(
                "JOB_RESPONSE_FILE names no job: its id is {}",
                response.id
            )));
        }
        Self::from_response(&response, env)
    }

    fn from_response(response: &Response, env: &StageEnv) -> Result<Self, Failure> {
        let mut notes = Vec::new();
        for name in &env.mended {
            notes.push(format!("variable {name} is not UTF-8; its odd bytes were replaced"));
        }
        if env.is_on("FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR") {
            let flag = "FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR";
            notes.push(format!("{flag} is not followed: what the helper writes is writable for all users"));
        }
        let environment = container_environment(response, env);
        let private = private_names(response);
        let lookup = |name: &str| environment.get(name).map(String::as_str);
        let (short_token, slot) = identity(response, env, &mut notes);
        let image = image_request(&response.image, &lookup)?;
        let services =
            response.services.iter().map(|s| service_request(s, &lookup)).collect::<Result<Vec<_>, _>>()?;
        let credentials = response
            .credentials
            .iter()
            .filter(|c| c.kind == "registry")
            .map(|c| RegistryCredential {
                url: expand(&c.url, lookup),
                username: c.username.clone(),
                password: c.password.clone(),
            })
            .collect();
        let features = [
            (Feature::DebugServices, "CI_DEBUG_SERVICES"),
            (Feature::InitEverywhere, "FF_USE_INIT_WITH_DOCKER_EXECUTOR"),
        ]
        .into_iter()
        .filter_map(|(feature, name)| env.is_on(name).then_some(feature))
        .collect();
        Ok(Self {
            id: response.id,
            name: response.job_info.name.clone(),
            project_id: response.job_info.project_id,
            project_path: project_path(response),
            server: server_of(response.git_info.repo_url.expose()),
            short_token,
            slot,
            protected: protected(response),
            image,
            services,
            credentials,
            docker_auth_config: env.get("DOCKER_AUTH_CONFIG").map(Secret::new),
            strategy: strategy(response, env),
            needs_runner_binary: !(response.artifacts.is_empty()
                && response.cache.is_empty()
                && response.dependencies.is_empty()),
            pipeline_source: first(response, "CI_PIPELINE_SOURCE").map(str::to_owned),
            timeout: response.runner_info.timeout.filter(|t| *t > 0).map(Duration::from_secs),
            runner_version: env
                .get("CI_RUNNER_VERSION")
                .filter(|_| !response.secrets.contains_key("CI_RUNNER_VERSION"))
                .map(str::to_owned),
            facts: facts(response, env),
            notes,
            asker: asker(response),
            features,
            environment,
            private,
            script: response
                .steps
                .iter()
                .find(|step| step.name == MAIN_SCRIPT)
                .map(|step| step.script.clone())
                .unwrap_or_default(),
        })
    }

    /// Returns whether a switch is on.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Returns the job as proofs of access know it.
    pub fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Returns a text that is the same for all jobs of the project, and for no other's.
    pub fn project_key(&self) -> String {
        format!("{} {}", self.server, self.project_id)
    }

    /// Returns one variable of the job, expanded; a file variable gives its path.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// Expands variables in a text of the settings or the job.
    pub fn expand(&self, text: &str) -> String {
        expand(text, |name| self.variable(name))
    }

    /// Returns the environment of build and helper containers, as `NAME=value`.
    pub fn container_env(&self) -> Vec<String> {
        self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Returns the lines of the job's script as they were written, `before_script` first.
    pub fn script(&self) -> &[String] {
        &self.script
    }

    /// Returns the variables that are no secrets: those that GitLab calls public, without any that holds a token of the
    /// job all the same.
    pub fn public_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let secrets = || {
            self.asker
                .tokens
                .iter()
                .chain(&self.docker_auth_config)
                .chain(self.credentials.iter().map(|c| &c.password))
                .filter(|s| !s.is_empty())
                .map(Secret::expose)
        };
        self.public().filter(move |(_, value)| !secrets().any(|secret| value.contains(secret)))
    }

    fn public(&self) -> impl Iterator<Item = (&str, &str)> {
        let public = self.environment.iter().filter(|(name, _)| !self.private.contains(*name));
        public.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the environment a service gets: the job's public variables, then its own.
    pub fn service_env(&self, service: &ServiceRequest) -> Vec<String> {
        let mut env: BTreeMap<&str, &str> = self.public().collect();
        env.extend(service.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

/// Returns the last entry of a name: what the runner takes.
fn last<'a>(response: &'a Response, key: &str) -> Option<&'a Variable> {
    response.variables.iter().rev().find(|v| v.key == key)
}

/// Returns the first entry of a name: what GitLab itself set, before any override by an author.
fn first<'a>(response: &'a Response, key: &str) -> Option<&'a str> {
    response.variables.iter().find(|v| v.key == key).map(|v| v.value.expose())
}

fn container_environment(response: &Response, env: &StageEnv) -> BTreeMap<String, String> {
    let mut files = BTreeSet::new();
    for variable in &response.variables {
        put(&mut files, &variable.key, variable.file);
    }
    // Resolved secrets come after the job's variables, and win over them.
    for (name, source) in &response.secrets {
        put(&mut files, name, source.file != Some(false));
    }
    for name in ["CI_SERVER_TLS_CA_FILE", "CI_SERVER_TLS_CERT_FILE", "CI_SERVER_TLS_KEY_FILE"] {
        if last(response, name).is_none() {
            files.insert(name);
        }
    }
    let directory = env.get("RUNNER_TEMP_PROJECT_DIR").unwrap_or(".tmp").to_owned();
    env.variables
        .iter()
        .filter(|(name, _)| name.as_str() != "CI_JOB_SERVICES")
        .map(|(name, value)| {
            let value =
                if files.contains(name.as_str()) { format!("{directory}/{name}") } else { value.clone() };
            (name.clone(), value)
        })
        .collect()
}

/// Names whose values services must not see: the job's variables that are not public, and resolved secrets.
fn private_names(response: &Response) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for variable in &response.variables {
        put(&mut names, &variable.key, !variable.public);
    }
    let mut names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
    names.extend(response.secrets.keys().cloned());
    names
}

/// Puts a name into a set, or takes it out: later entries override earlier ones.
fn put<'a>(names: &mut BTreeSet<&'a str>, name: &'a str, is_in: bool) {
    if is_in {
        names.insert(name);
    } else {
        names.remove(name);
    }
}

/// Short token and slot exist only in the environment, where an author's variable of the same name would win.
fn identity(response: &Response, env: &StageEnv, notes: &mut Vec<String>) -> (Option<String>, Option<u32>) {
    let mut trusted = |name: &str| {
        if last(response, name).is_some() || response.secrets.contains_key(name) {
            notes.push(format!("{name} is set by the job, so its volumes are not kept for the next one"));
            return None;
        }
        env.get(name)
    };
    let well_formed = |token: &&str| {
        token.len() <= 40 && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if response.job_info.project_id < 1 {
        return (None, None);
    }
    let token = trusted("CI_RUNNER_SHORT_TOKEN").filter(well_formed).map(str::to_owned);
    let slot = trusted("CI_CONCURRENT_PROJECT_ID")
        .filter(|slot| slot.len() <= 5)
        .and_then(|slot| slot.parse::<u32>().ok());
    (token, slot)
}

/// Tokens and user come from keys of the payload that no author can write.
fn asker(response: &Response) -> Asker {
    let of_gitlab = response.credentials.iter().filter(|c| c.kind == "registry" && c.username == TOKEN_USER);
    let mut tokens: Vec<Secret> = Vec::new();
    for token in std::iter::once(&response.token).chain(of_gitlab.map(|c| &c.password)) {
        if !token.is_empty() && !tokens.contains(token) {
            tokens.push(token.clone());
        }
    }
    let url = response.git_info.repo_url.expose();
    Asker {
        server: format!("{}{}", server_of(url), path_of_server(url, &project_path(response))),
        project: response.job_info.project_id,
        user_id: user_id(response),
        tokens,
    }
}

/// Returns the user whose rights the job's token has. GitLab before 18.5 sends the user as a variable only, and authors
/// can put variables of that name before and after it, but cannot take GitLab's own away: where values differ, none counts.
fn user_id(response: &Response) -> Option<String> {
    let job = &response.job_info;
    match (job.user_id, job.scoped_user_id) {
        (1.., 1..) => return Some(format!("{}/{}", job.user_id, job.scoped_user_id)),
        (1.., _) => return Some(job.user_id.to_string()),
        _ => {}
    }
    let mut values =
        response.variables.iter().filter(|v| v.key == "GITLAB_USER_ID").map(|v| v.value.expose());
    let first = values.next()?;
    let is_number = !first.is_empty() && first.len() <= 20 && first.bytes().all(|b| b.is_ascii_digit());
    (is_number && values.all(|value| value == first)).then(|| first.to_owned())
}

fn protected(response: &Response) -> bool {
    response.git_info.protected.unwrap_or_else(|| first(response, "CI_COMMIT_REF_PROTECTED") == Some("true"))
}

fn project_path(response: &Response) -> String {
    match response.job_info.project_full_path.as_str() {
        "" => first(response, "CI_PROJECT_PATH").unwrap_or_default().to_owned(),
        path => path.to_owned(),
    }
}

fn strategy(response: &Response, env: &StageEnv) -> GitStrategy {
    let fetch = match env.get("GIT_STRATEGY") {
        Some(strategy) => strategy == "fetch",
        None => response.allow_git_fetch,
    };
    if fetch { GitStrategy::Fetch } else { GitStrategy::Other }
}

/// Returns scheme, host and port of a URL, without user and password.
fn server_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{}", host.to_ascii_lowercase())
}

/// Returns the path that a server is installed under, such as `/gitlab`, as the project's URL tells it; empty for none.
fn path_of_server<'u>(url: &'u str, project: &str) -> &'u str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let path = path.strip_suffix(".git").unwrap_or(path);
    match path.strip_suffix(project) {
        Some(before) if !project.is_empty() => before.trim_end_matches('/'),
        _ => "",
    }
}

fn image_request<'a>(
    image: &Image,
    lookup: &impl Fn(&str) -> Option<&'a str>,
) -> Result<ImageRequest, Failure> {
    Ok(ImageRequest {
        name: expand(&image.name, lookup).trim().to_owned(),
        entrypoint: (!image.entrypoint.is_empty()).then(|| image.entrypoint.clone()),
        user: expand(&image.executor_opts.docker.user, lookup),
        platform: expand(&image.executor_opts.docker.platform, lookup),
        pull_policy: image.pull_policy.iter().map(|p| pull_policy(p)).collect::<Result<Vec<_>, _>>()?,
    })
}

fn service_request<'a>(
    service: &Image,
    lookup: &impl Fn(&str) -> Option<&'a str>,
) -> Result<ServiceRequest, Failure> {
    Ok(ServiceRequest {
        image: image_request(service, lookup)?,
        aliases: split_aliases(&expand(&service.alias, lookup)),
        command: (!service.command.is_empty()).then(|| service.command.clone()),
        variables: service
            .variables
            .iter()
            .map(|v| {
                let value = v.value.expose();
                (v.key.clone(), if v.raw { value.to_owned() } else { expand(value, lookup) })
            })
            .collect(),
    })
}

/// Splits a list of aliases at spaces and commas, as the runner does.
pub fn split_aliases(aliases: &str) -> Vec<String> {
    aliases.split([' ', ',', '\t']).filter(|a| !a.is_empty()).map(str::to_owned).collect()
}

fn pull_policy(text: &str) -> Result<PullPolicy, Failure> {
    match text {
        "always" => Ok(PullPolicy::Always),
        "if-not-present" => Ok(PullPolicy::IfNotPresent),
        "never" => Ok(PullPolicy::Never),
        _ => Err(Failure::job(format!("the job asks for the unknown pull policy {text:?}"))
            .hint("pull_policy may be always, if-not-present or never")),
    }
}

fn facts(response: &Response, env: &StageEnv) -> BTreeMap<&'static str, String> {
    let known = |name: &str| first(response, name).or_else(|| env.get(name)).unwrap_or_default().to_owned();
    let mut facts = BTreeMap::from([
        ("job.id", response.id.to_string()),
        ("job.url", known("CI_JOB_URL")),
        ("job.sha", response.git_info.sha.clone()),
        ("job.before_sha", response.git_info.before_sha.clone()),
        ("job.ref", response.git_info.reference.clone()),
        ("project.id", response.job_info.project_id.to_string()),
        ("project.runner_id", env.get("CI_CONCURRENT_PROJECT_ID").unwrap_or_default().to_owned()),
        ("pipeline.id", known("CI_PIPELINE_ID")),
        ("runner.id", env.get("CI_RUNNER_SHORT_TOKEN").unwrap_or_default().to_owned()),
        ("runner.local_id", env.get("CI_CONCURRENT_ID").unwrap_or_default().to_owned()),
    ]);
    if let Some(timeout) = response.runner_info.timeout {
        facts.insert("job.timeout", format!("{timeout}s"));
    }
    facts
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
