//! `hearth evict`: what it says, what it does, and that both are the same.

use hearth::evict::Room;
use hearth::store::{Held, Pin};

use super::host::{GIB, Host, MIB, NOW};

#[tokio::test(start_paused = true)]
async fn what_a_dry_run_says_goes_and_nothing_else() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    let text = host.run(&["evict", "--dry-run"]).await.fine();
    assert!(text.starts_with("would remove registry.test/old:1: worth least for its bytes"), "{text}");
    assert!(text.contains("; that frees 318 MiB\n1 image would go now and free 318 MiB\n"), "{text}");
    assert!(host.has("old").await, "a dry run removes nothing");
    let planned = host.run(&["evict", "--dry-run", "--json"]).await.json();
    assert_eq!(planned["removed"][0]["name"], "registry.test/old:1");
    assert_eq!(planned["removed"][0]["bytes"], 318 * MIB);

    let text = host.run(&["evict"]).await.fine();
    assert!(text.contains("removed registry.test/old:1: worth least for its bytes"), "{text}");
    assert!(text.contains("1 image removed;"), "{text}");
    assert!(!host.has("old").await && host.has("weekly").await && host.has("daily").await);

    let text = host.run(&["evict"]).await.fine();
    assert_eq!(text, "nothing was removed: no limit is reached\n");
}

#[tokio::test(start_paused = true)]
async fn programs_get_one_document_of_what_went() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    let document = host.run(&["evict", "--json"]).await.json();
    let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "blocked",
            "build_cache_bytes",
            "busy",
            "dry_run",
            "freed_bytes",
            "left",
            "removed",
            "stuck",
            "volumes"
        ]
    );
    assert_eq!(
        (&document["dry_run"], &document["removed"][0]["name"]),
        (&false.into(), &"registry.test/old:1".into())
    );
    assert!(!host.has("old").await);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_said_and_is_no_success() {
    let host = Host::used().await;
    // The disk is full, and not of images.
    let room = host.room.get().unwrap();
    host.room.set(Some(Room { free_bytes: GIB / 100, ..room }));
    for name in ["daily", "weekly", "old"] {
        let pin = Pin { name: format!("registry.test/{name}:1"), until: None, reason: String::new() };
        assert!(host.store().pin(&pin, NOW));
    }
    let said = host.run(&["evict"]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.out.contains("nothing was removed: nothing could be\n"), "{}", said.out);
    assert!(said.out.contains("still too much: "), "{}", said.out);
    let text = host.run(&["evict", "--dry-run"]).await.fine();
    assert!(text.contains("15.0 GiB too much would be left: nothing else may go"), "{text}");
    assert!(host.has("daily").await && host.has("weekly").await && host.has("old").await);
}

#[tokio::test(start_paused = true)]
async fn it_is_off_where_the_settings_say_so() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    host.settings.borrow_mut().cache.evict = false;
    let said = host.run(&["evict"]).await;
    assert_eq!(said.code, 2);
    assert_eq!(said.out, "nothing is removed at present: [cache] evict is off\n");
    assert!(host.has("old").await);
}

#[tokio::test(start_paused = true)]
async fn another_evictor_is_waited_for_and_then_given_up() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    let held = Held::take(&host.place(), "evict.lock").unwrap().unwrap();
    let said = host.run(&["evict"]).await;
    assert_eq!(said.code, 2);
    assert!(said.out.contains("another process makes room"), "{}", said.out);
    assert!(said.out.contains("nothing was removed: another process makes room at present"), "{}", said.out);
    assert!(host.has("old").await);
    drop(held);
    host.run(&["evict"]).await.fine();
    assert!(!host.has("old").await);
}
