//! Several jobs that want one image: one pull, however they come and go.

use hearth::engine::fake::{Call, FakeImage};
use hearth::fetch::flight::Departure;
use hearth::outcome::Fault;
use hearth::stage::{Around, prepare};
use tokio::time::sleep;

use crate::bench::Log;
use crate::world::{APP, SECOND, World};

/// Jobs whose image takes 20 s to come.
fn jobs(count: i64) -> Vec<World> {
    let first = World::new();
    first.fake.publish(APP, FakeImage::new("big").layers(&[("a", 20 << 20)]));
    first.fake.download_rate(1 << 20);
    let others: Vec<World> = (1..count).map(|number| first.another(100 + number)).collect();
    std::iter::once(first).chain(others).collect()
}

#[tokio::test(start_paused = true)]
async fn jobs_that_want_one_image_share_one_pull_and_each_asks_for_itself() {
    let worlds = jobs(4);
    let prepared = futures_util::future::join_all(worlds.iter().map(World::prepare)).await;
    let fake = &worlds[0].fake;
    assert_eq!(fake.count(Call::Pull), 1);
    assert_eq!(fake.questions().iter().filter(|asked| *asked == APP).count(), 4);
    let mut waited = 0;
    for prepared in prepared {
        let prepared = prepared.fine();
        assert!((20..25).contains(&prepared.took.as_secs()), "{:?}", prepared.took);
        waited += prepared.log.count("another job has pulled it");
        let told =
            prepared.log.count("another job is pulling it") + prepared.log.count("of 1 layers unpacked");
        assert!(told >= 3, "each log tells of the progress: {}", prepared.log.text());
    }
    assert_eq!(waited, 3);
    for world in &worlds {
        world.cleanup().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_it_gets_nothing_from_anothers_pull() {
    let worlds = jobs(2);
    let [one, other] = &worlds[..] else { panic!() };
    one.fake.protect(APP, "user", "pass");
    let auth = r#"{"auths":{"registry.test":{"auth":"dXNlcjpwYXNz"}}}"#;
    let one = one.another(50).variable("DOCKER_AUTH_CONFIG", auth);
    let late = async {
        sleep(5 * SECOND).await;
        other.prepare().await
    };
    let (first, second) = tokio::join!(one.prepare(), late);
    first.fine();
    assert!(second.failed(Fault::Job).message.contains("may not be read"));
    // Nor later, from what is here.
    let third = other.prepare().await;
    assert!(third.failed(Fault::Job).message.contains("may not be read"));
}

#[tokio::test(start_paused = true)]
async fn a_pull_outlives_the_job_that_began_it_where_another_one_waits() {
    let worlds = jobs(3);
    let [first, second, third] = &worlds[..] else { panic!() };
    let (leave, departure) = Departure::new();
    let log = Log::default();
    let goes = async {
        let (begun, job_log) = (first.begun(), log.job_log());
        let around = Around { departure, ..first.around() };
        let mut work = Box::pin(prepare::run(&begun, &first.fake, around, &job_log));
        tokio::select! {
            result = &mut work => panic!("{result:?}"),
            () = sleep(10 * SECOND) => leave.wish(async { drop(work.await) }).await,
        }
    };
    let late = async |world: &World| {
        sleep(SECOND).await;
        world.prepare().await
    };
    let ((), second, third) = tokio::join!(goes, late(second), late(third));
    let (second, third) = (second.fine(), third.fine());
    assert_eq!(first.fake.count(Call::Pull), 2, "the one that went, and its heir");
    assert_eq!(first.fake.downloaded(), 20 << 20, "no byte came twice");
    let heirs = second.log.count("this one goes on with its pull") + third.log.count("this one goes on");
    assert_eq!(heirs, 1, "{}\n{}", second.log.text(), third.log.text());
    assert!(second.took.as_secs() < 25 && third.took.as_secs() < 25, "{:?} {:?}", second.took, third.took);
}

#[tokio::test(start_paused = true)]
async fn no_more_images_come_at_once_than_the_settings_say() {
    let worlds = jobs(3);
    for (at, world) in worlds.iter().enumerate() {
        let name = format!("registry.test/group/own{at}:1");
        world.fake.publish(&name, FakeImage::new(&name).layers(&[(name.as_str(), 10 << 20)]));
    }
    let mut worlds = worlds;
    for (at, world) in worlds.iter_mut().enumerate() {
        world.settings.pull.concurrent = 1;
        world.job["image"]["name"] = format!("registry.test/group/own{at}:1").into();
    }
    let prepared = futures_util::future::join_all(worlds.iter().map(World::prepare)).await;
    let mut took: Vec<u64> = prepared.into_iter().map(|prepared| prepared.fine().took.as_secs()).collect();
    took.sort_unstable();
    assert!(took[0] < 12 && (20..24).contains(&took[1]) && took[2] >= 30, "{took:?}");
}
