//! Room on the disk for what is brought: looked for before a pull whose size is known, and once when the disk is full.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::Fetcher;
use super::fault::PullFault;
use super::flight::{Meeting, Place, State};
use super::inquiry::Inquiry;
use super::registries::Registries;
use crate::engine::Engine;
use crate::evict::{Ahead, Blocked, Disks, Evictor, Here, Occasion, Report, Room, Site, Told, pressing};
use crate::host;
use crate::image::Compressed;
use crate::image::decide::Pull;
use crate::image::index::ManifestBody;
use crate::joblog::JobLog;
use crate::moment::Liveness;
use crate::outcome::Failure;
use crate::policy::{Ending, Size};
use crate::store::{Content, Lease};
use crate::units::ByteSize;

/// How often a leader gives a sign of life while it makes room.
const SIGN: Duration = Duration::from_secs(2);

/// What may go for what is brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomRule {
    /// A job needs it: whatever the policy lets go.
    Job,
    /// No job needs it yet: these images alone, by the engine's IDs, if the policy lets them go. Where that is not enough it
    /// does not come.
    Ahead {
        /// The images.
        may_go: Vec<String>,
    },
}

/// How there is made room on this host for what is brought.
pub struct Storage {
    disk: Disks,
    rule: RoomRule,
    /// Whether room was made since the disk was full; it is once for each job.
    made: Mutex<Option<bool>>,
    pulled: Cell<bool>,
}

impl Storage {
    /// `disk` measures the disk of a directory.
    pub fn new(disk: Disks, rule: RoomRule) -> Self {
        Self { disk, rule, made: Mutex::new(None), pulled: Cell::new(false) }
    }

    /// Returns whether this job has brought an image.
    pub fn has_pulled(&self) -> bool {
        self.pulled.get()
    }

    pub(super) fn pulled(&self) {
        self.pulled.set(true);
    }
}

impl<E: Engine, R: Registries> Fetcher<'_, E, R> {
    /// Does something; where the disk is full, once more after room was made.
    ///
    /// # Errors
    /// Its failure, or that of the second try.
    pub async fn with_room<T>(&self, act: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
        match act().await {
            Err(failure) if failure.no_space && self.make_room_once(0).await => act().await,
            ended => ended,
        }
    }

    /// Makes room once after a pull, if that took the disk above its marks.
    pub async fn tidy_up(&self) {
        if self.storage.has_pulled() {
            self.make_room(Occasion::AfterPull).await;
        }
    }

    /// Makes room on a disk that is full, as the engine says. Returns whether it is worth another try.
    async fn make_room_once(&self, bytes: u64) -> bool {
        if self.storage.rule != RoomRule::Job {
            return false;
        }
        let mut made = self.storage.made.lock().await;
        if let Some(made) = *made {
            return made;
        }
        self.log.line("The engine's disk is full: making room on it ...");
        let went = self.make_room(Occasion::NoSpace { bytes }).await;
        if !went {
            self.log.warn("WARNING: nothing could be removed that would make room");
        }
        *made = Some(went);
        went
    }

    /// Lets images go on an occasion, and says what came of it. Returns whether anything may have gone. No names are told: they may
    /// be another project's.
    async fn make_room(&self, occasion: Occasion) -> bool {
        let mut waited = false;
        let turn = self.turn(occasion, &mut waited).await;
        // Who was waited for made room too.
        turn.is_some_and(|report| said(self.log, &report)) || waited
    }

    /// Does a turn of the evictor by the rule of the one who pulls; `None`: the engine did not answer.
    async fn turn(&self, occasion: Occasion, waited: &mut bool) -> Option<Report> {
        let who = self.leases.who();
        let here = Here {
            process: who.this,
            moment: &|| who.moment(),
            clock_is_set: host::clock_is_set(),
            lives: &|lease: &Lease| who.liveness(lease.owner) != Liveness::Gone,
            disk: &*self.storage.disk,
        };
        let (engine, store, cache) = (self.engine, &self.desk.store, &self.settings.cache);
        // What was learned so far is what the evictor goes by.
        self.desk.write_down();
        let evictor = Evictor { engine, store, cache, here };
        let mut told = |told| {
            *waited |= told == Told::Waits;
            tell(self.log, &told);
        };
        let turn = match (&self.storage.rule, occasion) {
            (RoomRule::Ahead { may_go }, Occasion::Ahead { needs }) => {
                let stops = &|| self.desk.departure.is_wished();
                evictor.turn_ahead(needs, &Ahead { may_go, stops }, &mut told).await
            }
            _ => evictor.turn(occasion, &mut told).await,
        };
        let warn = |failure: &Failure| {
            self.log.warn(format!("WARNING: no room could be made: {}", failure.message));
        };
        turn.inspect_err(warn).ok()
    }

    /// Makes sure that there is room for what no job waits for. It is not to be dropped: a removal that was begun has to
    /// end, since the mark of one that was dropped would hold up a job that needs the image.
    async fn room_ahead(&self, needs: Size) -> Result<(), PullFault> {
        let _held = self.desk.departure.hold();
        // That room could not be looked for does not say that there is none.
        let not_now = |words: &str| Err(PullFault::Transient(words.to_owned()));
        let Some(report) = self.turn(Occasion::Ahead { needs }, &mut false).await else {
            return not_now("the engine did not say whether there is room on its disk");
        };
        if report.busy {
            return not_now("another process makes room on this host's disk");
        }
        let bytes = needs.unpacked.saturating_add(needs.compressed);
        said(self.log, &report);
        let fits = match &report.blocked {
            // Where no limit is kept the disk itself is one.
            Some(Blocked::Off | Blocked::NoStore) => {
                self.room().await.is_none_or(|room| room.free_bytes >= bytes)
            }
            Some(Blocked::Clock(_) | Blocked::OlderJobs(_)) => report.stuck.is_none(),
            None => {
                matches!(report.ending, Some(Ending::NotNeeded | Ending::Enough)) && report.stuck.is_none()
            }
        };
        match fits {
            true => Ok(()),
            false => Err(PullFault::NoSpace(match report.blocked {
                Some(blocked) => format!("{} are needed, and nothing is removed: {blocked}", ByteSize(bytes)),
                None => {
                    format!("{} are needed, and nothing may go for it that is worth less", ByteSize(bytes))
                }
            })),
        }
    }

    /// Makes room for a pull whose size is known, where the disk may be too full for it.
    async fn make_room_for(&self, inquiry: &Inquiry<'_>, wanted: &Pull) {
        let cache = &self.settings.cache;
        if !cache.evict || !self.desk.store.is_working() {
            return;
        }
        let known = self.content_of(wanted);
        let most = match (&known, transfer(inquiry)) {
            (Some(content), _) => bytes_of(content, &BTreeSet::new()),
            (None, Some(compressed)) => compressed.saturating_add(Compressed::unpacked(compressed)),
            (None, None) => return,
        };
        let occasion = Occasion::BeforePull { bytes: most };
        if !self.may_be_pressed(&occasion).await {
            return;
        }
        let bytes = match known {
            Some(content) => bytes_of(&content, &self.layers_here().await),
            None => most,
        };
        self.make_room(Occasion::BeforePull { bytes }).await;
    }

    /// Says from the disk alone whether there may be too little room.
    async fn may_be_pressed(&self, occasion: &Occasion) -> bool {
        let cache = &self.settings.cache;
        let Some(site) = self.site().await else { return false };
        let room = site.measure(&*self.storage.disk);
        room.is_none() || pressing(cache, room.as_ref(), occasion)
    }

    /// Finds where images lie; `None`: the engine does not say.
    async fn site(&self) -> Option<Site> {
        match &self.settings.cache.data_root {
            Some(dir) => Some(Site::Here(dir.clone())),
            None => {
                let info = self.engine.info().await.ok()?;
                Some(Site::find(&info, self.engine.endpoint(), None, &*self.storage.disk))
            }
        }
    }

    async fn room(&self) -> Option<Room> {
        self.site().await?.measure(&*self.storage.disk)
    }

    /// What is on record of what shall be pulled, where its layers are.
    pub(super) fn content_of(&self, wanted: &Pull) -> Option<Content> {
        let digests = [Some(wanted.digest.as_str()), wanted.manifest.as_deref()];
        let which = |content: &Content| digests.contains(&Some(content.key.digest.as_str()));
        let mut found = None;
        self.desk.store.contents_that(which, |content| {
            if !content.layers.is_empty() {
                found = Some(content);
            }
        });
        found
    }

    /// The layers that are here, as far as the store knows them.
    pub(super) async fn layers_here(&self) -> BTreeSet<String> {
        let images = self.engine.images().await.unwrap_or_default();
        let ids: BTreeSet<&str> = images.iter().map(|image| image.id.as_str()).collect();
        let mut here = BTreeSet::new();
        self.desk.store.contents_that(
            |content| content.engine_id.as_deref().is_some_and(|id| ids.contains(id)),
            |content| here.extend(content.layers_on_host().iter().map(|layer| layer.chain.clone())),
        );
        here
    }

    /// As [`Self::make_room_for`], by the one that others wait for.
    pub(super) async fn room_to_pull(
        &self,
        inquiry: &Inquiry<'_>,
        wanted: &Pull,
        mut meeting: Option<&mut Meeting>,
        place: Option<&Place>,
    ) -> Result<(), PullFault> {
        match self.storage.rule {
            RoomRule::Job => {
                self.leading(Box::pin(self.make_room_for(inquiry, wanted)), meeting, place).await
            }
            RoomRule::Ahead { .. } => {
                let needs = Box::pin(self.missing(inquiry, wanted, true));
                let needs = self.leading(needs, meeting.as_deref_mut(), place).await??.unwrap_or_default();
                let room = self.signing(Box::pin(self.room_ahead(needs)), meeting, place).await;
                if self.desk.departure.is_wished() { Err(PullFault::Stopped) } else { room }
            }
        }
    }

    /// Makes room after a pull that found the disk full. Returns whether it is worth another try.
    pub(super) async fn room_again(
        &self,
        inquiry: &Inquiry<'_>,
        wanted: &Pull,
        meeting: Option<&mut Meeting>,
        place: Option<&Place>,
    ) -> Result<bool, PullFault> {
        let known = self.content_of(wanted);
        let told =
            transfer(inquiry).map(|compressed| compressed.saturating_add(Compressed::unpacked(compressed)));
        let bytes = known.map(|content| bytes_of(&content, &BTreeSet::new())).or(told).unwrap_or_default();
        self.leading(Box::pin(self.make_room_once(bytes)), meeting, place).await
    }

    /// Does something while others are told that this one is alive, and drops it if it has to go.
    async fn leading<T>(
        &self,
        work: impl Future<Output = T>,
        meeting: Option<&mut Meeting>,
        place: Option<&Place>,
    ) -> Result<T, PullFault> {
        let mut departure = self.desk.departure.clone();
        tokio::select! {
            biased;
            done = self.signing(work, meeting, place) => Ok(done),
            () = departure.wished() => Err(PullFault::Stopped),
        }
    }

    /// Does something while others are told that this one is alive.
    async fn signing<T>(
        &self,
        work: impl Future<Output = T>,
        mut meeting: Option<&mut Meeting>,
        place: Option<&Place>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let mut tick = interval(SIGN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = tick.tick() => {
                    place.inspect(|place| place.sign());
                    if let Some(meeting) = meeting.as_deref_mut() {
                        meeting.say(&State::Pulls("it makes room on the disk".to_owned()));
                    }
                }
            }
        }
    }
}

/// What a pull transfers, where a manifest told; layers that are here count too.
pub(super) fn transfer(inquiry: &Inquiry<'_>) -> Option<u64> {
    inquiry.manifest.borrow().as_ref().map(ManifestBody::bytes)
}

/// What a pull of an image needs where these layers are here: compressed ones for a while, and the unpacked ones.
fn bytes_of(content: &Content, here: &BTreeSet<String>) -> u64 {
    let missing = content.layers.iter().filter(|layer| !here.contains(&layer.chain));
    missing.fold(0, |sum: u64, layer| {
        let unpacked =
            layer.unpacked.or_else(|| layer.compressed.map(Compressed::unpacked)).unwrap_or_default();
        sum.saturating_add(unpacked).saturating_add(layer.compressed.unwrap_or_default())
    })
}

fn tell(log: &JobLog, told: &Told) {
    match told {
        Told::Waits => log.line("Another process makes room on this host's disk; waiting for it ..."),
        Told::Begins(why) => log.line(format!("Making room on this host's disk: {why} ...")),
        Told::Stuck(words) => log.warn(format!("WARNING: {words}")),
        Told::Gone(_) | Told::Left(_) | Told::VolumeGone(_) | Told::BuildCache(_) => {}
    }
}

/// Says what went; returns whether anything did.
fn said(log: &JobLog, report: &Report) -> bool {
    let images = report.gone.len();
    if images == 0 && report.build_cache == 0 && report.volumes.is_empty() {
        return false;
    }
    let freed = match report.before.zip(report.after) {
        Some((before, after)) => {
            let freed = after.free_bytes.saturating_sub(before.free_bytes);
            format!("{} became free", ByteSize(freed))
        }
        None => {
            let held: u64 = report.gone.iter().map(|gone| gone.reckoned).sum();
            format!("about {}", ByteSize(held))
        }
    };
    let what = if images == 1 { "image" } else { "images" };
    log.line(format!("Made room on this host's disk: {images} {what} removed, {freed}"));
    true
}
