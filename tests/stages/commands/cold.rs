//! `hearth why-cold`: jobs that were really prepared, and what is said of them.

use hearth::engine::fake::FakeImage;
use hearth::outcome::Fault;
use hearth::settings::PullPolicy;
use hearth::store::{Ahead, AheadOutcome, Batch};

use super::host::{HOUR, Host};
use crate::world::{APP, World};

/// A host whose clock is the stages' own, where images may go as soon as they came.
fn host() -> Host {
    let host = Host::empty();
    host.now.set(hearth::host::now());
    host.settings.borrow_mut().cache.minimum_age = std::time::Duration::ZERO;
    host
}

/// Prepares a job and cleans up after it.
async fn job(host: &Host, id: i64) -> World {
    let world = host.world.another(id);
    world.prepare().await.fine();
    world.cleans_up().await;
    host.store().drop_leases(&format!("hearth-tok-job-{id} https://gitlab.test"));
    host.now.set(hearth::host::now());
    world
}

/// The lines about one image.
fn about<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let head = format!("  {name} (");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&head));
    let first = lines.next().unwrap_or_else(|| panic!("{text}"));
    std::iter::once(first).chain(lines.take_while(|line| line.starts_with("    "))).map(str::trim).collect()
}

#[tokio::test(start_paused = true)]
async fn a_first_job_finds_nothing_and_the_second_one_all() {
    let host = host();
    job(&host, 7).await;
    let text = host.run(&["why-cold", "7"]).await.fine();
    assert!(text.starts_with("job 7 of https://gitlab.test, just now: prepared in "), "{text}");
    let [why, cost, help] = about(&text, APP)[..] else { panic!("{text}") };
    assert_eq!(
        why,
        format!("{APP} (build image): was not here: no use of it by an earlier job is on record")
    );
    assert!(cost.starts_with("it cost ") && cost.ends_with(" from the registry"), "{text}");
    assert!(help.contains(&format!("[[prefetch.images]] image = \"{APP}\"")), "{text}");
    assert!(text.contains("(helper image): was not here"), "{text}");

    job(&host, 8).await;
    let text = host.run(&["why-cold", "last"]).await.fine();
    assert!(text.starts_with("job 8 of "), "{text}");
    assert_eq!(about(&text, APP), [format!("{APP} (build image): was here")]);
}

#[tokio::test(start_paused = true)]
async fn what_was_evicted_and_for_what_is_said() {
    let host = host();
    host.world.fake.publish(APP, FakeImage::new("app").layers(&[("app", 40 << 20)]));
    job(&host, 7).await;
    host.limit(1);
    let said = host.run(&["evict"]).await;
    assert!(said.out.contains(&format!("removed {APP}")), "{said:?}");
    job(&host, 8).await;
    let text = host.run(&["why-cold", "8"]).await.fine();
    let lines = about(&text, APP);
    assert!(lines[0].contains("was not here: hearth removed it "), "{text}");
    assert!(lines[0].contains(" before the job (worth least for its bytes"), "{text}");
    assert!(lines[0].contains("; room was needed: images take "), "{text}");
    assert!(lines[1].ends_with(", and 40 MiB from the registry"), "{text}");
    assert!(lines[2].starts_with(&format!("what helps: hearth pin {APP}, or more room")), "{text}");
    let document = host.run(&["why-cold", "8", "--json"]).await.json();
    let images = document["images"].as_array().unwrap();
    let image = images.iter().find(|image| image["name"] == APP).unwrap();
    let parts = (&image["how"], &image["cause"], &image["bytes"]);
    assert_eq!(parts, (&"missing".into(), &"evicted".into(), &(40 << 20).into()), "{image}");
    assert_eq!((&document["number"], &document["server"]), (&8.into(), &"https://gitlab.test".into()));
}

#[tokio::test(start_paused = true)]
async fn what_moved_and_what_somebody_else_removed_is_told_apart() {
    let host = host();
    job(&host, 7).await;
    host.world.fake.publish(APP, FakeImage::new("next"));
    job(&host, 8).await;
    let text = host.run(&["why-cold", "8"]).await.fine();
    let digits = |seed: &str| FakeImage::new(seed).digest()[7..19].to_owned();
    let moved = format!("its tag moved: it meant {}, which a job used ", digits("app"));
    let line = about(&text, APP)[0];
    assert!(line.contains(&moved) && line.ends_with(&format!(" and means {} now", digits("next"))), "{text}");
    assert!(text.contains("what helps: `hearth daemon`, which does not run now"), "{text}");

    host.world.fake.forget_image(APP);
    job(&host, 9).await;
    let text = host.run(&["why-cold", "9"]).await.fine();
    assert!(about(&text, APP)[0].ends_with("something else than hearth removed it"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_that_came_too_late_is_told() {
    let host = host();
    let now = hearth::host::now();
    let ahead = Ahead {
        at: now - HOUR,
        name: APP.to_owned(),
        digest: None,
        platform: String::new(),
        source: "list".to_owned(),
        bytes: Some(1),
        took: HOUR * 2,
        outcome: AheadOutcome::Failed,
        words: "the link was cut".to_owned(),
    };
    assert!(host.store().commit(&Batch { aheads: vec![ahead], ..Batch::default() }, now));
    job(&host, 7).await;
    let text = host.run(&["why-cold", "7"]).await.fine();
    let line = about(&text, APP)[1];
    assert!(
        line.starts_with("a prefetch of it (list) had begun 60 min before the job: too late by "),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_did_not_get_all_its_images_is_told_with_those_it_got() {
    let host = host();
    job(&host, 7).await;
    let mut world = host.world.another(8);
    world.settings.job.pull_policy = vec![PullPolicy::IfNotPresent];
    world.job["services"] = serde_json::json!([{"name": "registry.test/none:1"}]);
    let prepared = world.prepare().await;
    assert!(prepared.failed(Fault::Job).message.contains("registry.test/none:1"));
    host.now.set(hearth::host::now());
    let text = host.run(&["why-cold", "last"]).await.fine();
    let end = "it was not prepared to the end; images that it did not get are not listed";
    assert!(text.lines().next().unwrap().ends_with(end), "{text}");
    assert_eq!(about(&text, APP), [format!("{APP} (build image): was here")]);
    assert!(!text.contains("none:1"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_found_by_number_or_url_and_said_to_be_unknown_otherwise() {
    let host = host();
    let none = host.run(&["why-cold", "last"]).await.wrong();
    assert!(none.contains("there is no store "), "{none}");
    job(&host, 7).await;
    job(&host, 71).await;
    let url = "https://gitlab.test/group/project/-/jobs/7";
    for name in ["7", "#7", url, &format!("{url}#L3")] {
        assert!(host.run(&["why-cold", name]).await.fine().starts_with("job 7 of "), "{name}");
    }
    let wrong = host.run(&["why-cold", "https://gitlab.other/group/project/-/jobs/7"]).await.wrong();
    assert!(wrong.contains("no job 7 is on record") && wrong.contains("prepared here is 71"), "{wrong}");
    let wrong = host.run(&["why-cold", "lint"]).await.wrong();
    assert!(
        wrong.contains("\"lint\" is no job") && wrong.contains("its number, its URL, or last"),
        "{wrong}"
    );
}
