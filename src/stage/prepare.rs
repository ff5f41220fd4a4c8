//! `hearth prepare`: images, network, volumes and containers, so that the stages find them ready.

use std::pin::pin;

use futures_util::future::{Either, join, join_all, select};
use tokio::time::Instant;

use super::apply::{self, NotMade};
use super::around::Around;
use super::begin::Begun;
use super::courier::Courier;
use super::found::{self, Found};
use super::hint::BuildHint;
use super::leases;
use super::services;
use crate::daemon;
use crate::engine::{API_HINT_FILE, Engine, EngineVersion};
use crate::fetch::{Client, Desk, Fetcher, Logins, Registries, RoomRule, Storage};
use crate::image::Platform;
use crate::joblog::JobLog;
use crate::outcome::Failure;
use crate::plan::spec::ContainerSpec;
use crate::plan::{Context, Ground, ImageWish, JobPlan, Wishes};
use crate::store::VolumeUse;

/// Prepares a job. It may be run again after it was killed at any point.
pub async fn run<E: Engine, R: Registries>(
    begun: &Begun,
    engine: &E,
    around: Around<R>,
    log: &JobLog,
) -> Result<(), Failure> {
    let began = Instant::now();
    let Begun { job, names, settings, hints, .. } = begun;
    for note in &job.notes {
        log.note(note);
    }
    let version = engine.version().await?;
    hints.write(API_HINT_FILE, &version.api);
    log.line(greeting(&version, settings.runner.as_deref()));
    let native = Platform::new(&version.os, &version.arch, "");
    let wishes = Wishes::decide(job, &settings.job, &native)?;
    let Around { operator_dir, registries, store, who, disk, departure } = around;
    let courier = {
        let who = who.clone();
        Courier::new(Some(store.place().clone()), move || who.clone())
    };
    let leases = leases::of(begun, who);
    let preparing = courier.preparing(begun, leases.owner());
    let ground = Ground::decide(job, names, settings, Some(leases.owner()))?;
    for note in wishes.notes.iter().chain(&ground.notes) {
        log.note(note);
    }

    let logins = Logins::read(job, operator_dir.as_deref(), log);
    let kept: Vec<&str> = ground.volumes.iter().filter(|v| v.kept).map(|v| v.name.as_str()).collect();
    let volumes = kept.iter().map(|name| VolumeUse::leased(name));
    leases.on_references(&store, wishes.images(), volumes, log).await;
    let mut desk = Desk::open(store, registries, departure, job.asker().clone(), engine, &version).await?;
    desk.on_pull(preparing.of_pulls());
    let (desk, leases, logins, native) = (&desk, &leases, &logins, &native);
    let (client, storage) = (&Client::of(job), &Storage::new(disk, RoomRule::Job));
    let fetcher = Fetcher { engine, desk, client, settings, native, logins, leases, storage, log };
    let used = kept.iter().map(|name| VolumeUse { name: (*name).to_owned() });
    desk.learn(|batch| batch.volumes.extend(used));
    // What an attempt before this one asked for may come even later.
    let in_doubt = hints.was_making();
    hints.set_making(true);
    let made = looked_up_and_made(Found::of(&fetcher, &wishes), make_ground(&fetcher, &ground)).await;
    desk.write_down();
    if let Err(failure) = &made {
        hints.set_making(in_doubt || failure.unanswered);
    }
    let (found, network) = made?;
    let images = &found.images()?;

    let (owner, engine_name) = (leases.owner(), &version.name);
    let context =
        Context { job, names, settings, ground: &ground, network: &network, engine: engine_name, owner };
    let make = Make { engine, fetcher: &fetcher, wishes: &wishes, log };
    for service in &wishes.services {
        log.line(format!("Starting service {} ...", service.image.reference.familiar()));
    }
    let plan = make.everything(JobPlan::decide(&context, &wishes, images)).await;
    hints.set_making(in_doubt || plan.as_ref().is_err_and(|failure| failure.unanswered));
    let plan = plan?;
    hints.set_build(if plan.start_build { &BuildHint::Idle } else { &BuildHint::Entrypoint });
    let created = began.elapsed();
    let ready = services::wait_until_ready(engine, &plan, &settings.job, log);
    let tidied = async {
        // A daemon hears of pulls by itself.
        if !daemon::lock::Lock::is_held(desk.store.place()) {
            fetcher.tidy_up().await;
        }
    };
    let (ready, ()) = join(ready, tidied).await;
    ready?;
    desk.learn(|batch| batch.times.push(found.time(job, names, began.elapsed(), created)));
    desk.write_down();
    if let Some(trouble) = desk.store.trouble() {
        log.warn(format!("WARNING: {trouble}"));
    }
    if log.is_broken() {
        return Err(Failure::system("the reader of the job log hung up while the job was prepared"));
    }
    Ok(())
}

/// Makes network and volumes, and returns the network's ID. All calls are over when it returns, also after an error.
async fn make_ground<E: Engine, R: Registries>(
    fetcher: &Fetcher<'_, E, R>,
    ground: &Ground,
) -> Result<String, Failure> {
    let Fetcher { engine, log, .. } = *fetcher;
    let network = async {
        match &ground.network {
            Some(spec) => fetcher.with_room(async || apply::network(engine, spec, log).await).await,
            None => Ok(String::new()),
        }
    };
    let volumes = ground.volumes.iter();
    let volumes =
        join_all(volumes.map(|volume| fetcher.with_room(async || apply::volume(engine, volume).await)));
    let (network, volumes) = join(network, volumes).await;
    volumes.into_iter().collect::<Result<(), _>>()?;
    network
}

/// Waits for both, or for the first failure; but `made` is waited for in any case. What the engine is making when its
/// caller goes away would appear after cleanup.
async fn looked_up_and_made<T, U>(
    looked_up: impl Future<Output = Result<T, Failure>>,
    made: impl Future<Output = Result<U, Failure>>,
) -> Result<(T, U), Failure> {
    match select(pin!(looked_up), pin!(made)).await {
        Either::Left((found, made)) => {
            let made = made.await;
            Ok((found?, made?))
        }
        Either::Right((made, looked_up)) => {
            let made = made?;
            Ok((looked_up.await?, made))
        }
    }
}

fn greeting(version: &EngineVersion, runner: Option<&str>) -> String {
    let runner = runner.map(|name| format!(", settings of runner {name}")).unwrap_or_default();
    format!(
        "hearth {} on {} ({}/{}){runner}",
        env!("CARGO_PKG_VERSION"),
        version.name,
        version.os,
        version.arch
    )
}

/// Waits for all to end; the first failure in their order counts.
async fn all(parts: impl Iterator<Item = impl Future<Output = Result<(), Failure>>>) -> Result<(), Failure> {
    join_all(parts).await.into_iter().collect()
}

/// As [`all`], for two.
async fn both(
    one: impl Future<Output = Result<(), Failure>>,
    other: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let (one, other) = join(one, other).await;
    one.and(other)
}

/// Makes and starts containers.
struct Make<'a, E, R> {
    engine: &'a E,
    fetcher: &'a Fetcher<'a, E, R>,
    wishes: &'a Wishes,
    log: &'a JobLog,
}

impl<E: Engine, R: Registries> Make<'_, E, R> {
    /// Makes all containers. All calls are over when it returns, also after an error.
    async fn everything(&self, mut plan: JobPlan) -> Result<JobPlan, Failure> {
        if services::need_addresses(&plan) {
            self.helper_and_services(&plan).await?;
            let lines = services::host_lines(self.engine, &plan).await?;
            plan.build.extra_hosts.extend(lines.iter().cloned());
            both(services::tell_helper(self.engine, &plan, &lines), self.build(&plan)).await?;
        } else {
            both(self.helper_and_services(&plan), self.build(&plan)).await?;
        }
        Ok(plan)
    }

    async fn helper_and_services(&self, plan: &JobPlan) -> Result<(), Failure> {
        let helper = async {
            self.container(&plan.helper, &self.wishes.helper).await?;
            if plan.helper_first && !plan.services.is_empty() {
                services::start_helper(self.engine, plan).await
            } else {
                self.start(&plan.helper).await
            }
        };
        if plan.helper_first {
            both(helper, self.services(plan, |spec, wish| self.container(spec, wish))).await?;
            self.services(plan, |spec, _| self.start(spec)).await
        } else {
            let made_and_started = |spec, wish| async move {
                self.container(spec, wish).await?;
                self.start(spec).await
            };
            both(helper, self.services(plan, made_and_started)).await
        }
    }

    async fn services<'p, F>(
        &'p self,
        plan: &'p JobPlan,
        act: impl Fn(&'p ContainerSpec, &'p ImageWish) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let services = plan.services.iter().zip(&self.wishes.services);
        all(services.map(|(service, wish)| act(&service.container, &wish.image))).await
    }

    async fn build(&self, plan: &JobPlan) -> Result<(), Failure> {
        self.container(&plan.build, &self.wishes.build).await?;
        if plan.start_build { self.start(&plan.build).await } else { Ok(()) }
    }

    /// Makes a container; where the disk is full, again after room was made.
    async fn container(&self, spec: &ContainerSpec, wish: &ImageWish) -> Result<(), Failure> {
        self.fetcher.with_room(async || self.made(spec, wish).await).await
    }

    /// Starts a container; where the disk is full, again after room was made.
    async fn start(&self, spec: &ContainerSpec) -> Result<(), Failure> {
        self.fetcher.with_room(async || apply::start(self.engine, spec).await).await
    }

    /// An image that went between look and create is fetched again once.
    async fn made(&self, spec: &ContainerSpec, wish: &ImageWish) -> Result<(), Failure> {
        match apply::container(self.engine, spec, self.log).await {
            Ok(()) => return Ok(()),
            Err(NotMade::Failed(failure)) => return Err(failure),
            Err(NotMade::ImageMissing) => {}
        }
        let name = wish.reference.familiar();
        self.log.line(format!(
            "{} {name} went before its container was made; bringing it again ...",
            wish.purpose
        ));
        let image = found::again(self.fetcher, wish).await?.image.pinned;
        let spec = ContainerSpec { image, ..spec.clone() };
        match apply::container(self.engine, &spec, self.log).await {
            Ok(()) => Ok(()),
            Err(NotMade::Failed(failure)) => Err(failure),
            Err(NotMade::ImageMissing) => {
                Err(Failure::system(format!("{} {name} went twice while it was being used", wish.purpose))
                    .hint("something on this host removes images while jobs start"))
            }
        }
    }
}
