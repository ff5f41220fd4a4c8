//! `hearth prefetch IMAGE…`: what it says is to come, and what comes.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use hearth::engine::Engine as _;
use hearth::engine::fake::{Call, FakeImage, Trouble};
use hearth::evict::Here;
use hearth::fetch::flight::{Departure, Leave};
use hearth::host::Who;
use hearth::moment::{Liveness, Moment, Process};
use hearth::operator::desk::Desk;
use hearth::operator::prefetch::{self, Around, PrefetchArgs};
use hearth::store::{AheadOutcome, Pin};
use tokio::time::sleep;

use super::host::{GIB, Host, MIB, Said};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: PrefetchArgs,
}

const SMALL: &str = "registry.test/small:1";
const LARGE: &str = "registry.test/large:1";

/// A host on which nothing is, and two images in their registry.
fn host() -> Host {
    let host = Host::empty();
    for (name, megabytes) in [(SMALL, 10), (LARGE, 40)] {
        host.fake().publish(name, FakeImage::new(name).layers(&[(name, megabytes * MIB)]));
    }
    host
}

fn pin(name: &str) -> Pin {
    Pin { name: format!("registry.test/{name}:1"), until: None, reason: String::new() }
}

async fn run(host: &Host, words: &[&str]) -> Said {
    run_until(host, words, async |_| std::future::pending().await).await
}

/// Runs the command until it ends, or `until` does: then it is wished to end.
async fn run_until(host: &Host, words: &[&str], until: impl AsyncFnOnce(&Leave)) -> Said {
    let Line { args } = Line::try_parse_from(std::iter::once(&"prefetch").chain(words)).unwrap();
    let (settings, place) = (host.settings.borrow().clone(), host.place());
    let at = hearth::host::moment();
    let now = host.now.get();
    let moment = move || Moment { wall: now, boot: at.boot + Duration::from_secs(36_000), ..at.clone() };
    let process = Process { pid: std::process::id(), started: 1, space: 1 };
    let room = host.room.get();
    let here =
        Here { process, moment: &moment, clock_is_set: Some(true), lives: &|_| true, disk: &|_: &Path| room };
    let endpoint = hearth::engine::Engine::endpoint(host.fake());
    let desk = Desk { settings: &settings, place: Some(&place), engine: Ok(host.fake()), endpoint, here };
    let (leave, departure) = Departure::new();
    let who = Who::new(process, process, moment.clone(), |_| Liveness::Runs);
    let registries = host.fake().clone();
    let disks: hearth::evict::Disks = Rc::new(move |_: &Path| room);
    let around = Around { operator_dir: None, registries, who, disks, departure, terminal: false };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let mut work = Box::pin(prefetch::run(&args, &desk, around, &mut out, &mut err));
        tokio::select! {
            code = &mut work => code,
            () = until(&leave) => {
                leave.wish(async {}).await;
                work.await
            }
        }
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code, out: text(out), err: text(err) }
}

#[tokio::test(start_paused = true)]
async fn what_would_come_is_shown_and_nothing_comes() {
    let host = host();
    let text = run(&host, &["--dry-run", SMALL, LARGE]).await.fine();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["IMAGE", "DIGEST", "WAS", "FETCH", "TAKES", "FROM", "ROOM"]);
    assert_eq!((rows[1][0], rows[2][0]), ("registry.test/large:1", "registry.test/small:1"), "{text}");
    let digest = FakeImage::new(LARGE).digest();
    assert_eq!(rows[1][1..5], [&digest[7..19], "missing", "40", "MiB"], "{text}");
    assert_eq!(rows[1][7..], ["registry.test", "fits"], "{text}");
    assert_eq!((rows.len(), host.fake().count(Call::Pull)), (3, 0), "{text}");
    assert_eq!((host.store().announced(), host.store().aheads(Duration::ZERO)), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_saves_most_comes_first_and_is_kept_for_a_day() {
    let host = host();
    host.fake().download_rate(4 * MIB);
    let text = run(&host, &[SMALL, LARGE]).await.fine();
    assert!(
        text.contains(
            "registry.test/large:1: fetched 40 MiB in 10 s\nregistry.test/small:1: fetched 10 MiB in 2."
        ),
        "{text}"
    );
    assert!(host.has("small").await && host.has("large").await);
    let store = host.store();
    let aheads: Vec<_> = store.aheads(Duration::ZERO);
    let told: Vec<_> =
        aheads.iter().map(|one| (one.name.as_str(), one.source.as_str(), one.outcome, one.bytes)).collect();
    assert_eq!(
        told,
        [
            (LARGE, "command", AheadOutcome::Done, Some(40 * MIB)),
            (SMALL, "command", AheadOutcome::Done, Some(10 * MIB))
        ]
    );
    let announced: BTreeSet<String> = store.announced().into_iter().map(|one| one.name).collect();
    let digests = [SMALL, LARGE].map(|name| FakeImage::new(name).digest());
    assert_eq!(announced, digests.into(), "a name would also stand for what its tag moved away from");
    assert_eq!(store.leases(&hearth::host::moment()), [], "nobody needs them any more");
    let text = run(&host, &[SMALL]).await.fine();
    assert!(text.ends_with("registry.test/small:1: here, and up to date\n"), "{text}");
    assert_eq!(host.fake().count(Call::Pull), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_does_not_keep_the_others() {
    let host = host();
    host.fake().trouble(LARGE, Trouble::Denied, 9);
    let said = run(&host, &[SMALL, LARGE, "registry.test/none:1"]).await;
    assert_eq!(said.code, 2);
    let text = said.out;
    assert!(text.contains("registry.test/large:1: not fetched: may not be read: "), "{text}");
    assert!(text.contains("hint: this host needs credentials for it: docker login"), "{text}");
    assert!(text.contains("registry.test/none:1: not fetched: was not found: "), "{text}");
    assert!(text.contains("registry.test/small:1: fetched 10 MiB"), "{text}");
    let said = run(&host, &["--json", "registry.test/none:1", SMALL]).await;
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let outcomes: Vec<_> =
        document["images"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!((said.code, outcomes), (2, vec!["failed", "here"]), "{document}");
    let names = run(&host, &["UPPER/case:1", "a b", SMALL]).await.wrong();
    assert!(
        names.contains("UPPER/case:1") && names.contains("a b") && names.contains("nothing was fetched"),
        "{names}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_lets_go_goes_for_it_and_what_is_pinned_does_not() {
    let host = Host::used().await;
    host.settings.borrow_mut().cache.minimum_age = Duration::ZERO;
    host.limit(800 * MIB);
    host.fake().publish(LARGE, FakeImage::new(LARGE).layers(&[(LARGE, 90 * MIB)]));
    let text = run(&host, &["--dry-run", LARGE]).await.fine();
    assert!(text.contains("removes 1 image\n"), "{text}");
    assert!(text.contains("registry.test/large:1: would remove registry.test/old:1\n"), "{text}");
    assert!(host.has("old").await);
    for name in ["old", "weekly", "daily"] {
        assert!(host.store().pin(&pin(name), host.now.get()));
    }
    let said = run(&host, &[LARGE]).await;
    assert_eq!(said.code, 2);
    assert!(said.out.contains("registry.test/large:1: not fetched: "), "{}", said.out);
    assert!(host.has("old").await && !host.has("large").await);
    assert_eq!(host.store().announced(), [], "what did not come is not expected");
    host.store().unpin(&pin("old").name);
    let text = run(&host, &[LARGE]).await.fine();
    assert!(text.contains("registry.test/large:1: fetched 90 MiB"), "{text}");
    assert!(!host.has("old").await && host.has("weekly").await && host.has("large").await);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_told_to_and_says_what_did_not_come() {
    let host = host();
    host.limit(4 * GIB);
    host.fake().download_rate(MIB);
    let said = run_until(&host, &[SMALL, LARGE], async |_| sleep(Duration::from_secs(20)).await).await;
    assert_eq!(said.code, 2);
    let text = said.out;
    assert!(text.ends_with("registry.test/large:1: stopped\nregistry.test/small:1: not begun\n"), "{text}");
    assert!(text.contains("registry.test/large@"), "lines tell of progress: {text}");
    assert!(!host.has("large").await && !host.has("small").await);
    let store = host.store();
    let outcomes: Vec<_> = store.aheads(Duration::ZERO).iter().map(|one| one.outcome).collect();
    assert_eq!((outcomes, store.announced()), (vec![AheadOutcome::Cut], vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_a_tag_moved_away_from_may_go_for_what_it_means_now() {
    let host = Host::used().await;
    host.settings.borrow_mut().cache.minimum_age = Duration::ZERO;
    host.limit(800 * MIB);
    for name in ["weekly", "daily"] {
        assert!(host.store().pin(&pin(name), host.now.get()));
    }
    let before = host.fake().image("registry.test/old:1").await.unwrap().unwrap();
    host.fake().publish("registry.test/old:1", FakeImage::new("moved").layers(&[("moved", 90 * MIB)]));
    let said = run(&host, &["registry.test/old:1"]).await;
    assert!(said.out.contains("registry.test/old:1: fetched 90 MiB"), "{said:?}");
    assert_eq!(host.fake().image(&before.id).await.unwrap(), None, "no claim of its tag holds it");
    assert!(host.has("old").await && host.has("weekly").await && host.has("daily").await);
}
