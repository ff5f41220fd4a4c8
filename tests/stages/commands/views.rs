//! `hearth images`, `hearth explain` and `hearth status`: what they show.

use std::time::Duration;

use hearth::daemon::lock::Lock;
use hearth::daemon::report::{Done, PrefetchReport, Report, RoundReport};
use hearth::moment::Process;
use hearth::store::{Batch, JobTime, Lease, LeaseKind, Pin};

use super::host::{GIB, HOUR, Host, MIB, NOW};

fn lease(host: &Host, job: &str, name: &str) {
    let taken = hearth::moment::Moment { wall: host.now.get(), ..hearth::host::moment() };
    let owner = Process { pid: std::process::id(), ..Process::default() };
    let (job, name) = (job.to_owned(), name.to_owned());
    host.store().lease(&[Lease { job, kind: LeaseKind::Reference, name, taken, owner, lasts: HOUR }]);
}

#[tokio::test(start_paused = true)]
async fn images_are_shown_with_what_would_go_first_last() {
    let host = Host::used().await;
    let text = host.run(&["images"]).await.fine();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{text}");
    let names: Vec<&str> =
        lines.iter().take_while(|line| !line.is_empty()).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        names,
        [
            "IMAGE",
            "other.test/theirs:1",
            "registry.test/daily:1",
            "registry.test/weekly:1",
            "registry.test/old:1"
        ]
    );
    let line = |name: &str| *lines.iter().find(|line| line.contains(name)).unwrap();
    for part in ["159 MiB", "106 MiB", "5.7/week", "24 h ago"] {
        assert!(line("daily").contains(part), "{part}: {text}");
    }
    assert!(line("weekly").contains("3 days ago") && line("weekly").contains("/week"), "{text}");
    assert!(line("theirs").ends_with("foreign") && line("theirs").contains("never"), "{text}");
    assert!(text.contains("\nimages   700 MiB: well; above 1 GiB they go down to 1 GiB\n"), "{text}");
    assert!(
        text.contains(
            "\ndisk     40 GiB of 100 GiB free: well; below 10 GiB images go until 15 GiB are free\n"
        )
    );
    assert!(text.ends_with("nothing goes now\n"), "{text}");

    host.limit(600 * MIB);
    let text = host.run(&["images"]).await.fine();
    assert!(text.contains("700 MiB: too much;"), "{text}");
    assert!(text.ends_with("1 image would go now and free 318 MiB\n"), "{text}");
    let old = text.lines().find(|line| line.contains("old")).unwrap();
    assert!(old.ends_with("now"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_holds_an_image_is_shown() {
    let host = Host::used().await;
    let pin = Pin { name: "registry.test/old:1".to_owned(), until: None, reason: String::new() };
    assert!(host.store().pin(&pin, NOW));
    lease(&host, "tok-4-0-7 https://gitlab.test", "registry.test/daily:1");
    let text = host.run(&["images"]).await.fine();
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap();
    assert!(line("old").ends_with("-  pin"), "{text}");
    assert!(line("daily").ends_with("-  lease"), "{text}");
    assert!(line("weekly").ends_with(" 1"), "{text}");
    assert!(text.contains("\npinned   1 image, 371 MiB\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn programs_get_the_same_in_names_that_stay() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    let document = host.run(&["images", "--json"]).await.json();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&document), ["at", "images", "jobs_only", "marks", "notes", "pinned_bytes", "plan"]);
    assert_eq!(
        keys(&document["marks"]),
        [
            "disk_bytes",
            "free_bytes",
            "free_high",
            "free_inodes",
            "free_low",
            "images_bytes",
            "images_high",
            "images_low",
            "inodes",
            "inodes_high",
            "inodes_low"
        ]
    );
    assert_eq!(
        keys(&document["plan"]),
        ["blocked", "frees_bytes", "images", "refused", "short_bytes", "short_inodes"]
    );
    let old = document["images"].as_array().unwrap().last().unwrap();
    assert_eq!(
        keys(old),
        [
            "bytes",
            "claimed_until",
            "class",
            "digests",
            "goes",
            "id",
            "jobs_only",
            "last_use",
            "leased",
            "name",
            "pinned",
            "reason",
            "running",
            "score",
            "seconds_to_pull",
            "tags",
            "turn",
            "unique_bytes",
            "uses_per_day",
            "young_until"
        ]
    );
    assert_eq!((&old["goes"], &old["turn"], &old["class"]), (&true.into(), &1.into(), &"pulled".into()));
    assert_eq!(old["unique_bytes"], 318 * MIB);
    assert_eq!(old["last_use"], (NOW - HOUR * 24 * 20).as_secs());
    assert_eq!(document["plan"]["frees_bytes"], 318 * MIB);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_goes_is_told_what_keeps_it_and_that_keeps_it() {
    let host = Host::used().await;
    host.limit(600 * MIB);
    let text = host.run(&["explain", "registry.test/old:1"]).await.fine();
    for part in [
        "takes 371 MiB; 318 MiB of it no other image has",
        "used once, last 20 days ago",
        "would go now, the first of all: worth least for its bytes",
        "120 MiB from the registry, 318 MiB on disk",
        "to keep it: give images ",
        "or hearth pin registry.test/old:1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let document = host.run(&["explain", "registry.test/old:1", "--json"]).await.json();
    let keep = document["keep"].as_array().unwrap();
    let bytes = keep.iter().find(|keep| keep["by"] == "bytes").unwrap()["amount"].as_u64().unwrap();
    assert!((99 * MIB..=100 * MIB).contains(&bytes), "{bytes}");
    // What is said holds: with so much more it stays, with a byte less it goes.
    for (more, fate) in [(bytes, "no need"), (bytes - 1, "goes")] {
        host.limit(600 * MIB + more);
        let document = host.run(&["explain", "registry.test/old:1", "--json"]).await.json();
        assert_eq!(document["fate"], fate, "{document}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_stays_is_told_why() {
    let host = Host::used().await;
    let text = host.run(&["explain", "registry.test/weekly:1"]).await.fine();
    assert!(text.contains("stays: no limit is reached, and 1 image would go before it"), "{text}");
    assert!(text.contains("it would go if images, or other files, took "), "{text}");
    let text = host.run(&["explain", "other.test/theirs:1"]).await.fine();
    assert!(text.contains("stays: neither did hearth pull it nor did a job use it"), "{text}");
    host.limit(600 * MIB);
    let text = host.run(&["explain", "registry.test/weekly:1"]).await.fine();
    assert!(text.contains("stays: a limit is reached, but 1 image before it are enough"), "{text}");
    lease(&host, "tok-4-0-7 https://gitlab.test", "registry.test/old:1");
    let document = host.run(&["explain", "registry.test/old:1", "--json"]).await.json();
    assert_eq!((&document["fate"], &document["held_by"]), (&"held".into(), &"lease".into()));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_gone_is_told_from_one_that_nobody_knows() {
    let host = Host::used().await;
    host.fake().forget_image("registry.test/weekly:1");
    let text = host.run(&["explain", "registry.test/weekly:1"]).await.fine();
    assert!(text.contains("is not on this host") && text.contains("used 3 times, last 3 days ago"), "{text}");
    // The base is here with the others.
    assert!(
        text.contains("coming costs ") && text.contains("80 MiB from the registry, 212 MiB on disk"),
        "{text}"
    );
    let said = host.run(&["explain", "registry.test/dayly:1"]).await.wrong();
    assert!(said.contains("there is no image registry.test/dayly:1 on this host"), "{said}");
    assert!(said.contains("hint: known is registry.test/daily:1"), "{said}");
    let said = host.run(&["explain", "Not A Name"]).await.wrong();
    assert!(said.contains("is not an image name"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_of_engine_store_disk_daemon_and_jobs() {
    let host = Host::used().await;
    let store = host.store();
    let time = |job: u64, warm: bool| JobTime {
        job: job.to_string(),
        started: NOW - HOUR * 5,
        image: "registry.test/daily:1".to_owned(),
        warm,
        download: (!warm).then_some(Duration::from_secs(90)),
        ..JobTime::default()
    };
    let old = JobTime { started: NOW - HOUR * 24 * 8, ..time(9, false) };
    let times = vec![time(1, true), time(2, true), time(3, true), time(4, false), old];
    assert!(store.commit(&Batch { times, ..Batch::default() }, NOW));
    let pin =
        Pin { name: "registry.test/old:1".to_owned(), until: Some(NOW + HOUR), reason: "release".to_owned() };
    assert!(store.pin(&pin, NOW));
    lease(&host, "tok-4-0-7 https://gitlab.test", "registry.test/daily:1");
    let round = RoundReport {
        at: (NOW - HOUR).as_secs(),
        seconds: 0.4,
        done: Done { images: 2, freed_bytes: 3 * GIB, ..Done::default() },
        ..RoundReport::default()
    };
    let report =
        Report { pid: 4242, since: (NOW - HOUR * 9).as_secs(), last_round: Some(round), ..Report::default() };
    report.write(&host.place()).unwrap();
    let text = host.run(&["status"]).await.fine();
    for part in [
        "\nstore    ",
        "knows 3 names",
        "\nimages   700 MiB: well;",
        "4 images; ranked by foreseen (until this host's own jobs say another)",
        "\ndaemon   does not run; the last one was heard 60 min ago",
        "last round 60 min ago, took 0.4 s: removed 2 images; 3 GiB freed",
        "\njobs     4 in the last week, 75 % of them warm; the others waited 90 s for images",
        "\nlease    tok-4-0-7 https://gitlab.test, just now: registry.test/daily:1",
        "\npin      registry.test/old:1 until 2026-11-27 13:00 UTC: release",
        "\nnothing goes now\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let lock = Lock::take(&host.place(), 4242).unwrap();
    let text = host.run(&["status"]).await.fine();
    assert!(text.contains("\ndaemon   runs as process 4242 since 9 h ago"), "{text}");
    drop(lock);
    let document = host.run(&["status", "--json"]).await.json();
    let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "at",
            "daemon",
            "engine",
            "images",
            "leases",
            "marks",
            "pin_patterns",
            "pins",
            "plan",
            "problems",
            "rule",
            "store",
            "week"
        ]
    );
    assert_eq!(document["week"]["warm_ratio"], 0.75);
}

#[tokio::test(start_paused = true)]
async fn without_an_engine_the_status_tells_the_rest_and_the_others_say_so() {
    let host = Host::used().await;
    host.fake().stop_engine();
    let said = host.run(&["status"]).await;
    assert_eq!((said.code, said.err.as_str()), (2, ""));
    for part in ["engine   does not answer at", "knows 3 names", "problem: no container engine answers at"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    for words in [&["images"][..], &["explain", "registry.test/old:1"], &["evict"], &["evict", "--dry-run"]] {
        let said = host.run(words).await;
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{words:?}");
        assert!(said.err.contains("no container engine answers at"), "{}", said.err);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_missing_or_newer_is_told() {
    let host = Host::used().await;
    let file = host.place().file();
    let moved = file.with_extension("away");
    std::fs::rename(&file, &moved).unwrap();
    let text = host.run(&["images"]).await.fine();
    assert!(text.contains("note: there is no store") && text.contains("no job has run here"), "{text}");
    assert!(!file.exists(), "a look makes none");
    let text = host.run(&["status"]).await.fine();
    assert!(text.contains("hearth.db is not there yet: no job has run here"), "{text}");
    std::fs::rename(&moved, &file).unwrap();

    set_version(&file, 999);
    for words in
        [&["images"][..], &["explain", "registry.test/old:1"], &["evict"], &["pin", "a:1"], &["unpin", "a:1"]]
    {
        let said = host.run(words).await.wrong();
        assert!(
            said.contains("was made by a newer hearth") && said.contains("install that version"),
            "{said}"
        );
    }
    let said = host.run(&["status"]).await;
    assert_eq!(said.code, 2);
    assert!(
        said.out.contains("hearth.db cannot be used") && said.out.contains("problem: the store"),
        "{}",
        said.out
    );
}

/// Makes the file say that another version wrote it: the number is in its header.
fn set_version(file: &std::path::Path, version: u32) {
    use std::io::{Seek as _, SeekFrom, Write as _};
    // What is in the log would win over the file.
    let _ = std::fs::remove_file(file.with_extension("db-wal"));
    let _ = std::fs::remove_file(file.with_extension("db-shm"));
    let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(60)).unwrap();
    file.write_all(&version.to_be_bytes()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn tags_that_only_jobs_can_read_are_listed_while_a_daemon_looks_tags_up() {
    let host = Host::used().await;
    let jobs_only = ["docker.io/library/gone:1", "registry.test/daily:1"].map(str::to_owned).to_vec();
    let prefetch = PrefetchReport { jobs_only, ..PrefetchReport::default() };
    Report { prefetch, ..Report::default() }.write(&host.place()).unwrap();
    assert!(!host.run(&["images"]).await.fine().contains("checked by jobs only"));
    let _lock = Lock::take(&host.place(), 4242).unwrap();
    let text = host.run(&["images"]).await.fine();
    assert!(text.contains("\nchecked by jobs only: gone:1, registry.test/daily:1\n"), "{text}");
    let document = host.run(&["images", "--json"]).await.json();
    assert_eq!(document["jobs_only"], serde_json::json!(["gone:1", "registry.test/daily:1"]));
    let images = document["images"].as_array().unwrap();
    let marked = images.iter().filter(|image| image["jobs_only"] == true).map(|image| &image["name"]);
    assert_eq!(marked.collect::<Vec<_>>(), ["registry.test/daily:1"]);
}
