//! The look: engine, store and disk, read into one value.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::engine::{ContainerSummary, Engine, ImageSummary};
use crate::image::{Compressed, layers};
use crate::moment::Moment;
use crate::outcome::Failure;
use crate::policy::{ClockState, Cost, Disk, Rules, Snapshot};
use crate::store::{Content, ContentKey, Layer, Lease, Sighting};

use super::barrier::{self, job_of, jobs_here};
use super::gauge::{Room, Site};
use super::limits;
use super::names::ImageNames;
use super::snapshot::{Known, View, size};
use super::told::Blocked;
use super::{Evictor, inside};

/// How many images are looked into in one look, of those that no job has used: two calls each, once in their life.
const NEW_IMAGES: usize = 40;
/// When the policy looked last, in seconds.
const LOOKED_AT: &str = "evictor looked at";
/// The rank of what went last, for rules that age by it.
const INFLATION: &str = "evictor's inflation";
/// How far ahead of this process's look at the clock a fact of another process may be.
const MEANWHILE: Duration = Duration::from_secs(60);
/// Seconds within which a look is not written down again.
const RESOLUTION: f64 = 60.0;

/// All that is seen at one moment: engine, store and disk.
#[derive(Debug, Clone)]
pub struct Sight {
    /// What the policy sees.
    pub snapshot: Snapshot,
    /// The rules, with the marks in numbers of this host's disk.
    pub rules: Rules,
    /// The images as the engine lists them.
    pub images: Vec<ImageSummary>,
    /// Each image's names, by its ID.
    pub names: BTreeMap<String, ImageNames>,
    /// The containers, whoever made them.
    pub containers: Vec<ContainerSummary>,
    /// The leases in force.
    pub leases: Vec<Lease>,
    /// Where images lie.
    pub site: Site,
    /// The disk that images lie on; `None`: it cannot be seen from here.
    pub room: Option<Room>,
    /// Why nothing may be removed now; `None`: it may.
    pub blocked: Option<Blocked>,
    /// When.
    pub at: Moment,
    /// How images are kept: decides what a layer takes.
    pub(super) kind: crate::engine::StoreKind,
    pub(super) inode_bytes: Option<u64>,
}

impl Sight {
    /// Returns what people call an image.
    pub fn called<'s>(&'s self, id: &'s str) -> &'s str {
        self.names.get(id).map_or(id, |names| &names.called)
    }

    /// Returns what a layer takes on this host, or would take.
    pub fn size(&self, layer: &Layer) -> crate::policy::Size {
        size(self.kind, self.inode_bytes, layer.unpacked, layer.compressed)
    }

    /// Returns what all images take together.
    pub fn used(&self) -> u64 {
        super::snapshot::used(&self.snapshot)
    }
}

impl<E: Engine> Evictor<'_, E> {
    /// Finds where images lie: one call, unless the operator says it.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub async fn site(&self) -> Result<Site, Failure> {
        if let Some(dir) = &self.cache.data_root {
            return Ok(Site::Here(dir.clone()));
        }
        let info = self.engine.info().await?;
        Ok(Site::find(&info, self.engine.endpoint(), self.cache.data_root.as_deref(), self.here.disk))
    }

    /// Looks without what only an order of removals needs: recent uses, and layers of images that are gone.
    pub(super) async fn glance(&self) -> Result<Sight, Failure> {
        let info = self.engine.info().await?;
        let site = Site::find(&info, self.engine.endpoint(), self.cache.data_root.as_deref(), self.here.disk);
        let at = (self.here.moment)();
        let images = self.engine.images().await?;
        let containers = self.engine.containers().await?;
        let room = match site.measure(self.here.disk) {
            Some(room) => Some(room),
            None => inside::measure(self.engine, &containers).await,
        };
        let jobs = jobs_here(&containers);
        let leases = self.leases(&at, &jobs);
        let ids: Vec<&str> = images.iter().map(|image| image.id.as_str()).collect();
        let (here, digests): (HashSet<&str>, HashSet<&str>) = (
            ids.iter().copied().collect(),
            images
                .iter()
                .flat_map(|i| &i.digests)
                .filter_map(|name| Some(name.rsplit_once('@')?.1))
                .collect(),
        );
        let may_be_here = |content: &Content| {
            content.engine_id.as_deref().is_some_and(|id| here.contains(id))
                || digests.contains(content.key.digest.as_str())
                || here.contains(content.key.digest.as_str())
        };
        let mut contents = Vec::new();
        self.store.contents_that(may_be_here, |content| contents.push(content));
        let pulled = self.store.pulled();
        let looked_at = self.number(LOOKED_AT);
        let mut sightings = self.sight_images(&images, &contents, &pulled, looked_at, at.wall);
        for id in unknown(&images, &contents, &sightings) {
            let layers = self.look_into(&id).await;
            self.store.image_layers(&id, &layers);
            if let Some(sighting) = sightings.get_mut(&id) {
                sighting.layers = layers;
            }
        }
        let disk = Disk {
            free_bytes: room.map(|room| room.free_bytes),
            free_inodes: room.and_then(|room| room.free_inodes),
        };
        let blocked = self.blocked(&at, &jobs, &leases).await?;
        let known = Known {
            images: &images,
            containers: &containers,
            kind: info.store,
            cache: self.cache,
            contents,
            tags: self.store.tags_alone(),
            used_as: self.store.tag_contents(),
            sightings,
            pulled,
            leases: &leases,
            pins: self.store.pins(at.wall),
            announced: self.store.announced(),
            costs: self.costs(),
            disk,
            inode_bytes: room.and_then(|room| room.bytes_per_inode()),
        };
        let inode_bytes = known.inode_bytes;
        let View { mut snapshot, names } = known.view();
        drop(known);
        snapshot.inflation = self.number(INFLATION).unwrap_or_default();
        snapshot.looked_at = looked_at;
        let rules = limits::rules(self.cache, room.as_ref(), self.store.chosen_rule());
        let kind = info.store;
        Ok(Sight {
            snapshot,
            rules,
            images,
            names,
            containers,
            leases,
            site,
            room,
            blocked,
            at,
            kind,
            inode_bytes,
        })
    }

    fn number(&self, note: &str) -> Option<f64> {
        let number = self.store.note(note)?.parse::<f64>().ok()?;
        number.is_finite().then_some(number)
    }

    /// Brings the record of what is there since when up to date. An image that was not there at the last look came after
    /// it; which time after, the store knows if hearth pulled it.
    fn sight_images(
        &self,
        images: &[ImageSummary],
        contents: &[Content],
        pulled: &HashMap<String, Duration>,
        looked_at: Option<f64>,
        now: Duration,
    ) -> HashMap<String, Sighting> {
        let mut sightings = self.store.sightings();
        let looked_at = looked_at.and_then(|at| Duration::try_from_secs_f64(at).ok());
        let is = |content: &&Content, image: &ImageSummary| {
            content.engine_id.as_deref() == Some(&image.id)
                || content.key.digest == image.id
                || image.digests.iter().any(|name| name.ends_with(&content.key.digest))
        };
        let since = |image: &ImageSummary| {
            let of_store = contents.iter().filter(|content| is(content, image));
            let came =
                |content: &Content| pulled.get(&content.key.digest).copied().unwrap_or(content.first_seen);
            let came = of_store.map(came).max()?;
            Some(looked_at.map_or(came, |looked_at| came.max(looked_at)).min(now))
        };
        let new = images.iter().filter(|image| !sightings.contains_key(&image.id));
        let new: Vec<(&str, Duration)> =
            new.map(|image| (image.id.as_str(), since(image).unwrap_or(now))).collect();
        let here: HashSet<&str> = images.iter().map(|image| image.id.as_str()).collect();
        let gone: Vec<&str> = sightings.keys().map(String::as_str).filter(|id| !here.contains(id)).collect();
        self.store.images_seen(&new, &gone);
        sightings.retain(|id, _| here.contains(id.as_str()));
        for (id, first) in new {
            sightings.insert(id.to_owned(), Sighting { first, layers: Vec::new() });
        }
        sightings
    }

    /// Adds what an order of removals needs.
    pub(super) fn recall(&self, sight: &mut Sight) {
        let mut demand = self.store.demand();
        for tag in &mut sight.snapshot.tags {
            tag.recent = demand.remove(&tag.name).unwrap_or_default();
        }
        drop(demand);
        // Of an image that is gone only those layers matter that one here has too.
        let here: HashSet<&str> =
            sight.snapshot.contents.iter().flat_map(|c| &c.layers).map(|layer| layer.id.as_str()).collect();
        let ids: HashSet<&str> = sight.snapshot.contents.iter().map(|c| c.id.as_str()).collect();
        let mut wanted: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, tag) in sight.snapshot.tags.iter().enumerate() {
            if let Some(name) = tag.names.as_deref().filter(|name| !ids.contains(name)) {
                wanted.entry(name).or_default().push(at);
            }
        }
        let mut found: Vec<(usize, Vec<crate::policy::Layer>)> = Vec::new();
        let (kind, inode_bytes) = (sight.kind, sight.inode_bytes);
        self.store.contents_that(
            |content| wanted.contains_key(content.key.digest.as_str()),
            |content| {
                let shared = content.layers.iter().filter(|layer| here.contains(layer.chain.as_str()));
                let layers: Vec<_> = shared
                    .map(|layer| crate::policy::Layer {
                        id: layer.chain.clone(),
                        size: size(kind, inode_bytes, layer.unpacked, layer.compressed),
                    })
                    .collect();
                for at in wanted.get(content.key.digest.as_str()).into_iter().flatten() {
                    found.push((*at, layers.clone()));
                }
            },
        );
        for (at, layers) in found {
            sight.snapshot.tags[at].layers = layers;
        }
    }

    /// Writes down that the policy looked, and how far its ranks have come.
    pub(super) fn looked(&self, sight: &Sight, inflation: Option<f64>) {
        let now = sight.at.wall.as_secs_f64();
        if sight.snapshot.looked_at.is_none_or(|last| (now - last).abs() > RESOLUTION) {
            self.store.set_note(LOOKED_AT, &format!("{now:.0}"));
        }
        if let Some(inflation) = inflation.filter(|inflation| *inflation != sight.snapshot.inflation) {
            self.store.set_note(INFLATION, &inflation.to_string());
        }
    }

    /// The leases in force: those whose owner may still run, or whose job still has containers.
    fn leases(&self, at: &Moment, jobs: &BTreeSet<&str>) -> Vec<Lease> {
        let mut leases = self.store.leases(at);
        leases.retain(|lease| jobs.contains(job_of(lease)) || (self.here.lives)(lease));
        leases
    }

    async fn blocked(
        &self,
        at: &Moment,
        jobs: &BTreeSet<&str>,
        leases: &[Lease],
    ) -> Result<Option<Blocked>, Failure> {
        if !self.cache.evict {
            return Ok(Some(Blocked::Off));
        }
        if !self.store.is_working() {
            return Ok(Some(Blocked::NoStore));
        }
        let clock = ClockState { wall: at.wall, up: at.boot, set: self.here.clock_is_set };
        // Other processes may have written something since this one looked at its clock.
        let newest = self.store.newest_fact().filter(|newest| *newest > at.wall + MEANWHILE);
        if let Some(doubt) = clock.doubt(newest) {
            return Ok(Some(Blocked::Clock(doubt)));
        }
        if !barrier::stands(self.store) {
            return Ok(None);
        }
        // A prepare that has no container yet has a network.
        let networks = self.engine.networks().await?;
        let preparing = networks.iter().filter(|network| {
            barrier::lease_of(network).is_some_and(|lease| lease.holds(at) && (self.here.lives)(&lease))
        });
        let mut jobs = jobs.clone();
        jobs.extend(preparing.filter_map(barrier::job_label));
        Ok(barrier::check(self.store, &jobs, leases))
    }

    fn costs(&self) -> HashMap<String, Cost> {
        let sources = self.store.last_sources().into_iter();
        // The bytes come from where they came from last.
        let cost = |from: &str| self.store.cost(from, Cost::default());
        sources
            .map(|(name, mirror)| {
                let cost = cost(mirror.as_deref().unwrap_or(&name));
                (name, cost)
            })
            .collect()
    }

    /// Reads an image's layers off the engine; one that does not tell counts as a whole.
    async fn look_into(&self, id: &str) -> Vec<Layer> {
        let Ok(Some(facts)) = self.engine.image(id).await else { return Vec::new() };
        let history = self.engine.image_history(id).await.ok().flatten().unwrap_or_default();
        let found = layers(&facts.diff_ids, &history).into_iter();
        let known: Vec<Layer> = found
            .map(|layer| Layer {
                chain: layer.chain_id,
                unpacked: layer.bytes,
                compressed: layer.bytes.map(|bytes| Compressed::of_unpacked(bytes).bytes()),
                estimated: true,
            })
            .collect();
        if known.iter().any(|layer| layer.unpacked.is_some_and(|bytes| bytes > 0)) {
            return known;
        }
        vec![Layer { chain: id.to_owned(), unpacked: Some(facts.bytes), compressed: None, estimated: true }]
    }
}

/// The images of which no layers are on record.
fn unknown(
    images: &[ImageSummary],
    contents: &[Content],
    sightings: &HashMap<String, Sighting>,
) -> Vec<String> {
    let has_layers =
        |content: &&Content| content.layers_on_host().iter().any(|layer| layer.unpacked.is_some());
    let (mut ids, mut keys): (HashSet<&str>, HashSet<&ContentKey>) = (HashSet::new(), HashSet::new());
    for content in contents.iter().filter(has_layers) {
        keys.insert(&content.key);
        ids.extend(content.engine_id.as_deref());
    }
    let by_digest = |image: &ImageSummary| {
        keys.iter()
            .any(|key| key.digest == image.id || image.digests.iter().any(|name| name.ends_with(&key.digest)))
    };
    let is_unknown = |image: &&ImageSummary| {
        !ids.contains(image.id.as_str())
            && sightings.get(&image.id).is_none_or(|sighting| sighting.layers.is_empty())
            && !by_digest(image)
    };
    images.iter().filter(is_unknown).take(NEW_IMAGES).map(|image| image.id.clone()).collect()
}
