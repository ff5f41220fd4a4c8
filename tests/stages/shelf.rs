//! A host with images, facts about them and a disk of a known size, and evictions on it.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use hearth::engine::Engine as _;
use hearth::engine::fake::{Fake, FakeImage};
use hearth::evict::{Evictor, Here, Occasion, Report, Room, Sight, Told};
use hearth::host;
use hearth::image::ImageRef;
use hearth::moment::{Moment, Process};
use hearth::settings::{Amount, CacheSettings, Marks};
use hearth::store::{Batch, ContentFact, ContentKey, Lease, LeaseKind, Sharing, Store, StorePlace, Use};
use hearth::units::ByteSize;

use crate::world::World;

pub(crate) const MB: u64 = 1_000_000;
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const EVICTOR: Process = Process { pid: 77, started: 1, space: 0 };

/// The host.
pub(crate) struct Shelf {
    pub(crate) world: World,
    pub(crate) cache: CacheSettings,
    /// The bytes of the disk.
    pub(crate) disk: Cell<u64>,
    /// Bytes on it that are nobody's images.
    pub(crate) other: Cell<u64>,
    /// All inodes, and those in use for each 10 kB of images.
    pub(crate) inodes: Cell<Option<u64>>,
    /// Whether the disk shows what goes.
    pub(crate) shows: Cell<bool>,
    pub(crate) visible: Cell<bool>,
    pub(crate) clock_is_set: Cell<bool>,
    pub(crate) runner_lives: Cell<bool>,
    pub(crate) now: RefCell<Moment>,
    frozen: Cell<u64>,
}

impl Shelf {
    /// A disk of 1000 MB without limits.
    pub(crate) fn new() -> Self {
        let world = World::new();
        world.fake.forget_image(crate::world::HELPER);
        let cache = CacheSettings {
            free: None,
            free_inodes: None,
            images: None,
            data_root: Some("/images".into()),
            ..world.settings.cache.clone()
        };
        let now = Moment { wall: host::now(), ..host::moment() };
        Self {
            world,
            cache,
            disk: Cell::new(1000 * MB),
            other: Cell::new(0),
            inodes: Cell::new(None),
            shows: Cell::new(true),
            visible: Cell::new(true),
            clock_is_set: Cell::new(true),
            runner_lives: Cell::new(true),
            now: RefCell::new(now),
            frozen: Cell::new(0),
        }
    }

    /// Lets images take so much.
    pub(crate) fn images_may_take(mut self, start: u64, stop: u64) -> Self {
        self.cache.images = Some(Marks { start: ByteSize(start * MB), stop: ByteSize(stop * MB) });
        self
    }

    /// Keeps so much free.
    pub(crate) fn keeps_free(mut self, start: u64, stop: u64) -> Self {
        self.cache.free = Some(Marks { start: Amount::Number(start * MB), stop: Amount::Number(stop * MB) });
        self
    }

    pub(crate) fn fake(&self) -> &Fake {
        &self.world.fake
    }

    pub(crate) fn place(&self) -> StorePlace {
        StorePlace::new(&self.world.facts, Sharing::Owner)
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.place(), self.wall()).0
    }

    pub(crate) fn wall(&self) -> Duration {
        self.now.borrow().wall
    }

    /// Lets time pass.
    pub(crate) fn later(&self, time: Duration) {
        let mut now = self.now.borrow_mut();
        now.wall += time;
        now.boot += time;
    }

    /// Puts an image of one layer on the host that a job used so long ago. Its bytes are unpacked ones.
    pub(crate) fn used(&self, reference: &str, megabytes: u64, ago: Duration) -> FakeImage {
        let image = image(reference, &[(reference, megabytes)]);
        self.used_image(reference, &image, ago);
        image
    }

    /// Puts an image on the host that a job used so long ago.
    pub(crate) fn used_image(&self, reference: &str, image: &FakeImage, ago: Duration) {
        self.fake().image_here(reference, image.clone());
        let name: ImageRef = reference.parse().unwrap();
        let key = ContentKey { digest: image.digest(), platform: image.facts().platform() };
        let batch = Batch {
            contents: vec![ContentFact {
                key: key.clone(),
                repository: name.full_repository().unwrap(),
                engine_id: Some(image.facts().id.clone()),
                layers: Vec::new(),
            }],
            uses: vec![Use {
                reference: name,
                project: Some("4".to_owned()),
                source: None,
                content: Some(key),
                waited: Duration::ZERO,
            }],
            ..Batch::default()
        };
        assert!(self.store().commit(&batch, self.wall() - ago));
    }

    /// Takes a lease for a job whose runner is [`Shelf::runner_lives`].
    pub(crate) fn lease(&self, kind: LeaseKind, name: &str) {
        let lease = Lease {
            job: "hearth-tok-job-7 https://gitlab.test".to_owned(),
            kind,
            name: name.to_owned(),
            taken: self.now.borrow().clone(),
            owner: Process { pid: 4, started: 4, space: 0 },
            lasts: HOUR,
        };
        self.store().lease(&[lease]);
    }

    fn room(&self) -> Room {
        if self.shows.get() {
            self.frozen.set(self.fake().image_bytes());
        }
        let images = self.frozen.get();
        let inodes = self.inodes.get();
        Room {
            bytes: self.disk.get(),
            free_bytes: self.disk.get().saturating_sub(self.other.get() + images),
            inodes,
            free_inodes: inodes.map(|all| all.saturating_sub(images / 10_000)),
        }
    }

    async fn with<T>(&self, store: &Store, act: impl AsyncFnOnce(&Evictor<'_, Fake>) -> T) -> T {
        let here = Here {
            process: EVICTOR,
            moment: &|| self.now.borrow().clone(),
            clock_is_set: Some(self.clock_is_set.get()),
            lives: &|_| self.runner_lives.get(),
            disk: &|_: &Path| self.visible.get().then(|| self.room()),
        };
        act(&Evictor { engine: self.fake(), store, cache: &self.cache, here }).await
    }

    pub(crate) async fn look(&self) -> Sight {
        self.with(&self.store(), async |evictor| evictor.look().await.unwrap()).await
    }

    /// One turn, and what it told.
    pub(crate) async fn turn(&self, occasion: Occasion) -> (Report, Vec<Told>) {
        self.turn_with(&self.store(), occasion).await
    }

    pub(crate) async fn turn_with(&self, store: &Store, occasion: Occasion) -> (Report, Vec<Told>) {
        let mut told = Vec::new();
        let report = self
            .with(store, async |evictor| evictor.turn(occasion, &mut |one| told.push(one)).await.unwrap())
            .await;
        (report, told)
    }

    /// The names of what a tick removes.
    pub(crate) async fn ticks(&self) -> Vec<String> {
        self.turn(Occasion::Tick).await.0.gone.into_iter().map(|gone| gone.name).collect()
    }

    /// Says whether the engine has an image.
    pub(crate) async fn has(&self, reference: &str) -> bool {
        self.fake().image(reference).await.unwrap().is_some()
    }
}

/// An image with layers of so many unpacked megabytes, base first.
pub(crate) fn image(seed: &str, layers: &[(&str, u64)]) -> FakeImage {
    // Unpacked bytes are 2.65 times the compressed ones.
    let layers: Vec<(&str, u64)> =
        layers.iter().map(|(id, megabytes)| (*id, megabytes * MB * 20 / 53)).collect();
    FakeImage::new(seed).layers(&layers)
}
