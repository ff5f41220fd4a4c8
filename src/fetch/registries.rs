//! The registries, as fetching sees them.

use std::cell::OnceCell;

use crate::engine::InsecureRegistries;
use crate::image::{Answer, Credentials, ImageRef};
use crate::registry::{Manifest, Registry, RegistrySettings, Version};

/// Who answers questions about manifests.
#[expect(async_fn_in_trait, reason = "hearth runs on one thread; no future has to be Send")]
pub trait Registries {
    /// Tells which registries go without TLS, by the engine's word. Before the first question.
    fn trust(&self, insecure: &InsecureRegistries);

    /// Takes what [`Registries::hint`] returned in an earlier process.
    fn remember(&self, registry: &str, hint: &str);

    /// Returns what was learned of a registry: one line without secrets that may spare the next process a question.
    fn hint(&self, registry: &str) -> Option<String>;

    /// Asks for a manifest's digest.
    async fn head(&self, image: &ImageRef, at: &Version<'_>, login: Option<&Credentials>) -> Answer;

    /// Gets an index or manifest by its digest.
    async fn manifest(
        &self,
        image: &ImageRef,
        digest: &str,
        login: Option<&Credentials>,
    ) -> Result<Manifest, Answer>;
}

/// The registries out there.
pub struct Online {
    settings: RegistrySettings,
    registry: OnceCell<Registry>,
}

impl Online {
    /// Makes a way to them; nothing is set up yet.
    pub fn new(settings: RegistrySettings) -> Self {
        Self { settings, registry: OnceCell::new() }
    }

    fn registry(&self) -> &Registry {
        self.registry.get_or_init(|| Registry::new(self.settings.clone()))
    }
}

impl Registries for Online {
    fn trust(&self, insecure: &InsecureRegistries) {
        self.registry.get_or_init(|| {
            let mut settings = self.settings.clone();
            let entries = insecure.hosts.iter().chain(&insecure.cidrs);
            entries.for_each(|entry| settings.insecure.add(entry));
            Registry::new(settings)
        });
    }

    fn remember(&self, registry: &str, hint: &str) {
        self.registry().remember(registry, hint);
    }

    fn hint(&self, registry: &str) -> Option<String> {
        self.registry().hint(registry)
    }

    async fn head(&self, image: &ImageRef, at: &Version<'_>, login: Option<&Credentials>) -> Answer {
        self.registry().head(image, at, login).await
    }

    async fn manifest(
        &self,
        image: &ImageRef,
        digest: &str,
        login: Option<&Credentials>,
    ) -> Result<Manifest, Answer> {
        self.registry().manifest(image, digest, login).await
    }
}
