//! The fake registries, as those see them who ask them directly and not through the engine.

use super::Fake;
use super::image::Asked;
use super::registry::Trouble;
use crate::engine::{EngineError, PullRequest};
use crate::image::Platform;

/// A manifest, as a fake registry tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeManifest {
    /// Its digest.
    pub digest: String,
    /// What it holds, if it is an index: digests and platforms.
    pub entries: Option<Vec<(String, Platform)>>,
    /// What it holds, if it is none: the blobs of its layers, with their bytes.
    pub layers: Vec<(String, u64)>,
}

impl Fake {
    /// Answers a question about a manifest; an error is in the words of an engine that pulled it.
    pub fn ask_registry(&self, request: &PullRequest) -> Result<FakeManifest, EngineError> {
        self.change(|state| {
            state.registries.asked.push(request.reference.clone());
            let asked = state.registries.manifest_only(request)?;
            Ok(match asked {
                Asked::Index(image) if !image.index.is_empty() => {
                    let entries = image.index.iter().filter_map(|platform| {
                        let digest = image.variant(&platform.to_string())?.manifest_digest();
                        Some((digest, platform.clone()))
                    });
                    FakeManifest {
                        digest: image.digest(),
                        entries: Some(entries.collect()),
                        layers: Vec::new(),
                    }
                }
                Asked::Index(image) => {
                    FakeManifest { digest: image.digest(), entries: None, layers: image.blobs() }
                }
                Asked::Manifest(image) => {
                    FakeManifest { digest: image.manifest_digest(), entries: None, layers: image.blobs() }
                }
            })
        })
    }

    /// Returns what was asked of the registries so far, but for pulls.
    pub fn questions(&self) -> Vec<String> {
        self.look(|state| state.registries.asked.clone())
    }
}

/// Tells whether a trouble shows at the manifest already, and not only when layers come.
pub(super) fn is_at_once(trouble: Trouble) -> bool {
    matches!(trouble, Trouble::NotFound | Trouble::Denied | Trouble::Status(_) | Trouble::Down)
}
