//! Trouble for the daemon: engines that go, disks that are full, stores that cannot be written or are too new. Each is told
//! once and clearly, and no job is lost.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hearth::store::{Sharing, Store, StorePlace};
use nix::sys::signal::Signal;

use crate::daemons::{KilledRunner, TheDaemon};
use crate::own_engine::{OwnEngine, unmount_below};
use crate::pusher::Layer;
use crate::world::{World, block_on, docker, skip};

fn mount(at: &Path, options: &str) -> bool {
    std::fs::create_dir_all(at).expect("a directory");
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status();
    status.is_ok_and(|status| status.success())
}

/// A way to ask an engine that may be gone.
fn asking(engine: &OwnEngine) -> impl Fn(&[&str]) -> String + use<> {
    let host = engine.host.clone();
    move |args: &[&str]| {
        let output = Command::new("docker").env("DOCKER_HOST", &host).args(args).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }
}

/// Brings images of a layer of their own to an engine.
fn bring(world: &World, engine: &OwnEngine, count: usize, mib: usize) {
    for number in 0..count {
        let mut image = crate::image_policies::busybox();
        image.layers.push(Layer::random(mib << 20, crate::world::unique()).expect("a layer"));
        let own = world.push(&format!("spare-{number}"), &[image]);
        engine.pull(&own.name);
    }
}

/// Counts the images that were brought.
fn brought(ask: impl Fn(&[&str]) -> String) -> usize {
    ask(&["images", "--format", "{{.Repository}}"]).lines().filter(|name| name.contains("spare-")).count()
}

#[test]
fn an_engine_that_goes_is_waited_for_and_what_died_meanwhile_goes_once_it_is_back() {
    let Some(world) = World::new("daemon's engine goes") else { return };
    let Some(mut engine) = OwnEngine::start("daemon's engine goes", &world) else { return };
    engine.pull(&world.image("job/busybox"));
    engine.settings(&world, "[cache]\nevict = false\n[daemon]\nwatch = 1\n");
    let ask = asking(&engine);
    let mut dead = KilledRunner::start(&world, &ask);
    let mut daemon = TheDaemon::start(&world);
    daemon.round("the engine answers");
    engine.end(Signal::SIGKILL);
    dead.kill();
    let gone = daemon.waits(|daemon| daemon.report().is_some_and(|report| !report.engine.answers));
    assert!(gone, "{}", daemon.told());
    std::thread::sleep(Duration::from_secs(5));
    engine.relaunch();
    daemon.tells("answers again");
    assert!(daemon.waits(|_| dead.things(&ask).is_empty()), "{:?}\n{}", dead.things(&ask), daemon.told());
    let told = daemon.told();
    assert_eq!(told.matches("answers again").count(), 1, "{told}");
    assert!(told.matches("it is tried again").count() <= 3, "{told}");
    block_on(world.run(&world.job().script("echo works"))).succeeded();
}

#[test]
fn an_engine_that_is_killed_during_a_removal_costs_nothing_and_is_gone_on_with() {
    let Some(world) = World::new("engine killed in removal") else { return };
    let Some(mut engine) = OwnEngine::start("engine killed in removal", &world) else { return };
    let busybox = world.image("job/busybox");
    engine.pull(&busybox);
    engine.settings(
        &world,
        "[cache]\nscope = \"all\"\nimages_high = \"70m\"\nimages_low = \"64m\"\nminimum_age = 0\n\
         pins = [\"*/job/busybox:*\"]\n",
    );
    let ask = asking(&engine);
    let mut random = crate::kills::Random::new("engine killed in removal");
    for round in 0..4 {
        bring(&world, &engine, 4, 24);
        let mut daemon = TheDaemon::start(&world);
        std::thread::sleep(Duration::from_millis(random.below(1200)));
        engine.end(Signal::SIGKILL);
        engine.relaunch();
        // Three of them pass the mark, too: also if one had gone before the kill, the next daemon has something to do.
        assert!(
            daemon.waits(|_| brought(&ask) <= 2),
            "round {round}: {}\n{}",
            ask(&["images"]),
            daemon.told()
        );
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.ends().success(), "{}", daemon.told());
        assert!(ask(&["images", "-q", &busybox]).lines().count() == 1, "what is pinned stays");
    }
    let place = StorePlace::new(world.dir.join("store"), Sharing::Group);
    let (store, trouble) = Store::open(&place, hearth::host::now());
    assert_eq!(trouble, None);
    let mut daemon = TheDaemon::start(&world);
    let under_way = |_: &mut TheDaemon| store.removals(&hearth::host::moment()).is_empty();
    assert!(daemon.waits(under_way), "{:?}", store.removals(&hearth::host::moment()));
    block_on(world.run(&world.job().script("echo works"))).succeeded();
}

#[test]
fn a_disk_that_fills_up_is_emptied_of_images_and_what_cannot_be_helped_is_said_once() {
    fills("disk fills up", "size=160m", "free_low = \"40%\"\nfree_high = \"60%\"\n", |data| {
        let room = hearth::evict::disk(data).expect("it is there");
        let length = room.free_bytes.saturating_sub(room.bytes * 30 / 100);
        let filler = std::fs::File::create(data.join("filler")).expect("a file");
        nix::fcntl::posix_fallocate(&filler, 0, i64::try_from(length).expect("a length")).expect("room");
    });
}

#[test]
fn inodes_that_are_used_up_count_as_a_full_disk() {
    let limits = "free_low = \"\"\nfree_high = \"\"\ninodes_low = \"40%\"\ninodes_high = \"60%\"\n";
    fills("inodes used up", "size=400m,nr_inodes=6000", limits, |data| {
        let dir = data.join("filler");
        std::fs::create_dir_all(&dir).expect("a directory");
        for number in 0_u64.. {
            let room = hearth::evict::disk(&dir).expect("it is there");
            if room.free_inodes.zip(room.inodes).is_none_or(|(free, all)| free * 100 / all < 30) {
                return;
            }
            std::fs::write(dir.join(number.to_string()), "").expect("an inode");
        }
    });
}

/// Lets the disk of an engine of its own fill up while a daemon watches.
fn fills(test: &str, options: &str, limits: &str, fill: impl Fn(&Path)) {
    let Some(world) = World::new(test) else { return };
    let data = OwnEngine::data(&world);
    if !mount(&data, options) {
        return skip(test, "no tmpfs can be mounted here");
    }
    let engine = OwnEngine::start(test, &world);
    if let Some(engine) = &engine {
        engine.pull(&world.image("job/busybox"));
        bring(&world, engine, 3, 4);
        engine.settings(
            &world,
            &format!(
                "[cache]\nscope = \"all\"\nminimum_age = 0\npins = [\"*/job/busybox:*\"]\n{limits}[daemon]\nwatch = 1\n"
            ),
        );
        let ask = asking(engine);
        let mut daemon = TheDaemon::start(&world);
        daemon.round("the engine answers");
        assert_eq!(brought(&ask), 3, "{}", daemon.told());
        fill(&data);
        assert!(daemon.waits(|_| brought(&ask) == 0), "{}\n{}", ask(&["images"]), daemon.told());
        daemon.tells("making room");
        daemon.tells("no image is left that may go");
        std::thread::sleep(Duration::from_secs(5));
        let told = daemon.told();
        assert_eq!(told.matches("no image is left that may go").count(), 1, "{told}");
        assert!(ask(&["images"]).contains("job/busybox"), "what is pinned stays");
        // What is left is enough for a job.
        block_on(world.run(&world.job().script("echo works"))).succeeded();
    }
    drop(engine);
    unmount_below(&data);
}

#[test]
fn a_store_on_a_disk_that_went_read_only_is_told_once_and_dead_jobs_are_reaped_all_the_same() {
    let Some(world) = World::new("read-only store") else { return };
    let store = world.dir.join("store");
    if !mount(&store, "size=16m") {
        return skip("read-only store", "no tmpfs can be mounted here");
    }
    world.settings("[cache]\nevict = false\n[daemon]\nwatch = 1\n");
    let mut daemon = TheDaemon::start(&world);
    daemon.round("the engine answers");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ends().success(), "{}", daemon.told());
    drop(daemon);
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&store).status();
    assert!(status.is_ok_and(|status| status.success()), "it can be remounted");
    let mut dead = KilledRunner::start(&world, docker);
    dead.kill();
    let mut daemon = TheDaemon::start(&world);
    assert!(daemon.waits(|_| dead.things(docker).is_empty()), "{}", daemon.told());
    daemon.tells("cannot be written");
    assert_eq!(
        daemon.told().matches("nothing is evicted until it can be used").count(),
        1,
        "{}",
        daemon.told()
    );
    block_on(world.run(&world.job().script("echo works"))).succeeded();
    drop(daemon);
    unmount_below(&store);
}

#[test]
fn a_daemon_older_than_the_store_says_so_and_leaves_everything_alone() {
    let Some(world) = World::new("older daemon") else { return };
    world.settings("[cache]\nevict = false\n[daemon]\nwatch = 1\n");
    let file = world.dir.join("store/hearth.db");
    block_on(world.run(&world.job().script("echo works"))).succeeded();
    let db = rusqlite::Connection::open(&file).expect("the store");
    db.pragma_update(None, "user_version", 99).expect("a version");
    drop(db);
    let mut daemon = TheDaemon::start(&world);
    daemon.tells("this daemon is older than the store");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(daemon.told().matches("this daemon is older than the store").count(), 1, "{}", daemon.told());
    assert!(!daemon.told().contains("removed "), "{}", daemon.told());
    block_on(world.run(&world.job().script("echo works"))).succeeded();
}
