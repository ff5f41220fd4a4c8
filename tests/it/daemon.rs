//! `hearth daemon`: the built binary on the real engine.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::api_front::{ApiFront, Claim};
use crate::daemons::{KilledRunner, TheDaemon, command};
use crate::world::{World, docker};

/// Looks after jobs alone: the machine's images are not this test's.
const NO_EVICTION: &str = "[cache]\nevict = false\n";
/// Bytes that the daemon may take in memory: no more than 30 MiB with the whole of the program, which is no larger than 15 MB
/// as it is shipped (`make bench` judges that).
const MOST_MEMORY: u64 = (30 << 20) - 15_000_000;

fn world(test: &str, more: &str) -> Option<World> {
    let world = World::new(test)?;
    world.settings(&format!("{NO_EVICTION}{more}"));
    Some(world)
}

#[test]
fn the_service_manager_is_told_and_signals_are_followed() {
    let Some(world) = world("daemon signals", "") else { return };
    let mut daemon = TheDaemon::start(&world);
    let report = daemon.round("the engine answers");
    assert!(report.engine.answers, "{report:?}");
    assert_eq!(report.pid, daemon.pid());
    daemon.hears("WATCHDOG=1");

    world.settings("[cache]\nevict = false\nrule = \"no such rule\"\n");
    daemon.signal(Signal::SIGHUP);
    daemon.hears("RELOADING=1");
    daemon.hears("MONOTONIC_USEC=");
    daemon.hears("READY=1");
    daemon.tells("the old ones stay in force");
    daemon.tells("cache.rule");

    world.settings(&format!("{NO_EVICTION}[daemon]\ninterval = 120\n"));
    daemon.signal(Signal::SIGHUP);
    daemon.hears("RELOADING=1");
    daemon.hears("READY=1");
    daemon.tells("the settings were read anew");
    daemon.hears("WATCHDOG=1");

    daemon.signal(Signal::SIGTERM);
    daemon.hears("STOPPING=1");
    assert!(daemon.ends().success(), "{}", daemon.told());
    assert_eq!(daemon.report().and_then(|report| report.next_round), None);
}

#[test]
fn a_second_daemon_says_who_the_first_is_and_after_a_kill_the_next_one_takes_over() {
    let Some(world) = world("two daemons", "") else { return };
    let mut first = TheDaemon::start(&world);
    let second = command(&world).output().expect("the driver starts");
    assert_eq!(second.status.code(), Some(1));
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(words.contains(&format!("process {}", first.pid())), "{words}");
    assert_eq!(words.matches("already looks after this host").count(), 1, "{words}");
    first.round("the engine answers");
    first.signal(Signal::SIGKILL);
    assert!(!first.ends().success());
    let mut third = TheDaemon::start(&world);
    assert!(third.waits(|third| third.report().is_some_and(|report| report.pid == third.pid())));
}

#[test]
fn wrong_settings_keep_it_from_starting() {
    let Some(world) = world("daemon's wrong settings", "") else { return };
    world.settings("[daemon]\ninterval = \"often\"\n");
    let output = command(&world).output().expect("the driver starts");
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("daemon.interval"), "{words}");
}

#[test]
fn what_a_killed_runner_left_goes_and_what_lives_stays() {
    let Some(world) = world("reaping", "[daemon]\nwatch = 1\n") else { return };
    let dead = KilledRunner::start(&world, docker);
    let living = KilledRunner::start(&world, docker);
    let of_living = living.things(docker);
    let mut daemon = TheDaemon::start(&world);
    daemon.round("the engine answers");
    let mut dead = dead;
    assert!(dead.things(docker).len() >= 3, "a living job keeps what it has");
    dead.kill();
    assert!(daemon.waits(|_| dead.things(docker).is_empty()), "{:?}\n{}", dead.things(docker), daemon.told());
    assert_eq!(living.things(docker), of_living, "{}", daemon.told());
}

#[test]
fn at_rest_it_asks_nothing_and_takes_little_memory() {
    let Some(world) = world("daemon at rest", "[daemon]\nwatch = 1\n") else { return };
    let claim = Claim { oldest: "1.24", newest: "1.41", speaks: "1.41" };
    let front = ApiFront::new(&world.dir, "/var/run/docker.sock", claim);
    world.settings(&format!("{NO_EVICTION}[daemon]\nwatch = 1\n[engine]\nhost = \"{}\"\n", front.host));
    let mut daemon = TheDaemon::start(&world);
    daemon.round("the engine answers");
    let before = front.asked();
    // What other tests leave on the machine's engine may call it to work now and then.
    let silent = (0..20).any(|_| {
        let asked = front.asked().len();
        std::thread::sleep(Duration::from_secs(5));
        front.asked().len() == asked
    });
    assert!(silent, "it looks at the disk five times and asks nothing: {:?}", front.asked());
    assert!(before.iter().any(|line| line.contains("/events")), "{before:?}");
    assert!(!before.iter().any(|line| line.contains("/system/df")), "{before:?}");
    let looks = |line: &&String| line.starts_with("GET") && line.contains("json");
    assert!(before.iter().filter(looks).count() <= 4, "{before:?}");
    let memory = daemon.memory_beside_its_program();
    assert!(memory > 1 << 20, "the system tells of {memory} bytes");
    eprintln!("the daemon takes {} KiB beside its program", memory >> 10);
    assert!(memory <= MOST_MEMORY, "{} KiB", memory >> 10);
}

#[test]
fn kills_at_any_moment_leave_nothing_to_the_next_one() {
    let Some(world) = world("daemon kills", "") else { return };
    let mut random = crate::kills::Random::new("daemon kills");
    let mut living = KilledRunner::start(&world, docker);
    let of_living = living.things(docker);
    for round in 0..8 {
        let mut dead = KilledRunner::start(&world, docker);
        dead.kill();
        let mut daemon = TheDaemon::spawn(&world);
        std::thread::sleep(Duration::from_millis(random.below(1500)));
        daemon.signal(Signal::SIGKILL);
        daemon.ends();
        drop(daemon);
        let mut daemon = TheDaemon::start(&world);
        let gone = daemon.waits(|_| dead.things(docker).is_empty());
        assert!(gone, "round {round}: {:?}\n{}", dead.things(docker), daemon.told());
        assert_eq!(living.things(docker), of_living, "round {round}: {}", daemon.told());
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.ends().success(), "{}", daemon.told());
    }
    living.kill();
    let mut daemon = TheDaemon::start(&world);
    assert!(daemon.waits(|_| living.things(docker).is_empty()), "{}", daemon.told());
}
