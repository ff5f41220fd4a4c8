//! The logins of one client: the rules are [`crate::image`]'s, reading files and asking helpers is done here.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::engine::RegistryLogin;
use crate::host::read_bounded;
use crate::image::{AuthBook, AuthSources, Credentials, ImageRef, Lookup, PayloadCredential, Source};
use crate::job::{JobSpec, RegistryCredential};
use crate::joblog::JobLog;
use crate::secret::Secret;

const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A login, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// What the registry is shown.
    pub credentials: Credentials,
    source: Source,
}

impl Login {
    /// Says in the job log whose login is used for an image.
    pub fn tell(&self, image: &ImageRef, log: &JobLog) {
        log.line(format!("Authenticating with credentials from {} for {}", self.source, image.familiar()));
    }

    /// Returns it as the engine takes it.
    pub fn for_engine(&self) -> RegistryLogin {
        let Credentials { server, username, password, identity_token } = self.credentials.clone();
        RegistryLogin { username, password, identity_token: identity_token.unwrap_or_default(), server }
    }
}

/// The logins of one client, in the docker executor's order.
pub struct Logins {
    book: AuthBook,
    /// The operator's own: the only ones that mirrors are shown.
    operators: AuthBook,
}

impl Logins {
    /// Reads all sources; what was ignored is said in the job log.
    pub fn read(job: &JobSpec, operator_dir: Option<&Path>, log: &JobLog) -> Self {
        Self::from_parts(&job.credentials, job.docker_auth_config.as_ref(), operator_dir, log)
    }

    /// Reads the logins of what belongs to no job: the operator's alone.
    pub fn of_host(operator_dir: Option<&Path>, log: &JobLog) -> Self {
        Self::from_parts(&[], None, operator_dir, log)
    }

    /// As [`Self::read`], where there is no job any more but only what it came with.
    pub fn from_parts(
        credentials: &[RegistryCredential],
        job_variable: Option<&Secret>,
        operator_dir: Option<&Path>,
        log: &JobLog,
    ) -> Self {
        let operator = operator_dir.and_then(|dir| operator_config(dir, log));
        let payload: Vec<PayloadCredential> = credentials
            .iter()
            .map(|c| PayloadCredential {
                url: c.url.clone(),
                username: c.username.clone(),
                password: c.password.clone(),
            })
            .collect();
        let (book, warnings) = AuthBook::read(AuthSources {
            job_variable: job_variable.map(|config| config.expose()),
            operator_config: operator.as_deref(),
            payload: &payload,
        });
        for warning in warnings {
            log.warn(format!("WARNING: {warning}"));
        }
        let (operators, _) =
            AuthBook::read(AuthSources { operator_config: operator.as_deref(), ..AuthSources::default() });
        Self { book, operators }
    }

    /// Finds the login for an image; `None`: the registry is asked anonymously.
    pub async fn find(&self, image: &ImageRef, log: &JobLog) -> Option<Login> {
        find(&self.book, image, log).await
    }

    /// Finds the operator's login for a mirror.
    pub async fn operators(&self, mirror: &ImageRef, log: &JobLog) -> Option<Login> {
        find(&self.operators, mirror, log).await
    }
}

async fn find(book: &AuthBook, image: &ImageRef, log: &JobLog) -> Option<Login> {
    for lookup in book.lookup(image) {
        let (credentials, source) = match lookup {
            Lookup::Found { credentials, source } => (credentials, source),
            Lookup::Helper { program, server, source } => match ask(&program, &server).await {
                Ok(Some(credentials)) => (credentials, source),
                Ok(None) => continue,
                Err(reason) => {
                    log.warn(format!("WARNING: {program} gave no login for {server}: {reason}"));
                    continue;
                }
            },
        };
        return Some(Login { credentials, source });
    }
    None
}

/// Chooses the directory of the operator's `config.json`: the setting's, else DOCKER_CONFIG, else `~/.docker`.
pub fn operator_dir(
    setting: Option<&Path>,
    docker_config: Option<&Path>,
    home: Option<&Path>,
) -> Option<PathBuf> {
    setting.or(docker_config).map(Path::to_owned).or_else(|| home.map(|home| home.join(".docker")))
}

fn operator_config(directory: &Path, log: &JobLog) -> Option<String> {
    let path = directory.join("config.json");
    if !path.exists() {
        return None;
    }
    match read_bounded(&path, MAX_CONFIG_BYTES, "the operator's docker configuration") {
        Ok(bytes) => String::from_utf8(bytes).ok(),
        Err(failure) => {
            log.warn(format!("WARNING: {}", failure.message));
            None
        }
    }
}

/// Runs `PROGRAM get`. `Ok(None)`: it has no login for the server.
async fn ask(program: &str, server: &str) -> Result<Option<Credentials>, String> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let output = tokio::time::timeout(HELPER_TIMEOUT, child.wait_with_output())
        .await
        .map_err(|_| format!("no answer within {} s", HELPER_TIMEOUT.as_secs()))?
        .map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        // The protocol's own word for "nothing stored".
        return if answer.contains("credentials not found") { Ok(None) } else { Err("it failed".to_owned()) };
    }
    Ok(Credentials::from_helper_answer(server, &answer))
}
