//! With whose credentials an image is fetched: the docker executor's sources in its order.
//!
//! They are the job's variable `DOCKER_AUTH_CONFIG`, the operator's `config.json`, and what GitLab sent with the job. For
//! one registry path the first source wins; among paths the longest one that begins the image's full name.
//!
//! Two things differ from the docker executor. A job variable cannot name a credential helper, since that would let a
//! job choose a program that runs on the host; and a helper of the operator is asked for the image's own registry
//! only. Running it is the caller's part: the rules here answer [`Lookup::Helper`].

use std::fmt;

use serde::Deserialize;

use super::ImageRef;
use super::docker_config::{RawConfig, begins, host_alias, program_of, read_auth, registry_path, server_of};
use crate::secret::Secret;

/// The user name by which a helper says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Where credentials came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The job's variable `DOCKER_AUTH_CONFIG`.
    JobVariable,
    /// The docker configuration of the host's operator.
    OperatorConfig,
    /// What GitLab sent with the job: its own registry and dependency proxy.
    Payload,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JobVariable => "$DOCKER_AUTH_CONFIG",
            Self::OperatorConfig => "the host's docker configuration",
            Self::Payload => "the job's payload (GitLab Registry)",
        })
    }
}

/// What a registry is shown to let somebody in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The registry as its credentials name it: a host, or `https://index.docker.io/v1/` for Docker Hub.
    pub server: String,
    /// The user's name; empty with an identity token.
    pub username: String,
    /// The user's password; empty with an identity token.
    pub password: Secret,
    /// An OAuth refresh token; `None` for a user and password.
    pub identity_token: Option<Secret>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads what a credential helper's `get` printed; `None` where it is not an answer.
    pub fn from_helper_answer(server: &str, answer: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: Secret,
        }
        let Answer { username, secret } = serde_json::from_str(answer).ok()?;
        let server = server.to_owned();
        Some(if username == TOKEN_USER {
            Self {
                server,
                username: String::new(),
                password: Secret::default(),
                identity_token: Some(secret),
            }
        } else {
            Self { server, username, password: secret, identity_token: None }
        })
    }
}

/// One entry of the payload's `credentials` of the type `registry`, its variables already expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadCredential {
    /// The registry: `host`, `host:port` or a URL.
    pub url: String,
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: Secret,
}

/// The texts that credentials are read from.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuthSources<'a> {
    /// The content of `DOCKER_AUTH_CONFIG`; `None` where the job has none.
    pub job_variable: Option<&'a str>,
    /// The content of the operator's `config.json`; `None` where there is none.
    pub operator_config: Option<&'a str>,
    /// The payload's credentials of the type `registry`.
    pub payload: &'a [PayloadCredential],
}

/// One way to get credentials for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// They are known.
    Found {
        /// The credentials.
        credentials: Credentials,
        /// Where they came from.
        source: Source,
    },
    /// A program of the operator's has to be asked: `PROGRAM get` with `server` on its stdin.
    Helper {
        /// The program's name, without a path.
        program: String,
        /// The registry as the program knows it.
        server: String,
        /// Where the program was named.
        source: Source,
    },
}

/// All credentials that one job has.
#[derive(Debug, Default)]
pub struct AuthBook {
    entries: Vec<Entry>,
    /// The operator's `credsStore`: asked for every registry.
    store: Option<String>,
}

#[derive(Debug)]
struct Entry {
    path: String,
    source: Source,
    access: Access,
}

/// Which entry of one path wins: the sources in their order, and within the operator's the more particular one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    JobVariable,
    Helper,
    Store,
    OperatorConfig,
    Payload,
}

impl Entry {
    fn rank(&self) -> Rank {
        match (self.source, &self.access) {
            (_, Access::Helper { .. }) => Rank::Helper,
            (Source::JobVariable, Access::Known(_)) => Rank::JobVariable,
            (Source::OperatorConfig, Access::Known(_)) => Rank::OperatorConfig,
            (Source::Payload, Access::Known(_)) => Rank::Payload,
        }
    }

    fn lookup(&self) -> Lookup {
        let source = self.source;
        match &self.access {
            Access::Known(credentials) => Lookup::Found { credentials: credentials.clone(), source },
            Access::Helper { program, server } => {
                Lookup::Helper { program: program.clone(), server: server.clone(), source }
            }
        }
    }
}

#[derive(Debug)]
enum Access {
    Known(Credentials),
    Helper { program: String, server: String },
}

impl AuthBook {
    /// Reads all sources. The second value are lines for the job log: what was ignored and why, never a secret.
    pub fn read(sources: AuthSources<'_>) -> (Self, Vec<String>) {
        let mut book = Self::default();
        let mut warnings = Vec::new();
        if let Some(text) = sources.job_variable.filter(|text| !text.trim().is_empty()) {
            book.read_config(text, Source::JobVariable, &mut warnings);
        }
        if let Some(text) = sources.operator_config.filter(|text| !text.trim().is_empty()) {
            book.read_config(text, Source::OperatorConfig, &mut warnings);
        }
        for PayloadCredential { url, username, password } in sources.payload {
            let credentials = Credentials {
                server: server_of(url),
                username: username.clone(),
                password: password.clone(),
                identity_token: None,
            };
            book.add(url, Source::Payload, Access::Known(credentials));
        }
        (book, warnings)
    }

    /// Returns the ways to get credentials for an image, the first to be tried first: a helper may have none, then the
    /// next one counts. Nothing comes after known credentials. Empty: the registry is asked anonymously.
    pub fn lookup(&self, image: &ImageRef) -> Vec<Lookup> {
        let (Some(registry), Some(repository)) = (image.registry(), image.repository()) else {
            return Vec::new();
        };
        let host = host_alias(registry);
        let full = format!("{host}/{repository}");
        let short = repository.strip_prefix("library/").map(|name| format!("{host}/{name}"));
        let fits = |entry: &&Entry| {
            begins(&entry.path, &full) || short.as_ref().is_some_and(|s| begins(&entry.path, s))
        };
        let mut ways: Vec<(usize, Rank, Lookup)> = self
            .entries
            .iter()
            .filter(fits)
            .map(|entry| (entry.path.len(), entry.rank(), entry.lookup()))
            .collect();
        if let Some(program) = &self.store {
            let (program, source) = (program.clone(), Source::OperatorConfig);
            ways.push((host.len(), Rank::Store, Lookup::Helper { program, server: server_of(host), source }));
        }
        ways.sort_by_key(|(length, rank, _)| (std::cmp::Reverse(*length), *rank));
        let known = ways.iter().position(|(_, _, way)| matches!(way, Lookup::Found { .. }));
        ways.truncate(known.map_or(ways.len(), |known| known + 1));
        ways.into_iter().map(|(_, _, way)| way).collect()
    }

    fn add(&mut self, key: &str, source: Source, access: Access) {
        self.entries.push(Entry { path: registry_path(key), source, access });
    }

    fn read_config(&mut self, text: &str, source: Source, warnings: &mut Vec<String>) {
        let config: RawConfig = match serde_json::from_str(text) {
            Ok(config) => config,
            // The message of serde_json may repeat a value, which may be a password: its place is enough.
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                warnings.push(format!(
                    "{source} is ignored: it is not the JSON of a docker configuration (line {line}, column {column})"
                ));
                return;
            }
        };
        let names_helpers = config.creds_store.as_ref().is_some_and(|name| !name.is_empty())
            || config.cred_helpers.as_ref().is_some_and(|helpers| !helpers.is_empty());
        if source == Source::JobVariable && names_helpers {
            warnings.push(format!(
                "credsStore and credHelpers in {source} are ignored: a job may not name programs that run on the host"
            ));
        } else {
            self.read_helpers(&config, source, warnings);
        }
        for (registry, value) in config.auths.unwrap_or_default() {
            match read_auth(&registry, value) {
                Ok(Some(credentials)) => self.add(&registry, source, Access::Known(credentials)),
                Ok(None) => {}
                Err(reason) => {
                    warnings.push(format!("the entry {registry:?} of {source} is ignored: {reason}"))
                }
            }
        }
    }

    fn read_helpers(&mut self, config: &RawConfig, source: Source, warnings: &mut Vec<String>) {
        let mut checked = |name: &str| {
            let program = program_of(name);
            if program.is_none() {
                warnings.push(format!(
                    "the credential helper {name:?} of {source} is ignored: it has to be a plain name"
                ));
            }
            program
        };
        for (registry, name) in config.cred_helpers.iter().flatten() {
            if let Some(program) = checked(name) {
                self.add(registry, source, Access::Helper { program, server: registry.clone() });
            }
        }
        if let Some(name) = config.creds_store.as_deref().filter(|name| !name.is_empty()) {
            self.store = checked(name);
        }
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
