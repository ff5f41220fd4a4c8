//! An image as it is on this host, once it is settled which one a job gets.

use super::{ImageRef, Platform};

/// What is known of an image that is on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// The engine's own ID for it.
    pub id: String,
    /// Its names with a tag, as the engine writes them.
    pub tags: Vec<String>,
    /// `repository@sha256:…` for each registry it came from; empty for images built or loaded here.
    pub repo_digests: Vec<String>,
    /// Operating system.
    pub os: String,
    /// Architecture in Go's words.
    pub architecture: String,
    /// Variant such as `v7`; empty for none.
    pub variant: String,
    /// Its ENTRYPOINT.
    pub entrypoint: Vec<String>,
    /// Its USER; empty: root.
    pub user: String,
    /// Ports it exposes, such as `5432/tcp`.
    pub exposed_ports: Vec<String>,
    /// Whether it has a HEALTHCHECK that is not `NONE`.
    pub has_healthcheck: bool,
    /// Its environment, as `NAME=value`.
    pub env: Vec<String>,
    /// The digests of its unpacked layers, base first.
    pub diff_ids: Vec<String>,
    /// All that it holds, in bytes, as the engine counts it: with containerd's store that is the compressed blobs.
    pub bytes: u64,
}

impl ImageFacts {
    /// Returns the platform the image was made for.
    pub fn platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, &self.variant)
    }

    /// Returns the name to create containers by: the repository's digest, so that a tag that moves meanwhile does no
    /// harm; the ID for an image that came from no registry, or whose digest several platforms share (`foreign`).
    pub fn pinned(&self, reference: &ImageRef, foreign: bool) -> String {
        let repository = reference.repository().zip(reference.registry());
        let digest = self.repo_digests.iter().find(|digest| {
            let Ok(digest) = digest.parse::<ImageRef>() else { return false };
            digest.repository().zip(digest.registry()) == repository
        });
        match digest {
            Some(digest) if !foreign => digest.clone(),
            _ => self.id.clone(),
        }
    }
}

/// The image that a container is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The name as the job or the settings wrote it.
    pub name: String,
    /// What to create containers by: digest or ID.
    pub pinned: String,
    /// The platform to ask for on create; empty: the engine's own.
    pub platform: String,
    /// What is known of it.
    pub facts: ImageFacts,
}

#[cfg(test)]
mod tests {
    use super::{ImageFacts, ImageRef};

    #[test]
    fn an_image_is_pinned_by_the_digest_of_its_own_repository() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let facts = ImageFacts {
            id: "sha256:id".into(),
            repo_digests: vec![format!("other.example/x@{digest}"), format!("alpine@{digest}")],
            ..ImageFacts::default()
        };
        let reference: ImageRef = "docker.io/library/alpine:3".parse().unwrap();
        assert_eq!(facts.pinned(&reference, false), format!("alpine@{digest}"));
        assert_eq!(facts.pinned(&reference, true), "sha256:id");
        let built: ImageRef = "local/built:1".parse().unwrap();
        assert_eq!(facts.pinned(&built, false), "sha256:id");
    }
}
