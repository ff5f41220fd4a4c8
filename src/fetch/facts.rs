//! What a pull taught: how long it took, and what came.

use std::time::Duration;

use super::Fetcher;
use super::fault::PullFault;
use super::inquiry::Inquiry;
use super::registries::Registries;
use crate::engine::{Engine, PullTotals};
use crate::image::{Compressed, ImageFacts, ImageRef, layers};
use crate::store::{ContentFact, ContentKey, Layer, Origin, Pull};

impl<E: Engine, R: Registries> Fetcher<'_, E, R> {
    /// Writes down a pull at once: others may wait for it, and need to know where it came from.
    pub(super) async fn record_pull(
        &self,
        inquiry: &Inquiry<'_>,
        mirror: Option<&str>,
        name: &ImageRef,
        totals: &PullTotals,
        came: &Result<ImageFacts, PullFault>,
    ) {
        let image = &inquiry.wish.reference;
        let repository = image.full_repository().unwrap_or_default();
        let digest = name.digest().unwrap_or_default().to_owned();
        let layers = match came {
            Ok(facts) => self.layers(facts, totals).await,
            Err(_) => Vec::new(),
        };
        let new = |at: usize| totals.layers.get(at).is_none_or(|told| !told.present);
        let told_of_all = totals.in_order && totals.layers.len() == layers.len();
        let on_disk = (came.is_ok() && told_of_all).then(|| {
            let came = layers.iter().enumerate().filter(|(at, _)| new(*at));
            came.filter_map(|(_, layer)| layer.unpacked).sum()
        });
        let pull = Pull {
            at: self.desk.now(),
            registry: image.registry().unwrap_or_default().to_owned(),
            mirror: mirror.map(str::to_owned),
            repository: repository.clone(),
            digest: digest.clone(),
            compressed: totals.bytes().filter(|_| came.is_ok()),
            on_disk,
            download: totals.download,
            extract: totals.extract,
            total: totals.total,
            outcome: came.as_ref().map_or_else(PullFault::outcome, |_| crate::store::PullOutcome::Done),
        };
        self.desk.learn(|batch| {
            batch.pulls.push(pull);
            if let Ok(facts) = came {
                batch.contents.push(ContentFact {
                    key: ContentKey { digest: digest.clone(), platform: facts.platform() },
                    repository: repository.clone(),
                    engine_id: Some(facts.id.clone()),
                    layers,
                });
                batch.origins.push(Origin {
                    repository,
                    digest,
                    through: mirror.and_then(|_| name.full_repository()),
                });
            }
        });
        self.desk.write_down();
    }

    /// Notes the layers of an image that was here before the first job used it: one call, once for each.
    pub(super) async fn learn_content(&self, inquiry: &Inquiry<'_>, digest: &str, facts: &ImageFacts) {
        let key = ContentKey { digest: digest.to_owned(), platform: facts.platform() };
        let store = &self.desk.store;
        if !store.is_working()
            || store.content(&key).is_some_and(|content| !content.layers_on_host().is_empty())
        {
            return;
        }
        let repository = inquiry.wish.reference.full_repository();
        let repository = repository.or_else(|| inquiry.homes.first().map(|home| home.repository.clone()));
        let Some(repository) = repository else { return };
        let nothing_pulled = PullTotals {
            total: Duration::ZERO,
            download: None,
            extract: None,
            layers: Vec::new(),
            in_order: true,
        };
        let layers = self.layers(facts, &nothing_pulled).await;
        let engine_id = Some(facts.id.clone());
        self.desk.learn(|batch| batch.contents.push(ContentFact { key, repository, engine_id, layers }));
    }

    /// Layers by chain ID; compressed bytes as the pull told them, else reckoned.
    async fn layers(&self, facts: &ImageFacts, totals: &PullTotals) -> Vec<Layer> {
        let history = self.engine.image_history(&facts.id).await.ok().flatten().unwrap_or_default();
        let told_of_all = totals.in_order && totals.layers.len() == facts.diff_ids.len();
        let found = layers(&facts.diff_ids, &history).into_iter().enumerate();
        found
            .map(|(at, layer)| {
                let told = totals.layers.get(at).filter(|_| told_of_all).and_then(|told| told.compressed);
                let compressed = match (told, layer.bytes) {
                    (Some(bytes), _) => Some(Compressed::Told(bytes)),
                    (None, Some(bytes)) => Some(Compressed::of_unpacked(bytes)),
                    (None, None) => None,
                };
                Layer {
                    chain: layer.chain_id,
                    unpacked: layer.bytes,
                    compressed: compressed.map(Compressed::bytes),
                    estimated: !matches!(compressed, Some(Compressed::Told(_))),
                }
            })
            .collect()
    }
}
