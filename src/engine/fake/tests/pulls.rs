//! Pulls, and what goes wrong with them.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::{Fake, FakeImage, Trouble};
use crate::engine::{Engine, EngineError, PullEvent, PullMeter, PullRequest, RegistryLogin};
use crate::secret::Secret;

const NAME: &str = "registry.example/app:1";
const MEGABYTE: u64 = 1_000_000;

fn request() -> PullRequest {
    PullRequest { reference: NAME.to_owned(), platform: String::new(), login: None }
}

/// An engine, and a registry with an image of 40 MB in two layers that comes with 1 MB/s.
fn slow() -> Fake {
    let fake = Fake::new();
    fake.publish(NAME, FakeImage::new("app").layers(&[("base", 30 * MEGABYTE), ("app", 10 * MEGABYTE)]));
    fake.download_rate(MEGABYTE);
    fake
}

async fn pull(fake: &Fake) -> Result<(), EngineError> {
    fake.pull(&request(), &mut |_| {}).await
}

#[tokio::test(start_paused = true)]
async fn a_pull_takes_the_time_of_its_bytes() {
    let fake = slow();
    let begun = Instant::now();
    let mut meter = PullMeter::default();
    fake.pull(&request(), &mut |event| {
        meter.observe(&event, begun.elapsed());
    })
    .await
    .unwrap();
    assert_eq!(begun.elapsed().as_secs(), 40);
    assert!(
        meter.summary(begun.elapsed()).starts_with("38.1 MiB in 40.0 s"),
        "{}",
        meter.summary(begun.elapsed())
    );
    assert_eq!(meter.digest(), Some(FakeImage::new("app").digest().as_str()));
    assert!(fake.image(NAME).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn pulls_at_the_same_time_share_the_link() {
    let fake = Fake::new();
    fake.publish(NAME, FakeImage::new("app").layers(&[("app", 40 * MEGABYTE)]));
    fake.publish("registry.example/other:1", FakeImage::new("other").layers(&[("other", 10 * MEGABYTE)]));
    fake.link_rate(MEGABYTE);
    let begun = Instant::now();
    let first = async {
        pull(&fake).await.unwrap();
        begun.elapsed().as_secs_f64()
    };
    let second = async {
        // The first one has brought a quarter by then.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let request = PullRequest { reference: "registry.example/other:1".to_owned(), ..request() };
        fake.pull(&request, &mut |_| {}).await.unwrap();
        begun.elapsed().as_secs_f64()
    };
    let (first, second) = futures_util::future::join(first, second).await;
    assert!((29.5..30.5).contains(&second), "10 MB at half the rate, from 10 s on: {second}");
    assert!((49.5..50.5).contains(&first), "50 MB in all: {first}");
}

#[tokio::test(start_paused = true)]
async fn layers_that_another_image_has_are_not_fetched() {
    let fake = slow();
    fake.image_here("other:1", FakeImage::new("other").layers(&[("base", 30 * MEGABYTE)]));
    let mut present = Vec::new();
    let mut on_event = |event| {
        if let PullEvent::Present(layer) = event {
            present.push(layer);
        }
    };
    fake.pull(&request(), &mut on_event).await.unwrap();
    assert_eq!((present, fake.downloaded()), (vec!["base".to_owned()], 10 * MEGABYTE));
}

#[tokio::test(start_paused = true)]
async fn a_pull_without_clients_loses_its_layers() {
    let fake = slow();
    assert!(timeout(Duration::from_secs(35), pull(&fake)).await.is_err());
    let begun = Instant::now();
    pull(&fake).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 40);
}

#[tokio::test(start_paused = true)]
async fn pulls_of_one_image_are_one() {
    let fake = slow();
    let late = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        pull(&fake).await
    };
    let (first, second) = tokio::join!(timeout(Duration::from_secs(30), pull(&fake)), late);
    assert!(first.is_err(), "the first client gives up");
    assert_eq!(second, Ok(()));
    assert_eq!(fake.downloaded(), 40 * MEGABYTE);
}

#[tokio::test(start_paused = true)]
async fn troubles_pass() {
    let fake = slow();
    fake.trouble(NAME, Trouble::Status(503), 2);
    fake.trouble(NAME, Trouble::NoSpace, 1);
    for words in ["503 Service Unavailable", "503 Service Unavailable", "no space left on device"] {
        let error = pull(&fake).await.unwrap_err();
        assert!(error.words().contains(words), "{error}");
    }
    assert_eq!(pull(&fake).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_pull_is_silent_until_it_is_dropped() {
    let fake = slow();
    fake.trouble(NAME, Trouble::Stall, 1);
    let mut events = 0;
    assert!(timeout(Duration::from_secs(3600), fake.pull(&request(), &mut |_| events += 1)).await.is_err());
    assert_eq!(events, 3);
    assert_eq!(fake.image(NAME).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_protected_image_wants_its_login() {
    let fake = slow();
    fake.protect(NAME, "me", "secret");
    let mut request = request();
    for (password, words) in
        [(None, "no basic auth credentials"), (Some("wrong"), "unauthorized"), (Some("secret"), "")]
    {
        request.login = password.map(|password| RegistryLogin {
            username: "me".to_owned(),
            password: Secret::new(password),
            identity_token: Secret::default(),
            server: "registry.example".to_owned(),
        });
        match fake.pull(&request, &mut |_| {}).await {
            Ok(()) => assert_eq!(words, ""),
            Err(error) => assert!(!words.is_empty() && error.words().contains(words), "{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_moved_tag_is_another_image() {
    let fake = slow();
    pull(&fake).await.unwrap();
    let old = fake.image(NAME).await.unwrap().unwrap();
    fake.publish(NAME, FakeImage::new("newer"));
    pull(&fake).await.unwrap();
    let new = fake.image(NAME).await.unwrap().unwrap();
    assert_ne!(old.id, new.id);
    assert_eq!(fake.image(&old.repo_digests[0]).await.unwrap().map(|i| i.id), Some(old.id));
}

#[tokio::test(start_paused = true)]
async fn an_index_gives_each_platform_its_image() {
    let fake = slow();
    fake.publish(NAME, FakeImage::new("app").index_of(&["linux/amd64", "linux/arm/v7"]));
    for (platform, has) in [("", "linux/amd64"), ("linux/arm/v7", "linux/arm/v7")] {
        let request = PullRequest { platform: platform.to_owned(), ..request() };
        fake.pull(&request, &mut |_| {}).await.unwrap();
        assert_eq!(fake.image(NAME).await.unwrap().unwrap().platform().to_string(), has);
    }
    let request = PullRequest { platform: "linux/s390x".to_owned(), ..request() };
    let error = fake.pull(&request, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.words(), "no matching manifest for linux/s390x in the manifest list entries");
    assert_eq!(fake.platforms(&request).await.unwrap().len(), 2);
}
