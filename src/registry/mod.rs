//! The registries: which manifest a name stands for, and whether somebody may read it.
//!
//! An edge: it speaks to registries and to the token servers that they name, and to nothing else. Every question ends in an
//! [`Answer`](crate::image::Answer); nothing is retried and nothing is kept but tokens, and those for the life of
//! a [`Registry`] only. Which scheme a host speaks and whom it trusts are the engine's own rules: loopback and what the
//! engine calls insecure may go without TLS, and `/etc/docker/certs.d` is read as Docker reads it.
//!
//! No word that leaves here holds a password, a token or the query of a URL.

mod asking;
mod certs;
mod challenge;
mod client;
mod connect;
mod digest;
mod exchange;
mod insecure;
mod line;
mod place;
mod reply;
mod tls;
mod token;
mod trouble;
mod words;

use std::path::PathBuf;
use std::time::Duration;

pub use client::{Manifest, Registry, Version};
pub use connect::Proxies;
pub use insecure::{BadNetwork, Insecure};

/// What registries are asked with.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Certificates (PEM) of authorities that are trusted beside the system's, for all registries.
    pub ca_files: Vec<PathBuf>,
    /// Docker's directory of certificates per registry: `HOST[:PORT]/*.crt`, `*.cert` and `*.key`.
    pub certs_dir: PathBuf,
    /// The registries that may go without TLS.
    pub insecure: Insecure,
    /// The way to registries that are not on this host.
    pub proxies: Proxies,
    /// How long a connection may take, TLS included.
    pub connect_timeout: Duration,
    /// How long one question may take, with all that it needs: connections, tokens, redirects.
    pub timeout: Duration,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            ca_files: Vec::new(),
            certs_dir: PathBuf::from("/etc/docker/certs.d"),
            insecure: Insecure::default(),
            proxies: Proxies::default(),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
        }
    }
}
