//! The daemon's life: it connects, does what is due, waits, and ends in good order.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::agenda::{Agenda, Step, Why};
use super::attention::Attention;
use super::ears::Ears;
use super::journal::{Journal, Level};
use super::ledger::Ledger;
use super::lock::Lock;
use super::notify::Notifier;
use super::prefetch::Prefetcher;
use super::pressure;
use super::report::{EngineReport, Report, Said};
use super::round::{Round, Rounded};
use super::signals::Wish;
use super::world::World;
use crate::engine::{Engine, Events};
use crate::evict::Site;
use crate::outcome::Failure;
use crate::settings::Settings;
use crate::store::Store;

/// How long what is under way may go on once the daemon is to end: it shall be gone within ten seconds.
const DRAIN: Duration = Duration::from_secs(8);
/// Nobody waits for a sign of life.
const NEVER: Duration = Duration::from_secs(86_400);

/// What the rest of the daemon goes by, as the life finds it.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The settings in force.
    pub settings: Rc<Settings>,
    /// Whether the engine answers.
    pub engine: bool,
    /// How often something happened that may change which images are here.
    pub news: u64,
}

/// The daemon.
pub struct Daemon<'a, W: World> {
    world: &'a W,
    journal: &'a Journal,
    notifier: &'a Notifier,
    ledger: &'a Ledger<'a>,
    settings: Rc<Settings>,
    agenda: Agenda,
    standing: watch::Sender<Standing>,
    /// Where the engine keeps images.
    site: Site,
    began: Instant,
}

/// Makes this process the host's daemon, and looks after the host until it is asked to end.
///
/// # Errors
/// The settings are wrong, there is no place for facts, or another daemon looks after the host.
pub async fn run<W: World>(
    world: &W,
    journal: &Journal,
    wishes: mpsc::Receiver<Wish>,
) -> Result<(), Failure> {
    let notifier = Notifier::default();
    let settings = Rc::new(world.settings()?);
    let place = world.store(&settings).ok_or_else(|| {
        Failure::system("there is no place for this host's store: neither [store] dir nor HOME is set")
    })?;
    let now = world.moment().wall;
    // It makes its directory with the rights it needs; what is wrong with it is said in rounds.
    drop(Store::open(&place, now));
    let _lock = Lock::take(&place, world.process().pid)?;
    let ledger = Ledger::new(first_report(world), place, journal);
    let (standing, stands) =
        watch::channel(Standing { settings: Rc::clone(&settings), engine: false, news: 0 });
    let ears = Ears::new(wishes, DRAIN);
    let prefetcher = Prefetcher::new(world, journal, &ledger, stands, ears.ending());
    let agenda = Agenda::new(&settings.daemon);
    let (notifier, ledger, began) = (&notifier, &ledger, Instant::now());
    let daemon =
        Daemon { world, journal, notifier, ledger, settings, agenda, standing, site: Site::Elsewhere, began };
    let mut life = pin!(async {
        let (daemon, ()) = join(daemon.live(ears), prefetcher.live(DRAIN)).await;
        daemon.end();
    });
    let every = notifier.alive_every();
    loop {
        tokio::select! {
            () = &mut life => return Ok(()),
            () = sleep(every.unwrap_or(NEVER)) => if every.is_some() { notifier.alive() },
        }
    }
}

fn first_report<W: World>(world: &W) -> Report {
    let since = world.moment().wall.as_secs();
    Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: world.process().pid,
        since,
        engine: EngineReport { since, ..EngineReport::default() },
        ..Report::default()
    }
}

impl<W: World> Daemon<'_, W> {
    async fn live(mut self, mut ears: Ears) -> Self {
        let (version, facts) = (env!("CARGO_PKG_VERSION"), self.ledger.place().directory.display());
        let words = format!("hearth {version} looks after this host; its facts are in {facts}");
        self.journal.say(Level::Info, words);
        self.notifier.ready("waiting for the engine");
        let mut engine: Option<W::Engine> = None;
        let stopping = Cell::new(false);
        while ears.asked.end.is_none() {
            match (self.agenda.next(self.now()), &engine) {
                (Step::Connect, _) | (Step::Round(_), None) => {
                    let way = connect(self.world, &self.settings);
                    match ears.during(way, || ()).await {
                        Some(Ok(way)) => {
                            ears.listen(Some(way.events));
                            self.site = way.site;
                            self.connected(&way.engine);
                            engine = Some(way.engine);
                        }
                        Some(Err(failure)) => self.failed(&failure.message),
                        None => {}
                    }
                }
                (Step::Round(why), Some(way)) => {
                    self.agenda.begun();
                    let round = Round {
                        world: self.world,
                        engine: way,
                        settings: &self.settings,
                        place: self.ledger.place(),
                        journal: self.journal,
                        stopping: &stopping,
                    };
                    let begun = Instant::now();
                    match ears.during(round.run(why), || stopping.set(true)).await {
                        Some(Ok(mut rounded)) => {
                            let failed = rounded.failed.take();
                            rounded
                                .owners
                                .iter()
                                .for_each(|owners| ears.attention.watch_only(owners.clone()));
                            self.rounded(why, begun.elapsed(), rounded);
                            if let Some(failure) = failed {
                                engine = None;
                                ears.listen(None);
                                self.failed(&failure.message);
                            }
                        }
                        Some(Err(error)) => {
                            // An engine that was started again may be another version.
                            engine = None;
                            ears.listen(None);
                            self.failed(&error.to_string());
                        }
                        None => {
                            self.journal.say(Level::Notice, "a round was broken off, since the daemon ends")
                        }
                    }
                }
                (Step::Watch, _) => self.watch(&mut ears.attention),
                (Step::Wait(until), _) => ears.until(self.began + until).await,
            }
            if let Some(error) = ears.deaf.take() {
                engine = None;
                self.failed(&error.to_string());
            }
            if ears.attention.news_of_images() {
                self.agenda.heard(self.now());
                self.standing.send_modify(|standing| standing.news += 1);
            }
            if std::mem::take(&mut ears.asked.reload) && ears.asked.end.is_none() && self.reload() {
                engine = None;
                ears.listen(None);
            }
        }
        self
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn connected(&mut self, engine: &W::Engine) {
        let endpoint = engine.endpoint().to_owned();
        self.journal.well("engine", &format!("the engine at {endpoint} answers again"));
        self.engine_answers(true);
        self.ledger.change(|report| report.engine.endpoint = endpoint);
        self.agenda.connected(self.began.elapsed());
    }

    fn engine_answers(&mut self, answers: bool) {
        let now = self.world.moment().wall.as_secs();
        self.ledger.change(|Report { engine, .. }| {
            if engine.answers != answers {
                (engine.answers, engine.since) = (answers, now);
            }
        });
        self.standing.send_modify(|standing| standing.engine = answers);
    }

    fn failed(&mut self, words: &str) {
        let first = self.ledger.look(|report| report.engine.answers || report.last_error.is_none());
        self.journal.trouble("engine", Level::Warning, format!("{words}; it is tried again and again"));
        self.agenda.failed(self.began.elapsed());
        self.engine_answers(false);
        let said = Said::new(self.world.moment().wall, words);
        self.ledger.change(|report| report.last_error = Some(said));
        self.notifier.status("waiting for the engine");
        if first {
            self.write_report();
        }
    }

    fn rounded(&mut self, why: Why, took: Duration, rounded: Rounded) {
        self.agenda.done(self.now(), why);
        let room = self.site.measure(&|dir| self.world.disk(dir));
        let disk = pressure::report(&self.site, room.as_ref());
        let now = self.world.moment().wall;
        let Rounded { report: mut round, doubt, .. } = rounded;
        (round.at, round.why, round.seconds) = (now.as_secs(), why.to_string(), took.as_secs_f64());
        if round.done.images > 0 {
            self.standing.send_modify(|standing| standing.news += 1);
        }
        self.ledger.change(|report| {
            report.disk = disk;
            if let Some(problem) = round.problems.first() {
                report.last_error = Some(Said::new(now, problem));
            }
            report.total.add(round.done);
            report.clock = doubt;
            report.last_round = Some(round);
        });
        self.notifier.status("looking after the host");
        self.write_report();
    }

    fn watch(&mut self, attention: &mut Attention) {
        let room = self.site.measure(&|dir| self.world.disk(dir));
        let too_full = room.is_some_and(|room| pressure::is_too_full(&room, &self.settings.cache));
        self.agenda.watched(self.now(), too_full);
        let disk = pressure::report(&self.site, room.as_ref());
        self.ledger.change(|report| report.disk = disk);
        if attention.owner_died(&self.world.moment(), |process| self.world.liveness(process)) {
            self.agenda.want(Why::OwnerGone);
        }
    }

    /// Reads the settings anew; `false`: the old ones stay in force.
    fn reload(&mut self) -> bool {
        self.notifier.reloading();
        let loaded = self.world.settings();
        let is_good = loaded.is_ok();
        match loaded {
            Ok(settings) => {
                if self.world.store(&settings).as_ref() != Some(self.ledger.place()) {
                    let words = "the store's directory is another one now: the daemon uses the old one until it is restarted";
                    self.journal.say(Level::Warning, words);
                }
                self.settings = Rc::new(settings);
                let settings = Rc::clone(&self.settings);
                self.standing.send_modify(|standing| standing.settings = settings);
                self.agenda.reloaded(self.began.elapsed(), &self.settings.daemon);
                self.agenda.disconnected();
                self.journal.say(Level::Notice, "the settings were read anew");
            }
            Err(failure) => {
                let words =
                    format!("the new settings are not right, so the old ones stay in force: {failure}");
                let said = Said::new(self.world.moment().wall, &words);
                self.ledger.change(|report| report.last_error = Some(said));
                self.journal.say(Level::Error, words);
                self.write_report();
            }
        }
        self.notifier.ready("looking after the host");
        is_good
    }

    fn end(self) {
        self.notifier.stopping();
        self.ledger.change(|report| report.next_round = None);
        self.ledger.write();
        self.journal.say(Level::Info, "the daemon ends");
    }

    fn write_report(&mut self) {
        let wait = self.agenda.next_tick().saturating_sub(self.now());
        let next = (self.world.moment().wall + wait).as_secs();
        self.ledger.change(|report| report.next_round = Some(next));
        self.ledger.write();
    }
}

/// The way to the engine.
struct Way<E> {
    engine: E,
    events: Events,
    site: Site,
}

async fn connect<W: World>(world: &W, settings: &Settings) -> Result<Way<W::Engine>, Failure> {
    let engine = world.engine(settings)?;
    let events = engine.events().await?;
    let info = engine.info().await?;
    let site =
        Site::find(&info, engine.endpoint(), settings.cache.data_root.as_deref(), &|dir| world.disk(dir));
    Ok(Way { engine, events, site })
}
