//! Image names as authors write them, read by the grammar that the engine and the registries use.
//!
//! The grammar is that of <https://github.com/distribution/reference>. One thing is stricter: a capital letter in the
//! first part of `Group/image` is refused, where newer engines would look for a registry called `Group`.

use std::fmt;
use std::str::FromStr;

const DOCKER_HUB: &str = "docker.io";
/// The longest repository path that registries take.
const MAX_PATH: usize = 255;
const MAX_TAG: usize = 128;
/// Longer than any valid name: host, path, tag and digest together.
const MAX_NAME: usize = 1024;
/// How much of a bad name is repeated in the message.
const MAX_SHOWN: usize = 120;

/// An image as a job or a setting asked for it: a name that a registry knows, or the ID of an image on this host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRef {
    typed: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    /// The 64 hexadecimal digits.
    Id(String),
    Named {
        registry: String,
        repository: String,
        tag: Option<String>,
        digest: Option<String>,
    },
}

/// A text that is not an image name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not an image name: {reason}")]
pub struct BadReference {
    shown: String,
    reason: String,
}

impl BadReference {
    /// Returns what is wrong, without the name.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl ImageRef {
    /// Returns the registry's host and port in lower case, such as `docker.io`; `None` for an image ID.
    pub fn registry(&self) -> Option<&str> {
        match &self.kind {
            Kind::Id(_) => None,
            Kind::Named { registry, .. } => Some(registry),
        }
    }

    /// Returns the whole path within the registry, such as `library/alpine`; `None` for an image ID.
    pub fn repository(&self) -> Option<&str> {
        match &self.kind {
            Kind::Id(_) => None,
            Kind::Named { repository, .. } => Some(repository),
        }
    }

    /// Returns registry and path, such as `docker.io/library/alpine`; `None` for an image ID.
    pub fn full_repository(&self) -> Option<String> {
        match &self.kind {
            Kind::Id(_) => None,
            Kind::Named { registry, repository, .. } => Some(format!("{registry}/{repository}")),
        }
    }

    /// Returns the tag: `latest` where neither tag nor digest was written; `None` for an ID and a digest without a tag.
    pub fn tag(&self) -> Option<&str> {
        match &self.kind {
            Kind::Id(_) => None,
            Kind::Named { tag, .. } => tag.as_deref(),
        }
    }

    /// Returns the digest with its algorithm, such as `sha256:…`; `None` where none was written.
    pub fn digest(&self) -> Option<&str> {
        match &self.kind {
            Kind::Id(_) => None,
            Kind::Named { digest, .. } => digest.as_deref(),
        }
    }

    /// Returns the image ID as the engine writes it, `sha256:` and 64 digits; `None` for a name.
    pub fn id(&self) -> Option<String> {
        match &self.kind {
            Kind::Id(hex) => Some(format!("sha256:{hex}")),
            Kind::Named { .. } => None,
        }
    }

    /// Returns the name as it was written.
    pub fn familiar(&self) -> &str {
        &self.typed
    }

    /// Returns the full name, such as `docker.io/library/alpine:latest`; for an image ID `sha256:` and 64 digits.
    pub fn normalized(&self) -> String {
        match &self.kind {
            Kind::Id(hex) => format!("sha256:{hex}"),
            Kind::Named { registry, repository, tag, digest } => {
                let mut name = format!("{registry}/{repository}");
                if let Some(tag) = tag {
                    name.push(':');
                    name.push_str(tag);
                }
                if let Some(digest) = digest {
                    name.push('@');
                    name.push_str(digest);
                }
                name
            }
        }
    }

    /// Returns the host names that a service of this image has, as the docker executor derives them: the name as written
    /// without tag, digest and registry port, with `__` for `/` and then with `-` for `/`. Empty for an image ID.
    pub fn service_aliases(&self) -> Vec<String> {
        if self.id().is_some() {
            return Vec::new();
        }
        let (name, _, _) = split_tag_and_digest(&self.typed);
        let (head, tail) = name.split_at(name.find('/').unwrap_or(name.len()));
        let host = match head.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => head,
        };
        let service = format!("{host}{tail}");
        let mut aliases = vec![service.replace('/', "__"), service.replace('/', "-")];
        aliases.dedup();
        aliases
    }
}

impl FromStr for ImageRef {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match read(text) {
            Ok(kind) => Ok(Self { typed: text.to_owned(), kind }),
            Err(reason) => {
                let mut shown: String = text.chars().take(MAX_SHOWN).collect();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                Err(BadReference { shown, reason })
            }
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

fn read(text: &str) -> Result<Kind, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > MAX_NAME {
        return Err(format!("it is too long: {} bytes, at most {MAX_NAME} are allowed", text.len()));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
        let what = match bad {
            _ if bad.is_whitespace() => "spaces and line ends",
            _ if bad.is_control() => "control characters",
            _ => "characters outside ASCII",
        };
        return Err(format!("{what} are not allowed"));
    }
    if text.contains('$') {
        return Err("it holds a variable that was not expanded".to_owned());
    }
    if text.contains("://") {
        return Err("write it without a scheme, as host/path:tag".to_owned());
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if is_lower_hex(hex, 64) {
        return Ok(Kind::Id(hex.to_owned()));
    }
    let (name, tag, digest) = split_tag_and_digest(text);
    let (host, path) = split_host(name);
    check_host(host)?;
    check_path(path)?;
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    if let Some(digest) = digest {
        check_digest(digest)?;
    }
    let registry = match host.to_ascii_lowercase().as_str() {
        "" | "index.docker.io" => DOCKER_HUB.to_owned(),
        host => host.to_owned(),
    };
    let official = registry == DOCKER_HUB && !path.contains('/');
    let repository = if official { format!("library/{path}") } else { path.to_owned() };
    let tag = tag.or(if digest.is_none() { Some("latest") } else { None }).map(str::to_owned);
    Ok(Kind::Named { registry, repository, tag, digest: digest.map(str::to_owned) })
}

/// Splits `name[:tag][@digest]`; a colon before the last slash belongs to the registry's port.
fn split_tag_and_digest(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    match rest[last..].find(':') {
        Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..]), digest),
        None => (rest, None, digest),
    }
}

/// Splits off a registry host; the first part is one if it has a dot or a port or is `localhost`.
fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost") => {
            (host, path)
        }
        _ => ("", name),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Ok(());
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if let Some(port) = port
        && (port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err())
    {
        return Err(format!("{port:?} is not a port of the registry, which is a number up to 65535"));
    }
    let is_ipv6 =
        |inner: &str| !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return if is_ipv6(inner) { Ok(()) } else { Err(format!("{name:?} is not an IPv6 address")) };
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.split('.').all(is_label) {
        Ok(())
    } else {
        Err(format!("{name:?} is not a registry host: letters, digits, dots and - inside are allowed"))
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.len() > MAX_PATH {
        return Err(format!("its path is too long: {} bytes, at most {MAX_PATH} are allowed", path.len()));
    }
    for part in path.split('/') {
        if part.is_empty() {
            return Err("a part of its path is empty".to_owned());
        }
        if part.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!("{part:?} has a capital letter, and paths are in lower case"));
        }
        if !is_path_part(part) {
            return Err(format!(
                "{part:?} is not a part of a path: a-z and 0-9 are allowed, and between them one . or _, or __, or any number of -"
            ));
        }
    }
    Ok(())
}

/// `[a-z0-9]+ ((.|_|__|-+) [a-z0-9]+)*`
fn is_path_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let mut separators = bytes.split(|b| is_word(*b)).filter(|run| !run.is_empty());
    bytes.first().is_some_and(|b| is_word(*b))
        && bytes.last().is_some_and(|b| is_word(*b))
        && separators.all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), String> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts_well = tag.bytes().next().is_some_and(is_word);
    if starts_well && tag.len() <= MAX_TAG && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-') {
        return Ok(());
    }
    if tag.is_empty() {
        return Err("its tag is empty".to_owned());
    }
    Err(format!(
        "{tag:?} is not a tag: at most {MAX_TAG} letters, digits and _ . - are allowed, and neither . nor - comes first"
    ))
}

fn check_digest(digest: &str) -> Result<(), String> {
    if is_digest(digest) {
        Ok(())
    } else {
        Err(format!("{digest:?} is not a digest: write sha256: and 64 hexadecimal digits in lower case"))
    }
}

/// Tells whether a text is a digest with its algorithm.
pub(super) fn is_digest(text: &str) -> bool {
    match text.split_once(':') {
        Some(("sha256", hex)) => is_lower_hex(hex, 64),
        Some(("sha384", hex)) => is_lower_hex(hex, 96),
        Some(("sha512", hex)) => is_lower_hex(hex, 128),
        _ => false,
    }
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
