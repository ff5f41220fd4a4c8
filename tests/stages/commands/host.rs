//! A host for operators: the fake engine with a few images, three weeks of their uses, and a disk that a test fills.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use hearth::engine::Engine as _;
use hearth::engine::fake::{Fake, FakeImage};
use hearth::evict::{Here, Room};
use hearth::image::ImageRef;
use hearth::moment::{Moment, Process};
use hearth::operator::commands::HostCommand;
use hearth::operator::desk::Desk;
use hearth::settings::Settings;
use hearth::store::{Batch, ContentFact, ContentKey, Layer, Sharing, Store, StorePlace, Use};
use serde_json::Value;

use crate::world::World;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// A Friday in 2026.
pub(crate) const NOW: Duration = Duration::from_secs(1_795_780_800);

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: HostCommand,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Asserts that all went well, and returns what was said.
    pub(crate) fn fine(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// As [`Said::fine`], as a document.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.fine()).unwrap()
    }

    /// Asserts that it could not be done, and returns what was said of that.
    pub(crate) fn wrong(self) -> String {
        assert_eq!(self.code, 2, "{} {}", self.out, self.err);
        self.err
    }
}

/// The host.
pub(crate) struct Host {
    pub(crate) world: World,
    pub(crate) settings: RefCell<Settings>,
    pub(crate) room: Cell<Option<Room>>,
    pub(crate) now: Cell<Duration>,
}

impl Host {
    /// A host with nothing on it: its images may take 1 GiB.
    pub(crate) fn empty() -> Self {
        let world = World::new();
        world.fake.forget_image(crate::world::HELPER);
        let mut settings = hearth::settings::defaults().unwrap();
        settings.cache.images = Some(hearth::settings::Marks {
            start: hearth::units::ByteSize(GIB),
            stop: hearth::units::ByteSize(GIB),
        });
        settings.cache.data_root = Some("/var/lib/docker".into());
        let room = Room {
            bytes: 100 * GIB,
            free_bytes: 40 * GIB,
            inodes: Some(1_000_000),
            free_inodes: Some(900_000),
        };
        Self { world, settings: RefCell::new(settings), room: Cell::new(Some(room)), now: Cell::new(NOW) }
    }

    /// A host on which `daily`, `weekly` and `old` were used, each as often as it is called, and somebody else's `theirs`
    /// lies. They share a base of 53 MiB; their own layers are of 106, 212 and 318 MiB; somebody else's is of 11 MiB.
    pub(crate) async fn used() -> Self {
        let host = Self::empty();
        for (name, megabytes, uses) in [
            ("daily", 40, (1..21).map(|day| day * 24).collect()),
            ("weekly", 80, vec![3 * 24, 10 * 24, 17 * 24]),
            ("old", 120, vec![20 * 24]),
        ] {
            host.image(name, megabytes, &uses).await;
        }
        host.fake()
            .image_here("other.test/theirs:1", FakeImage::new("theirs").layers(&[("theirs", 4 * MIB)]));
        host
    }

    pub(crate) fn fake(&self) -> &Fake {
        &self.world.fake
    }

    pub(crate) fn place(&self) -> StorePlace {
        StorePlace::new(&self.world.facts, Sharing::Group)
    }

    pub(crate) fn store(&self) -> Store {
        let (store, trouble) = Store::open(&self.place(), self.now.get());
        assert_eq!(trouble, None);
        store
    }

    /// Puts `registry.test/NAME:1` on the host, of a common base and so many compressed megabytes of its own, and writes
    /// down that jobs used it so many hours ago.
    pub(crate) async fn image(&self, name: &str, megabytes: u64, hours_ago: &[u32]) {
        let tag = format!("registry.test/{name}:1");
        let image = FakeImage::new(name).layers(&[("base", 20 * MIB), (name, megabytes * MIB)]);
        self.fake().image_here(&tag, image);
        let facts = self.fake().image(&tag).await.unwrap().unwrap();
        let digest = facts.repo_digests[0].rsplit_once('@').unwrap().1.to_owned();
        let key = ContentKey { digest, platform: "linux/amd64".parse().unwrap() };
        let layer = |chain: &str, megabytes: u64| Layer {
            chain: chain.to_owned(),
            unpacked: Some(megabytes * MIB * 53 / 20),
            compressed: Some(megabytes * MIB),
            estimated: false,
        };
        let content = ContentFact {
            key: key.clone(),
            repository: format!("registry.test/{name}"),
            engine_id: Some(facts.id),
            layers: vec![layer("base", 20), layer(name, megabytes)],
        };
        let store = self.store();
        let first = NOW - HOUR * 24 * 30;
        assert!(store.commit(&Batch { contents: vec![content], ..Batch::default() }, first));
        for hours in hours_ago.iter().rev() {
            let used = Use {
                reference: tag.parse::<ImageRef>().unwrap(),
                project: Some("gitlab.test 4".to_owned()),
                source: None,
                content: Some(key.clone()),
                waited: Duration::ZERO,
            };
            assert!(store.commit(&Batch { uses: vec![used], ..Batch::default() }, NOW - HOUR * *hours));
        }
    }

    /// Sets how much images may take.
    pub(crate) fn limit(&self, bytes: u64) {
        let bytes = hearth::units::ByteSize(bytes);
        self.settings.borrow_mut().cache.images = Some(hearth::settings::Marks { start: bytes, stop: bytes });
    }

    /// Returns whether the image of that name is here.
    pub(crate) async fn has(&self, name: &str) -> bool {
        self.fake().image(&format!("registry.test/{name}:1")).await.unwrap().is_some()
    }

    /// Runs a command.
    pub(crate) async fn run(&self, words: &[&str]) -> Said {
        let line = Line::try_parse_from(std::iter::once(&"hearth").chain(words)).unwrap();
        let (settings, place) = (self.settings.borrow().clone(), self.place());
        let at = hearth::host::moment();
        let moment = || Moment { wall: self.now.get(), ..at.clone() };
        let here = Here {
            process: Process { pid: std::process::id(), ..Process::default() },
            moment: &moment,
            clock_is_set: Some(true),
            lives: &|_| true,
            disk: &|_: &Path| self.room.get(),
        };
        let desk = Desk {
            settings: &settings,
            place: Some(&place),
            engine: Ok(self.fake()),
            endpoint: self.fake().endpoint(),
            here,
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = line.command.run(&desk, &mut out, &mut err).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code, out: text(out), err: text(err) }
    }
}
