//! Brings images to this host before jobs ask for them, and never in their way.
//!
//! An actor beside the daemon's rounds, which go on while something is fetched. It hears what stages tell ([`jobs`]), reads
//! the checkouts of running jobs, and takes turns: what might be wanted is gathered, the best of what may come now is chosen
//! ([`choose`]), looked at and brought. What looking and trying taught is in [`memory`]. Nothing of it outlives the process
//! but facts: a daemon that was killed begins anew.

pub mod choose;
mod deeds;
pub mod jobs;
mod lookups;
pub mod memory;
mod scanned;
mod state;
mod telling;
mod turn;
mod way;

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::join3;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use self::jobs::Heard;
use self::state::State;
use super::journal::{Journal, Level};
use super::ledger::Ledger;
use super::life::Standing;
use super::scanning::{self, ScanDesk, ScanFault};
use super::world::World;
use crate::notice::{Inbox, Notice};
use crate::policy::Cost;
use crate::store::Store;

/// How long to wait before the socket for notices is opened again.
const SOCKET_PAUSE: Duration = Duration::from_secs(600);

/// Brings images ahead.
pub struct Prefetcher<'a, W: World> {
    world: &'a W,
    journal: &'a Journal,
    ledger: &'a Ledger<'a>,
    stands: watch::Receiver<Standing>,
    ending: watch::Receiver<bool>,
    state: RefCell<State<W::Engine>>,
    /// Something may be done now that could not before.
    changed: Notify,
    /// Jobs are known that were not, or fewer.
    heard_more: Notify,
    /// A checkout is there to be read.
    unread: Notify,
    /// What is being brought makes way.
    gives_way: Notify,
}

impl<'a, W: World> Prefetcher<'a, W> {
    /// Makes it; nothing is done yet.
    pub fn new(
        world: &'a W,
        journal: &'a Journal,
        ledger: &'a Ledger<'a>,
        stands: watch::Receiver<Standing>,
        ending: watch::Receiver<bool>,
    ) -> Self {
        let state = RefCell::new(State::new());
        let [changed, heard_more, unread, gives_way] = std::array::from_fn(|_| Notify::new());
        Self { world, journal, ledger, stands, ending, state, changed, heard_more, unread, gives_way }
    }

    /// Brings images until the daemon is to end. What is under way then is handed over to whoever waits for it, within
    /// `drain`.
    pub async fn live(self, drain: Duration) {
        let mut ending = self.ending.clone();
        let drained = async {
            // A life that is gone wants to end, too.
            let _ = ending.wait_for(|ending| *ending).await;
            sleep(drain).await;
        };
        tokio::select! {
            biased;
            () = self.take_turns() => {}
            _ = join3(self.hear(), self.read_checkouts(), self.forget_in_time()) => {}
            () = drained => {}
        }
        self.put_down_now(None);
    }

    /// Hears what stages tell.
    async fn hear(&self) {
        loop {
            let broken = match Inbox::bind(self.ledger.place()) {
                Ok(mut inbox) => {
                    self.journal.well("notices", "jobs can tell the daemon what they do again");
                    loop {
                        match inbox.recv().await {
                            Ok(notice) => self.heard(notice),
                            Err(error) => break error,
                        }
                    }
                }
                Err(error) => error,
            };
            let words = format!(
                "jobs cannot tell the daemon what they do, so nothing is fetched for running pipelines: {broken}"
            );
            self.journal.trouble("notices", Level::Warning, words);
            sleep(SOCKET_PAUSE).await;
        }
    }

    fn heard(&self, notice: Notice) {
        let now = self.world.moment();
        let mut state = self.state.borrow_mut();
        match state.jobs.hear(notice, self.scans(), &now) {
            Heard::Job => {}
            Heard::Pull(pull) => {
                if state.going.as_mut().is_some_and(|going| going.meets(&pull)) {
                    self.gives_way.notify_one();
                }
            }
            Heard::Sources(sources) => {
                state.put_unread(sources);
                self.unread.notify_one();
            }
            Heard::Over(job) => state.job_is_over(&job, now.wall.as_secs_f64()),
        }
        self.changed.notify_one();
        self.heard_more.notify_one();
    }

    /// Reads the checkouts of running jobs.
    async fn read_checkouts(&self) {
        let mut desk = ScanDesk::default();
        loop {
            let next = self.state.borrow_mut().unread.pop_front();
            let Some(sources) = next else {
                self.unread.notified().await;
                continue;
            };
            let stands = self.stands.borrow().clone();
            // Without an engine the job has ended, too.
            let Ok(way) = self.way(&stands).await else { continue };
            match scanning::read(&way.engine, &sources).await {
                Ok(scanned) => {
                    let (wishes, notes) = scanning::candidates(&scanned, &sources);
                    for note in desk.news(&sources.pipeline, notes) {
                        self.journal.say(Level::Info, format!("pipeline {}: {note}", sources.pipeline));
                    }
                    let store = self.store();
                    let mut state = self.state.borrow_mut();
                    // It may have ended meanwhile, and its rights with it.
                    if state.jobs.sources(&sources.job).is_some() {
                        state.scanned.found(wishes, &sources, |from| store.cost(from, Cost::default()));
                        self.changed.notify_one();
                    }
                }
                Err(ScanFault::Gone) => {}
                Err(fault) => {
                    let key = sources.job.split(' ').next().unwrap_or_default();
                    self.journal.say(Level::Info, format!("the checkout of {key} was not read: {fault}"));
                }
            }
        }
    }

    /// Opens the facts anew: the file may have been set aside since.
    fn store(&self) -> Store {
        Store::open(self.ledger.place(), self.world.moment().wall).0
    }
}
