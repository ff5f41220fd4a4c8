//! Images of the fake engine: what is known of them, and what containers of them do.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::behaviour::Behaviour;
use crate::engine::Health;
use crate::image::{HistoryEntry, ImageFacts, Platform};

/// Why no container of an image starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadStart {
    pub(super) status: u16,
    pub(super) code: i64,
    pub(super) words: String,
}

/// An image, on the host or in a registry.
#[derive(Clone)]
pub struct FakeImage {
    pub(super) facts: ImageFacts,
    pub(super) layers: Vec<(String, u64)>,
    /// The blobs that its manifest claims to have; `None`: it tells the truth.
    claims: Option<Vec<(String, u64)>>,
    pub(super) created: Duration,
    /// The platforms of the index that it is behind; empty: it stands alone.
    pub(super) index: Vec<Platform>,
    index_digest: Option<String>,
    pub(super) volumes: Vec<String>,
    pub(super) entry: Behaviour,
    pub(super) command: Behaviour,
    pub(super) identity: String,
    pub(super) has_shell: bool,
    pub(super) has_runner: bool,
    pub(super) bad_start: Option<BadStart>,
    pub(super) health: Option<(Duration, Health)>,
    pub(super) listens: Vec<(u16, Duration)>,
}

/// Returns what a layer takes unpacked.
pub(super) fn unpacked(compressed: u64) -> u64 {
    compressed * 53 / 20
}

fn digest(of: &str) -> String {
    let hash = Sha256::digest(of.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl FakeImage {
    /// Makes the facts follow from the layers: they unpack to 2.65 times their compressed bytes.
    fn unpack(mut self) -> Self {
        self.facts.diff_ids = self.layers.iter().map(|(id, _)| digest(&format!("diff {id}"))).collect();
        self.facts.bytes = self.unpacked();
        self
    }

    /// Returns what the engine tells of its making: a layer each, and a CMD without one.
    pub(super) fn history(&self) -> Vec<HistoryEntry> {
        let entry = |created_by: String, bytes| HistoryEntry { created_by, bytes };
        let layers = self.layers.iter().map(|(id, bytes)| entry(format!("COPY {id} /"), unpacked(*bytes)));
        layers.chain([entry("CMD [\"sh\"]".to_owned(), 0)]).collect()
    }

    /// Returns the bytes of its unpacked layers.
    pub(super) fn unpacked(&self) -> u64 {
        self.layers.iter().map(|(_, bytes)| unpacked(*bytes)).sum()
    }

    /// Returns its layers and what each takes unpacked.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (String, u64)> {
        self.layers.iter().map(|(id, bytes)| (id.clone(), unpacked(*bytes)))
    }

    /// Returns the digests of its layers' blobs, and their bytes, as its manifest has them.
    pub(super) fn blobs(&self) -> Vec<(String, u64)> {
        let true_ones = || self.layers.iter().map(|(id, bytes)| (digest(&format!("blob {id}")), *bytes));
        self.claims.clone().unwrap_or_else(|| true_ones().collect())
    }

    /// Returns the bytes of its blobs.
    pub(super) fn compressed(&self) -> u64 {
        self.layers.iter().map(|(_, bytes)| bytes).sum()
    }

    /// An image of linux/amd64 with a shell and a `gitlab-runner`, without ENTRYPOINT, in one layer of 1 MiB. Its CMD
    /// stays for ever. `seed` makes its ID and digest: images of equal seeds are equal.
    pub fn new(seed: &str) -> Self {
        Self {
            facts: ImageFacts {
                id: digest(seed),
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
                ..ImageFacts::default()
            },
            layers: vec![(format!("layer-{seed}"), 1 << 20)],
            claims: None,
            created: Duration::from_secs(1_690_000_000),
            index: Vec::new(),
            index_digest: None,
            volumes: Vec::new(),
            entry: Behaviour::new(),
            command: Behaviour::new().forever(),
            identity: "0 0 0".to_owned(),
            has_shell: true,
            has_runner: true,
            bad_start: None,
            health: None,
            listens: Vec::new(),
        }
        .unpack()
    }

    /// Gives it an ENTRYPOINT. It plays `entry`; where that ends without an exit, it hands over to its command.
    pub fn entrypoint(mut self, words: &[&str], entry: Behaviour) -> Self {
        self.facts.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
        self.entry = entry;
        self
    }

    /// Says as whom the ENTRYPOINT hands over: `UID GID GROUPS`.
    pub fn hands_over_as(mut self, identity: &str) -> Self {
        self.identity = identity.to_owned();
        self
    }

    /// Says what its CMD does.
    pub fn command(mut self, command: Behaviour) -> Self {
        self.command = command;
        self
    }

    /// Gives it layers, each with an ID and compressed bytes; equal IDs are shared between images.
    pub fn layers(mut self, layers: &[(&str, u64)]) -> Self {
        self.layers = layers.iter().map(|(id, bytes)| ((*id).to_owned(), *bytes)).collect();
        self.unpack()
    }

    /// Makes its manifest claim other blobs, and other bytes, than it has.
    pub fn claims(mut self, blobs: &[(&str, u64)]) -> Self {
        self.claims = Some(blobs.iter().map(|(digest, bytes)| ((*digest).to_owned(), *bytes)).collect());
        self
    }

    /// Says when it was built, in seconds after the epoch.
    pub fn created(mut self, seconds: u64) -> Self {
        self.created = Duration::from_secs(seconds);
        self
    }

    /// Gives it a USER.
    pub fn user(mut self, user: &str) -> Self {
        self.facts.user = user.to_owned();
        self
    }

    /// Makes it one of another architecture.
    pub fn architecture(mut self, architecture: &str) -> Self {
        self.facts.architecture = architecture.to_owned();
        self
    }

    /// Puts it behind an index that has these platforms, such as `linux/arm64`; pulls for others fail.
    pub fn index_of(mut self, platforms: &[&str]) -> Self {
        self.index = platforms.iter().filter_map(|text| text.parse().ok()).collect();
        self.index_digest = Some(digest(&format!("index {}", self.facts.id)));
        self
    }

    /// Returns what a pull for a platform gets; otherwise the platform again.
    pub(super) fn for_platform(mut self, wanted: Platform) -> Result<Self, Platform> {
        if self.index.is_empty() {
            return Ok(self);
        }
        let suits = |has: &Platform| {
            let same = has.os == wanted.os && has.architecture == wanted.architecture;
            same && (wanted.variant.is_none() || has.variant == wanted.variant)
        };
        let Some(found) = self.index.iter().find(|has| suits(has)).cloned() else { return Err(wanted) };
        self.facts.id = digest(&format!("{} {found}", self.facts.id));
        self.layers.iter_mut().for_each(|(id, _)| *id = format!("{id} {found}"));
        self = self.unpack();
        self.facts.os = found.os;
        self.facts.architecture = found.architecture;
        self.facts.variant = found.variant.unwrap_or_default();
        Ok(self)
    }

    /// Declares a VOLUME.
    pub fn volume(mut self, path: &str) -> Self {
        self.volumes.push(path.to_owned());
        self
    }

    /// Takes its shell away.
    pub fn without_shell(mut self) -> Self {
        self.has_shell = false;
        self
    }

    /// Takes its `gitlab-runner` away.
    pub fn without_runner(mut self) -> Self {
        self.has_runner = false;
        self
    }

    /// Makes its containers fail to start: the engine's status and words, and the exit code it writes down.
    pub fn fails_to_start(mut self, status: u16, code: i64, words: &str) -> Self {
        self.bad_start = Some(BadStart { status, code, words: words.to_owned() });
        self
    }

    /// Gives it a HEALTHCHECK that answers `then` when a container has run for `after`.
    pub fn health(mut self, after: Duration, then: Health) -> Self {
        self.facts.has_healthcheck = true;
        self.health = Some((after, then));
        self
    }

    /// Exposes a TCP port on which a container listens when it has run for `after`.
    pub fn listens(mut self, port: u16, after: Duration) -> Self {
        self.facts.exposed_ports.push(format!("{port}/tcp"));
        self.listens.push((port, after));
        self
    }

    /// Exposes a TCP port on which nothing ever listens.
    pub fn exposes(mut self, port: u16) -> Self {
        self.facts.exposed_ports.push(format!("{port}/tcp"));
        self
    }

    /// Adds to its environment.
    pub fn env(mut self, line: &str) -> Self {
        self.facts.env.push(line.to_owned());
        self
    }

    /// Returns what the engine would say of it.
    pub fn facts(&self) -> &ImageFacts {
        &self.facts
    }

    /// Returns the digest by which a registry knows it: the index's, where it is behind one.
    pub fn digest(&self) -> String {
        self.index_digest.clone().unwrap_or_else(|| self.manifest_digest())
    }

    /// Returns the digest of its own manifest: of what a platform gets, where it is behind an index.
    pub fn manifest_digest(&self) -> String {
        digest(&self.facts.id)
    }

    /// Returns what a platform gets of it; `None`: its index has nothing for that.
    pub fn variant(&self, platform: &str) -> Option<Self> {
        self.clone().for_platform(platform.parse().ok()?).ok()
    }

    /// Returns what has this digest: itself, or one of the images behind its index. `None`: neither.
    pub(super) fn with_digest(&self, digest: &str) -> Option<Asked> {
        if self.digest() == digest {
            return Some(Asked::Index(self.clone()));
        }
        let variants = self.index.iter().filter_map(|p| self.clone().for_platform(p.clone()).ok());
        variants.into_iter().find(|v| v.manifest_digest() == digest).map(Asked::Manifest)
    }
}

/// What a pull asked for.
pub(super) enum Asked {
    /// An index, or an image without one: the platform decides.
    Index(FakeImage),
    /// The manifest of one platform.
    Manifest(FakeImage),
}
