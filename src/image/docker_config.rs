//! Docker's `config.json` as it is on the wire, and the many ways in which it names one registry.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::Value;

use super::auth::Credentials;
use crate::secret::Secret;

const DOCKER_HUB: &str = "docker.io";
/// The name by which Docker Hub's credentials are stored and sent.
const DOCKER_HUB_SERVER: &str = "https://index.docker.io/v1/";
/// Base64 as docker writes it, and as people write it who forget the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize)]
pub(super) struct RawConfig {
    pub(super) auths: Option<BTreeMap<String, Value>>,
    #[serde(rename = "credsStore")]
    pub(super) creds_store: Option<String>,
    #[serde(rename = "credHelpers")]
    pub(super) cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawAuth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
}

/// Reads one entry of `auths`; `None` for the empty entry that marks what a credential store holds.
pub(super) fn read_auth(registry: &str, value: Value) -> Result<Option<Credentials>, &'static str> {
    if value.is_null() {
        return Ok(None);
    }
    let raw: RawAuth = serde_json::from_value(value).map_err(|_| "it has to be an object of texts")?;
    let server = server_of(registry);
    if let Some(token) = raw.identitytoken.filter(|token| !token.is_empty()) {
        let (username, password) = (String::new(), Secret::default());
        return Ok(Some(Credentials { server, username, password, identity_token: Some(token) }));
    }
    let (username, password) = match raw.auth.as_deref().map(str::trim).filter(|auth| !auth.is_empty()) {
        Some(auth) => split_auth(auth).ok_or("auth has to be the base64 of user:password")?,
        None => (raw.username.unwrap_or_default(), raw.password.unwrap_or_default()),
    };
    if username.is_empty() && password.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credentials { server, username, password, identity_token: None }))
}

fn split_auth(auth: &str) -> Option<(String, Secret)> {
    let text = String::from_utf8(BASE64.decode(auth).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), Secret::new(password.trim_end_matches('\0'))))
}

/// The program behind a helper's name; `None` for a name that could leave the PATH.
pub(super) fn program_of(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!name.is_empty() && name.bytes().all(plain)).then(|| format!("docker-credential-{name}"))
}

/// The path that a key of a configuration stands for: no scheme, no API version, no tag, the host in lower case.
pub(super) fn registry_path(key: &str) -> String {
    let key = key.trim();
    let bare = match key.split_once("://") {
        Some((_, rest)) => rest,
        None => key,
    };
    let mut path = bare.trim_end_matches('/');
    for version in ["/v1", "/v2"] {
        path = path.strip_suffix(version).unwrap_or(path);
    }
    let (host, rest) = match path.split_once('/') {
        Some((host, rest)) => (host, rest),
        None => (path, ""),
    };
    let lower = host.to_ascii_lowercase();
    let host = host_alias(&lower);
    let rest = rest.split([':', '@']).next().unwrap_or_default();
    if rest.is_empty() { host.to_owned() } else { format!("{host}/{rest}") }
}

/// Docker Hub goes by several names.
pub(super) fn host_alias(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB,
        other => other,
    }
}

/// The server's name as credentials carry it.
pub(super) fn server_of(key: &str) -> String {
    let path = registry_path(key);
    match path.split('/').next() {
        Some(DOCKER_HUB) | None => DOCKER_HUB_SERVER.to_owned(),
        Some(host) => host.to_owned(),
    }
}

/// Tells whether whole parts of `name` begin with `path`.
pub(super) fn begins(path: &str, name: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
