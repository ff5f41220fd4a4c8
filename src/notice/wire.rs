//! Notices as letters: JSON with a version. What is no letter of this version is no notice.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Notice;
use crate::image::proof::Asker;
use crate::job::RegistryCredential;
use crate::scan::Running;
use crate::secret::Secret;

/// The longest letter, in bytes. Linux takes so much in one datagram without being asked for more.
pub const MAX_LETTER: usize = 128 * 1024;
/// After an update the daemon may be older than the stages for a while.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Outgoing<'a> {
    version: u32,
    notice: &'a Notice,
}

#[derive(Deserialize)]
struct Incoming {
    version: u32,
    notice: Notice,
}

/// Writes a notice as a letter, secrets included: it is for the socket and nothing else. `None`: it would be too long.
pub fn encode(notice: &Notice) -> Option<Vec<u8>> {
    let letter = serde_json::to_vec(&Outgoing { version: VERSION, notice }).ok()?;
    (letter.len() <= MAX_LETTER).then_some(letter)
}

/// Reads a letter; `None`: it is none of this version.
pub fn decode(letter: &[u8]) -> Option<Notice> {
    if letter.len() > MAX_LETTER {
        return None;
    }
    let Incoming { version, notice } = serde_json::from_slice(letter).ok()?;
    (version == VERSION).then_some(notice)
}

/// [`Running`] in a letter.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Running")]
pub(super) struct RunningLetter {
    name: String,
    stage: String,
    tags: Vec<String>,
    variables: BTreeMap<String, String>,
    script: Vec<String>,
    socket: bool,
    platform: String,
}

/// [`Asker`] in a letter.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Asker")]
pub(super) struct AskerLetter {
    server: String,
    project: i64,
    user_id: Option<String>,
    #[serde(with = "secrets")]
    tokens: Vec<Secret>,
}

mod secrets {
    use super::{Deserialize, Deserializer, Secret, Serializer};

    pub(super) fn serialize<S: Serializer>(secrets: &[Secret], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(secrets.iter().map(Secret::expose))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Secret>, D::Error> {
        Vec::deserialize(from)
    }
}

/// A text that may be there and must not be shown.
pub(super) mod maybe_secret {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Option::deserialize(from)
    }
}

/// Credentials in a letter: address, user and password.
pub(super) mod credentials {
    use super::{Deserialize, Deserializer, RegistryCredential, Secret, Serializer};

    pub(crate) fn serialize<S: Serializer>(all: &[RegistryCredential], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(|c| (&c.url, &c.username, c.password.expose())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<RegistryCredential>, D::Error> {
        let all: Vec<(String, String, Secret)> = Vec::deserialize(from)?;
        let of = |(url, username, password)| RegistryCredential { url, username, password };
        Ok(all.into_iter().map(of).collect())
    }
}
