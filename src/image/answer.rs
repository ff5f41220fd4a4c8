//! What a registry answers when it is asked about an image.

use std::time::Duration;

/// What a registry says about a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is there, and this login may read it.
    Found {
        /// The digest of what was asked for, index or manifest: `sha256:…`.
        digest: String,
        /// Its media type.
        media_type: String,
    },
    /// There is no such image, in words for people.
    NotFound(String),
    /// This login may not read it, in words for people.
    Denied(String),
    /// The registry has had enough of this account or address for now.
    Limited {
        /// How long it asks to be left alone; `None`: it does not say.
        retry_after: Option<Duration>,
        /// Its words for people.
        words: String,
    },
    /// Nobody answered, or nothing that makes sense, in words for people.
    Unreachable(String),
}
