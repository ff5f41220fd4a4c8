//! Stages that are killed at every call they make: nothing stays but what is kept, and the next attempt works.

use std::time::Duration;

use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::settings::PullPolicy;

use crate::world::{APP, SECOND, World, until_cut};

/// How long creates and starts take, and go on taking when their client is dead.
const LATE: [Duration; 2] = [Duration::ZERO, Duration::from_millis(700)];

fn plain() -> World {
    World::warm()
}

fn own_volumes() -> World {
    World::warm().nothing_kept()
}

fn fetched() -> World {
    let mut world = World::new().nothing_kept();
    world.settings.job.pull_policy = vec![PullPolicy::Always];
    world.fake.publish(APP, FakeImage::new("app").layers(&[("a", 1 << 20)]));
    world
}

fn with_services() -> World {
    let db = FakeImage::new("db").volume("/data").listens(5432, SECOND);
    World::warm().nothing_kept().service(db.clone()).service(db)
}

fn with_entrypoint() -> World {
    World::with(FakeImage::new("app").entrypoint(&["/e"], Behaviour::new().sleep(SECOND))).nothing_kept()
}

fn on_the_bridge() -> World {
    let mut world = with_services();
    world.settings.job.network_mode = "bridge".to_owned();
    world
}

/// A kind of job: its name and how it is made.
type Kind = (&'static str, fn() -> World);

const KINDS: [Kind; 6] = [
    ("plain", plain),
    ("own volumes", own_volumes),
    ("fetched", fetched),
    ("services", with_services),
    ("entrypoint", with_entrypoint),
    ("bridge", on_the_bridge),
];

fn make_late(world: &World, late: Duration) {
    for call in [Call::CreateNetwork, Call::CreateVolume, Call::CreateContainer, Call::StartContainer] {
        world.fake.delay(call, late);
    }
}

/// Returns how many calls an act takes on a world of a kind.
async fn calls_of(kind: fn() -> World, act: impl AsyncFn(&World)) -> usize {
    let world = kind();
    let before = world.fake.calls().len();
    act(&world).await;
    world.fake.calls().len() - before
}

/// Kills a prepare at its `call`-th call.
async fn kill_prepare(world: &World, late: Duration, call: usize) {
    make_late(world, late);
    world.fake.cut_after(call);
    let _ = until_cut(&world.fake, world.prepare()).await;
    world.fake.heal();
}

async fn whole_job(world: &World) {
    world.prepare().await.fine();
    for stage in ["get_sources", "step_script", "after_script"] {
        world.stage(stage).run().await.fine();
    }
    world.cleans_up().await;
}

#[tokio::test(start_paused = true)]
async fn prepare_killed_at_any_call_leaves_nothing_after_cleanup() {
    for (name, kind) in KINDS {
        let calls = calls_of(kind, async |world| drop(world.prepare().await.fine())).await;
        assert!(calls >= 9, "{name}: {calls}");
        for late in LATE {
            for call in 1..=calls {
                let world = kind();
                kill_prepare(&world, late, call).await;
                assert_eq!(world.cleanup().await, Ok(()), "{name} at call {call}");
                // What comes even later than cleanup would stay for good.
                tokio::time::sleep(60 * SECOND).await;
                assert_eq!(world.left(), [""; 0], "{name} at call {call}, late by {late:?}");
                whole_job(&world).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn prepare_killed_at_any_call_may_be_run_again_at_once() {
    for (name, kind) in KINDS {
        let calls = calls_of(kind, async |world| drop(world.prepare().await.fine())).await;
        for late in LATE {
            for call in 1..=calls {
                for pause in [Duration::ZERO, 3 * SECOND] {
                    let world = kind();
                    kill_prepare(&world, late, call).await;
                    tokio::time::sleep(pause).await;
                    let prepared = world.prepare().await;
                    assert_eq!(prepared.result, Ok(()), "{name} at call {call}, {}", prepared.log.text());
                    tokio::time::sleep(SECOND).await;
                    let ran = world.stage("step_script").run().await;
                    assert_eq!(ran.result, Ok(()), "{name} at call {call}, late by {late:?}");
                    world.cleans_up().await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_makes_when_prepare_gave_up_on_it_does_not_stay() {
    for create in [Call::CreateNetwork, Call::CreateVolume, Call::CreateContainer] {
        for (name, kind) in KINDS {
            let world = kind();
            world.fake.set_timeout(20 * SECOND);
            world.fake.delay(create, 21 * SECOND);
            let prepared = world.prepare().await;
            if name == "bridge" && create == Call::CreateNetwork {
                prepared.fine();
                continue;
            }
            let failure = prepared.failed(hearth::outcome::Fault::System);
            assert!(failure.message.contains("did not answer within 20 s"), "{failure}");
            assert_eq!(world.cleanup().await, Ok(()));
            tokio::time::sleep(60 * SECOND).await;
            assert_eq!(world.left(), [""; 0], "{name}, {create:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn prepare_may_be_run_again_when_it_was_through() {
    for (name, kind) in KINDS {
        let world = kind();
        world.prepare().await.fine();
        let before = world.left();
        world.prepare().await.fine();
        assert_eq!(world.left().len(), before.len(), "{name}");
        whole_job(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_killed_at_any_call_is_cleaned_up_and_the_next_stage_runs() {
    for (name, kind) in KINDS {
        for stage in ["get_sources", "step_script"] {
            for call in 1..=8 {
                let world = kind();
                world.fake.script(|_| Behaviour::new().sleep(SECOND));
                world.prepare().await.fine();
                world.fake.cut_after(call);
                let killed = until_cut(&world.fake, world.stage(stage).run()).await;
                world.fake.heal();
                if let Some(ran) = killed {
                    // There were not so many calls.
                    ran.fine();
                    continue;
                }
                world.stage("after_script").run().await.fine();
                world.cleans_up().await;
                assert_eq!(world.left(), [""; 0], "{name}: {stage} at call {call}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cleanup_killed_at_any_call_is_finished_by_the_next() {
    for (name, kind) in KINDS {
        let prepare = calls_of(kind, async |world| drop(world.prepare().await.fine())).await;
        let calls = calls_of(kind, async |world| {
            world.prepare().await.fine();
            world.cleans_up().await;
        })
        .await
            - prepare;
        for slow in [Duration::ZERO, Duration::from_millis(400)] {
            for call in 1..=calls {
                let world = kind();
                world.prepare().await.fine();
                world.fake.removals_take(slow);
                world.fake.cut_after(call);
                let _ = until_cut(&world.fake, world.cleanup()).await;
                world.fake.heal();
                assert_eq!(world.cleanup().await, Ok(()), "{name} at call {call}, slow by {slow:?}");
                assert_eq!(world.left(), [""; 0], "{name} at call {call}");
            }
        }
    }
}
