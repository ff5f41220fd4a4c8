//! Images brought before a job asks: what a name means now, how much of it is missing, and one pull of it.
//!
//! All of it goes the way that a job's images go, with the policy `always` in meaning: the registry is asked with the login of
//! whoever will use the image, and what that login may not read does not come. A proof belongs to the project whose login
//! it was; none comes of the operator's own. No use is written down, since none was made. The registry is asked once and not
//! again: whoever asks for no job comes back later.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::fault::PullFault;
use super::inquiry::{Decided, Inquiry};
use super::pull::Meter;
use super::registries::Registries;
use super::{Fetcher, Got};
use crate::engine::{Engine, StoreKind};
use crate::evict::on_disk;
use crate::image::decide::{DigestNames, Pull, WhyPull};
use crate::image::index::{Blob, Body};
use crate::plan::ImageWish;
use crate::policy::Size;
use crate::settings::PullPolicy;
use crate::store::{ContentFact, ContentKey, Layer};

/// What a name means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The digest, of an index or a manifest; the engine's ID for what came from no registry.
    pub digest: String,
    /// Whether all of it is here: nothing has to be pulled.
    pub here: bool,
    /// Whether the name means something else on this host, though there is nothing to pull.
    pub retag: bool,
    /// Whether the name means something else on this host, which was pulled before.
    pub moved: bool,
    /// What is missing of it; `None`: not known.
    pub missing: Option<Size>,
}

/// What a name was found to mean when it was decided to bring it; a look before that may have found something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coming<'a> {
    /// The digest, of an index or a manifest; the engine's ID for what came from no registry.
    pub digest: &'a str,
    /// The digest of its platform's manifest, where that is known and has to be pulled.
    pub manifest: Option<&'a str>,
}

impl<'a> Coming<'a> {
    /// Returns every digest that it may be known by.
    pub fn digests(&self) -> impl Iterator<Item = &'a str> {
        [Some(self.digest), self.manifest].into_iter().flatten()
    }
}

/// Hears what comes, before any of it does.
pub type OnDecided<'m> = &'m dyn Fn(&Coming<'_>);

/// An image that is here now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The digest, of an index or a manifest; the engine's ID for what came from no registry.
    pub digest: String,
    /// How it came.
    pub how: Arrival,
    /// Compressed bytes that were fetched for it; `None`: not known.
    pub bytes: Option<u64>,
    /// From the first question to the end.
    pub took: Duration,
}

/// How an image came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It was here.
    Here,
    /// Another process of this host pulled it meanwhile.
    Joined,
    /// It was pulled.
    Pulled,
}

impl<E: Engine, R: Registries> Fetcher<'_, E, R> {
    /// Asks the registry what a name means now, and looks whether that is here. `size`: a manifest may be fetched to tell
    /// what is missing, which registries count as a pull; it is on record after that.
    ///
    /// # Errors
    /// Why it is not to be had, or cannot be asked about now: [`PullFault::cause`].
    pub async fn look_ahead(&self, wish: &ImageWish, size: bool) -> Result<Look, PullFault> {
        let looked = self.looked(wish, size, false).await;
        self.desk.write_down();
        looked
    }

    /// As [`Self::look_ahead`]; and where all of it is here, but the name means something else on this host, the name is
    /// put on it, which costs nothing.
    ///
    /// # Errors
    /// As there.
    pub async fn look_and_name(&self, wish: &ImageWish, size: bool) -> Result<Look, PullFault> {
        let looked = self.looked(wish, size, true).await;
        self.desk.write_down();
        looked
    }

    async fn looked(&self, wish: &ImageWish, size: bool, name: bool) -> Result<Look, PullFault> {
        let mut inquiry = self.inquire(wish, Some(&|_| {})).await?;
        match self.decide(&mut inquiry, PullPolicy::Always).await? {
            Decided::Use(found) if found.retag && name => {
                let Got { facts, digest, .. } = self.use_it(&inquiry, *found).await?;
                Ok(Look {
                    digest: digest.unwrap_or(facts.id),
                    here: true,
                    retag: false,
                    moved: false,
                    missing: Some(Size::default()),
                })
            }
            Decided::Use(found) => Ok(Look {
                digest: found.digest.unwrap_or(found.facts.id),
                here: true,
                retag: found.retag,
                moved: false,
                missing: Some(Size::default()),
            }),
            Decided::Pull(wanted) => {
                let missing = self.missing(&inquiry, &wanted, size).await?;
                let moved = wanted.why == WhyPull::Moved;
                Ok(Look { digest: wanted.digest, here: false, retag: false, moved, missing })
            }
        }
    }

    /// Brings an image, so that a name means on this host what it means in its registry. `decided` is told what that is
    /// before the pull, and `meter` how far its pull is.
    ///
    /// # Errors
    /// Why it did not come: [`PullFault::cause`]. [`PullFault::Stopped`]: it was wished for, and who waited for this pull goes
    /// on with it.
    pub async fn bring_ahead(
        &self,
        wish: &ImageWish,
        decided: OnDecided<'_>,
        meter: Meter<'_>,
    ) -> Result<Arrived, PullFault> {
        let brought = self.brought(wish, decided, meter).await;
        self.desk.write_down();
        brought
    }

    async fn brought(
        &self,
        wish: &ImageWish,
        decided: OnDecided<'_>,
        meter: Meter<'_>,
    ) -> Result<Arrived, PullFault> {
        let began = Instant::now();
        let mut inquiry = self.inquire(wish, Some(meter)).await?;
        let Got { facts, digest, why, bytes, joined, .. } =
            match self.decide(&mut inquiry, PullPolicy::Always).await? {
                Decided::Use(found) => {
                    let digest = found.digest.as_deref().unwrap_or(&found.facts.id);
                    decided(&Coming { digest, manifest: None });
                    self.use_it(&inquiry, *found).await?
                }
                Decided::Pull(wanted) => {
                    decided(&Coming { digest: &wanted.digest, manifest: wanted.manifest.as_deref() });
                    self.pull(&inquiry, *wanted).await?
                }
            };
        let how = match (why, joined) {
            (Some(_), _) => Arrival::Here,
            (None, true) => Arrival::Joined,
            (None, false) => Arrival::Pulled,
        };
        let bytes = if how == Arrival::Pulled { bytes } else { Some(0) };
        Ok(Arrived { digest: digest.unwrap_or(facts.id), how, bytes, took: began.elapsed() })
    }

    /// Says what is missing of what shall be pulled.
    pub(super) async fn missing(
        &self,
        inquiry: &Inquiry<'_>,
        wanted: &Pull,
        ask: bool,
    ) -> Result<Option<Size>, PullFault> {
        let Some(layers) = self.layers_of(inquiry, wanted, ask).await? else { return Ok(None) };
        let here = self.layers_here().await;
        Ok(Some(self.sum(&layers, &here)))
    }

    /// The layers of what shall be pulled: those on record, else those of its manifest. `None`: it cannot be read, or is not to
    /// be asked for.
    async fn layers_of(
        &self,
        inquiry: &Inquiry<'_>,
        wanted: &Pull,
        ask: bool,
    ) -> Result<Option<Vec<Layer>>, PullFault> {
        if let Some(content) = self.content_of(wanted) {
            return Ok(Some(content.layers));
        }
        if let Some(manifest) =
            wanted.manifest.as_ref().filter(|_| ask && inquiry.manifest.borrow().is_none())
        {
            match self.body(inquiry, manifest).await {
                Ok(Some(Body::Manifest(body))) => drop(inquiry.manifest.replace(Some(body))),
                Ok(_) => {}
                Err(answer) => return Err(PullFault::of_answer(answer)),
            }
        }
        let Some(blobs) = inquiry.manifest.borrow().as_ref().map(|body| body.layers.clone()) else {
            return Ok(None);
        };
        let Some(repository) = inquiry.wish.reference.full_repository() else { return Ok(None) };
        let layers = self.name_layers(&repository, &blobs);
        self.learn_layers(inquiry, wanted, repository, layers.clone());
        Ok(Some(layers))
    }

    /// Gives layers the names that they have on record. A manifest names them by other digests than engines do; but the lowest
    /// ones, where they weigh to the byte what those of another image of the repository do, are taken for those. Never all of
    /// them: something is new.
    fn name_layers(&self, repository: &str, blobs: &[Blob]) -> Vec<Layer> {
        let lower = &blobs[..blobs.len().saturating_sub(1)];
        let mut known: Vec<Layer> = Vec::new();
        self.desk.store.contents_that(
            |content| content.engine_id.is_some() && content.repository == repository,
            |mut content| {
                let is_same = |(layer, blob): &(&Layer, &Blob)| {
                    !layer.estimated && layer.compressed == Some(blob.bytes)
                };
                let same = content.layers.iter().zip(lower).take_while(is_same).count();
                if same > known.len() {
                    content.layers.truncate(same);
                    known = content.layers;
                }
            },
        );
        let unknown = blobs.iter().skip(known.len()).map(|blob| Layer::of_blob(&blob.digest, blob.bytes));
        let unknown: Vec<Layer> = unknown.collect();
        known.into_iter().chain(unknown).collect()
    }

    /// Notes the layers of what is not here, so that its manifest need not be fetched again.
    fn learn_layers(&self, inquiry: &Inquiry<'_>, wanted: &Pull, repository: String, layers: Vec<Layer>) {
        let asked = inquiry.wish.platform.as_ref().unwrap_or(self.native);
        let key = ContentKey {
            digest: self.digest_to_pull(inquiry, wanted).to_owned(),
            platform: wanted.platform.as_ref().unwrap_or(asked).clone(),
        };
        self.desk.learn(|batch| {
            batch.contents.push(ContentFact { key, repository, engine_id: None, layers });
        });
    }

    fn sum(&self, layers: &[Layer], here: &BTreeSet<String>) -> Size {
        // Podman's store keeps no archives, but which of the two it is is not looked up for that.
        let kind = match self.desk.names {
            DigestNames::CameFromThere => StoreKind::DockerClassic,
            DigestNames::OnlyNamed => StoreKind::Containerd,
        };
        let missing = layers.iter().filter(|layer| !here.contains(&layer.chain));
        missing.fold(Size::default(), |mut sum, layer| {
            sum += on_disk(kind, None, layer.unpacked, layer.compressed);
            sum
        })
    }
}
