//! Jobs, evictions, pulls and tags that move, all at once and killed anywhere: no job ever misses its image, and in the
//! end nothing stays that should go.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use hearth::engine::fake::{Call, FakeImage};
use hearth::engine::{Engine as _, PullRequest, StoreKind};
use hearth::evict::{Evictor, Here, Occasion, Report};
use hearth::host::Who;
use hearth::moment::{Liveness, Moment, Process};
use hearth::policy::Ending;
use hearth::settings::{CacheSettings, Marks, PullPolicy, Scope};
use hearth::units::ByteSize;
use tokio::time::{Instant, sleep};

use crate::chaos::Chance;
use crate::world::{HELPER, World};

/// How many operations there are at least, in all hosts together.
const OPERATIONS: u64 = 10_000;
const HOSTS: u64 = 18;
/// Jobs that follow each other in one slot of a host, and slots.
const JOBS: i64 = 26;
const SLOTS: i64 = 6;
const TAGS: u64 = 5;
const MB: u64 = 1_000_000;
/// How long a call may go on after its client was killed.
const LATE: Duration = Duration::from_secs(1);

/// What may be killed on a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kills {
    Nothing,
    /// Jobs, which evict nothing themselves.
    Jobs,
    JobsAndEvictors,
}

/// What all on a host have in common.
struct Host {
    world: World,
    kills: Kills,
    chance: RefCell<Chance>,
    dead: Rc<RefCell<BTreeSet<u32>>>,
    pids: Cell<u32>,
    /// How many versions were published.
    versions: Cell<u64>,
    /// When somebody was killed who may have been removing an image.
    killed: RefCell<Vec<Instant>>,
    operations: Cell<u64>,
    start: Moment,
    began: Instant,
    /// How many images went.
    gone: Cell<usize>,
    /// How many jobs saw an image go, and went on.
    brought_again: Cell<usize>,
    busy: Cell<usize>,
}

fn tag(number: u64) -> String {
    format!("registry.test/r{number}/app:1")
}

impl Host {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let kills = [Kills::Nothing, Kills::Jobs, Kills::JobsAndEvictors][(seed % 3) as usize];
        let mut world = World::new().nothing_kept();
        let kind =
            [StoreKind::DockerClassic, StoreKind::Containerd, StoreKind::Podman][(seed / 3 % 3) as usize];
        world.fake.set_store(kind);
        world.fake.download_rate(40 * MB);
        world.settings.cache = CacheSettings {
            evict: kills != Kills::Jobs,
            images: Some(Marks { start: ByteSize(150 * MB), stop: ByteSize(60 * MB) }),
            free: None,
            free_inodes: None,
            minimum_age: Duration::ZERO,
            keep_dangling: Duration::ZERO,
            keep_local: None,
            ..world.settings.cache
        };
        chance.next();
        let host = Self {
            world,
            kills,
            chance: RefCell::new(chance),
            dead: Rc::default(),
            pids: Cell::new(100),
            versions: Cell::new(0),
            killed: RefCell::default(),
            operations: Cell::new(0),
            start: hearth::host::moment(),
            began: Instant::now(),
            gone: Cell::new(0),
            brought_again: Cell::new(0),
            busy: Cell::new(0),
        };
        host.world.fake.publish(HELPER, FakeImage::new("helper").layers(&[("helper", 4 * MB)]));
        (0..TAGS).for_each(|number| host.publish(number));
        host
    }

    fn did(&self) {
        self.operations.set(self.operations.get() + 1);
    }

    fn below(&self, limit: u64) -> u64 {
        self.chance.borrow_mut().below(limit)
    }

    fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn time(&self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }

    /// Moves a tag to a new version in its registry.
    fn publish(&self, number: u64) {
        let version = self.versions.get();
        self.versions.set(version + 1);
        let (base, own) = (format!("base {}", number % 2), format!("version {version}"));
        let layers = [(base.as_str(), 8 * MB), (own.as_str(), (2 + self.below(10)) * MB)];
        self.world.fake.publish(&tag(number), FakeImage::new(&own).layers(&layers));
    }

    /// Makes calls take other times than before, so that all orders of them come about.
    fn change_pace(&self) {
        if self.one_in(40) {
            self.world.fake.heal();
        }
        let calls = [
            Call::InspectImage,
            Call::ImageHistory,
            Call::TagImage,
            Call::RemoveImage,
            Call::ListImages,
            Call::ListContainers,
            Call::CreateContainer,
            Call::CreateNetwork,
        ];
        let call = calls[self.below(calls.len() as u64) as usize];
        self.world.fake.delay(call, self.time(if call == Call::RemoveImage { 900 } else { 200 }));
    }

    fn process(&self) -> Process {
        self.pids.set(self.pids.get() + 1);
        Process { pid: self.pids.get(), started: 1, space: 1 }
    }

    fn who(&self, this: Process, runner: Process) -> Who {
        let dead = self.dead.clone();
        let is = move |process: Process| match dead.borrow().contains(&process.pid) {
            true => Liveness::Gone,
            false => Liveness::Runs,
        };
        Who::new(this, runner, self.clock(), is)
    }

    /// The clocks, which go on as the tests' own does: facts of jobs are written by that.
    fn clock(&self) -> impl Fn() -> Moment + 'static {
        let (start, began) = (self.start.clone(), self.began);
        move || {
            let since = began.elapsed();
            Moment { wall: start.wall + since, boot: start.boot + since, boot_id: start.boot_id.clone() }
        }
    }

    fn kill(&self, process: Process) {
        self.dead.borrow_mut().insert(process.pid);
    }

    /// Lets a process work, and may kill it at any moment; then `None`.
    async fn may_be_killed<T>(
        &self,
        process: Process,
        killable: bool,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        if !killable || !self.one_in(3) {
            return Some(work.await);
        }
        let after = self.time(3000);
        tokio::select! {
            biased;
            done = work => Some(done),
            () = sleep(after) => {
                self.kill(process);
                self.killed.borrow_mut().push(Instant::now());
                self.did();
                None
            }
        }
    }

    async fn evict(&self, occasion: Occasion, cache: &CacheSettings) -> Option<Report> {
        let this = self.process();
        let who = self.who(this, Process::default());
        let store = self.world.store();
        let clock = self.clock();
        let here = Here {
            process: this,
            moment: &clock,
            clock_is_set: Some(true),
            lives: &|lease| who.liveness(lease.owner) != Liveness::Gone,
            disk: &|_| None,
        };
        let evictor = Evictor { engine: &self.world.fake, store: &store, cache, here };
        self.did();
        let mut tell = |_| {};
        let turn = evictor.turn(occasion, &mut tell);
        let report = self.may_be_killed(this, self.kills == Kills::JobsAndEvictors, turn).await?.unwrap();
        self.gone.set(self.gone.get() + report.gone.len());
        Some(report)
    }

    /// Evicts as long as there are jobs.
    async fn evictions(&self, occasion: Occasion) {
        let cache = CacheSettings { evict: true, ..self.world.settings.cache.clone() };
        while self.busy.get() > 0 {
            sleep(self.time(1500)).await;
            self.change_pace();
            self.evict(occasion, &cache).await;
        }
    }

    /// Moves tags, and pulls by hand.
    async fn others(&self) {
        while self.busy.get() > 0 {
            sleep(self.time(2500)).await;
            let number = self.below(TAGS);
            self.did();
            if self.one_in(2) {
                self.publish(number);
            } else {
                let request = PullRequest { reference: tag(number), platform: String::new(), login: None };
                self.world.fake.pull(&request, &mut |_| {}).await.unwrap();
            }
        }
    }

    /// Does jobs, one after the other.
    async fn slot(&self, slot: i64) {
        self.busy.set(self.busy.get() + 1);
        for number in 0..JOBS {
            sleep(self.time(800)).await;
            self.change_pace();
            self.job(slot * JOBS + number + 1).await;
        }
        self.busy.set(self.busy.get() - 1);
    }

    async fn job(&self, id: i64) {
        let mut world = self.world.another(id).nothing_kept();
        world.job["image"]["name"] = tag(self.below(TAGS)).into();
        if self.one_in(4) {
            world.job["services"] = serde_json::json!([{"name": tag(self.below(TAGS)), "alias": "db"}]);
        }
        let policy = if self.one_in(2) { PullPolicy::Always } else { PullPolicy::IfNotPresent };
        world.settings.job.pull_policy = vec![policy];
        let runner = self.process();
        loop {
            let this = self.process();
            world.who = self.who(this, runner);
            let began = Instant::now();
            self.did();
            let prepare = world.prepare();
            let Some(prepared) = self.may_be_killed(this, self.kills != Kills::Nothing, prepare).await else {
                if self.one_in(2) {
                    // The runner is gone too; what the job made is removed by somebody else, some time.
                    self.kill(runner);
                    sleep(self.time(2000)).await;
                    return self.clean_up(&world).await;
                }
                continue;
            };
            let prepared = prepared.fine();
            if prepared.log.count("went before its container was made") > 0 {
                let late = |killed: &Instant| *killed + LATE >= began;
                let excused = self.kills == Kills::JobsAndEvictors && self.killed.borrow().iter().any(late);
                assert!(excused, "a job missed its image:\n{}", prepared.log.text());
                self.brought_again.set(self.brought_again.get() + 1);
            }
            break;
        }
        self.did();
        if self.one_in(6) {
            world.stage("step_script").run().await.fine();
        } else {
            sleep(self.time(2500)).await;
        }
        let helper = world.names().helper();
        assert!(self.world.fake.running_containers().contains(&helper), "the job was taken from its runner");
        self.clean_up(&world).await;
    }

    async fn clean_up(&self, world: &World) {
        self.did();
        assert_eq!(world.cleanup().await, Ok(()));
        hearth::stage::leases::drop_all(&world.store(), &world.begun());
    }

    /// Asserts that what should go goes, now that nobody holds it.
    async fn ends_well(&self) {
        sleep(5 * LATE).await;
        let fake = &self.world.fake;
        fake.heal();
        assert_eq!(fake.containers(), [""; 0]);
        let now = (self.clock())();
        assert_eq!(self.world.store().leases(&now), []);
        // What was pulled by hand and used by no job passes for a local build on some stores.
        let all = CacheSettings {
            evict: true,
            scope: Scope::All,
            keep_local: Some(Duration::ZERO),
            ..self.world.settings.cache.clone()
        };
        let report = self.turn_to_its_end(&all).await;
        let ending = report.ending;
        assert!(
            matches!(ending, Some(Ending::NotNeeded | Ending::Enough)),
            "{report:?} {:?}",
            fake.images().await
        );
        let nothing = Some(Marks { start: ByteSize(0), stop: ByteSize(0) });
        let report = self.turn_to_its_end(&CacheSettings { images: nothing, ..all }).await;
        let left: Vec<_> =
            fake.images().await.unwrap().into_iter().map(|image| (image.tags, image.digests)).collect();
        assert_eq!(left, [], "{report:?}");
        assert_eq!(self.world.store().removals(&now), []);
    }

    async fn turn_to_its_end(&self, cache: &CacheSettings) -> Report {
        for _ in 0..20 {
            if let Some(report) = self.evict(Occasion::Tick, cache).await {
                assert!(!report.busy && report.blocked.is_none(), "{report:?}");
                return report;
            }
        }
        panic!("twenty evictors were killed");
    }
}

async fn round(seed: u64) -> Host {
    let host = Host::new(seed);
    let slots = join_all((0..SLOTS).map(|slot| host.slot(slot)));
    let evictors = join(host.evictions(Occasion::Tick), host.evictions(Occasion::Command));
    let work = async {
        // Slots count themselves as busy when they are polled first.
        join(slots, join(evictors, host.others())).await;
    };
    work.await;
    host.ends_well().await;
    host
}

#[test]
fn no_job_misses_its_image_and_nothing_stays_that_should_go() {
    let (mut operations, mut gone, mut again) = (0, 0, 0);
    for seed in 0..HOSTS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(round(seed))));
        match result {
            Ok(host) => {
                operations += host.operations.get();
                gone += host.gone.get();
                again += host.brought_again.get();
            }
            Err(panic) => {
                println!("the host of seed {seed} did not go as it should");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!(
        "{operations} operations, {gone} images went, {again} jobs brought one again after an evictor was killed"
    );
    assert!(operations >= OPERATIONS, "{operations}");
    // Eviction was at work all the time.
    assert!(gone >= 300, "{gone}");
}
