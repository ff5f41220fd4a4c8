//! Jobs, evictions and tags that move, all at once on a real engine, and prepares that are killed: no job misses its image,
//! and in the end nothing stays that should go.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hearth::engine::{Docker, Engine};
use hearth::evict::{self, Evictor, Here, Occasion, Report};
use hearth::host;
use hearth::runner::JobDescription;
use hearth::settings::{CacheSettings, Marks};
use hearth::store::{Lease, LeaseKind, Sharing, Store, StorePlace};
use hearth::units::ByteSize;

use crate::image_policies::busybox;
use crate::kills::Random;
use crate::pusher::{Layer, Registry};
use crate::support::Parts;
use crate::world::{World, block_on, unique};

const TEST: &str = "evicting race";
/// How many operations there are at least.
const OPERATIONS: usize = 300;
const SLOTS: usize = 3;
/// Jobs that follow each other in one slot.
const JOBS: usize = 20;
const TAGS: u64 = 3;
/// The note of jobs that a new store does not know: those of other tests are none of this one's.
const BARRIER: &str = "jobs before the store";

/// What all have in common.
struct Site {
    registry: String,
    /// The test's own repositories.
    repository: String,
    operations: AtomicUsize,
    /// Slots that have jobs to do.
    busy: AtomicUsize,
}

impl Site {
    fn tag(&self, number: u64) -> String {
        format!("{}/{}{number}:1", self.registry, self.repository)
    }

    /// Moves a tag to a version that nobody has.
    fn publish(&self, number: u64) {
        self.did();
        let mut image = busybox();
        image.layers.push(Layer::random(64 << 10, unique()).unwrap());
        let repository = format!("{}{number}", self.repository);
        Registry::new(&self.registry).push(&repository, "1", &[image]).unwrap();
    }

    fn did(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }
}

/// One slot of the runner: jobs one after the other, some of whose prepares are killed.
fn slot(site: &Site, world: &World, mut chance: Random) {
    for _ in 0..JOBS {
        let mut job = world.job().image(site.tag(chance.below(TAGS)));
        let policy = if chance.below(2) == 0 { "always" } else { "if-not-present" };
        job.image.pull_policy = vec![policy.to_owned()];
        site.did();
        if chance.below(4) == 0 {
            kill_after(start(world, &job), Duration::from_millis(chance.below(1500)));
        } else {
            let prepared = world.by_hand(&job, &["prepare"]);
            let log = String::from_utf8_lossy(&prepared.stdout);
            assert!(prepared.status.success(), "{log}\n{}", String::from_utf8_lossy(&prepared.stderr));
            assert!(!log.contains("went before its container was made"), "the job missed its image:\n{log}");
        }
        site.did();
        world.cleanup_by_hand(&job);
        let left = world.left(&job);
        assert!(left.is_empty(), "{left:?}");
    }
}

fn start(world: &World, job: &JobDescription) -> Child {
    let mut prepare = world.hand(job, &["prepare"]);
    prepare.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hearth runs")
}

fn kill_after(mut process: Child, time: Duration) {
    std::thread::sleep(time);
    process.kill().expect("it is this test's own");
    process.wait().expect("it is this test's own");
}

/// Whoever evicts: everything may go that no job needs, but the helper's image, which other tests' jobs
/// have too: the test itself has a lease on it.
struct Eviction {
    engine: Docker,
    place: StorePlace,
    cache: CacheSettings,
}

impl Eviction {
    async fn turn(&self) -> Report {
        let (store, trouble) = Store::open(&self.place, host::now());
        assert_eq!(trouble, None);
        let who = host::Who::read();
        let here = Here {
            process: host::process(std::process::id()).unwrap_or_default(),
            moment: &host::moment,
            clock_is_set: Some(true),
            lives: &|lease| who.liveness(lease.owner) != hearth::moment::Liveness::Gone,
            disk: &|dir: &Path| evict::disk(dir),
        };
        let evictor = Evictor { engine: &self.engine, store: &store, cache: &self.cache, here };
        let report = evictor.turn(Occasion::Tick, &mut |_| {}).await.unwrap();
        assert_eq!(report.blocked, None);
        report
    }
}

/// Makes a slot's world, whose facts are in the directory of all.
fn world_of(store: &Path) -> World {
    let world = World::new(TEST).expect("the parts were there just now");
    let settings = world.dir.join("config.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let own = format!("dir = {:?}", world.dir.join("store"));
    std::fs::write(settings, text.replace(&own, &format!("dir = {store:?}"))).unwrap();
    world
}

#[test]
fn no_job_misses_its_image_on_a_real_engine_and_nothing_stays_that_should_go() {
    let Some(parts) = Parts::find() else { return };
    let engine = Docker::new(&parts.endpoint, Duration::from_secs(60), None).unwrap();
    let directory: PathBuf = std::env::temp_dir().join(format!("hearth-race-{}", unique()));
    let place = StorePlace::new(&directory, Sharing::Owner);
    let site = Arc::new(Site {
        registry: parts.registry,
        repository: format!("test/race-{}/app", unique()),
        operations: AtomicUsize::new(0),
        busy: AtomicUsize::new(SLOTS),
    });
    (0..TAGS).for_each(|number| site.publish(number));
    let (store, trouble) = Store::open(&place, host::now());
    assert_eq!(trouble, None);
    assert!(store.set_note(BARRIER, ""));
    store.lease(&[Lease {
        job: TEST.to_owned(),
        kind: LeaseKind::Reference,
        name: format!("{}/helper:1", site.registry),
        taken: host::moment(),
        owner: host::process(std::process::id()).unwrap(),
        lasts: Duration::from_secs(3600),
    }]);
    drop(store);
    let nothing = Marks { start: ByteSize(0), stop: ByteSize(0) };
    let cache = CacheSettings {
        images: Some(nothing),
        free: None,
        free_inodes: None,
        minimum_age: Duration::ZERO,
        ..hearth::settings::defaults().unwrap().cache
    };
    let eviction = Eviction { engine, place, cache };
    let mut chance = Random::new(TEST);
    let slots: Vec<_> = (0..SLOTS)
        .map(|number| {
            let (site, world) = (site.clone(), world_of(&directory));
            let chance = Random::new(&format!("{TEST}, slot {number}"));
            std::thread::spawn(move || {
                let worked =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| slot(&site, &world, chance)));
                site.busy.fetch_sub(1, Ordering::Relaxed);
                worked
            })
        })
        .collect();
    let mut gone = 0;
    block_on(async {
        while site.busy.load(Ordering::Relaxed) > 0 || site.operations.load(Ordering::Relaxed) < OPERATIONS {
            site.did();
            gone += eviction.turn().await.gone.len();
            if chance.below(6) == 0 {
                site.publish(chance.below(TAGS));
            }
            tokio::time::sleep(Duration::from_millis(chance.below(300))).await;
        }
    });
    for slot in slots {
        if let Err(panic) = slot.join().expect("its panics were caught") {
            std::panic::resume_unwind(panic);
        }
    }
    // Of what a killed prepare brought and could not write down, only a job that uses it tells that it is hearth's to remove.
    let world = world_of(&directory);
    for number in 0..TAGS {
        let job = world.job().image(site.tag(number));
        assert!(world.by_hand(&job, &["prepare"]).status.success());
        world.cleanup_by_hand(&job);
    }
    // Now that no job is left, all of it goes.
    block_on(async {
        let report = eviction.turn().await;
        gone += report.gone.len();
        for number in 0..TAGS {
            assert_eq!(eviction.engine.image(&site.tag(number)).await.unwrap(), None, "{report:?}");
        }
        let (store, _) = Store::open(&eviction.place, host::now());
        store.drop_leases(TEST);
        let now = host::moment();
        assert_eq!((store.leases(&now), store.removals(&now)), (Vec::new(), Vec::new()));
    });
    let _ = std::fs::remove_dir_all(&directory);
    println!("{} operations, {gone} images went", site.operations.load(Ordering::Relaxed));
    assert!(gone >= 10, "eviction was hardly at work: {gone}");
}
