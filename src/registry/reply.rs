//! Answers read: bodies within bounds, the headers that count, and what a refusal means.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::digest::is_digest;
use super::line::{Line, Reply};
use super::trouble::{Trouble, client_certificate};
use super::words::{Said, shown};
use crate::image::Answer;
use crate::secret::Secret;

/// The largest body of an error that is read.
const MAX_ERROR: usize = 16 << 10;
/// The longest time that a registry can ask to be left alone: Docker Hub counts by six hours.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(6 * 3600);
/// A number of seconds above this is a time since the epoch.
const EPOCH_FROM: u64 = 1_000_000_000;
const RESETS: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit-reset"), HeaderName::from_static("x-ratelimit-reset")];

/// Reads a body of at most `most` bytes.
pub(super) async fn body(line: &Line, reply: Reply, most: usize) -> Result<Bytes, Trouble> {
    let Reply { host, response } = reply;
    match Limited::new(response.into_body(), most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Trouble::nonsense(format!(
            "{host} sends more than {} KiB and is not listened to",
            most >> 10
        ))),
        Err(error) => Err(Trouble::of(error.as_ref(), &host, &line.certs)),
    }
}

/// Returns the digest that an answer names; `None` where it names none that could be one.
pub(super) fn digest(headers: &HeaderMap) -> Option<String> {
    let mut named = headers.get_all("docker-content-digest").iter();
    let digest = named.next()?.to_str().ok()?.trim();
    // Two that differ are none.
    (is_digest(digest) && named.all(|other| other.as_bytes() == digest.as_bytes())).then(|| digest.to_owned())
}

/// Returns the media type without its parameters; empty where there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_type = |c: char| c.is_ascii_alphanumeric() || "/.+-_".contains(c);
    if essence.len() <= 128 && essence.chars().all(is_type) { essence } else { String::new() }
}

/// Returns how long a registry wants to be left alone, by its own clock where it names a time of day.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let now = || text(&DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    let until = |time: std::time::SystemTime| Some(time.duration_since(now()?).unwrap_or_default());
    let read = |value: &str| match value.parse::<u64>() {
        Ok(time) if time >= EPOCH_FROM => until(epoch.checked_add(Duration::from_secs(time))?),
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => until(httpdate::parse_http_date(value).ok()?),
    };
    let first = text(&RETRY_AFTER).and_then(read);
    let wait = first.or_else(|| RESETS.iter().find_map(|name| text(name).and_then(read)))?;
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Whom an answer is about.
pub(super) struct About<'a> {
    pub(super) line: &'a Line,
    /// Whether somebody's login was shown.
    pub(super) with_login: bool,
    /// Texts that must not be repeated.
    pub(super) secrets: &'a [Secret],
}

impl About<'_> {
    /// Reads a refusal of a question about a manifest. The body is not read where a HEAD was asked.
    pub(super) async fn refusal(&self, reply: Reply, has_body: bool) -> Answer {
        let (status, host) = (reply.response.status(), reply.host.clone());
        let headers = reply.response.headers().clone();
        let body =
            if has_body { body(self.line, reply, MAX_ERROR).await.unwrap_or_default() } else { Bytes::new() };
        let said = Said::read(&body);
        let who = if self.with_login { "with this login" } else { "without a login" };
        let quoted = self.quoted(&said, status);
        match status.as_u16() {
            _ if said.limits() => self.limited(&headers, &host, &quoted),
            429 => self.limited(&headers, &host, &quoted),
            404 | 410 => Answer::NotFound(format!("{host} has no such image ({quoted})")),
            401 | 403 => Answer::Denied(format!("{host} does not let it be read {who} ({quoted})")),
            _ if contains(&body, b"SSL certificate") => {
                Answer::Unreachable(client_certificate(&host, &self.line.certs))
            }
            _ => Answer::Unreachable(format!("{host} answers {quoted}")),
        }
    }

    /// Reads a token server's refusal; `refresh` says that an identity token was shown.
    pub(super) async fn token_refusal(&self, reply: Reply, refresh: bool) -> Answer {
        let (status, host) = (reply.response.status(), reply.host.clone());
        let headers = reply.response.headers().clone();
        let body = body(self.line, reply, MAX_ERROR).await.unwrap_or_default();
        let said = Said::read(&body);
        let quoted = self.quoted(&said, status);
        let name = &self.line.place.name;
        match status.as_u16() {
            _ if said.limits() => self.limited(&headers, &host, &quoted),
            429 => self.limited(&headers, &host, &quoted),
            400 if refresh => {
                Answer::Denied(format!("{host} takes no such identity token for {name} ({quoted})"))
            }
            401 | 403 if self.with_login => {
                Answer::Denied(format!("{host} does not take the login for {name} ({quoted})"))
            }
            401 | 403 => {
                Answer::Denied(format!("{host} gives no token for {name} without a login ({quoted})"))
            }
            _ => Answer::Unreachable(format!("{host} gives no token for {name}: {quoted}")),
        }
    }

    fn limited(&self, headers: &HeaderMap, host: &str, quoted: &str) -> Answer {
        let retry_after = retry_after(headers);
        let whose = if self.with_login { "this account" } else { "this address" };
        let wait =
            retry_after.map_or_else(String::new, |wait| format!(", and wants {} s of rest", wait.as_secs()));
        Answer::Limited {
            retry_after,
            words: format!("{host} was asked too much by {whose}{wait} ({quoted})"),
        }
    }

    fn quoted(&self, said: &Said, status: StatusCode) -> String {
        let status = match status.canonical_reason() {
            Some(reason) => format!("{} {reason}", status.as_u16()),
            None => status.as_u16().to_string(),
        };
        match shown(&said.text, self.secrets) {
            text if text.is_empty() => status,
            text => format!("{status}: {text}"),
        }
    }
}

fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_time_of_rest_is_read_in_all_its_forms() {
        const NOW: (&str, &str) = ("date", "Tue, 24 Nov 2026 09:00:00 GMT");
        for (name, lines, seconds) in [
            ("seconds", &[("retry-after", "120")][..], Some(120)),
            (
                "a date, by the registry's clock",
                &[NOW, ("retry-after", "Tue, 24 Nov 2026 09:01:30 GMT")],
                Some(90),
            ),
            ("a date that has gone by", &[NOW, ("retry-after", "Tue, 24 Nov 2026 08:00:00 GMT")], Some(0)),
            ("a date without a clock", &[("retry-after", "Tue, 24 Nov 2026 09:01:30 GMT")], None),
            ("a year is too long", &[("retry-after", "31536000")], Some(6 * 3600)),
            ("a reset in seconds", &[("ratelimit-reset", "30")], Some(30)),
            ("a reset since the epoch", &[NOW, ("ratelimit-reset", "1795510860")], Some(60)),
            ("Retry-After before the reset", &[("x-ratelimit-reset", "9"), ("retry-after", "7")], Some(7)),
            ("nonsense", &[("retry-after", "soon")], None),
            ("less than nothing", &[("retry-after", "-5")], None),
            ("nonsense beside a reset", &[("retry-after", "soon"), ("x-ratelimit-reset", "9")], Some(9)),
            ("none", &[], None),
        ] {
            assert_eq!(retry_after(&headers(lines)).map(|d| d.as_secs()), seconds, "{name}");
        }
    }

    #[test]
    fn a_digest_header_that_is_none_does_not_count() {
        const GOOD: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        const OTHER: &str = "sha256:f3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let name = "docker-content-digest";
        assert_eq!(digest(&headers(&[(name, GOOD)])).as_deref(), Some(GOOD));
        assert_eq!(digest(&headers(&[(name, GOOD), (name, GOOD)])).as_deref(), Some(GOOD));
        assert_eq!(digest(&headers(&[(name, GOOD), (name, OTHER)])), None);
        assert_eq!(digest(&headers(&[(name, "sha256:abc")])), None);
        assert_eq!(digest(&headers(&[])), None);
    }

    #[test]
    fn a_media_type_is_read_without_parameters() {
        let of = |value| media_type(&headers(&[("content-type", value)]));
        assert_eq!(
            of("Application/vnd.oci.image.index.v1+json; charset=utf-8"),
            "application/vnd.oci.image.index.v1+json"
        );
        assert_eq!(of("a\"b"), "");
        assert_eq!(media_type(&HeaderMap::new()), "");
    }
}
