use super::super::convert::pull_event;
use super::{Duration, PullEvent, PullMeter, PullTotals, PulledLayer};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn downloading(layer: &str, done: u64, total: u64) -> PullEvent {
    PullEvent::Downloading { layer: layer.into(), done, total }
}

#[test]
fn overlapping_phases_are_counted_once_each() {
    let mut meter = PullMeter::default();
    meter.observe(&PullEvent::Waiting("a".into()), at(0));
    meter.observe(&downloading("a", 0, 1 << 20), at(1));
    meter.observe(&downloading("b", 512 << 10, 1 << 20), at(2));
    meter.observe(&PullEvent::Downloaded("a".into()), at(3));
    meter.observe(&PullEvent::Extracting { layer: "a".into(), done: 10 }, at(4));
    meter.observe(&PullEvent::Downloaded("b".into()), at(5));
    assert!(meter.may_be_unpacking());
    meter.observe(&PullEvent::Done("a".into()), at(6));
    meter.observe(&PullEvent::Extracting { layer: "b".into(), done: 10 }, at(7));
    meter.observe(&PullEvent::Done("b".into()), at(8));
    assert!(!meter.may_be_unpacking());
    assert_eq!(meter.summary(at(9)), "2 MiB in 9.0 s (download 4.0 s, extract 3.0 s)");
}

#[test]
fn a_line_tells_bytes_rate_and_what_is_left() {
    let mut meter = PullMeter::default();
    meter.observe(&downloading("a", 0, 100 << 20), at(0));
    meter.observe(&downloading("a", 20 << 20, 100 << 20), at(10));
    assert_eq!(meter.line(at(10)), "20 MiB of 100 MiB, 2 MiB/s, about 40 s left, 0 of 1 layers unpacked");
}

#[test]
fn repeated_counts_are_no_movement() {
    let mut meter = PullMeter::default();
    assert!(meter.observe(&downloading("a", 5, 10), at(1)));
    assert!(!meter.observe(&downloading("a", 5, 10), at(2)));
    assert_eq!(meter.last_move(), at(1));
}

#[test]
fn a_pull_that_brought_nothing_says_so() {
    let mut meter = PullMeter::default();
    meter.observe(&PullEvent::Present("a".into()), at(1));
    meter.observe(&PullEvent::Digest("sha256:1".into()), at(1));
    assert_eq!(meter.summary(at(1)), "up to date, 1.0 s");
}

#[test]
fn an_engine_that_tells_no_phases_gets_a_plain_summary() {
    assert_eq!(PullMeter::default().summary(at(3)), "3.0 s");
}

/// Replays what an engine wrote: in each line the milliseconds and the JSON text.
fn replay(recorded: &str, end: u64) -> (PullMeter, PullTotals) {
    let mut meter = PullMeter::default();
    for line in recorded.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (millis, json) = line.split_once(' ').unwrap();
        let event = pull_event(serde_json::from_str(json).unwrap());
        meter.observe(&event, Duration::from_millis(millis.parse().unwrap()));
    }
    let totals = meter.totals(Duration::from_millis(end));
    (meter, totals)
}

fn layer(id: &str, compressed: Option<u64>) -> PulledLayer {
    PulledLayer { id: id.to_owned(), present: false, compressed }
}

fn present(id: &str) -> PulledLayer {
    PulledLayer { id: id.to_owned(), present: true, compressed: None }
}

#[test]
fn dockers_own_store_tells_sizes_and_phases() {
    // Docker 20.10.24, three layers at 8 MB/s each; repeated counts are left out.
    let recorded = r#"
        10 {"status":"Pulling from job/debian","id":"1"}
        10 {"status":"Pulling fs layer","progressDetail":{},"id":"ac13fd2e4565"}
        10 {"status":"Pulling fs layer","progressDetail":{},"id":"adea7dfbb40f"}
        10 {"status":"Pulling fs layer","progressDetail":{},"id":"a7a8d9571d67"}
        20 {"status":"Downloading","progressDetail":{"current":310895,"total":30010582},"id":"ac13fd2e4565"}
        40 {"status":"Downloading","progressDetail":{"current":265327,"total":24353450},"id":"adea7dfbb40f"}
        70 {"status":"Downloading","progressDetail":{"current":530031,"total":66290930},"id":"a7a8d9571d67"}
        1500 {"status":"Verifying Checksum","progressDetail":{},"id":"adea7dfbb40f"}
        1500 {"status":"Download complete","progressDetail":{},"id":"adea7dfbb40f"}
        2500 {"status":"Verifying Checksum","progressDetail":{},"id":"ac13fd2e4565"}
        2500 {"status":"Download complete","progressDetail":{},"id":"ac13fd2e4565"}
        2570 {"status":"Extracting","progressDetail":{"current":327680,"total":30010582},"id":"ac13fd2e4565"}
        3880 {"status":"Pull complete","progressDetail":{},"id":"ac13fd2e4565"}
        3920 {"status":"Extracting","progressDetail":{"current":262144,"total":24353450},"id":"adea7dfbb40f"}
        4460 {"status":"Pull complete","progressDetail":{},"id":"adea7dfbb40f"}
        6490 {"status":"Verifying Checksum","progressDetail":{},"id":"a7a8d9571d67"}
        6490 {"status":"Download complete","progressDetail":{},"id":"a7a8d9571d67"}
        6530 {"status":"Extracting","progressDetail":{"current":557056,"total":66290930},"id":"a7a8d9571d67"}
        8270 {"status":"Pull complete","progressDetail":{},"id":"a7a8d9571d67"}
        8270 {"status":"Digest: sha256:9869b17428c6aab7e83526578e05a0147d813ccd388145a2c306f265cd2fd731"}
        8270 {"status":"Status: Downloaded newer image for 127.0.0.1:5599/job/debian:1"}
    "#;
    let (meter, totals) = replay(recorded, 8280);
    assert_eq!(meter.digest().map(str::len), Some(71));
    assert_eq!(totals.total, Duration::from_millis(8280));
    assert_eq!(totals.download, Some(Duration::from_millis(6470)));
    // 1.31 s, 0.54 s and 1.74 s, with the link at work meanwhile.
    assert_eq!(totals.extract, Some(Duration::from_millis(3590)));
    let layers = [("ac13fd2e4565", 30_010_582), ("adea7dfbb40f", 24_353_450), ("a7a8d9571d67", 66_290_930)];
    assert_eq!(totals.layers, layers.map(|(id, bytes)| layer(id, Some(bytes))));
    assert_eq!((totals.bytes(), totals.in_order), (Some(120_654_962), true));
}

#[test]
fn layers_that_were_here_do_not_count() {
    // Docker 20.10.24, an image of which two layers of three are here.
    let recorded = r#"
        20 {"status":"Pulling from helper","id":"1"}
        20 {"status":"Already exists","progressDetail":{},"id":"ac13fd2e4565"}
        20 {"status":"Already exists","progressDetail":{},"id":"adea7dfbb40f"}
        20 {"status":"Pulling fs layer","progressDetail":{},"id":"41df6944bb25"}
        30 {"status":"Downloading","progressDetail":{"current":3561,"total":3561},"id":"41df6944bb25"}
        30 {"status":"Verifying Checksum","progressDetail":{},"id":"41df6944bb25"}
        30 {"status":"Download complete","progressDetail":{},"id":"41df6944bb25"}
        30 {"status":"Extracting","progressDetail":{"current":3561,"total":3561},"id":"41df6944bb25"}
        150 {"status":"Pull complete","progressDetail":{},"id":"41df6944bb25"}
    "#;
    let (_, totals) = replay(recorded, 170);
    assert_eq!(
        totals.layers,
        [present("ac13fd2e4565"), present("adea7dfbb40f"), layer("41df6944bb25", Some(3561))]
    );
    assert_eq!((totals.bytes(), totals.extract), (Some(3561), Some(Duration::from_millis(120))));
}

#[test]
fn a_pull_of_what_is_here_has_no_phases() {
    let recorded = r#"
        10 {"status":"Pulling from job/debian","id":"1"}
        10 {"status":"Digest: sha256:9869b17428c6aab7e83526578e05a0147d813ccd388145a2c306f265cd2fd731"}
        10 {"status":"Status: Image is up to date for 127.0.0.1:5599/job/debian:1"}
    "#;
    let (_, totals) = replay(recorded, 10);
    assert_eq!((totals.download, totals.extract, totals.bytes()), (None, None, Some(0)));
    assert_eq!(totals.layers, []);
}

#[test]
fn podman_tells_no_phases_and_few_sizes() {
    // Podman 4.3.1; the last layer is the configuration.
    let recorded = r#"
        40 {"status":"Pulling fs layer","progressDetail":{},"id":"ac13fd2e4565"}
        50 {"status":"Pulling fs layer","progressDetail":{},"id":"a7a8d9571d67"}
        50 {"status":"Already exists","progressDetail":{},"id":"adea7dfbb40f"}
        1530 {"status":"Downloading","progressDetail":{"current":16809542,"total":66290930},"id":"a7a8d9571d67"}
        1590 {"status":"Download complete","progressDetail":{},"id":"ac13fd2e4565"}
        7980 {"status":"Download complete","progressDetail":{},"id":"a7a8d9571d67"}
        7980 {"status":"Pulling fs layer","progressDetail":{},"id":"9bfafec52158"}
        7990 {"status":"Download complete","progressDetail":{},"id":"9bfafec52158"}
    "#;
    let (meter, totals) = replay(recorded, 8040);
    assert_eq!((totals.download, totals.extract), (None, None));
    assert_eq!(
        totals.layers,
        [
            layer("ac13fd2e4565", None),
            layer("a7a8d9571d67", Some(66_290_930)),
            present("adea7dfbb40f"),
            layer("9bfafec52158", None),
        ]
    );
    assert_eq!((totals.bytes(), meter.digest(), totals.in_order), (None, None, false));
    assert_eq!(meter.summary(totals.total), "63.2 MiB in 8.0 s");
}

#[test]
fn containerds_store_tells_of_layers_as_they_come_and_of_no_unpacking() {
    // Docker 26.1.5, a pull after one that was cut: one layer was unpacked then and is not told of, one was fetched, and of
    // one the first MiB was.
    let recorded = r#"
        10 {"status":"Pulling from job/debian","id":"1"}
        20 {"status":"Pulling fs layer","progressDetail":{},"id":"aca29dabf212"}
        40 {"status":"Pulling fs layer","progressDetail":{},"id":"ddbdb7111135"}
        60 {"status":"Already exists","progressDetail":{"hidecounts":true},"id":"aca29dabf212"}
        70 {"status":"Downloading","progressDetail":{"current":1048576,"total":2097985},"id":"ddbdb7111135"}
        2040 {"status":"Downloading","progressDetail":{"current":1048576,"total":2097985},"id":"ddbdb7111135"}
    "#;
    let (meter, _) = replay(recorded, 2050);
    assert!(!meter.may_be_unpacking());
    assert_eq!(meter.last_move(), Duration::from_millis(70));
    assert!(meter.line(at(3)).ends_with(", 1 of 2 layers downloaded"), "{}", meter.line(at(3)));
    let complete =
        r#"2160 {"status":"Download complete","progressDetail":{"hidecounts":true},"id":"ddbdb7111135"}"#;
    let (meter, totals) = replay(&format!("{recorded}\n{complete}"), 2200);
    assert!(meter.may_be_unpacking(), "it does not say so");
    assert_eq!((totals.download, totals.extract, totals.in_order), (None, None, false));
    assert_eq!(totals.layers, [present("aca29dabf212"), layer("ddbdb7111135", Some(2_097_985))]);
    assert_eq!(totals.bytes(), Some(2_097_985));
}

#[test]
fn a_layer_that_the_engine_tries_again_does_not_move() {
    let mut meter = PullMeter::default();
    meter.observe(&downloading("a", 5, 10), at(1));
    let json = r#"{"status":"Retrying in 5 seconds","progressDetail":{},"id":"a"}"#;
    let event = pull_event(serde_json::from_str(json).unwrap());
    assert_eq!(event, PullEvent::Waiting("a".into()));
    assert!(!meter.observe(&event, at(2)));
    assert_eq!(meter.last_move(), at(1));
}
