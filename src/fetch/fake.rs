//! The registries of the fake engine, asked directly.

use serde_json::json;

use super::fault::PullFault;
use super::registries::Registries;
use crate::engine::fake::{Fake, FakeManifest};
use crate::engine::{EngineError, InsecureRegistries, PullRequest, RegistryLogin};
use crate::image::{Answer, Credentials, ImageRef};
use crate::registry::{Manifest, Version};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn request(image: &ImageRef, at: &Version<'_>, login: Option<&Credentials>) -> PullRequest {
    let repository = image.full_repository().unwrap_or_default();
    PullRequest {
        reference: match at {
            Version::Tag(tag) => format!("{repository}:{tag}"),
            Version::Digest(digest) => format!("{repository}@{digest}"),
        },
        platform: String::new(),
        login: login.map(|login| RegistryLogin {
            username: login.username.clone(),
            password: login.password.clone(),
            identity_token: login.identity_token.clone().unwrap_or_default(),
            server: login.server.clone(),
        }),
    }
}

fn media_type(manifest: &FakeManifest) -> String {
    if manifest.entries.is_some() { INDEX } else { MANIFEST }.to_owned()
}

/// Reads an answer as the words of a pull are read, which is what the fake has.
fn answer(error: EngineError, reference: &str) -> Answer {
    match PullFault::of(error, reference) {
        PullFault::NotFound(words) => Answer::NotFound(words),
        PullFault::Denied(words) => Answer::Denied(words),
        PullFault::Limited { words, .. } => Answer::Limited { retry_after: None, words },
        other => Answer::Unreachable(other.words()),
    }
}

impl Registries for Fake {
    fn trust(&self, _: &InsecureRegistries) {}

    fn remember(&self, _: &str, _: &str) {}

    fn hint(&self, _: &str) -> Option<String> {
        None
    }

    async fn head(&self, image: &ImageRef, at: &Version<'_>, login: Option<&Credentials>) -> Answer {
        let request = request(image, at, login);
        match self.ask_registry(&request) {
            Ok(manifest) => Answer::Found { media_type: media_type(&manifest), digest: manifest.digest },
            Err(error) => answer(error, &request.reference),
        }
    }

    async fn manifest(
        &self,
        image: &ImageRef,
        digest: &str,
        login: Option<&Credentials>,
    ) -> Result<Manifest, Answer> {
        let request = request(image, &Version::Digest(digest), login);
        let manifest = self.ask_registry(&request).map_err(|error| answer(error, &request.reference))?;
        let media_type = media_type(&manifest);
        let entry = |(digest, platform): &(String, crate::image::Platform)| {
            let mut of = json!({"os": platform.os, "architecture": platform.architecture});
            if let Some(variant) = &platform.variant {
                of["variant"] = json!(variant);
            }
            json!({"mediaType": MANIFEST, "digest": digest, "size": 1000, "platform": of})
        };
        let body = match &manifest.entries {
            Some(entries) => {
                let manifests: Vec<_> = entries.iter().map(entry).collect();
                json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
            }
            None => {
                let blob = |(digest, bytes): &(String, u64)| json!({"digest": digest, "size": bytes});
                let layers: Vec<_> = manifest.layers.iter().map(blob).collect();
                json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": digest, "size": 1}, "layers": layers})
            }
        };
        Ok(Manifest { digest: digest.to_owned(), media_type, body: body.to_string().into() })
    }
}
