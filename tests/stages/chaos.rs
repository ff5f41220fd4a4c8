//! Jobs in a bad world: stages killed at random calls, engines restarted, containers killed; in the end nothing is left.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::settings::PullPolicy;
use tokio::time::{sleep, timeout};

use crate::world::{APP, SECOND, World, until_cut};

const ROUNDS: u64 = 600;

/// Numbers by chance, the same for a seed each time.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

fn world(chance: &mut Chance) -> World {
    let mut image = FakeImage::new("app");
    if chance.one_in(3) {
        let entry = Behaviour::new().sleep(chance.millis(3000)).out("entry\n");
        image = image.entrypoint(&["/entry"], entry).hands_over_as("1000 1000 1000");
    }
    let mut world = World::with(image);
    if chance.one_in(2) {
        world = world.nothing_kept();
    }
    for _ in 0..chance.below(3) {
        let mut db = FakeImage::new("db").volume("/data");
        if chance.one_in(2) {
            db = db.listens(5432, chance.millis(4000));
        }
        world = world.service(db);
    }
    if chance.one_in(3) {
        world.settings.job.pull_policy = vec![PullPolicy::Always, PullPolicy::IfNotPresent];
        world.fake.publish(APP, FakeImage::new("newer").layers(&[("new", 1 << 20)]));
        world.fake.download_rate(1 << 19);
    }
    if chance.one_in(4) {
        world.settings.job.network_mode = "bridge".to_owned();
    }
    if chance.one_in(4) {
        world = world.variable("CI_DEBUG_SERVICES", "true");
    }
    world.hints = !chance.one_in(5);
    world
}

const CALLS: [Call; 12] = [
    Call::InspectImage,
    Call::CreateNetwork,
    Call::CreateVolume,
    Call::CreateContainer,
    Call::StartContainer,
    Call::InspectContainer,
    Call::StopContainer,
    Call::RemoveContainer,
    Call::RemoveNetwork,
    Call::ListContainers,
    Call::CreateExec,
    Call::InspectExec,
];

fn slow_down(world: &World, chance: &mut Chance) {
    for call in CALLS {
        if chance.one_in(3) {
            world.fake.delay(call, chance.millis(900));
        }
        match chance.below(40) {
            0 => world.fake.hang_next(call),
            1 => world.fake.lose_next_answer(call),
            _ => {}
        }
    }
    // Some have less patience than the engine needs.
    world.fake.set_timeout(if chance.one_in(8) { SECOND / 2 } else { 20 * SECOND });
    world.fake.removals_take(if chance.one_in(4) { chance.millis(900) } else { Duration::ZERO });
    world.fake.exec_streams_linger(if chance.one_in(4) { None } else { Some(2 * SECOND) });
    world.fake.exec_states_lag(if chance.one_in(4) { chance.millis(900) } else { Duration::ZERO });
}

/// Something that happens to the engine or to containers while a stage is at work.
async fn misfortune(world: &World, kind: u64, after: Duration, takes: Duration) {
    sleep(after).await;
    match kind {
        0 => {
            world.fake.stop_engine();
            sleep(takes).await;
            world.fake.start_engine();
        }
        1 => world.fake.kill(&world.names().build()),
        2 => world.fake.kill_for_memory(&world.names().build()),
        3 => world.fake.kill(&world.names().helper()),
        4 => {
            let (fake, build) = (world.fake.clone(), world.names().build());
            tokio::spawn(async move { fake.remove_behind(&build).await });
        }
        5 => world.fake.forget_image(APP),
        _ => {}
    }
}

/// Does a stage among misfortunes, and kills it at a call by chance. It may fail, but it has to end.
async fn endure<T>(
    world: &World,
    chance: &mut Chance,
    what: &str,
    stage: impl Future<Output = T>,
) -> Option<T> {
    if chance.one_in(2) {
        world.fake.cut_after(1 + usize::try_from(chance.below(16)).unwrap());
    }
    let kind = chance.below(12);
    let misfortune = misfortune(world, kind, chance.millis(4000), chance.millis(3000));
    let ended = tokio::select! {
        biased;
        ended = ends(what, until_cut(&world.fake, stage)) => ended,
        () = async { misfortune.await; pending().await } => unreachable!(),
    };
    if kind == 0 {
        world.fake.start_engine();
    }
    world.fake.heal();
    ended
}

/// Asserts that something ends. The clock runs on while the thread that writes the job log is at work, which takes it
/// real time; hence an hour of the clock alone is no proof.
async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    for _ in 0..100 {
        if let Ok(ended) = timeout(3600 * SECOND, &mut work).await {
            return ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("{what} does not end");
}

fn behaviour(chance: &mut Chance) -> Behaviour {
    let begun = Behaviour::new().out("begun\n");
    match chance.below(6) {
        0 => begun,
        1 => begun.sleep(chance.millis(5000)).exit(3),
        2 => begun.child(Behaviour::new().forever()).sleep(chance.millis(5000)),
        3 => begun.escaping_child(Behaviour::new().sleep(600 * SECOND)),
        4 => begun.sleep(chance.millis(3000)).out_of_memory(),
        _ => begun.out_times(vec![b'x'; 64 << 10], 20).lost(),
    }
}

async fn round(seed: u64) {
    let chance = &mut Chance(seed);
    let world = world(chance);
    let mut prepared = false;
    for _ in 0..=chance.below(3) {
        slow_down(&world, chance);
        let ended = endure(&world, chance, "prepare", world.prepare()).await;
        prepared = ended.is_some_and(|ended| ended.result.is_ok());
        if prepared {
            break;
        }
    }
    // A runner goes on to cleanup at once where prepare failed.
    let stages: &[&str] = if prepared { &["get_sources", "step_script", "after_script"] } else { &[] };
    for stage in stages {
        let does = behaviour(chance);
        world.fake.script(move |_| does.clone());
        slow_down(&world, chance);
        let mut stage = world.stage(stage);
        if chance.one_in(3) {
            stage = stage.stop_after(chance.millis(4000));
        }
        endure(&world, chance, "a stage", stage.run()).await;
    }
    for _ in 0..chance.below(2) {
        slow_down(&world, chance);
        let _ = endure(&world, chance, "cleanup", world.cleanup()).await;
    }
    world.fake.removals_take(Duration::ZERO);
    world.fake.set_timeout(20 * SECOND);
    // Without hints, nobody knows that something is still being made.
    if !world.hints {
        sleep(5 * SECOND).await;
    }
    assert_eq!(world.cleanup().await, Ok(()));
    sleep(60 * SECOND).await;
    assert_eq!(world.left(), [""; 0]);
    // And the host is as good as new.
    world.fake.script(|_| Behaviour::new().out("well\n"));
    world.fake.image_here(APP, FakeImage::new("app"));
    world.prepare().await.fine();
    let ran = world.stage("step_script").run().await.fine();
    assert!(ran.output.ends_with("well\n"), "{}", ran.output);
    world.cleans_up().await;
}

#[test]
fn whatever_happens_to_a_job_nothing_of_it_stays() {
    for seed in 0..ROUNDS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(round(seed))));
        if let Err(panic) = result {
            println!("the job of seed {seed} did not go as it should");
            std::panic::resume_unwind(panic);
        }
    }
}
