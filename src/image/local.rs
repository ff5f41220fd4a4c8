//! What "this host has that digest" means, on every kind of image store.

use super::decide::{Home, Link};
use super::{ImageFacts, ImageRef, Platform};

/// What a digest under a repository's name says on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestNames {
    /// The image came from there, or was pushed there: Docker's classic store.
    CameFromThere,
    /// Somebody gave the image that name: Docker's containerd store and Podman give digests to built images too.
    OnlyNamed,
}

/// Returns the digests by which an image is known to be one of a repository: those under the repository's own name, and
/// those that were fetched for the repository from elsewhere. Links to them are not followed.
pub(super) fn digests_of(facts: &ImageFacts, home: &Home) -> Vec<String> {
    let mut digests: Vec<String> = Vec::new();
    for name in &facts.repo_digests {
        let Ok(name) = name.parse::<ImageRef>() else { continue };
        let (Some(repository), Some(digest)) = (name.full_repository(), name.digest()) else { continue };
        let fetched = home.origins.iter().any(|origin| origin.digest == digest && origin.via == repository);
        if (repository == home.repository || fetched) && !digests.iter().any(|have| have == digest) {
            digests.push(digest.to_owned());
        }
    }
    digests
}

/// Returns the same digests and, where indexes are known, the manifests that they mean for this image's platform.
pub(super) fn all_digests_of(facts: &ImageFacts, home: &Home, wanted: &Platform) -> Vec<String> {
    let mut digests = digests_of(facts, home);
    let through: Vec<String> = home
        .links
        .iter()
        .filter(|link| {
            link.wanted == *wanted && digests.contains(&link.index) && is_for(facts, &link.platform)
        })
        .map(|link| link.manifest.clone())
        .collect();
    digests.extend(through);
    digests
}

/// Tells whether an image is what an index means by one of its entries.
pub(super) fn is_entry(facts: &ImageFacts, home: &Home, wanted: &Platform, link: &Link) -> bool {
    let digests = all_digests_of(facts, home, wanted);
    digests.contains(&link.manifest) || (digests.contains(&link.index) && is_for(facts, &link.platform))
}

/// Tells whether an image is made for exactly this platform; many images do not say their variant.
pub(super) fn is_for(facts: &ImageFacts, platform: &Platform) -> bool {
    let has = facts.platform();
    has.meets(platform)
        || (facts.variant.is_empty() && has.os == platform.os && has.architecture == platform.architecture)
}

/// Tells whether an image came from no registry at all, as far as can be known: it was built or loaded on this host.
pub(super) fn is_homemade(facts: &ImageFacts, homes: &[Home], names: DigestNames) -> bool {
    // Which of Podman's and containerd's digests are a registry's, only the store knows.
    names == DigestNames::OnlyNamed && facts.repo_digests.iter().all(|name| is_own_name(name, homes))
        || facts.repo_digests.is_empty()
}

fn is_own_name(name: &str, homes: &[Home]) -> bool {
    let Ok(name) = name.parse::<ImageRef>() else { return false };
    let (Some(repository), Some(digest)) = (name.full_repository(), name.digest()) else { return false };
    match homes.iter().find(|home| home.repository == repository) {
        Some(home) => !home.knows(digest),
        // Podman's name for what has no registry.
        None => name.registry() == Some("localhost"),
    }
}
