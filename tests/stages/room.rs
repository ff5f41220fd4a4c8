//! What a prepare does about eviction: it waits for removals of what it needs, and makes room for what it brings.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use hearth::engine::Engine as _;
use hearth::engine::fake::{Call, FakeImage};
use hearth::evict::Room;
use hearth::fetch::{Arrival, Cause, RoomRule};
use hearth::host::{self, Who};
use hearth::moment::{Liveness, Moment, Process};
use hearth::outcome::Fault;
use hearth::settings::{Amount, Marks};
use hearth::store::{Mark, Removal};
use tokio::time::sleep;

use crate::ahead::Ahead;
use crate::shelf::{HOUR, MB};
use crate::world::{APP, HELPER, Prepared, World};

const OTHER: &str = "registry.test/group/other:1";
const REMOVER: Process = Process { pid: 4242, started: 1, space: 1 };
const RUNNER: Process = Process { pid: 41, started: 1, space: 1 };
const WAITS: &str = "is being removed from this host to make room";

/// A host that has run for long enough that its clock is believed, where the remover is like this.
fn on_a_host(mut world: World, remover: Liveness) -> World {
    let moment = || Moment { boot: host::moment().boot + HOUR * 10, ..host::moment() };
    let this = Process { pid: 42, started: 1, space: 1 };
    let is = move |process: Process| if process == REMOVER { remover } else { Liveness::Runs };
    world.who = Who::new(this, RUNNER, moment, is);
    world
}

/// Marks the job's image as being removed.
fn removal(world: &World, since: Moment) -> Removal {
    let names = vec![APP.to_owned(), FakeImage::new("app").digest()];
    let removal = Removal { names, since, by: REMOVER };
    assert_eq!(world.store().mark_removal(&removal, |_| true), Mark::Made);
    removal
}

#[tokio::test(start_paused = true)]
async fn a_removal_under_way_is_waited_for_and_then_the_image_is_pulled_again() {
    let world = on_a_host(World::warm(), Liveness::Runs);
    let removal = removal(&world, world.who.moment());
    let remover = async {
        sleep(Duration::from_secs(30)).await;
        world.fake.forget_image(APP);
        world.store().unmark_removal(&removal);
    };
    let (prepared, ()) = tokio::join!(world.prepare(), remover);
    let prepared = prepared.fine();
    assert_eq!(prepared.log.count(WAITS), 1, "{}", prepared.log.text());
    assert!(prepared.took >= Duration::from_secs(30), "{:?}", prepared.took);
    assert_eq!(prepared.log.count("Pulling"), 1, "{}", prepared.log.text());
    let made: Vec<_> = world.calls().into_iter().filter(|call| call.starts_with("pull")).collect();
    assert_eq!(made.len(), 1, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn the_mark_of_a_process_that_died_or_of_another_boot_counts_for_nothing() {
    let dead = on_a_host(World::warm(), Liveness::Gone);
    removal(&dead, dead.who.moment());
    let other_boot = on_a_host(World::warm(), Liveness::Runs);
    removal(&other_boot, Moment { boot_id: "another".to_owned(), ..other_boot.who.moment() });
    for world in [dead, other_boot] {
        let prepared = world.prepare().await.fine();
        assert_eq!(prepared.log.count(WAITS), 0, "{}", prepared.log.text());
        assert_eq!(prepared.log.count("Pulling"), 0, "{}", prepared.log.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_never_ends_is_not_waited_for_for_ever() {
    let world = on_a_host(World::warm(), Liveness::Runs);
    removal(&world, world.who.moment());
    let prepared = world.prepare().await.fine();
    assert!(prepared.log.count("it is waited for no longer") >= 1, "{}", prepared.log.text());
    assert!(prepared.took < Duration::from_secs(600), "{:?}", prepared.took);
}

/// A host with a disk of so many MB, on which a job was that used [`OTHER`]: 60 MB to
/// download, 159 MB on the disk.
async fn with_disk(size: u64) -> World {
    let mut world = on_a_host(World::new().nothing_kept(), Liveness::Gone);
    world.fake.set_disk(size * MB);
    let fake = world.fake.clone();
    world.disk = Rc::new(move |_: &Path| {
        let free_bytes = fake.free_bytes()?;
        Some(Room { bytes: size * MB, free_bytes, inodes: None, free_inodes: None })
    });
    world.settings.cache.minimum_age = Duration::ZERO;
    world.settings.cache.free = Some(Marks { start: Amount::Number(0), stop: Amount::Number(0) });
    world.fake.publish(OTHER, FakeImage::new("other").layers(&[("other", 60 * MB)]));
    world.fake.publish(APP, FakeImage::new("app").layers(&[("app", 60 * MB)]));
    ran(&world, OTHER).await;
    world
}

/// Runs a job with an image, to its end.
async fn ran(world: &World, image: &str) -> Prepared {
    let mut job = world.another(1 + world.fake.calls().len() as i64);
    job.job["image"]["name"] = image.into();
    let job = job.nothing_kept();
    let prepared = job.prepare().await.fine();
    assert_eq!(job.cleanup().await, Ok(()));
    hearth::stage::leases::drop_all(&job.store(), &job.begun());
    prepared
}

async fn has(world: &World, image: &str) -> bool {
    world.fake.image(image).await.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_made_room_on_once_and_the_pull_is_tried_again() {
    let world = with_disk(300).await;
    let prepared = ran(&world, APP).await;
    let text = prepared.log.text();
    assert_eq!(prepared.log.count("The engine's disk is full: making room on it"), 1, "{text}");
    assert_eq!(prepared.log.count("Made room on this host's disk: 1 image removed"), 1, "{text}");
    assert!(!text.contains("group/other"), "it may be another project's:\n{text}");
    assert!(has(&world, APP).await && !has(&world, OTHER).await);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_on_which_nothing_may_go_is_the_systems_fault_and_not_tried_again() {
    let mut world = with_disk(300).await;
    world.settings.cache.evict = false;
    let mut job = world.another(900).nothing_kept();
    job.job["image"]["name"] = APP.into();
    let prepared = job.prepare().await;
    let failure = prepared.failed(Fault::System);
    assert!(failure.message.contains("does not fit on the engine's disk"), "{failure}");
    assert_eq!(prepared.log.count("nothing could be removed"), 1, "{}", prepared.log.text());
    assert!(has(&world, OTHER).await);
}

#[tokio::test(start_paused = true)]
async fn before_a_pull_whose_size_is_on_record_room_is_made_for_it_first() {
    let world = with_disk(560).await;
    ran(&world, APP).await;
    world.fake.forget_image(APP);
    assert!(!has(&world, APP).await && has(&world, OTHER).await);
    world.fake.fill_disk(200 * MB);
    let prepared = ran(&world, APP).await;
    let text = prepared.log.text();
    assert_eq!(prepared.log.count("Making room on this host's disk"), 1, "{text}");
    assert_eq!(prepared.log.count("disk is full"), 0, "{text}");
    assert!(has(&world, APP).await && !has(&world, OTHER).await, "{text}");
}

#[tokio::test(start_paused = true)]
async fn on_a_disk_with_room_nobody_is_asked_what_lies_on_it() {
    let world = with_disk(2000).await;
    ran(&world, APP).await;
    world.fake.forget_calls();
    ran(&world, APP).await;
    let listings = world.fake.calls().iter().filter(|made| made.call == Call::ListImages).count();
    assert_eq!(listings, 0);
    assert!(has(&world, OTHER).await);
}

/// Brings an image for no job, for which these may go.
async fn ahead(world: &World, name: &str, may_go: &[&str]) -> Result<Arrival, Cause> {
    let mut ids = Vec::new();
    for name in may_go {
        ids.push(world.fake.image(name).await.unwrap().unwrap().id);
    }
    let ahead = Ahead { room: RoomRule::Ahead { may_go: ids }, ..Ahead::of(world) };
    ahead.bring(name).await
}

#[tokio::test(start_paused = true)]
async fn what_no_job_waits_for_takes_no_image_from_its_place_that_it_was_not_given() {
    let world = with_disk(300).await;
    let before = world.fake.downloaded();
    assert_eq!(ahead(&world, APP, &[]).await, Err(Cause::Room));
    assert_eq!(ahead(&world, APP, &[HELPER]).await, Err(Cause::Room), "it holds too little, and stays then");
    assert!(has(&world, OTHER).await && has(&world, HELPER).await && !has(&world, APP).await);
    assert_eq!(world.fake.downloaded(), before, "nothing was begun");
    assert_eq!(ahead(&world, APP, &[OTHER]).await, Ok(Arrival::Pulled));
    assert!(!has(&world, OTHER).await && has(&world, HELPER).await && has(&world, APP).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_job_has_come_to_need_stays_though_it_was_given_away() {
    let mut world = with_disk(300).await;
    let mut job = world.another(77).nothing_kept();
    job.job["image"]["name"] = OTHER.into();
    job.prepare().await.fine();
    assert_eq!(ahead(&world, APP, &[OTHER]).await, Err(Cause::Room));
    assert!(has(&world, OTHER).await);
    assert_eq!(job.cleanup().await, Ok(()));
    hearth::stage::leases::drop_all(&job.store(), &job.begun());
    // Where nothing is ever removed the disk itself is the limit.
    world.settings.cache.evict = false;
    assert_eq!(ahead(&world, APP, &[OTHER]).await, Err(Cause::Room));
    world.fake.forget_image(OTHER);
    assert_eq!(ahead(&world, APP, &[]).await, Ok(Arrival::Pulled));
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_has_begun_ends_though_what_it_makes_room_for_has_to_go() {
    let world = with_disk(300).await;
    let (mut ahead, leave) = Ahead::leaving(&world);
    ahead.room = RoomRule::Ahead { may_go: vec![world.fake.image(OTHER).await.unwrap().unwrap().id] };
    world.fake.delay(Call::RemoveImage, Duration::from_secs(30));
    let (before, mut ended) = (world.fake.downloaded(), None);
    {
        let mut work = std::pin::pin!(async { ended = Some(ahead.bring(APP).await) });
        tokio::select! {
            () = &mut work => panic!("it ended"),
            () = sleep(Duration::from_secs(10)) => {}
        }
        assert_eq!(world.store().removals(&world.who.moment()).len(), 1, "it is at it");
        leave.wish_patiently(&mut work).await;
    }
    assert_eq!(ended, Some(Err(Cause::Stopped)));
    assert!(!has(&world, OTHER).await && !has(&world, APP).await);
    assert_eq!(world.store().removals(&world.who.moment()), [], "nobody is held up by it");
    assert_eq!(world.store().gone(Duration::ZERO).len(), 1);
    assert_eq!(world.fake.downloaded(), before, "nothing is begun any more");
}
