//! What is on record of how jobs came to their images.

use std::time::Duration;

use hearth::engine::fake::FakeImage;
use hearth::store::{How, JobImage, Store};

use crate::world::{APP, HELPER, SECOND, World};

/// What is on record of how a job came to its image.
fn image(store: &Store, job: i64) -> JobImage {
    let images = store.job_images(&format!("hearth-tok-job-{job} https://gitlab.test"));
    let found = images.iter().find(|image| image.name == APP);
    found.unwrap_or_else(|| panic!("{images:?}")).clone()
}

#[tokio::test(start_paused = true)]
async fn each_job_leaves_how_it_came_to_its_images() {
    let world = World::new();
    world.fake.publish(APP, FakeImage::new("one").layers(&[("a", 20 << 20)]));
    world.fake.download_rate(1 << 20);
    world.prepare().await.fine();
    let store = world.store();
    let came = image(&store, 7);
    assert_eq!((came.how, came.purpose.as_str(), came.bytes), (How::Missing, "build image", Some(20 << 20)));
    assert_eq!(came.digest, Some(FakeImage::new("one").layers(&[("a", 20 << 20)]).digest()));
    assert!((20..25).contains(&came.waited.as_secs()), "{came:?}");
    // The helper's was here, and nobody had proved that it may be read.
    let images = store.job_images(&store.find_jobs("")[0]);
    let helper = images.iter().find(|image| image.name == HELPER).unwrap();
    assert_eq!((helper.how, helper.unproved, helper.bytes), (How::Here, true, None));

    world.another(8).prepare().await.fine();
    let came = image(&store, 8);
    assert_eq!((came.how, came.unproved, came.bytes), (How::Here, false, None));
    assert!(came.waited < Duration::from_secs(1));

    world.fake.publish(APP, FakeImage::new("two"));
    world.another(9).prepare().await.fine();
    assert_eq!(
        (image(&store, 9).how, image(&store, 9).digest),
        (How::Moved, Some(FakeImage::new("two").digest()))
    );

    world.fake.build_here(APP, FakeImage::new("mine"));
    world.fake.publish(APP, FakeImage::new("three"));
    world.another(10).prepare().await.fine();
    assert_eq!(image(&store, 10).how, How::Foreign);
    assert_eq!(store.find_jobs("").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_anothers_pull_joined_it() {
    let world = World::new();
    world.fake.publish(APP, FakeImage::new("big").layers(&[("a", 20 << 20)]));
    world.fake.download_rate(1 << 20);
    let other = world.another(8);
    let late = async {
        tokio::time::sleep(5 * SECOND).await;
        other.prepare().await
    };
    let (first, second) = tokio::join!(world.prepare(), late);
    first.fine();
    second.fine();
    let store = world.store();
    let (first, second) = (image(&store, 7), image(&store, 8));
    assert_eq!((first.how, first.bytes), (How::Missing, Some(20 << 20)));
    assert_eq!((second.how, second.bytes), (How::Joined, None));
    assert!(second.waited < first.waited && second.waited > 10 * SECOND, "{second:?}");
}
