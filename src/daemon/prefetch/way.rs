//! The ways to engine and registries, and what is asked and fetched through them.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::Prefetcher;
use super::memory::Looked;
use super::state::Going;
use crate::daemon::life::Standing;
use crate::daemon::world::World;
use crate::engine::{Engine, EngineVersion, Progress, StoreKind};
use crate::fetch::flight::{Departure, Leave};
use crate::fetch::{
    Arrived, Client, Coming, Desk, Fetcher, Leases, Logins, Look, OnDecided, PullFault, RoomRule, Storage,
};
use crate::image::Platform;
use crate::image::proof::Asker;
use crate::job::Owner;
use crate::joblog::JobLog;
use crate::notice::Sources;
use crate::outcome::Failure;
use crate::policy::Cost;
use crate::policy::wanted::Loses;
use crate::prefetch::{LEASES, Prospect, Whose};
use crate::settings::Settings;

/// How long bringing one image may take.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What a cut pull loses where the engine keeps the layers that are complete: nearly half of what came, of a few layers.
const UNFINISHED: f64 = 0.5;

/// The way to the engine, by the settings that it was opened with.
pub(super) struct Way<E> {
    pub(super) engine: E,
    pub(super) version: EngineVersion,
    pub(super) native: Platform,
    pub(super) kind: StoreKind,
    pub(super) settings: Rc<Settings>,
}

impl<E> Way<E> {
    fn loses(&self) -> Loses {
        match self.kind {
            StoreKind::DockerClassic => Loses::All,
            StoreKind::Containerd => Loses::Nothing,
            StoreKind::Podman => Loses::Part(UNFINISHED),
        }
    }
}

/// With whose rights something is fetched.
enum Rights {
    Host,
    Job(Rc<Sources>),
    /// With no login at all.
    Nobody,
}

impl Rights {
    fn client(&self) -> Client {
        match self {
            Self::Host | Self::Nobody => Client::host(),
            Self::Job(sources) => Client {
                number: sources.number,
                project: Some(sources.project_key.clone()),
                source: sources.source.clone(),
            },
        }
    }

    fn asker(&self) -> Asker {
        match self {
            Self::Host | Self::Nobody => Asker::host(),
            Self::Job(sources) => sources.asker.clone(),
        }
    }
}

impl<W: World> Prefetcher<'_, W> {
    /// Opens the way to the engine, unless it is open.
    ///
    /// # Errors
    /// The engine does not answer.
    pub(super) async fn way(&self, stands: &Standing) -> Result<Rc<Way<W::Engine>>, Failure> {
        if let Some(way) = &self.state.borrow().way
            && Rc::ptr_eq(&way.settings, &stands.settings)
        {
            return Ok(Rc::clone(way));
        }
        let engine = self.world.engine(&stands.settings)?;
        let version = engine.version().await?;
        let kind = engine.info().await?.store;
        let native = Platform::new(&version.os, &version.arch, "");
        let way = Rc::new(Way { engine, version, native, kind, settings: Rc::clone(&stands.settings) });
        self.state.borrow_mut().way = Some(Rc::clone(&way));
        Ok(way)
    }

    fn rights(&self, prospect: &Prospect) -> Rights {
        match &prospect.whose {
            Whose::Host => Rights::Host,
            Whose::Nobody => Rights::Nobody,
            // It may have ended since.
            Whose::Job(job) => self.state.borrow().jobs.sources(job).map_or(Rights::Nobody, Rights::Job),
        }
    }

    /// Asks the registry what an image is now and how much of it is missing. Where nothing is, but its name means something
    /// else on this host, that is put right at once.
    pub(super) async fn look(
        &self,
        way: &Way<W::Engine>,
        prospect: &Prospect,
        size: bool,
    ) -> Result<Look, PullFault> {
        let (_leave, departure) = Departure::new();
        let nothing_goes = RoomRule::Ahead { may_go: Vec::new() };
        self.fetching(way, prospect, departure, nothing_goes, async |fetcher| {
            fetcher.look_and_name(&prospect.wish, size).await
        })
        .await
    }

    /// Brings an image for which these may go, `may` compressed bytes of it at most, and hands its pull over or cuts it where it
    /// has to make way.
    pub(super) async fn bring(
        &self,
        way: &Way<W::Engine>,
        prospect: &Prospect,
        look: &Looked,
        (may_go, may): (Vec<String>, Option<u64>),
        decided: OnDecided<'_>,
    ) -> Result<Arrived, PullFault> {
        let image = &prospect.wish.reference;
        let store = self.store();
        let repository = image.full_repository().unwrap_or_default();
        let content = |digest: &str| format!("{repository}@{digest}");
        self.state.borrow_mut().going = Some(Going {
            content: content(&look.digest),
            began: Instant::now(),
            done: 0,
            total: look.missing.map(|size| size.compressed),
            loses: way.loses(),
            link: store.cost(image.registry().unwrap_or_default(), Cost::default()).download_bytes_per_second,
            may,
            gives_way: None,
        });
        let meter = |progress: &Progress| {
            if self.state.borrow_mut().going.as_mut().is_some_and(|going| going.came(progress)) {
                self.gives_way.notify_one();
            }
        };
        let decides = |coming: &Coming<'_>| {
            if let Some(going) = &mut self.state.borrow_mut().going
                && coming.digest != look.digest
            {
                going.content = content(coming.digest);
                going.total = None;
            }
            decided(coming);
        };
        let (leave, departure) = Departure::new();
        let rule = RoomRule::Ahead { may_go };
        let work = self.fetching(way, prospect, departure, rule, async |fetcher| {
            fetcher.bring_ahead(&prospect.wish, &decides, &meter).await
        });
        self.or_give_way(&leave, work).await
    }

    /// Does the work until a job needs the link more, more came than may, nothing is to be brought any more, or the daemon is to
    /// end.
    async fn or_give_way(
        &self,
        leave: &Leave,
        work: impl Future<Output = Result<Arrived, PullFault>>,
    ) -> Result<Arrived, PullFault> {
        let mut work = std::pin::pin!(work);
        let (mut ending, mut stands) = (self.ending.clone(), self.stands.clone());
        let makes_way = async {
            while self.state.borrow().going.as_ref().is_some_and(|going| going.gives_way.is_none()) {
                self.gives_way.notified().await;
            }
        };
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = makes_way => {}
            _ = stands.wait_for(|stands| !stands.settings.prefetch.enabled) => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
        let mut ended = Err(PullFault::Stopped);
        {
            let mut rest = std::pin::pin!(async { ended = work.await });
            tokio::select! {
                () = leave.wish_patiently(&mut rest) => {}
                _ = ending.wait_for(|ending| *ending) => leave.wish(&mut rest).await,
            }
        }
        ended
    }

    async fn fetching<T>(
        &self,
        way: &Way<W::Engine>,
        prospect: &Prospect,
        departure: Departure,
        rule: RoomRule,
        act: impl AsyncFnOnce(&Fetcher<'_, W::Engine, W::Registries>) -> Result<T, PullFault>,
    ) -> Result<T, PullFault> {
        let Way { engine, version, native, settings, .. } = way;
        // What a fetch tells goes into its result; its other lines are for people who wait.
        let log = JobLog::new(Box::new(io::sink()));
        let rights = self.rights(prospect);
        let operator_dir = self.world.operator_dir(settings);
        let logins = match &rights {
            Rights::Host => Logins::of_host(operator_dir.as_deref(), &log),
            Rights::Nobody => Logins::of_host(None, &log),
            Rights::Job(sources) => {
                let variable = sources.docker_auth_config.as_ref();
                // Else jobs have what belongs to the user of their runner, which is not that of this daemon.
                let for_jobs = operator_dir.filter(|_| settings.pull.docker_config_dir.is_some());
                Logins::from_parts(&sources.credentials, variable, for_jobs.as_deref(), &log)
            }
        };
        let (client, asker) = (rights.client(), rights.asker());
        drop(rights);
        let registries = self.world.registries(settings);
        let desk = Desk::open(self.store(), registries, departure, asker, engine, version)
            .await
            .map_err(PullFault::Engine)?;
        let who = self.world.who();
        let owner = Owner::new(who.this, who.moment(), Some(LONGEST));
        let leases = Leases::new(LEASES.to_owned(), owner, who);
        let storage = Storage::new(self.world.disks(), rule);
        let fetcher = Fetcher {
            engine,
            desk: &desk,
            client: &client,
            settings,
            native,
            logins: &logins,
            leases: &leases,
            storage: &storage,
            log: &log,
        };
        act(&fetcher).await
    }
}
