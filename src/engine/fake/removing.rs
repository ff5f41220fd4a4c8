//! How the fake engine's images lose their names, and go with the last one.
//!
//! As seen on Docker 20.10, Docker 26.1 with containerd's store, and Podman 4.3.
//!
//! - Docker's own: tags and digests are names of one kind. With the last tag of a repository its digests go too. By an ID an
//!   image goes whose names are of one repository, with at most one tag.
//! - containerd's: only what was pulled or tagged is a name; a digest means all names of its repository.
//! - Podman's: likewise; a digest that is no name of its own cannot be taken away, but takes an image with it that has one
//!   name.

use super::store::{HostImage, same_repository};
use crate::engine::{Removal, StoreKind};
use crate::image::ImageRef;

/// What a removal did to an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It lost names and is still there.
    Untagged(String),
    /// It went.
    Deleted(String),
    /// It stays as it is.
    Kept,
    /// There is none.
    Missing,
}

impl Loss {
    pub(super) fn removal(&self) -> Removal {
        match self {
            Self::Untagged(_) | Self::Deleted(_) => Removal::Removed,
            Self::Kept => Removal::InUse,
            Self::Missing => Removal::Gone,
        }
    }
}

/// Tells whether names are at most one tag, and digests of no other repository than its.
fn is_single(names: &[ImageRef]) -> bool {
    let mut tags = names.iter().filter(|name| name.digest().is_none());
    let Some(first) = tags.next().or(names.first()) else { return true };
    tags.next().is_none() && names.iter().all(|name| same_repository(name, first))
}

/// Takes a name from an image. `in_use`: whether a container has the image of an ID.
pub(super) fn remove(
    images: &mut Vec<HostImage>,
    text: &str,
    kind: StoreKind,
    in_use: impl Fn(&str) -> bool,
) -> Loss {
    let Some(at) = images.iter().position(|host| host.is(text)) else { return Loss::Missing };
    let Ok(asked) = text.parse::<ImageRef>() else { return Loss::Missing };
    let id = images[at].image.facts.id.clone();
    let names = images[at].references(kind);
    let by_digest = asked.digest().is_some();
    let goes = |name: &ImageRef| match kind {
        _ if asked.id().is_some() => true,
        StoreKind::DockerClassic => {
            let last_tag =
                names.iter().filter(|n| n.digest().is_none() && same_repository(n, &asked)).count() == 1;
            name.normalized() == asked.normalized()
                || !by_digest && last_tag && name.digest().is_some() && same_repository(name, &asked)
        }
        StoreKind::Containerd if by_digest => same_repository(name, &asked),
        StoreKind::Containerd | StoreKind::Podman => name.normalized() == asked.normalized(),
    };
    let last = match kind {
        StoreKind::DockerClassic => is_single(&names),
        StoreKind::Containerd => names.iter().all(goes),
        StoreKind::Podman => names.len() <= 1,
    };
    let needs_force = asked.id().is_some() && !(is_single(&names) && last);
    let is_no_name = kind == StoreKind::Podman && by_digest && !last && !names.iter().any(goes);
    if needs_force || is_no_name || last && in_use(&id) {
        return Loss::Kept;
    }
    let left: Vec<ImageRef> = names.iter().filter(|name| !goes(name)).cloned().collect();
    if left.is_empty() || last && kind != StoreKind::DockerClassic {
        images.remove(at);
        return Loss::Deleted(id);
    }
    images[at].keep_only(&left, kind);
    Loss::Untagged(id)
}
