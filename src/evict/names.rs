//! All that an image is called, by the engine, by jobs and by registries.

use std::collections::BTreeSet;

use crate::image::ImageRef;

/// The names of one image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageNames {
    /// The engine's ID.
    pub id: String,
    /// What the engine can take away one by one, as it writes them: tags first, then digests.
    pub removable: Vec<String>,
    /// What leases, pins and announcements may call it: every tag in full, every `repository@digest`, bare digests, the ID.
    pub all: BTreeSet<String>,
    /// What people call it.
    pub called: String,
}

impl ImageNames {
    /// Gathers the names that the engine gives an image.
    pub fn new(id: &str, tags: &[String], digests: &[String]) -> Self {
        let mut all = BTreeSet::from([id.to_owned()]);
        for name in tags.iter().chain(digests) {
            match name.parse::<ImageRef>() {
                Ok(image) => {
                    all.insert(image.normalized());
                    all.extend(image.digest().map(str::to_owned));
                }
                Err(_) => drop(all.insert(name.clone())),
            }
        }
        let called = tags.first().or(digests.first()).cloned().unwrap_or_else(|| short(id));
        let removable = tags.iter().chain(digests).cloned().collect();
        Self { id: id.to_owned(), removable, all, called }
    }

    /// Adds what the store knows besides: digests of a repository, and the tags that jobs got it by.
    pub fn learn(&mut self, repository: &str, digest: &str) {
        self.all.insert(digest.to_owned());
        self.all.insert(format!("{repository}@{digest}"));
    }

    /// Adds a tag that jobs got it by.
    pub fn learn_tag(&mut self, tag: &str) {
        if self.removable.is_empty() && self.all.len() < 2 {
            tag.clone_into(&mut self.called);
        }
        self.all.insert(tag.to_owned());
    }

    /// Returns what to write down while it is removed: the ID first.
    pub fn marks(&self) -> Vec<String> {
        let rest = self.all.iter().filter(|name| **name != self.id);
        std::iter::once(&self.id)
            .chain(rest)
            .filter(|name| !name.contains(char::is_whitespace))
            .cloned()
            .collect()
    }
}

/// A digest that people can tell from others.
fn short(id: &str) -> String {
    match id.strip_prefix("sha256:") {
        Some(hex) => hex.chars().take(12).collect(),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::ImageNames;

    #[test]
    fn an_image_is_known_by_full_names_digests_and_id() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let id = format!("sha256:{}", "b".repeat(64));
        let mut names = ImageNames::new(
            &id,
            &["alpine:3".to_owned()],
            &[format!("mirror.lan:5000/library/alpine@{digest}")],
        );
        assert_eq!(
            names.removable,
            ["alpine:3".to_owned(), format!("mirror.lan:5000/library/alpine@{digest}")]
        );
        assert_eq!(names.called, "alpine:3");
        names.learn("docker.io/library/alpine", &digest);
        names.learn_tag("docker.io/library/alpine:latest");
        let marks = names.marks();
        assert_eq!(marks[0], id);
        for name in [
            "docker.io/library/alpine:3",
            "docker.io/library/alpine:latest",
            &digest,
            &format!("docker.io/library/alpine@{digest}"),
            &format!("mirror.lan:5000/library/alpine@{digest}"),
        ] {
            assert_eq!(marks.iter().filter(|mark| *mark == name).count(), 1, "{name}");
        }
        assert_eq!(ImageNames::new(&id, &[], &[]).called, "bbbbbbbbbbbb");
    }
}
