//! Digests of manifests: whether a text is one, and whether bytes have it.

use sha2::{Digest as _, Sha256, Sha512};

/// Tells whether a text is a digest that registries use: `sha256:` or `sha512:` and hexadecimal digits in lower case.
pub(super) fn is_digest(text: &str) -> bool {
    let length = match text.split_once(':') {
        Some(("sha256", _)) => 64,
        Some(("sha512", _)) => 128,
        _ => return false,
    };
    let hex = &text["sha256:".len()..];
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The digest of some bytes, `sha256:…`.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex("sha256:", &Sha256::digest(bytes))
}

/// Tells whether bytes have a digest.
pub(super) fn has_digest(bytes: &[u8], digest: &str) -> bool {
    if digest.starts_with("sha512:") {
        hex("sha512:", &Sha512::digest(bytes)) == digest
    } else {
        sha256(bytes) == digest
    }
}

fn hex(prefix: &str, hash: &[u8]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(prefix.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lower_case_digests_of_known_algorithms_count() {
        let (short, long) = ("a1".repeat(32), "0f".repeat(64));
        for (text, good) in [
            (format!("sha256:{short}"), true),
            (format!("sha512:{long}"), true),
            (format!("sha512:{short}"), false),
            (format!("sha256:{long}"), false),
            (format!("sha256:{}", short.to_uppercase()), false),
            (format!("sha256:{}g", &short[1..]), false),
            (format!("sha256: {}", &short[1..]), false),
            (format!("\"sha256:{short}\""), false),
            (format!("md5:{short}"), false),
            (short, false),
            ("sha256:".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_digest(&text), good, "{text}");
        }
    }

    #[test]
    fn bytes_are_compared_by_the_algorithm_that_the_digest_names() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), format!("sha256:{empty}"));
        assert!(has_digest(b"", &sha256(b"")) && !has_digest(b"x", &sha256(b"")));
        let long = hex("sha512:", &Sha512::digest(b"x"));
        assert!(is_digest(&long) && has_digest(b"x", &long) && !has_digest(b"", &long));
    }
}
