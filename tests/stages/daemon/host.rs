//! A host for the daemon: the fake engine, clocks that a test sets, and processes that it lets live or die.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hearth::daemon::journal::Journal;
use hearth::daemon::report::Report;
use hearth::daemon::signals::Wish;
use hearth::engine::fake::{Fake, FakeImage};
use hearth::engine::{Creation, Engine as _};
use hearth::evict::{Disks, Room};
use hearth::host::Who;
use hearth::job::owner::{LABEL_OWNER, Owner};
use hearth::moment::{Liveness, Moment, Process};
use hearth::outcome::Failure;
use hearth::plan::spec::{NetworkSpec, VolumeSpec};
use hearth::policy::LocalTime;
use hearth::settings::Settings;
use hearth::store::{Sharing, StorePlace};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::world::{SECOND, World};

/// The text that a daemon wrote.
#[derive(Clone, Default)]
pub(crate) struct Page(Rc<RefCell<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The daemon's host.
pub(crate) struct DaemonHost {
    /// A job on it, whose runner lives.
    pub(crate) world: World,
    /// The settings that are read next.
    pub(crate) settings: RefCell<Result<Settings, Failure>>,
    /// Processes that have ended.
    pub(crate) dead: Rc<RefCell<BTreeSet<u32>>>,
    /// How far the wall clock has stepped, in seconds.
    pub(crate) step: Rc<Cell<i64>>,
    /// The hour of the week when the host began, from Monday's midnight.
    pub(crate) hour: Cell<u32>,
    /// Whether a time server has set the clock.
    pub(crate) set: Cell<Option<bool>>,
    /// How full the disk is.
    pub(crate) room: Rc<Cell<Option<Room>>>,
    /// How long jobs may take.
    pub(crate) limit: Cell<Duration>,
    /// How often a rule was to be chosen.
    pub(crate) choices: Cell<u32>,
    pid: Cell<u32>,
    page: Page,
    began: Instant,
    at: Moment,
}

impl DaemonHost {
    /// A host with a job that was not prepared yet.
    pub(crate) fn new() -> Self {
        let world = World::warm();
        let settings = RefCell::new(Ok(world.settings.clone()));
        Self {
            world,
            settings,
            dead: Rc::default(),
            step: Rc::default(),
            hour: Cell::new(10),
            set: Cell::new(Some(true)),
            room: Rc::default(),
            limit: Cell::new(3600 * SECOND),
            choices: Cell::new(0),
            pid: Cell::new(1_000_000),
            page: Page::default(),
            began: Instant::now(),
            at: hearth::host::moment(),
        }
    }

    /// Changes the settings that are read next.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.world.settings.clone();
        change(&mut settings);
        drop(self.settings.replace(Ok(settings)));
    }

    /// Lives with a daemon while `act` goes on; then the daemon is asked to end, which takes ten seconds at most.
    pub(crate) async fn with_daemon(&self, act: impl AsyncFnOnce(&mpsc::Sender<Wish>)) {
        let (told, wishes) = mpsc::channel(4);
        let journal = Journal::new(Box::new(self.page.clone()), true);
        let mut daemon = Box::pin(hearth::daemon::run(self, &journal, wishes));
        tokio::select! {
            biased;
            ended = &mut daemon => panic!("the daemon ended: {ended:?}\n{}", self.told()),
            () = act(&told) => {}
        }
        told.send(Wish::Stop).await.unwrap();
        let asked = Instant::now();
        daemon.await.unwrap();
        assert!(asked.elapsed() <= 10 * SECOND, "{}", self.told());
    }

    /// Lives with a daemon until the engine's calls are cut: then it is dead without a word.
    pub(crate) async fn until_cut(&self) {
        let (_told, wishes) = mpsc::channel(4);
        let journal = Journal::new(Box::new(self.page.clone()), true);
        let daemon = Box::pin(hearth::daemon::run(self, &journal, wishes));
        tokio::select! {
            biased;
            ended = daemon => panic!("the daemon ended: {ended:?}\n{}", self.told()),
            () = self.world.fake.until_cut() => {}
        }
        self.dead.borrow_mut().insert(self.pid.get());
        self.pid.set(self.pid.get() + 1);
    }

    /// Returns what was told so far.
    pub(crate) fn told(&self) -> String {
        String::from_utf8(self.page.0.borrow().clone()).unwrap()
    }

    /// Returns how often something was told.
    pub(crate) fn times_told(&self, words: &str) -> usize {
        self.told().matches(words).count()
    }

    /// Returns what the daemon wrote down.
    pub(crate) fn report(&self) -> Report {
        Report::read(&self.place()).unwrap()
    }

    /// Returns where the facts are.
    pub(crate) fn place(&self) -> StorePlace {
        StorePlace::new(&self.world.facts, Sharing::Group)
    }

    /// Returns the owner of a job whose runner is this process, prepared now.
    pub(crate) fn owner(&self, pid: u32) -> Owner {
        let process = Process { pid, started: 1, ..Process::default() };
        Owner::new(process, hearth::daemon::World::moment(self), Some(self.limit.get()))
    }

    /// Makes what a prepared job has: a helper, a build container, a network and a volume, with these labels besides the
    /// job's own.
    pub(crate) async fn make_job(&self, job: &str, owner: Option<&Owner>) {
        let fake = &self.world.fake;
        fake.image_here("registry.test/group/left:1", FakeImage::new("left"));
        let labels = |role: &str| {
            let mut labels = BTreeMap::from([
                ("hearth.job".to_owned(), job.to_owned()),
                ("hearth.role".to_owned(), role.to_owned()),
            ]);
            labels.extend(owner.map(|owner| (LABEL_OWNER.to_owned(), owner.to_string())));
            labels
        };
        let network = NetworkSpec { name: job.to_owned(), ipv6: None, mtu: None, labels: labels("network") };
        fake.create_network(&network).await.unwrap();
        let volume = VolumeSpec { name: format!("{job}-volume-cache"), kept: false, labels: labels("cache") };
        fake.create_volume(&volume).await.unwrap();
        let model = fake.spec(&self.world.names().helper()).expect("the job of this host was prepared");
        for role in ["helper", "build"] {
            let mut spec = model.clone();
            spec.name = format!("{job}-{role}");
            spec.image = "registry.test/group/left:1".to_owned();
            spec.labels = labels(role);
            for mount in &mut spec.mounts {
                mount.source = volume.name.clone();
            }
            spec.network =
                hearth::plan::spec::NetworkUse::Joined { network: job.to_owned(), aliases: Vec::new() };
            let made = fake.create_container(&spec).await.unwrap();
            assert!(matches!(made, Creation::Made(_)), "{made:?}");
            fake.start_container(&spec.name).await.unwrap();
        }
    }

    /// Lists what is there of a job that was made so.
    pub(crate) fn left_of(&self, job: &str) -> Vec<String> {
        let fake = &self.world.fake;
        let all = fake.containers().into_iter().chain(fake.networks()).chain(fake.volumes());
        all.filter(|name| name.starts_with(job)).collect()
    }
}

/// The time on all clocks, so long after a first moment and with a wall clock that has stepped by so many seconds.
fn moment(at: &Moment, passed: Duration, step: i64) -> Moment {
    let Moment { wall, boot, boot_id } = at.clone();
    let (wall, far) = (wall + passed, Duration::from_secs(step.unsigned_abs()));
    let wall = if step < 0 { wall - far } else { wall + far };
    Moment { wall, boot: boot + passed, boot_id }
}

impl hearth::daemon::World for DaemonHost {
    type Engine = Fake;
    type Registries = Fake;

    fn settings(&self) -> Result<Settings, Failure> {
        self.settings.borrow().clone()
    }

    fn engine(&self, _: &Settings) -> Result<Fake, Failure> {
        Ok(self.world.fake.clone())
    }

    fn store(&self, _: &Settings) -> Option<StorePlace> {
        Some(self.place())
    }

    fn registries(&self, _: &Settings) -> Fake {
        self.world.fake.clone()
    }

    fn operator_dir(&self, _: &Settings) -> Option<PathBuf> {
        self.world.operator_dir.clone()
    }

    fn moment(&self) -> Moment {
        moment(&self.at, self.began.elapsed(), self.step.get())
    }

    fn local_time(&self, at: Duration) -> LocalTime {
        let seconds = at.saturating_sub(self.at.wall).as_secs() + u64::from(self.hour.get()) * 3600;
        let day = u8::try_from(seconds / 86_400 % 7).unwrap();
        LocalTime { weekday: day, second_of_day: u32::try_from(seconds % 86_400).unwrap() }
    }

    fn month_began(&self, at: Duration) -> Duration {
        let month = 30 * 24 * 3600;
        let since = at.saturating_sub(self.at.wall).as_secs();
        self.at.wall + Duration::from_secs(since / month * month)
    }

    async fn clock_is_set(&self) -> Option<bool> {
        self.set.get()
    }

    fn disk(&self, _: &Path) -> Option<Room> {
        self.room.get()
    }

    fn disks(&self) -> Disks {
        let room = Rc::clone(&self.room);
        Rc::new(move |_: &Path| room.get())
    }

    fn choose_rule(&self) {
        self.choices.set(self.choices.get() + 1);
    }

    fn liveness(&self, process: Process) -> Liveness {
        if self.dead.borrow().contains(&process.pid) { Liveness::Gone } else { Liveness::Runs }
    }

    fn process(&self) -> Process {
        Process { pid: self.pid.get(), started: 1, ..Process::default() }
    }

    fn who(&self) -> Who {
        let (at, began, step) = (self.at.clone(), self.began, Rc::clone(&self.step));
        let dead = Rc::clone(&self.dead);
        let is = move |process: Process| match dead.borrow().contains(&process.pid) {
            true => Liveness::Gone,
            false => Liveness::Runs,
        };
        let this = hearth::daemon::World::process(self);
        Who::new(this, this, move || moment(&at, began.elapsed(), step.get()), is)
    }
}
