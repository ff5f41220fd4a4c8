//! What the policy sees, made of what engine and store say. Nothing is asked here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::engine::{ContainerSummary, ImageSummary, StoreKind};
use crate::image::{ImageRef, Patterns};
use crate::policy::{Claim, Class, Content, Cost, Disk, Layer, Size, Snapshot, Tag};
use crate::settings::{CacheSettings, Scope};
use crate::store::{self, Announced, ContentKey, Lease, Pin, Sighting};

use super::names::ImageNames;

/// Bytes on disk for each compressed byte, where a layer has only one of them on record.
const USUAL_RATIO: f64 = 2.65;
/// Bytes that an inode stands for, where the disk does not tell.
const USUAL_INODE_BYTES: u64 = 24 * 1024;

/// What is known of images at one moment.
pub(super) struct Known<'a> {
    pub(super) images: &'a [ImageSummary],
    pub(super) containers: &'a [ContainerSummary],
    pub(super) kind: StoreKind,
    pub(super) cache: &'a CacheSettings,
    /// Contents whose image may be here, with their layers.
    pub(super) contents: Vec<store::Content>,
    pub(super) tags: Vec<store::Tag>,
    pub(super) used_as: Vec<store::TagContent>,
    pub(super) sightings: HashMap<String, Sighting>,
    /// When each digest was pulled last.
    pub(super) pulled: HashMap<String, Duration>,
    /// Leases in force.
    pub(super) leases: &'a [Lease],
    pub(super) pins: Vec<Pin>,
    pub(super) announced: Vec<Announced>,
    /// What pulls from each registry cost.
    pub(super) costs: HashMap<String, Cost>,
    pub(super) disk: Disk,
    /// Bytes on the disk for each inode in use; `None`: not known.
    pub(super) inode_bytes: Option<u64>,
}

/// The policy's view, with each image's names.
pub(super) struct View {
    pub(super) snapshot: Snapshot,
    pub(super) names: BTreeMap<String, ImageNames>,
}

impl Known<'_> {
    /// Makes the policy's view.
    pub(super) fn view(&self) -> View {
        let here: HashSet<&str> = self.images.iter().map(|image| image.id.as_str()).collect();
        let by_image: Vec<Vec<&store::Content>> =
            self.images.iter().map(|image| self.contents_of(image, &here)).collect();
        let mut id_of: HashMap<&ContentKey, &str> = HashMap::new();
        for (image, contents) in self.images.iter().zip(&by_image) {
            for content in contents {
                id_of.insert(&content.key, &image.id);
            }
        }
        let mut tags_of: HashMap<&str, Vec<(&str, Duration)>> = HashMap::new();
        for used in &self.used_as {
            if let Some(id) = id_of.get(&used.content) {
                tags_of.entry(id).or_default().push((&used.tag, used.last));
            }
        }
        let pins = pins(&self.pins);
        let mut names = BTreeMap::new();
        let mut contents = Vec::with_capacity(self.images.len());
        for (image, known) in self.images.iter().zip(&by_image) {
            let mut called = ImageNames::new(&image.id, &image.tags, &image.digests);
            for content in known {
                called.learn(&content.repository, &content.key.digest);
            }
            let used = tags_of.get(image.id.as_str()).map_or(&[][..], Vec::as_slice);
            for (tag, _) in used {
                called.learn_tag(tag);
            }
            // A name that jobs used and that no registry's digest stood behind.
            let by_name: Vec<&store::Tag> = self
                .tags
                .iter()
                .filter(|tag| tag.content.is_none() && called.all.contains(&tag.name))
                .collect();
            contents.push(self.content(image, known, used, &by_name, &called, &pins));
            names.insert(image.id.clone(), called);
        }
        let carried = self.carried(&by_image);
        let tags = self.tags.iter().map(|tag| self.tag(tag, &id_of, &names, &carried)).collect();
        let snapshot = Snapshot { tags, contents, disk: self.disk, inflation: 0.0, looked_at: None };
        View { snapshot, names }
    }

    /// The contents on record that are this image.
    fn contents_of<'c>(&'c self, image: &ImageSummary, here: &HashSet<&str>) -> Vec<&'c store::Content> {
        let is = |content: &&store::Content| {
            let engine_id = content.engine_id.as_deref();
            // One digest may stand for images of several platforms, each with an ID of its own.
            engine_id == Some(&image.id)
                || engine_id.is_none_or(|id| !here.contains(id))
                    && (content.key.digest == image.id
                        || image.digests.iter().any(|name| name.ends_with(&content.key.digest)))
        };
        self.contents.iter().filter(is).collect()
    }

    fn content(
        &self,
        image: &ImageSummary,
        known: &[&store::Content],
        used: &[(&str, Duration)],
        by_name: &[&store::Tag],
        names: &ImageNames,
        pins: &Patterns,
    ) -> Content {
        let class = self.class(image, known, by_name);
        let of_use = used.iter().map(|(_, last)| *last).chain(by_name.iter().map(|tag| tag.last_use)).max();
        let of_jobs = !known.is_empty() || !by_name.is_empty();
        let has_own_rule = match class {
            Class::Dangling => true,
            // Only on Docker's own store it is certain that it was built here.
            Class::Local => self.kind == StoreKind::DockerClassic && self.cache.keep_local.is_some(),
            Class::Pulled => false,
        };
        let spellings = || image.tags.iter().chain(&names.all);
        let tags = names.all.iter().filter(|name| !name.contains('@')).cloned();
        Content {
            id: image.id.clone(),
            tags: tags.filter(|name| *name != image.id).collect(),
            class,
            layers: self.layers(image, known),
            cost: self.cost(known, names),
            since: self.since(image, known).as_secs_f64(),
            last_use: of_use.map(|last| last.as_secs_f64()),
            pinned: spellings().any(|name| self.cache.pins.matches(name) || pins.matches(name))
                || self.pins.iter().any(|pin| names.all.contains(&pin.name)),
            leased: self.leases.iter().any(|lease| names.all.contains(&lease.name)),
            running: self.containers.iter().any(|c| c.image_id == image.id || names.all.contains(&c.image)),
            foreign: self.cache.scope == Scope::Used && !of_jobs && !has_own_rule,
            claims: self.claims(names),
            priority: 0.0,
        }
    }

    /// What was announced of it. One that is known by several digests is wanted once all the same.
    fn claims(&self, names: &ImageNames) -> Vec<Claim> {
        let mut claims = Vec::new();
        for one in self.announced.iter().filter(|one| names.all.contains(&one.name)) {
            let claim = Claim { at: one.at.as_secs_f64(), grace: one.grace.as_secs_f64() };
            if !claims.contains(&claim) {
                claims.push(claim);
            }
        }
        claims
    }

    /// Tells where an image comes from. Stores other than Docker's own give a digest to what was built here too, so there
    /// hearth's own facts say that a registry has it; or that it has a digest and no tag, as only pulls leave images; or, of
    /// what jobs never used and the operator lets go, the name of a registry.
    fn class(&self, image: &ImageSummary, known: &[&store::Content], by_name: &[&store::Tag]) -> Class {
        let of_registry = || {
            let with_host = |name: &String| {
                let name = name.parse::<ImageRef>().ok();
                let registry = name.as_ref().and_then(|name| name.registry());
                registry.is_some_and(|registry| registry != "docker.io" && registry != "localhost")
            };
            self.cache.scope == Scope::All && by_name.is_empty() && image.tags.iter().any(with_host)
        };
        let from_registry = match self.kind {
            StoreKind::DockerClassic => !image.digests.is_empty(),
            StoreKind::Containerd | StoreKind::Podman => {
                image.tags.is_empty() && !image.digests.is_empty() || of_registry()
            }
        };
        if !known.is_empty() || from_registry {
            Class::Pulled
        } else if image.tags.is_empty() && image.digests.is_empty() {
            Class::Dangling
        } else {
            Class::Local
        }
    }

    /// The layers as far as they are known; else the whole image counts as one. What a manifest says its layers weigh counts
    /// for nothing once the image is here.
    fn layers(&self, image: &ImageSummary, known: &[&store::Content]) -> Vec<Layer> {
        let looked_at = self.sightings.get(&image.id).map_or(&[][..], |sighting| &sighting.layers);
        let mut seen = BTreeSet::new();
        let all = known.iter().flat_map(|content| content.layers_on_host()).chain(looked_at);
        let layers: Vec<Layer> =
            all.filter(|layer| seen.insert(layer.chain.as_str())).map(|layer| self.layer(layer)).collect();
        if layers.iter().any(|layer| layer.size.unpacked > 0) {
            return layers;
        }
        let size = self.size(Some(image.bytes), None);
        vec![Layer { id: image.id.clone(), size }]
    }

    pub(super) fn layer(&self, layer: &store::Layer) -> Layer {
        Layer { id: layer.chain.clone(), size: self.size(layer.unpacked, layer.compressed) }
    }

    fn size(&self, unpacked: Option<u64>, compressed: Option<u64>) -> Size {
        size(self.kind, self.inode_bytes, unpacked, compressed)
    }

    fn cost(&self, known: &[&store::Content], names: &ImageNames) -> Cost {
        let registry = |name: &str| self.costs.get(name.split('/').next().unwrap_or_default()).copied();
        let of_content = known.iter().find_map(|content| registry(&content.repository));
        of_content.or_else(|| names.all.iter().find_map(|name| registry(name))).unwrap_or_default()
    }

    /// Since when it is here: since it was seen first, or since a pull brought it again.
    fn since(&self, image: &ImageSummary, known: &[&store::Content]) -> Duration {
        let pulled = known.iter().filter_map(|content| self.pulled.get(&content.key.digest)).max().copied();
        let seen = self.sightings.get(&image.id).map(|sighting| sighting.first).unwrap_or_default();
        pulled.map_or(seen, |pulled| seen.max(pulled))
    }

    /// The images that hearth pulled, by the tags that the engine has for them, and when they came.
    fn carried<'i>(&'i self, by_image: &[Vec<&store::Content>]) -> HashMap<String, (&'i str, Duration)> {
        let mut carried = HashMap::new();
        for (image, known) in self.images.iter().zip(by_image) {
            let came = known.iter().filter_map(|content| self.pulled.get(&content.key.digest)).max();
            let Some(came) = came else { continue };
            let names = image.tags.iter().filter_map(|tag| tag.parse::<ImageRef>().ok());
            carried.extend(names.map(|name| (name.normalized(), (image.id.as_str(), *came))));
        }
        carried
    }

    /// A tag without its recent uses, and without the layers of an image that is not here.
    fn tag(
        &self,
        tag: &store::Tag,
        id_of: &HashMap<&ContentKey, &str>,
        names: &BTreeMap<String, ImageNames>,
        carried: &HashMap<String, (&str, Duration)>,
    ) -> Tag {
        // What was brought since a job used the tag last: the image that it had then is the one that it moved away from.
        let since = carried.get(&tag.name).filter(|(_, came)| *came > tag.last_use);
        let named = match &tag.content {
            Some(_) if since.is_some() => since.map(|(id, _)| (*id).to_owned()),
            // One that is not here has a name that no image here has.
            Some(key) => Some(id_of.get(key).map_or_else(|| key.digest.clone(), |id| (*id).to_owned())),
            None => names.values().find(|names| names.all.contains(&tag.name)).map(|names| names.id.clone()),
        };
        Tag {
            name: tag.name.clone(),
            names: named,
            rate: Some(tag.rate),
            last_use: Some(tag.last_use.as_secs_f64()),
            recent: Vec::new(),
            layers: Vec::new(),
        }
    }
}

/// Says what a layer takes, as the policy sees it; what is not known of it is reckoned. containerd's store keeps what came
/// beside what it was unpacked to. `inode_bytes` are the disk's bytes for each inode in use; `None`: not known.
pub fn size(
    kind: StoreKind,
    inode_bytes: Option<u64>,
    unpacked: Option<u64>,
    compressed: Option<u64>,
) -> Size {
    let (unpacked, compressed) = match (unpacked, compressed) {
        (Some(unpacked), Some(compressed)) => (unpacked, compressed),
        (Some(unpacked), None) => (unpacked, (unpacked as f64 / USUAL_RATIO) as u64),
        (None, Some(compressed)) => ((compressed as f64 * USUAL_RATIO) as u64, compressed),
        (None, None) => (0, 0),
    };
    let on_disk = match kind {
        StoreKind::Containerd => unpacked.saturating_add(compressed),
        StoreKind::DockerClassic | StoreKind::Podman => unpacked,
    };
    let inodes = unpacked / inode_bytes.unwrap_or(USUAL_INODE_BYTES).max(1);
    Size { compressed, unpacked: on_disk, inodes }
}

/// Pins are names or patterns; one that is no pattern is only compared.
fn pins(pins: &[Pin]) -> Patterns {
    let patterns: Vec<&str> =
        pins.iter().map(|pin| pin.name.as_str()).filter(|name| Patterns::compile(&[name]).is_ok()).collect();
    Patterns::compile(&patterns).unwrap_or_default()
}

/// Returns what all images take together, each layer once.
pub(super) fn used(snapshot: &Snapshot) -> u64 {
    let mut seen = HashSet::new();
    let layers = snapshot.contents.iter().flat_map(|content| &content.layers);
    layers.filter(|layer| seen.insert(layer.id.as_str())).map(|layer| layer.size.unpacked).sum()
}
