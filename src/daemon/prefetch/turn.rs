//! One turn: what is known is brought up to date, and the next thing is done.

use std::time::Duration;

use tokio::time::sleep;

use super::Prefetcher;
use super::choose::{Choice, Next, choose};
use super::way::Way;
use crate::daemon::life::Standing;
use crate::daemon::world::World;
use crate::evict::{Evictor, Here, Sight};
use crate::moment::{Liveness, Moment};
use crate::outcome::Failure;
use crate::policy::wanted::Host;
use crate::prefetch::{self, Prospect, gather, wants_nothing};
use crate::settings::ScanMode;
use crate::store::{Lease, Store};

/// How long an engine that does not answer is left alone; the daemon's rounds see to it meanwhile.
const ENGINE_PAUSE: Duration = Duration::from_secs(60);

/// What comes after a turn.
enum Then {
    /// Another one.
    Again,
    /// Nothing for so long, unless something happens; `None`: until something does.
    Rest(Option<Duration>),
}

impl<W: World> Prefetcher<'_, W> {
    /// Takes turns until the daemon is to end.
    pub(super) async fn take_turns(&self) {
        let (mut stands, mut ending) = (self.stands.clone(), self.ending.clone());
        while !*self.ending.borrow() {
            let then = {
                stands.mark_unchanged();
                let stands = self.stands.borrow().clone();
                self.turn(&stands).await
            };
            let Then::Rest(rest) = then else { continue };
            let over = async {
                match rest {
                    Some(rest) => sleep(rest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ending.wait_for(|ending| *ending) => {}
                _ = stands.changed() => {}
                () = self.changed.notified() => {}
                () = over => {}
            }
        }
    }

    async fn turn(&self, stands: &Standing) -> Then {
        let settings = &stands.settings;
        self.forget();
        if !stands.engine {
            self.state.borrow_mut().way = None;
        }
        if !stands.engine || !settings.prefetch.enabled {
            self.put_down(Vec::new(), None);
            return Then::Rest(None);
        }
        let store = self.store();
        // Without facts nobody knows what jobs use, and what is fetched is nobody's.
        if !store.is_working() {
            return Then::Rest(Some(settings.daemon.interval));
        }
        let now = self.world.moment();
        let wall = now.wall.as_secs_f64();
        self.catch_up(stands, &now);
        // Nothing is asked where there is nothing to want.
        if wants_nothing(&store, settings) && self.state.borrow().scanned.wanted().next().is_none() {
            self.put_down(Vec::new(), Some(&store));
            return Then::Rest(None);
        }
        let Ok(way) = self.way(stands).await else { return Then::Rest(Some(ENGINE_PAUSE)) };
        let preparing = self.state.borrow().jobs.is_preparing();
        let gathers_at = |is_free| match wants_nothing(&store, settings) {
            true => f64::INFINITY,
            false => self.state.borrow().gathers_at(is_free),
        };
        let is_due = gathers_at(self.host(stands, &store, &now).idle) <= wall;
        if is_due && !preparing && self.gather(&way, &store, &now).await.is_err() {
            return Then::Rest(Some(ENGINE_PAUSE));
        }
        if !preparing && self.look_up(&way, &store, wall).await {
            return Then::Again;
        }
        let prospects = self.state.borrow().prospects();
        let host = self.host(stands, &store, &now);
        let (Choice { next, queue }, may) = {
            let state = self.state.borrow();
            let of_prospect = |prospect: &Prospect| Host {
                pipeline_left: settings.prefetch.pipeline.and_then(|limit| {
                    let pipeline = prospect.candidate.pipeline.as_deref()?;
                    Some(limit.0.saturating_sub(state.memory.spent(pipeline)))
                }),
                backed_off_until: state.memory.alone_until(prospect, wall),
                ..host
            };
            let choice = choose(&prospects, &state.memory, of_prospect, wall);
            let may = match choice.next {
                Next::Bring(at, _) => {
                    let Host { month_left, pipeline_left, .. } = of_prospect(&prospects[at]);
                    month_left.into_iter().chain(pipeline_left).min()
                }
                _ => None,
            };
            (choice, may)
        };
        let has_news = self.state.borrow().gather_at <= wall && !host.idle;
        let waits_for_the_host = has_news || queue.iter().any(|planned| planned.until.is_none());
        self.put_down(queue, Some(&store));
        match next {
            Next::Look(at) => {
                self.look_at(&way, &prospects[at], wall).await;
                Then::Again
            }
            Next::Bring(at, worth) => {
                self.fetch(&way, &store, &prospects[at], (worth, may)).await;
                Then::Again
            }
            Next::Wait(until) => {
                let looks = self.next_look_up(&way.settings, &store, wall);
                let until = until.unwrap_or(f64::INFINITY).min(gathers_at(host.idle)).min(looks);
                let rest = Duration::try_from_secs_f64(until - wall).unwrap_or(settings.daemon.watch);
                // Jobs that end without a word are noticed.
                let rest = if waits_for_the_host { rest.min(settings.daemon.watch) } else { rest };
                Then::Rest(Some(rest.max(Duration::from_secs(1))))
            }
        }
    }

    /// Forgets the jobs that ended without a word, what nobody expects any more, and checkouts where none is read. Returns whether
    /// it forgot a job.
    fn forget(&self) -> bool {
        let now = self.world.moment();
        let wall = now.wall.as_secs_f64();
        let mut state = self.state.borrow_mut();
        let over = state.jobs.forget_dead(&now, |process| self.world.liveness(process));
        over.iter().for_each(|job| state.job_is_over(job, wall));
        state.scanned.forget_late(wall);
        if !self.scans() {
            state.forget_checkouts();
        }
        !over.is_empty()
    }

    /// Forgets in time, whatever the turn is at: logins are not kept for as long as an image takes to come.
    pub(super) async fn forget_in_time(&self) {
        let mut stands = self.stands.clone();
        loop {
            let watch = stands.borrow_and_update().settings.daemon.watch;
            if self.forget() {
                self.changed.notify_one();
            }
            let (has_jobs, ends) = {
                let state = self.state.borrow();
                (!state.jobs.is_empty(), state.scanned.ends())
            };
            let wall = self.world.moment().wall.as_secs_f64();
            let over = async {
                match Duration::try_from_secs_f64(ends - wall) {
                    Ok(ends) if !has_jobs || ends < watch => sleep(ends + Duration::from_secs(1)).await,
                    _ if has_jobs => sleep(watch).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                gone = stands.changed() => if gone.is_err() { return },
                () = self.heard_more.notified() => {}
                () = over => {}
            }
        }
    }

    /// Returns whether checkouts are read.
    pub(super) fn scans(&self) -> bool {
        let prefetch = &self.stands.borrow().settings.prefetch;
        prefetch.enabled && prefetch.scan != ScanMode::Off
    }

    /// Takes in what happened since the last turn.
    fn catch_up(&self, stands: &Standing, now: &Moment) {
        let wall = now.wall.as_secs_f64();
        let mut state = self.state.borrow_mut();
        state.take_in(&stands.settings, wall);
        if state.news != stands.news {
            state.news = stands.news;
            state.memory.room_changed(wall);
            state.gather_at = wall;
        }
        state.keep_time(wall);
        state.tidy();
    }

    /// Gathers what the host itself might want.
    async fn gather(&self, way: &Way<W::Engine>, store: &Store, now: &Moment) -> Result<(), Failure> {
        let wall = now.wall.as_secs_f64();
        let sight = self.sight(way, store).await?;
        let gathered = gather(store, &sight, &way.settings, self.world.local_time(now.wall), wall);
        self.state.borrow_mut().gathered(gathered, wall);
        Ok(())
    }

    pub(super) async fn sight(&self, way: &Way<W::Engine>, store: &Store) -> Result<Sight, Failure> {
        let here = Here {
            process: self.world.process(),
            moment: &|| self.world.moment(),
            clock_is_set: self.world.clock_is_set().await,
            lives: &|lease| self.world.liveness(lease.owner) != Liveness::Gone,
            disk: &|dir| self.world.disk(dir),
        };
        Evictor { engine: &way.engine, store, cache: &way.settings.cache, here }.look().await
    }

    /// Says how the host stands, whatever is asked for.
    fn host(&self, stands: &Standing, store: &Store, now: &Moment) -> Host {
        let jobs = &self.state.borrow().jobs;
        let clocks = (self.world.local_time(now.wall), self.world.month_began(now.wall));
        let lives =
            |lease: &Lease| !jobs.is_over(&lease.job) && self.world.liveness(lease.owner) != Liveness::Gone;
        let host = prefetch::host(store, &stands.settings, now, clocks, lives);
        Host { idle: host.idle && jobs.is_empty(), preparing: jobs.is_preparing(), ..host }
    }
}
