//! Indexes and manifests as registries send them: which platforms an image has, and what its layers weigh.
//!
//! Both the OCI and Docker's own forms are read. What a body is, is told by what it holds; a body that could be both is
//! refused, since registry and engine might read it differently.

use serde::Deserialize;

use super::reference::is_digest;
use super::{Fit, Platform, list_platforms};

/// A larger body is refused, as registries and engines do.
pub const MAX_BODY: usize = 4 << 20;
/// More bytes than any real layer has, as it travels.
const MAX_BLOB: u64 = 128 << 30;
/// More bytes than all layers of a real image have together.
const MAX_IMAGE: u64 = 4 * MAX_BLOB;
/// More entries than any real index or manifest has.
const MAX_ENTRIES: usize = 2000;
const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// A body that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An image for several platforms.
    Index(Index),
    /// An image for one platform.
    Manifest(ManifestBody),
}

/// The variants of an image, without attestations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// The entries in their order.
    pub entries: Vec<Entry>,
}

/// One variant of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The digest of its manifest.
    pub digest: String,
    /// What it is made for; `None`: the index does not say.
    pub platform: Option<Platform>,
}

/// The manifest of one platform's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestBody {
    /// The configuration.
    pub config: Blob,
    /// The layers, the lowest first.
    pub layers: Vec<Blob>,
}

/// One blob of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: String,
    /// Its size as it travels, in bytes.
    pub bytes: u64,
}

/// A body that is neither an index nor a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no image manifest: {0}")]
pub struct BadBody(&'static str);

/// Whether a media type is that of an index; `None`: it is neither an index's nor a manifest's.
pub fn is_index(media_type: &str) -> Option<bool> {
    let plain = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if INDEX_TYPES.contains(&plain.as_str()) {
        Some(true)
    } else if MANIFEST_TYPES.contains(&plain.as_str()) {
        Some(false)
    } else {
        None
    }
}

/// Reads a body whose digest has been checked.
pub fn read(body: &[u8]) -> Result<Body, BadBody> {
    if body.len() > MAX_BODY {
        return Err(BadBody("it is too large"));
    }
    let raw: RawBody = serde_json::from_slice(body).map_err(|_| BadBody("it is not JSON of that form"))?;
    let declared = raw.media_type.as_deref().map(is_index);
    match (raw.manifests, raw.config, raw.layers) {
        (Some(manifests), None, None) if declared != Some(Some(false)) => read_index(manifests),
        (None, Some(config), Some(layers)) if declared != Some(Some(true)) => read_manifest(config, layers),
        (None, None, None) => {
            Err(BadBody("it is of a form that is not read, such as the first one of Docker"))
        }
        _ => Err(BadBody("it claims to be two things at once")),
    }
}

fn read_index(manifests: Vec<RawEntry>) -> Result<Body, BadBody> {
    if manifests.len() > MAX_ENTRIES {
        return Err(BadBody("it has too many entries"));
    }
    let mut entries = Vec::new();
    for RawEntry { digest, platform, annotations } in manifests {
        if !is_digest(&digest) {
            return Err(BadBody("an entry has no digest"));
        }
        let platform = platform.map(|raw| Platform::new(&raw.os, &raw.architecture, &raw.variant));
        // Docker's own empty platform stands for none.
        let platform = platform.filter(|platform| !platform.architecture.is_empty());
        let attests = annotations.is_some_and(|it| it.contains_key("vnd.docker.reference.type"));
        if !attests && platform.as_ref().is_none_or(Platform::is_known) {
            entries.push(Entry { digest, platform });
        }
    }
    Ok(Body::Index(Index { entries }))
}

fn read_manifest(config: RawBlob, layers: Vec<RawBlob>) -> Result<Body, BadBody> {
    if layers.len() > MAX_ENTRIES {
        return Err(BadBody("it has too many layers"));
    }
    let blob = |raw: RawBlob| match (is_digest(&raw.digest), raw.size <= MAX_BLOB) {
        (true, true) => Ok(Blob { digest: raw.digest, bytes: raw.size }),
        (true, false) => Err(BadBody("a layer is larger than any is")),
        (false, _) => Err(BadBody("a layer has no digest")),
    };
    let layers = layers.into_iter().map(blob).collect::<Result<_, _>>()?;
    let manifest = ManifestBody { config: blob(config)?, layers };
    if manifest.bytes() > MAX_IMAGE {
        return Err(BadBody("its layers are larger than any image is"));
    }
    Ok(Body::Manifest(manifest))
}

impl Index {
    /// Chooses the variant for a host, as engines do. A platform that was `asked` for has to be there; else the host's own
    /// is taken, then the nearest older variant of it, then a 32-bit one of the same family. An entry that names no
    /// platform is taken only where it is the only one.
    pub fn choose(&self, asked: Option<&Platform>, native: &Platform) -> Option<&Entry> {
        let best = self
            .entries
            .iter()
            .filter_map(|entry| Some((rank(entry.platform.as_ref()?, asked, native)?, entry)))
            .reduce(|best, next| if next.0 < best.0 { next } else { best });
        match (best, self.entries.as_slice()) {
            (Some((_, entry)), _) => Some(entry),
            (None, [only]) if only.platform.is_none() => Some(only),
            (None, _) => None,
        }
    }

    /// Returns what the image is made for.
    pub fn platforms(&self) -> Vec<Platform> {
        self.entries.iter().filter_map(|entry| entry.platform.clone()).collect()
    }

    /// Lists what the image is made for, for people.
    pub fn list(&self) -> String {
        list_platforms(&self.platforms())
    }
}

impl ManifestBody {
    /// Returns what a pull of all layers and the configuration transfers, in bytes.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().fold(self.config.bytes, |sum, layer| sum.saturating_add(layer.bytes))
    }
}

/// How far an entry is from what is wanted, 0 the best; `None`: it is not wanted.
fn rank(has: &Platform, asked: Option<&Platform>, native: &Platform) -> Option<u32> {
    let wanted = asked.unwrap_or(native);
    let differs = u32::from(has.variant != wanted.variant);
    if asked.is_some() {
        return has.meets(wanted).then_some(differs);
    }
    // Newer variants run more code: v7 before v6.
    let age = 100 - has.variant_number().min(100);
    match has.runs_on(native) {
        Fit::Native => Some(differs * (1 + age)),
        Fit::Compat32 => Some(1000 + age),
        Fit::Foreign => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBody {
    media_type: Option<String>,
    manifests: Option<Vec<RawEntry>>,
    config: Option<RawBlob>,
    layers: Option<Vec<RawBlob>>,
}

#[derive(Deserialize)]
struct RawEntry {
    digest: String,
    platform: Option<RawPlatform>,
    annotations: Option<std::collections::BTreeMap<String, serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

#[derive(Deserialize)]
struct RawBlob {
    digest: String,
    #[serde(default)]
    size: u64,
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
