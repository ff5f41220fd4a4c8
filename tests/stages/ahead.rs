//! Images that are brought before a job asks: what is asked, what comes, whose proofs come of it, and who joins whom.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use hearth::engine::fake::{Call, Fake, FakeImage, Trouble};
use hearth::engine::{Engine as _, Progress};
use hearth::evict::{Evictor, Here, Room};
use hearth::fetch::flight::{Departure, Leave};
use hearth::fetch::{Arrival, Cause, Client, Desk, Fetcher, Leases, Logins, RoomRule, Storage};
use hearth::image::Platform;
use hearth::image::proof::Asker;
use hearth::job::Owner;
use hearth::outcome::Fault;
use hearth::plan::ImageWish;
use hearth::settings::PullPolicy;
use hearth::store::Held;
use tokio::time::sleep;

use crate::bench::Log;
use crate::world::{APP, DB, SECOND, World};

const MIB: u64 = 1 << 20;

/// What is wanted for no job.
pub(crate) fn wish(name: &str) -> ImageWish {
    ImageWish {
        purpose: "image".to_owned(),
        reference: name.parse().unwrap(),
        policies: vec![PullPolicy::Always],
        platform: None,
        chosen_by: Fault::System,
    }
}

/// One that fetches for no job, on a world's engine.
pub(crate) struct Ahead<'w> {
    pub(crate) world: &'w World,
    pub(crate) asker: Asker,
    pub(crate) room: RoomRule,
    pub(crate) log: Log,
    pub(crate) departure: Departure,
}

impl<'w> Ahead<'w> {
    pub(crate) fn of(world: &'w World) -> Self {
        Self::leaving(world).0
    }

    /// As [`Ahead::of`], and the wish that it ends.
    pub(crate) fn leaving(world: &'w World) -> (Self, Leave) {
        let (leave, departure) = Departure::new();
        let room = RoomRule::Ahead { may_go: Vec::new() };
        (Self { world, asker: Asker::host(), room, log: Log::default(), departure }, leave)
    }

    /// Does something as it.
    pub(crate) async fn act<T>(&self, act: impl AsyncFnOnce(&Fetcher<'_, Fake, Fake>) -> T) -> T {
        let Self { world, .. } = self;
        let log = self.log.job_log();
        let engine = &world.fake;
        let version = engine.version().await.unwrap();
        let native = &Platform::new(&version.os, &version.arch, "");
        let (registries, departure, asker) = (engine.clone(), self.departure.clone(), self.asker.clone());
        let desk = Desk::open(world.store(), registries, departure, asker, engine, &version).await.unwrap();
        let logins = &match self.asker == Asker::host() {
            true => Logins::of_host(world.operator_dir.as_deref(), &log),
            false => Logins::read(&world.begun().job, world.operator_dir.as_deref(), &log),
        };
        let owner = Owner::new(world.who.this, world.who.moment(), None);
        let leases = &Leases::new("ahead".to_owned(), owner, world.who.clone());
        let storage = &Storage::new(world.disk.clone(), self.room.clone());
        let (client, settings, desk, log) = (&Client::host(), &world.settings, &desk, &log);
        act(&Fetcher { engine, desk, client, settings, native, logins, leases, storage, log }).await
    }

    /// Brings an image.
    pub(crate) async fn bring(&self, name: &str) -> Result<Arrival, Cause> {
        let wish = wish(name);
        let brought = self.act(async |fetcher| fetcher.bring_ahead(&wish, &|_| {}, &|_| {}).await).await;
        brought.map(|arrived| arrived.how).map_err(|fault| fault.cause())
    }
}

/// A world whose image has two layers, and is not here.
fn cold() -> World {
    let world = World::new();
    world.fake.publish(APP, FakeImage::new("cold").layers(&[("base", 30 * MIB), ("top", 10 * MIB)]));
    world
}

#[tokio::test(start_paused = true)]
async fn a_look_says_what_is_missing_and_asks_for_its_manifest_once() {
    let world = cold();
    let ahead = Ahead::of(&world);
    let (wish, digest) = (wish(APP), world_digest("cold"));
    let look = ahead.act(async |fetcher| fetcher.look_ahead(&wish, false).await).await.unwrap();
    assert_eq!(
        (look.digest.as_str(), look.here, look.moved, look.missing),
        (digest.as_str(), false, false, None)
    );
    assert_eq!(world.fake.questions(), [APP], "a HEAD");
    let look = ahead.act(async |fetcher| fetcher.look_ahead(&wish, true).await).await.unwrap();
    let missing = look.missing.unwrap();
    assert_eq!((missing.compressed, missing.unpacked), (40 * MIB, 106 * MIB));
    assert_eq!(world.fake.questions().len(), 3, "a HEAD and a GET");
    let look = ahead.act(async |fetcher| fetcher.look_ahead(&wish, true).await).await.unwrap();
    assert_eq!(look.missing, Some(missing));
    assert_eq!(world.fake.questions().len(), 4, "a HEAD: what it weighs is on record");
    assert_eq!(world.fake.count(Call::Pull), 0);
}

fn world_digest(seed: &str) -> String {
    FakeImage::new(seed).digest()
}

#[tokio::test(start_paused = true)]
async fn what_comes_ahead_is_warm_for_the_first_job_and_is_no_use_of_its_own() {
    let world = cold();
    let ahead = Ahead::of(&world);
    let wish = wish(APP);
    let seen = std::cell::RefCell::new(Vec::new());
    let meter = |progress: &Progress| seen.borrow_mut().push(*progress);
    world.fake.download_rate(MIB);
    let arrived = ahead.act(async |fetcher| fetcher.bring_ahead(&wish, &|_| {}, &meter).await).await.unwrap();
    assert_eq!((arrived.how, arrived.bytes), (Arrival::Pulled, Some(40 * MIB)));
    assert_eq!(arrived.digest, world_digest("cold"));
    assert!((40..50).contains(&arrived.took.as_secs()), "{:?}", arrived.took);
    let seen = seen.into_inner();
    assert!(seen.len() > 30 && seen.is_sorted_by_key(|one| one.done), "{seen:?}");
    assert_eq!(world.store().tags(), []);
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Here));
    let prepared = world.prepare().await.fine();
    assert!(prepared.took < SECOND, "{:?}", prepared.took);
    assert_eq!(world.fake.count(Call::Pull), 1, "{}", prepared.log.text());
    assert_eq!(world.store().tags().len(), 2, "the job's, and its helper's");
}

#[tokio::test(start_paused = true)]
async fn a_moved_tag_costs_what_is_new_of_it_and_is_put_on_it() {
    let world = cold();
    let ahead = Ahead::of(&world);
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Pulled));
    world.fake.publish(APP, FakeImage::new("moved").layers(&[("base", 30 * MIB), ("other top", 12 * MIB)]));
    let wish = wish(APP);
    let look = ahead.act(async |fetcher| fetcher.look_ahead(&wish, true).await).await.unwrap();
    assert!(look.moved && !look.here && look.digest == world_digest("moved"), "{look:?}");
    assert_eq!(
        look.missing.map(|size| size.compressed),
        Some(12 * MIB),
        "its base weighs what the old one's does"
    );
    let before = world.fake.downloaded();
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Pulled));
    assert_eq!(world.fake.downloaded() - before, 12 * MIB);
    assert_eq!(world.fake.image(APP).await.unwrap().unwrap().id, FakeImage::new("moved").facts().id);
    // What was pulled is on record as it is, and no more as it was reckoned.
    let contents = world.store().contents();
    let layers: Vec<usize> = contents.iter().map(|content| content.layers.len()).collect();
    assert!(contents.iter().all(|content| content.engine_id.is_some()) && layers == [2, 2], "{contents:#?}");
    // The tag goes back to what is here still.
    world.fake.publish(APP, FakeImage::new("cold").layers(&[("base", 30 * MIB), ("top", 10 * MIB)]));
    let look = ahead.act(async |fetcher| fetcher.look_ahead(&wish, true).await).await.unwrap();
    assert!(look.here && look.retag, "{look:?}");
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Here));
    assert_eq!(world.fake.image(APP).await.unwrap().unwrap().id, FakeImage::new("cold").facts().id);
    assert_eq!(world.fake.count(Call::Pull), 2);
}

#[tokio::test(start_paused = true)]
async fn an_index_is_read_once_and_its_manifest_weighed_once() {
    let world = World::new();
    let image = FakeImage::new("both").layers(&[("a", 5 * MIB)]).index_of(&["linux/amd64", "linux/arm64"]);
    world.fake.publish(APP, image);
    let ahead = Ahead::of(&world);
    let wish = wish(APP);
    for questions in [3, 4] {
        let look = ahead.act(async |fetcher| fetcher.look_ahead(&wish, true).await).await.unwrap();
        assert_eq!(look.missing.map(|size| size.compressed), Some(5 * MIB));
        assert_eq!(world.fake.questions().len(), questions, "{:?}", world.fake.questions());
    }
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Pulled));
    assert_eq!(world.fake.questions().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_was_looked_at_and_came_by_another_way_counts_once() {
    let world = cold();
    let ahead = Ahead::of(&world);
    let wish = wish(APP);
    ahead.act(async |fetcher| fetcher.look_ahead(&wish, true).await).await.unwrap();
    world.fake.image_here(APP, FakeImage::new("cold").layers(&[("base", 30 * MIB), ("top", 10 * MIB)]));
    let moment = || world.who.moment();
    let here = Here {
        process: world.who.this,
        moment: &moment,
        clock_is_set: Some(true),
        lives: &|_| true,
        disk: &*world.disk,
    };
    let store = world.store();
    let evictor = Evictor { engine: &world.fake, store: &store, cache: &world.settings.cache, here };
    assert_eq!(evictor.look().await.unwrap().used(), world.fake.image_bytes());
}

#[tokio::test(start_paused = true)]
async fn what_a_manifest_claims_changes_nothing_of_others_and_is_here_by_no_name() {
    let world = cold();
    let ahead = Ahead::of(&world);
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Pulled));
    let layers = || world.store().contents().remove(0).layers;
    let measured = layers();
    let [base, top] = &measured[..] else { panic!("{measured:?}") };
    for (claimed, weighs) in [(0, Some(0)), (MIB, Some(2 * MIB)), (9_000_000_000_000_000_000, None)] {
        let name = &format!("registry.test/other/evil-{claimed}:1");
        let blobs = [(base.chain.as_str(), claimed), (top.chain.as_str(), claimed)];
        world.fake.publish(name, FakeImage::new(name).claims(&blobs));
        let wish = wish(name);
        for _ in 0..2 {
            let look = ahead.act(async |fetcher| fetcher.look_ahead(&wish, true).await).await.unwrap();
            assert_eq!(look.missing.map(|size| size.compressed), weighs, "{claimed}");
        }
        assert_eq!(layers(), measured, "{claimed}");
    }
}

/// An operator's configuration with a login.
fn operator(world: &mut World) {
    let dir = world.directory().to_owned();
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    std::fs::write(dir.join("config.json"), auth).unwrap();
    world.operator_dir = Some(dir);
}

#[tokio::test(start_paused = true)]
async fn what_the_operators_login_brought_is_nobodys_to_read() {
    let mut world = cold();
    world.fake.protect(APP, "user", "pass");
    assert_eq!(Ahead::of(&world).bring(APP).await, Err(Cause::Denied));
    operator(&mut world);
    assert_eq!(Ahead::of(&world).bring(APP).await, Ok(Arrival::Pulled));
    world.operator_dir = None;
    for policy in [PullPolicy::Always, PullPolicy::IfNotPresent, PullPolicy::Never] {
        world.settings.job.pull_policy = vec![policy];
        world.prepare().await.failed(Fault::Job);
    }
    // Who may read it finds it here, having asked.
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    world.settings.job.pull_policy = vec![PullPolicy::IfNotPresent];
    let world = world.variable("DOCKER_AUTH_CONFIG", auth);
    world.fake.forget_calls();
    world.prepare().await.fine();
    assert_eq!(world.fake.questions().len(), 1, "{:?}", world.fake.questions());
    assert_eq!(world.fake.count(Call::Pull), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_projects_login_brought_is_that_projects_to_read() {
    let mut world = cold();
    world.fake.protect(APP, "user", "pass");
    world.settings.job.pull_policy = vec![PullPolicy::Never];
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    let world = world.variable("DOCKER_AUTH_CONFIG", auth);
    world.prove(crate::world::HELPER, "helper");
    let asker = world.begun().job.asker().clone();
    let ahead = Ahead { asker, ..Ahead::of(&world) };
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Pulled));
    let mut other = world.another(8);
    other.job["job_info"]["project_id"] = 5.into();
    other.prepare().await.failed(Fault::Job);
    world.prepare().await.fine();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_no_job_met_takes_no_project_what_it_may_read() {
    let mut world = cold();
    world.fake.protect(APP, "user", "pass");
    world.settings.job.pull_policy = vec![PullPolicy::Never];
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    let world = world.variable("DOCKER_AUTH_CONFIG", auth);
    world.prove(crate::world::HELPER, "helper");
    let asker = world.begun().job.asker().clone();
    let ahead = Ahead { asker, ..Ahead::of(&world) };
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Pulled));
    // As of a token whose job is over.
    world.fake.trouble(APP, Trouble::Denied, 2);
    let wish = wish(APP);
    let look = ahead.act(async |fetcher| fetcher.look_ahead(&wish, false).await).await;
    assert_eq!(look.unwrap_err().cause(), Cause::Denied);
    assert_eq!(ahead.bring(APP).await, Err(Cause::Denied));
    world.prepare().await.fine();
}

#[tokio::test(start_paused = true)]
async fn who_fetches_ahead_hears_why_not_and_does_not_insist() {
    for (trouble, cause, questions) in [
        (Trouble::NotFound, Cause::Gone, 1),
        (Trouble::Denied, Cause::Denied, 1),
        (Trouble::Status(429), Cause::Limited(60 * SECOND), 1),
        (Trouble::Down, Cause::Link, 1),
        (Trouble::NoSpace, Cause::Room, 2),
    ] {
        let world = cold();
        world.fake.trouble(APP, trouble, 99);
        assert_eq!(Ahead::of(&world).bring(APP).await, Err(cause), "{trouble:?}");
        assert_eq!(world.fake.questions().len(), questions, "{trouble:?}");
        assert!(world.fake.image(APP).await.unwrap().is_none());
    }
    // A registry that has had enough is left alone by all of them.
    let world = cold();
    world.fake.trouble(APP, Trouble::Status(429), 1);
    assert!(matches!(Ahead::of(&world).bring(APP).await, Err(Cause::Limited(_))));
    assert!(matches!(Ahead::of(&world).bring(APP).await, Err(Cause::Limited(_))));
    assert_eq!(world.fake.questions().len(), 1);
    let id = FakeImage::new("cold").facts().id.clone();
    assert_eq!(Ahead::of(&world).bring(&id).await, Err(Cause::Name));
}

#[tokio::test(start_paused = true)]
async fn an_out_of_date_copy_is_nothing_that_was_fetched_ahead() {
    let mut world = cold();
    world.settings.access.offline_grace = Duration::from_secs(24 * 3600);
    let ahead = Ahead::of(&world);
    assert_eq!(ahead.bring(APP).await, Ok(Arrival::Pulled));
    world.fake.trouble(APP, Trouble::Down, 99);
    assert_eq!(Ahead::of(&world).bring(APP).await, Err(Cause::Link));
    world.prepare().await.fine();
}

#[tokio::test(start_paused = true)]
async fn a_job_joins_what_is_fetched_ahead_and_says_so() {
    let world = cold();
    world.fake.download_rate(MIB);
    let ahead = Ahead::of(&world);
    let late = async {
        sleep(10 * SECOND).await;
        world.prepare().await.fine()
    };
    let (brought, prepared) = tokio::join!(ahead.bring(APP), late);
    let text = prepared.log.text();
    assert_eq!(brought, Ok(Arrival::Pulled));
    assert!(prepared.log.count("this host prefetches it already, waiting for") >= 1, "{text}");
    assert_eq!(prepared.log.count("this host has prefetched it"), 1, "{text}");
    assert_eq!(prepared.log.count("another job"), 0, "{text}");
    assert!((28..35).contains(&prepared.took.as_secs()), "{:?}", prepared.took);
    assert_eq!((world.fake.count(Call::Pull), world.fake.downloaded()), (1, 40 * MIB));
}

#[tokio::test(start_paused = true)]
async fn who_fetches_ahead_joins_a_jobs_pull() {
    let world = cold();
    world.fake.download_rate(MIB);
    let ahead = Ahead::of(&world);
    let late = async {
        sleep(10 * SECOND).await;
        ahead.bring(APP).await
    };
    let (prepared, brought) = tokio::join!(world.prepare(), late);
    prepared.fine();
    assert_eq!(brought, Ok(Arrival::Joined));
    assert_eq!((world.fake.count(Call::Pull), world.fake.downloaded()), (1, 40 * MIB));
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_that_is_cut_is_the_jobs_that_waits_for_it() {
    let world = cold();
    world.fake.download_rate(MIB);
    let (ahead, leave) = Ahead::leaving(&world);
    let cut = async {
        let mut work = Box::pin(ahead.bring(APP));
        tokio::select! {
            result = &mut work => panic!("{result:?}"),
            () = sleep(20 * SECOND) => {}
        }
        let result = std::cell::Cell::new(None);
        leave.wish(async { result.set(Some(work.await)) }).await;
        result.take()
    };
    let late = async {
        sleep(10 * SECOND).await;
        world.prepare().await.fine()
    };
    let (result, prepared) = tokio::join!(cut, late);
    let text = prepared.log.text();
    assert!(matches!(result, None | Some(Err(Cause::Stopped))), "{result:?}");
    assert_eq!(
        prepared.log.count("the prefetch of it gives way, this job goes on with its pull"),
        1,
        "{text}"
    );
    assert_eq!(world.fake.downloaded(), 40 * MIB, "no byte came twice");
    assert!(prepared.took.as_secs() < 35, "{:?}", prepared.took);
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_that_is_cut_alone_leaves_nothing_behind() {
    let world = cold();
    world.fake.download_rate(MIB);
    let (ahead, leave) = Ahead::leaving(&world);
    let cut = async {
        sleep(20 * SECOND).await;
        leave.wish(std::future::pending()).await;
    };
    let (result, ()) = tokio::join!(ahead.bring(APP), cut);
    assert_eq!(result, Err(Cause::Stopped));
    assert!(world.fake.image(APP).await.unwrap().is_none());
    assert!(world.store().contents().iter().all(|content| content.engine_id.is_none()));
    let left = std::fs::read_dir(&world.facts).unwrap().flatten();
    let meetings = left.filter(|entry| entry.path().is_dir()).count();
    assert_eq!(meetings, 0, "nobody waits at a place that nobody pulls at");
    // The job that comes then is none the worse.
    world.fake.download_rate(u64::MAX);
    world.prepare().await.fine();
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_ahead_takes_no_jobs_place() {
    let mut world = cold().service(FakeImage::new("db"));
    world.fake.forget_image(DB);
    world.settings.pull.concurrent = 2;
    world.fake.download_rate(MIB);
    let other = "registry.test/group/ahead:1";
    world.fake.publish(other, FakeImage::new("ahead").layers(&[("ahead", 100 * MIB)]));
    let ahead = Ahead::of(&world);
    let (brought, prepared) = tokio::join!(ahead.bring(other), world.prepare());
    assert_eq!(brought, Ok(Arrival::Pulled));
    let prepared = prepared.fine();
    assert_eq!(prepared.log.count("waiting for other pulls"), 0, "{}", prepared.log.text());
}

#[tokio::test(start_paused = true)]
async fn an_evictor_that_is_busy_is_no_full_disk() {
    let mut world = cold();
    let full = Room { bytes: 1000 * MIB, free_bytes: 50 * MIB, inodes: None, free_inodes: None };
    world.disk = Rc::new(move |_: &Path| Some(full));
    assert_eq!(Ahead::of(&world).bring(APP).await, Err(Cause::Room));
    let busy = Held::take(world.store().place(), "evict.lock").unwrap().expect("nobody else has it");
    assert_eq!(Ahead::of(&world).bring(APP).await, Err(Cause::Link), "another try may help");
    drop(busy);
    assert_eq!(Ahead::of(&world).bring(APP).await, Err(Cause::Room));
}
