//! What a registry says, made fit for a job log: bounded, without control characters and without anybody's secrets.

use serde::Deserialize;
use serde_json::Value;

use crate::secret::Secret;

/// How much of what a registry says is repeated.
const MAX_SHOWN: usize = 240;
/// How many of its errors.
const MAX_ERRORS: usize = 3;
/// A shorter secret is no secret, and hiding it would garble every sentence.
const SHORTEST_SECRET: usize = 4;

/// The errors of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Codes in lower case, such as `manifest_unknown`.
    pub(super) codes: Vec<String>,
    /// What it says in its own words, not yet fit to be shown; empty where it says nothing.
    pub(super) text: String,
}

impl Said {
    /// Reads an error's body: what registries and token servers send, and nothing where it is something else.
    pub(super) fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            errors: Value,
            #[serde(default)]
            error: Value,
            #[serde(default)]
            error_description: Value,
            #[serde(default)]
            details: Value,
            #[serde(default)]
            message: Value,
        }
        let Ok(body) = serde_json::from_slice::<Body>(body) else { return Self::default() };
        let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
        let mut said = Self::default();
        let mut parts = Vec::new();
        for error in body.errors.as_array().into_iter().flatten().take(MAX_ERRORS) {
            let (code, message) = (text(&error["code"]), text(&error["message"]));
            said.codes.push(code.to_ascii_lowercase());
            parts.push(match (code.is_empty(), message.is_empty()) {
                (false, false) => format!("{}: {message}", code.to_ascii_lowercase()),
                (false, true) => code.to_ascii_lowercase(),
                _ => message,
            });
        }
        let error = text(&body.error);
        if !error.is_empty() {
            said.codes.push(error.to_ascii_lowercase());
        }
        parts.extend([error, text(&body.error_description), text(&body.details), text(&body.message)]);
        parts.retain(|part| !part.is_empty());
        said.text = parts.join("; ");
        said
    }

    /// Tells whether it says that too much was asked.
    pub(super) fn limits(&self) -> bool {
        self.codes.iter().any(|code| code == "toomanyrequests" || code == "too_many_requests")
    }
}

/// Makes a text fit to be shown: in one line, bounded, and with the secrets taken out.
pub(super) fn shown(text: &str, secrets: &[Secret]) -> String {
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let hide = |text: String| {
        let secrets = secrets.iter().map(Secret::expose).filter(|secret| secret.len() >= SHORTEST_SECRET);
        secrets.fold(text, |text, secret| text.replace(secret, "[hidden]"))
    };
    let line: String = hide(text.to_owned()).chars().map(|c| if is_odd(c) { ' ' } else { c }).collect();
    let mut line = hide(line.split_whitespace().collect::<Vec<_>>().join(" "));
    if line.chars().count() > MAX_SHOWN {
        line = line.chars().take(MAX_SHOWN).chain(['…']).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_as_registries_and_token_servers_write_them() {
        for (body, codes, text) in [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#,
                &["manifest_unknown"][..],
                "manifest_unknown: manifest unknown",
            ),
            (r#"{"errors":[{"code":"DENIED"},{"message":"why"}]}"#, &["denied", ""], "denied; why"),
            (r#"{"details":"incorrect username or password"}"#, &[], "incorrect username or password"),
            (
                r#"{"error":"invalid_grant","error_description":"gone"}"#,
                &["invalid_grant"],
                "invalid_grant; gone",
            ),
            (r#"{"message":"401 Unauthorized","errors":null}"#, &[], "401 Unauthorized"),
            (r#"{"errors":"odd","error":{"a":1}}"#, &[], ""),
            ("<html>busy</html>", &[], ""),
            ("[]", &[], ""),
            ("", &[], ""),
        ] {
            let said = Said::read(body.as_bytes());
            assert_eq!(
                (said.codes, said.text.as_str()),
                (codes.iter().map(|c| (*c).to_owned()).collect(), text)
            );
        }
    }

    #[test]
    fn too_many_requests_is_known_by_its_code() {
        assert!(Said::read(br#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#).limits());
        assert!(!Said::read(br#"{"errors":[{"code":"DENIED","message":"toomanyrequests"}]}"#).limits());
    }

    #[test]
    fn what_is_shown_is_one_bounded_line_without_secrets() {
        let secrets = [Secret::new("hunter2"), Secret::new("a"), Secret::new("two  words")];
        assert_eq!(shown("no two  words", &secrets), "no [hidden]");
        assert_eq!(shown("your\r\n\u{1b}[31m hunter2\u{202e}!", &secrets), "your [31m [hidden] !");
        let long = shown(&format!("{}hunter2{}", "ä".repeat(236), "b".repeat(4000)), &secrets);
        assert!(long.ends_with("ä[hid…") && long.chars().count() == 241, "{long}");
    }
}
