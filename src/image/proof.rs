//! Who proved that they may read an image, so that the next job of the same kind need not prove it again.
//!
//! A proof says: at this time, this holder could read this digest in this repository. It is worth nothing for another
//! digest, another repository, another project, or a job with other credentials. A job token changes with every job, so
//! it is known by its user name and the user the job runs for; any other login by a keyed hash. The login itself is
//! nowhere in a proof.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Credentials;
use crate::secret::Secret;

/// How far in the future a proof may seem to be, in seconds: the clocks of one host's processes do not agree better.
const SKEW: u64 = 60;

/// The store's own key, by which logins are hashed; a store that is begun anew has another one, and its proofs are void.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// Wraps 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A job, as far as proofs know it. All of it comes from the payload, nothing from variables that authors set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The GitLab server's URL: two servers may have equal numbers.
    pub server: String,
    /// The project's number there.
    pub project: i64,
    /// The user whose rights the job's token has; `None`: not known for sure.
    pub user_id: Option<String>,
    /// The job's own tokens.
    pub tokens: Vec<Secret>,
}

impl Asker {
    /// This host, which is no job: proofs of its operator's logins are good for no job.
    pub fn host() -> Self {
        Self { server: "this host".to_owned(), project: -1, user_id: None, tokens: Vec::new() }
    }
}

/// With what a job comes to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// With nothing.
    Anonymous,
    /// With its own token.
    JobToken {
        /// The user name that goes with it.
        user: String,
        /// The user whose rights it has.
        user_id: String,
    },
    /// With a login that other jobs may have too: its keyed hash, in hexadecimal digits.
    Static(String),
}

impl Account {
    /// Tells with what a job comes to a registry. Wherever a job token was written down, it is a job token.
    pub fn of(login: Option<&Credentials>, asker: &Asker, key: &HashKey) -> Self {
        let Some(login) = login else { return Self::Anonymous };
        let is_token = login.identity_token.is_none()
            && !login.password.is_empty()
            && asker.tokens.contains(&login.password);
        match &asker.user_id {
            Some(user_id) if is_token => {
                Self::JobToken { user: login.username.clone(), user_id: user_id.clone() }
            }
            _ => Self::Static(hash(login, key)),
        }
    }
}

fn hash(login: &Credentials, key: &HashKey) -> String {
    let token = login.identity_token.as_ref().map_or("", |token| token.expose());
    // A key of any length will do, so there is no error.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return String::new() };
    for part in [login.username.as_str(), login.password.expose(), token] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who a proof belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder(String);

impl Holder {
    /// Everybody: the registry answered without any login.
    pub fn public() -> Self {
        Self("public".to_owned())
    }

    /// The jobs that a proof made by this one is good for.
    pub fn of(asker: &Asker, account: &Account) -> Self {
        let account = match account {
            Account::Anonymous => return Self::public(),
            Account::JobToken { user, user_id } => format!("token {} {}", quote(user), quote(user_id)),
            Account::Static(hash) => format!("login {hash}"),
        };
        Self(format!("project {} {} {account}", quote(&asker.server), asker.project))
    }

    /// Nobody: no proof is good for it.
    pub(super) fn nobody() -> Self {
        Self(String::new())
    }

    /// Reads what [`Holder::as_str`] gave.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the holder as one line of text to store and compare: no secret is in it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the holder is everybody.
    pub fn is_public(&self) -> bool {
        self.0 == "public"
    }
}

/// Writes a text so that no part of it can be taken for the next one.
fn quote(text: &str) -> String {
    format!("{text:?}")
}

/// That somebody could read an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Who could.
    pub holder: Holder,
    /// What: the digest of an index or a manifest.
    pub digest: String,
    /// When, in seconds since the epoch.
    pub proved_at: u64,
}

impl Proof {
    /// Tells how old the proof is; `None` where it was made in the future, so that one of the clocks is wrong.
    pub fn age(&self, now: u64) -> Option<Duration> {
        (self.proved_at <= now.saturating_add(SKEW))
            .then(|| Duration::from_secs(now.saturating_sub(self.proved_at)))
    }

    /// Tells whether the proof still counts, if proofs last this long.
    pub fn is_live(&self, now: u64, lasts: Duration) -> bool {
        self.age(now).is_some_and(|age| age < lasts)
    }
}

/// Finds the newest proof that counts for a holder: its own, or one that the image is public.
pub fn live<'p>(
    proofs: &'p [Proof],
    digests: &[&str],
    holder: &Holder,
    now: u64,
    lasts: Duration,
) -> Option<&'p Proof> {
    proofs
        .iter()
        .filter(|proof| proof.holder.is_public() || proof.holder == *holder)
        .filter(|proof| digests.contains(&proof.digest.as_str()) && proof.is_live(now, lasts))
        .max_by_key(|proof| proof.proved_at)
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
