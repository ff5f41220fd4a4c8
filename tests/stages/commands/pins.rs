//! `hearth pin` and `hearth unpin`.

use hearth::store::Pin;

use super::host::{HOUR, Host, MIB, NOW};

async fn dry(host: &Host) -> String {
    host.run(&["evict", "--dry-run"]).await.fine()
}

#[tokio::test(start_paused = true)]
async fn what_is_pinned_stays_until_its_time_is_over() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    let text =
        host.run(&["pin", "registry.test/old:1", "--until", "12h", "--reason", "release week"]).await.fine();
    assert_eq!(
        text,
        "pinned registry.test/old:1 until 2026-11-28 00:00 UTC, 371 MiB\n\
         all pinned images take 371 MiB of 600 MiB that may stay\n"
    );
    let pin = Pin {
        name: "registry.test/old:1".to_owned(),
        until: Some(NOW + HOUR * 12),
        reason: "release week".to_owned(),
    };
    assert_eq!(host.store().pins(NOW), [pin]);
    assert!(!dry(&host).await.contains("old"));
    host.now.set(NOW + HOUR * 13);
    assert!(dry(&host).await.contains("would remove registry.test/old:1"));
}

#[tokio::test(start_paused = true)]
async fn a_pin_is_taken_back() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    host.run(&["pin", "registry.test/old:1"]).await.fine();
    assert!(!dry(&host).await.contains("old"));
    assert_eq!(host.run(&["unpin", "registry.test/old:1"]).await.fine(), "unpinned registry.test/old:1\n");
    assert!(dry(&host).await.contains("would remove registry.test/old:1"));
    let said = host.run(&["unpin", "registry.test/old:1"]).await.wrong();
    assert!(
        said.contains("there is no pin of registry.test/old:1") && said.contains("nothing is pinned by hand")
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_pin_is_told_what_looks_like_it_and_the_others_go() {
    let host = Host::used().await;
    host.run(&["pin", "registry.test/old:1", "registry.test/daily:1"]).await.fine();
    let said = host.run(&["unpin", "registry.test/daly:1", "registry.test/old:1"]).await;
    assert_eq!((said.code, said.out.as_str()), (2, "unpinned registry.test/old:1\n"));
    assert!(said.err.contains("there is no pin of registry.test/daly:1"), "{}", said.err);
    assert!(said.err.contains("pinned is registry.test/daily:1"), "{}", said.err);
    assert_eq!(host.store().pins(NOW).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pins_beyond_the_budget_are_refused_with_the_numbers() {
    let host = Host::used().await;
    host.limit(400 * MIB);
    host.run(&["pin", "registry.test/old:1"]).await.fine();
    let said = host.run(&["pin", "registry.test/weekly:1"]).await.wrong();
    for part in [
        "the pinned images would take 583 MiB, but they may take 400 MiB at most ([cache] images_high): nothing was pinned",
        "hint: registry.test/old:1 takes 371 MiB",
        "hint: registry.test/weekly:1 takes 265 MiB",
        "hint: unpin some (hearth unpin IMAGE), or let images take more ([cache])",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(host.store().pins(NOW).len(), 1);
    // The base is held by both, and counts once; what is gone counts as it was.
    host.fake().forget_image("registry.test/weekly:1");
    let said = host.run(&["pin", "registry.test/weekly:1"]).await.wrong();
    assert!(said.contains("would take 583 MiB"), "{said}");
    host.limit(583 * MIB);
    host.run(&["pin", "registry.test/weekly:1"]).await.fine();
}

#[tokio::test(start_paused = true)]
async fn without_an_engine_pins_are_kept_with_the_sizes_on_record() {
    let host = Host::used().await;
    host.fake().stop_engine();
    let text = host.run(&["pin", "registry.test/old:1"]).await.fine();
    assert!(text.starts_with("pinned registry.test/old:1 for good, 371 MiB\n"), "{text}");
    assert!(text.contains("note: sizes are those on record, since no container engine answers"), "{text}");
    host.limit(300 * MIB);
    let said = host.run(&["pin", "registry.test/daily:1"]).await.wrong();
    assert!(said.contains("would take 477 MiB"), "{said}");
    host.run(&["unpin", "registry.test/old:1"]).await.fine();
}

#[tokio::test(start_paused = true)]
async fn bad_names_are_told_all_at_once_and_nothing_is_changed() {
    let host = Host::used().await;
    let said =
        host.run(&["pin", "registry.test/old:1", "Bad Name", "also:bad:name", "!x/**", "a/["]).await.wrong();
    for part in [
        "\"Bad Name\" is not an image name",
        "\"also:bad:name\" is not",
        "\"!x/**\" would take pins",
        "\"a/[\" is not a pattern",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(host.store().pins(NOW), []);
    let said = host.run(&["pin", "a:1", "--until", "2020-01-01"]).await.wrong();
    assert!(
        said.contains("--until 2020-01-01 00:00 UTC is in the past: it is 2026-11-27 12:00 UTC"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn patterns_ids_and_images_to_come_are_pinned_too() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    let text = host.run(&["pin", "registry.test/o*"]).await.fine();
    assert!(text.starts_with("pinned registry.test/o* for good, 371 MiB\n"), "{text}");
    assert!(!dry(&host).await.contains("old"));
    host.run(&["unpin", "registry.test/o*"]).await.fine();

    let images = host.run(&["images", "--json"]).await.json();
    let old = images["images"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let digits = &old.trim_start_matches("sha256:")[..12];
    let text = host.run(&["pin", digits]).await.fine();
    assert!(text.contains(&format!("note: {digits} is the ID of registry.test/old:1")), "{text}");
    assert!(!dry(&host).await.contains("old"));
    host.run(&["unpin", digits]).await.fine();

    let document = host.run(&["pin", "registry.test/new:1", "registry.test/dayly:1", "--json"]).await.json();
    assert_eq!(document["pinned"][1]["here"], false);
    let notes = document["notes"].to_string();
    assert!(notes.contains("registry.test/new:1 is not on this host: it stays once it comes"), "{notes}");
    assert!(notes.contains("here is registry.test/daily:1"), "{notes}");
    host.image("new", 10, &[]).await;
    let images = host.run(&["images", "--json"]).await.json();
    let new =
        images["images"].as_array().unwrap().iter().find(|image| image["name"] == "registry.test/new:1");
    assert_eq!(new.unwrap()["pinned"], true);
}

#[tokio::test(start_paused = true)]
async fn what_the_settings_pin_is_said_to_stay_pinned() {
    let host = Host::used().await;
    host.settings.borrow_mut().cache.pins = hearth::image::Patterns::compile(&["registry.test/*:1"]).unwrap();
    host.run(&["pin", "registry.test/old:1"]).await.fine();
    let text = host.run(&["unpin", "registry.test/old:1"]).await.fine();
    assert!(text.contains("note: registry.test/old:1 stays pinned by the settings"), "{text}");
}
