//! The images on the fake engine's host, and under which names and digests each kind of store has them.
//!
//! As seen on Docker 20.10, Docker 26.1 with containerd's store, and Podman 4.3.
//!
//! - Docker's own: the ID is the configuration's digest. A digest is listed as it was asked for: a tag lists the index,
//!   `repository@manifest` the manifest. It belongs to one image: of a second platform of the same index, a pull by tag
//!   lists none, and one by the index's digest fails ("Cannot overwrite digest"). A tag given by hand lists nothing.
//! - containerd's: the ID is the digest that was asked for. Each name lists it, one given by hand too. An index is one image
//!   with as many platforms as were pulled: what is told of it is of the engine's own one, where that is here.
//! - Podman's: the ID is the configuration's digest. Both the index and the manifest are listed, for every repository in
//!   which the image has a name: also for one that was given by hand, or that has another digest.

use super::image::FakeImage;
use crate::engine::{EngineError, StoreKind, Tagging};
use crate::image::{ImageFacts, ImageRef, Platform};

/// An image on the host: its names, of which tags may move to other images.
#[derive(Clone)]
pub(super) struct HostImage {
    pub(super) image: FakeImage,
    /// Its tags, as full references.
    pub(super) names: Vec<String>,
    /// What was pulled by digest only, as full references.
    by_digest: Vec<String>,
    /// The digests that it is known by.
    digests: Vec<String>,
}

impl HostImage {
    /// Tells whether a text names this image.
    pub(super) fn is(&self, text: &str) -> bool {
        let Ok(asked) = text.parse::<ImageRef>() else { return false };
        if let Some(id) = asked.id() {
            return self.image.facts.id == id;
        }
        match asked.digest() {
            Some(digest) => self.image.facts.repo_digests.iter().any(|known| {
                known
                    .parse::<ImageRef>()
                    .is_ok_and(|known| known.digest() == Some(digest) && same_repository(&known, &asked))
            }),
            None => self.names.contains(&asked.normalized()),
        }
    }

    /// Returns its tags, as the engine writes them.
    pub(super) fn tags(&self, kind: StoreKind) -> Vec<String> {
        let familiar = |name: &String| {
            let short = name.strip_prefix("docker.io/").filter(|_| kind != StoreKind::Podman);
            short.map(|name| name.strip_prefix("library/").unwrap_or(name)).unwrap_or(name).to_owned()
        };
        self.names.iter().map(familiar).collect()
    }

    /// Returns the digests that a listing has.
    pub(super) fn listed_digests(&self, kind: StoreKind) -> Vec<String> {
        let most = if kind == StoreKind::Containerd { 1 } else { usize::MAX };
        self.image.facts.repo_digests.iter().take(most).cloned().collect()
    }

    /// Returns the bytes that a listing has.
    pub(super) fn listed_bytes(&self, kind: StoreKind) -> u64 {
        let unpacked = if kind == StoreKind::Containerd { self.image.unpacked() } else { 0 };
        self.image.facts.bytes + unpacked
    }

    /// Returns what it is told of it.
    pub(super) fn facts(&self, kind: StoreKind) -> ImageFacts {
        ImageFacts { tags: self.tags(kind), ..self.image.facts.clone() }
    }

    /// Returns the names that hold it.
    pub(super) fn references(&self, kind: StoreKind) -> Vec<ImageRef> {
        let digests = match kind {
            StoreKind::DockerClassic => &self.image.facts.repo_digests,
            StoreKind::Containerd | StoreKind::Podman => &self.by_digest,
        };
        self.names.iter().chain(digests).filter_map(|name| name.parse().ok()).collect()
    }

    /// Takes all names away but these.
    pub(super) fn keep_only(&mut self, left: &[ImageRef], kind: StoreKind) {
        let stays = |name: &String| {
            name.parse::<ImageRef>()
                .is_ok_and(|name| left.iter().any(|l| l.normalized() == name.normalized()))
        };
        self.names.retain(stays);
        match kind {
            StoreKind::DockerClassic => self.image.facts.repo_digests.retain(stays),
            StoreKind::Containerd | StoreKind::Podman => {
                self.by_digest.retain(stays);
                self.list_for_all_names(kind);
            }
        }
    }

    /// Lists all digests for all repositories in which it has a name.
    fn list_for_all_names(&mut self, kind: StoreKind) {
        let mut listed = Vec::new();
        for name in self.names.iter().chain(&self.by_digest) {
            let Ok(name) = name.parse::<ImageRef>() else { continue };
            listed.extend(self.digests.iter().filter_map(|digest| known_as(&name, digest, kind)));
        }
        listed.sort_unstable();
        listed.dedup();
        self.image.facts.repo_digests = listed;
    }
}

/// Tells whether two references name one repository.
pub(super) fn same_repository(one: &ImageRef, other: &ImageRef) -> bool {
    one.registry() == other.registry() && one.repository() == other.repository()
}

/// Returns the name by which an image is known by its digest, as the engine writes it.
fn known_as(reference: &ImageRef, digest: &str, kind: StoreKind) -> Option<String> {
    let (registry, repository) = reference.registry().zip(reference.repository())?;
    Some(match registry {
        "docker.io" if kind != StoreKind::Podman => {
            format!("{}@{digest}", repository.strip_prefix("library/").unwrap_or(repository))
        }
        registry => format!("{registry}/{repository}@{digest}"),
    })
}

/// Takes a tag from the image that has it.
fn untag(images: &mut [HostImage], tag: &str, kind: StoreKind) {
    for host in images.iter_mut().filter(|host| host.names.iter().any(|name| name == tag)) {
        host.names.retain(|name| name != tag);
        if kind != StoreKind::DockerClassic {
            host.list_for_all_names(kind);
        }
    }
}

/// Puts an image on the host under a name, which it takes from the image that had it.
pub(super) fn settle(
    images: &mut Vec<HostImage>,
    reference: &str,
    mut image: FakeImage,
    kind: StoreKind,
    native: &Platform,
) -> Result<(), EngineError> {
    let Ok(parsed) = reference.parse::<ImageRef>() else { return Ok(()) };
    let asked = parsed.digest().map_or_else(|| image.digest(), str::to_owned);
    let manifest = image.manifest_digest();
    if kind == StoreKind::Containerd {
        image.facts.id.clone_from(&asked);
        image.facts.bytes = image.compressed();
    }
    let id = image.facts.id.clone();
    let known = known_as(&parsed, &asked, kind);
    let taken = images.iter().any(|host| {
        host.image.facts.id != id && known.as_ref().is_some_and(|k| host.image.facts.repo_digests.contains(k))
    });
    if kind == StoreKind::DockerClassic && taken && parsed.digest().is_some() {
        let message = format!("Cannot overwrite digest {asked}");
        return Err(EngineError::Refused { call: "pull".to_owned(), status: 0, message });
    }
    let is_native = |image: &FakeImage| image.facts.architecture == native.architecture;
    let known_at = images.iter().position(|host| host.image.facts.id == id);
    if let Some(at) = known_at.filter(|at| is_native(&image) && !is_native(&images[*at].image)) {
        images[at].image = image.clone();
    }
    let at = known_at.unwrap_or_else(|| {
        images.push(HostImage { image, names: Vec::new(), by_digest: Vec::new(), digests: Vec::new() });
        images.len() - 1
    });
    let name = parsed.normalized();
    if parsed.digest().is_none() {
        untag(images, &name, kind);
        images[at].names.push(name);
    } else if !images[at].by_digest.contains(&name) {
        images[at].by_digest.push(name);
    }
    let host = &mut images[at];
    let digests = if kind == StoreKind::Podman { vec![asked, manifest] } else { vec![asked] };
    for digest in digests {
        if !host.digests.contains(&digest) {
            host.digests.push(digest);
        }
    }
    match kind {
        StoreKind::DockerClassic => {
            let listed = &mut host.image.facts.repo_digests;
            listed.extend(known.filter(|known| !taken && !listed.contains(known)));
        }
        StoreKind::Containerd | StoreKind::Podman => host.list_for_all_names(kind),
    }
    Ok(())
}

/// Gives an image a name, which it takes from the image that had it.
pub(super) fn tag(images: &mut [HostImage], source: &str, target: &str, kind: StoreKind) -> Tagging {
    let Some(at) = images.iter().position(|host| host.is(source)) else {
        return Tagging::ImageMissing;
    };
    let target = target.parse::<ImageRef>().map_or_else(|_| target.to_owned(), |t| t.normalized());
    untag(images, &target, kind);
    images[at].names.push(target);
    if kind != StoreKind::DockerClassic {
        images[at].list_for_all_names(kind);
    }
    Tagging::Tagged
}
