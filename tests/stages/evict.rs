//! Eviction: what goes, what stays, and what is told of it.

use hearth::engine::Engine as _;
use hearth::engine::fake::{Behaviour, Call, FakeImage};
use hearth::engine::{EngineError, StoreKind};
use hearth::evict::{Blocked, Occasion, Told};
use hearth::job::names::{LABEL_JOB, LABEL_ROLE};
use hearth::plan::spec::VolumeSpec;
use hearth::policy::{Ending, Reason};
use hearth::settings::{Amount, Marks, Scope};
use hearth::store::{
    Batch, ContentFact, ContentKey, Layer, LeaseKind, Pin, Pull, PullOutcome, Store, VolumeUse,
};
use hearth::units::ByteSize;

use crate::shelf::{DAY, EVICTOR, HOUR, MB, Shelf, image};

const A: &str = "registry.test/group/a:1";
const B: &str = "registry.test/group/b:1";
const C: &str = "registry.test/group/c:1";

/// Three images of 100 MB each, of which images may take 250 and shall take 210.
fn three() -> Shelf {
    let shelf = Shelf::new().images_may_take(250, 210);
    shelf.used(A, 100, DAY * 30);
    shelf.used(B, 100, DAY * 20);
    shelf.used(C, 100, DAY);
    shelf
}

#[tokio::test(start_paused = true)]
async fn the_one_that_is_worth_least_goes_with_all_its_names_and_the_rest_stays() {
    for kind in [StoreKind::DockerClassic, StoreKind::Containerd, StoreKind::Podman] {
        let shelf = Shelf::new();
        shelf.fake().set_store(kind);
        let shelf = shelf.images_may_take(250, 210);
        let first = shelf.used(A, 100, DAY * 30);
        shelf.fake().image_here("registry.test/group/a:other", first);
        shelf.used(B, 100, DAY * 20);
        shelf.used(C, 100, DAY);
        let marks = if kind == StoreKind::Containerd { (340, 290) } else { (250, 210) };
        let shelf = shelf.images_may_take(marks.0, marks.1);
        let (report, _) = shelf.turn(Occasion::Tick).await;
        let gone: Vec<&str> = report.gone.iter().map(|gone| gone.name.as_str()).collect();
        assert_eq!(gone, [A], "{kind:?} {report:?}");
        assert_eq!(report.gone[0].freed.map(|freed| freed / MB), Some(99), "{kind:?}");
        assert!(matches!(report.gone[0].reason, Reason::LeastWorth { .. }));
        let names = [A, "registry.test/group/a:other", B, C];
        let mut there = Vec::new();
        for name in names {
            there.push(shelf.has(name).await);
        }
        assert_eq!(there, [false, false, true, true], "{kind:?}");
        assert_eq!(report.ending, Some(Ending::NotNeeded));
        assert!(shelf.store().removals(&shelf.now.borrow()).is_empty());
        // Nothing more to do, and nothing is done.
        assert_eq!(shelf.ticks().await, Vec::<String>::new(), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_went_is_on_record_with_all_its_names_its_reason_and_what_it_went_for() {
    let shelf = Shelf::new();
    let image = shelf.used(A, 100, DAY * 30);
    let digest = image.digest();
    shelf.fake().image_here("registry.test/group/a:other", image);
    shelf.used(B, 100, DAY);
    let shelf = shelf.images_may_take(150, 110);
    assert_eq!(shelf.ticks().await, [A]);
    let shelf = shelf.images_may_take(210, 200);
    shelf.turn(Occasion::BeforePull { bytes: 150 * MB }).await;
    let gone = shelf.store().gone(std::time::Duration::ZERO);
    let [a, b] = &gone[..] else { panic!("{gone:?}") };
    let by_digest = format!("registry.test/group/a@{digest}");
    assert!(
        [A, "registry.test/group/a:other", digest.as_str(), &by_digest].iter().all(|name| a.concerns(name)),
        "{a:?}"
    );
    assert!(b.concerns(B) && !b.concerns(A));
    assert_eq!(a.at.as_secs(), shelf.wall().as_secs());
    assert!(a.why.starts_with("worth least for its bytes"), "{a:?}");
    assert!(a.for_what.starts_with("images take ") && a.for_what.ends_with(" and may take 105 MiB"), "{a:?}");
    assert!(b.for_what.starts_with("an image of up to 143 MiB: "), "{b:?}");
}

#[tokio::test(start_paused = true)]
async fn below_the_limits_nothing_goes() {
    let shelf = Shelf::new().images_may_take(400, 300).keeps_free(100, 200);
    for name in [A, B, C] {
        shelf.used(name, 100, DAY * 30);
    }
    let (report, told) = shelf.turn(Occasion::Tick).await;
    assert_eq!((report.ending, told.len()), (Some(Ending::NotNeeded), 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_manifest_said_of_an_image_counts_for_nothing_once_that_is_here() {
    let shelf = Shelf::new();
    let image = shelf.used(A, 100, DAY * 30);
    shelf.used(B, 100, DAY);
    let used = shelf.look().await.used();
    assert_eq!(used / MB, 199);
    let measured =
        Layer { chain: "other".to_owned(), unpacked: Some(1), compressed: Some(1), estimated: false };
    let key = ContentKey { digest: image.digest(), platform: image.facts().platform() };
    let layers = vec![measured, Layer::of_blob(&image.digest(), 100_000 * MB)];
    let repository = "registry.test/group/a".to_owned();
    let told = ContentFact { key, repository, engine_id: None, layers };
    assert!(shelf.store().commit(&Batch { contents: vec![told], ..Batch::default() }, shelf.wall()));
    let shelf = shelf.images_may_take(250, 210);
    assert_eq!(shelf.look().await.used(), used);
    assert_eq!(shelf.ticks().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_leased_image_stays_by_each_of_its_names_until_its_runner_is_gone() {
    let by_digest = format!("registry.test/group/a@{}", FakeImage::new(A).digest());
    for (kind, name) in [
        (LeaseKind::Reference, A.to_owned()),
        (LeaseKind::Reference, by_digest),
        (LeaseKind::Content, FakeImage::new(A).digest()),
        (LeaseKind::Content, FakeImage::new(A).facts().id.clone()),
    ] {
        let shelf = three();
        shelf.lease(kind, &name);
        assert_eq!(shelf.ticks().await, [B], "{name}");
        shelf.runner_lives.set(false);
        let shelf = shelf.images_may_take(150, 110);
        assert_eq!(shelf.ticks().await, [A], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_comes_after_the_plan_is_seen() {
    let shelf = three();
    // The first removal is long enough for a lease on the second.
    shelf.fake().delay(Call::RemoveImage, HOUR / 360);
    let shelf = shelf.images_may_take(150, 110);
    let turn = shelf.turn(Occasion::Tick);
    let lease = async {
        tokio::time::sleep(HOUR / 720).await;
        shelf.lease(LeaseKind::Reference, B);
    };
    let ((report, _), ()) = futures_util::future::join(turn, lease).await;
    assert!(shelf.has(B).await);
    let left: Vec<_> = report.left.iter().map(|left| (left.name.as_str(), left.why.as_str())).collect();
    assert_eq!(left, [(B, "a job needs it (hearth-tok-job-7)")], "{report:?}");
    // The next one has its turn in its place.
    assert!(!shelf.has(A).await && !shelf.has(C).await);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_image_stays_by_setting_and_by_hand_until_its_time() {
    let mut shelf = three();
    shelf.cache.pins = hearth::image::Patterns::compile(&["registry.test/*/a:*"]).unwrap();
    assert_eq!(shelf.ticks().await, [B]);
    let shelf = three();
    let pin = Pin { name: A.to_owned(), until: Some(shelf.wall() + DAY), reason: String::new() };
    assert!(shelf.store().pin(&pin, shelf.wall()));
    assert_eq!(shelf.ticks().await, [B]);
    shelf.later(DAY * 2);
    let shelf = shelf.images_may_take(150, 110);
    assert_eq!(shelf.ticks().await, [A]);
}

#[tokio::test(start_paused = true)]
async fn pins_beyond_the_limit_are_said_once_and_nothing_goes() {
    let mut shelf = three().images_may_take(90, 80);
    shelf.cache.pins = hearth::image::Patterns::compile(&["registry.test/*/a:*"]).unwrap();
    let (report, told) = shelf.turn(Occasion::Tick).await;
    assert!(report.gone.is_empty());
    assert!(report.stuck.is_some_and(|stuck| stuck.contains("the pinned images take")));
    assert!(matches!(&told[..], [Told::Stuck(_)]), "{told:?}");
    assert_eq!(shelf.turn(Occasion::Tick).await.1, []);
}

#[tokio::test(start_paused = true)]
async fn an_image_of_a_container_stays_whether_that_runs_or_not() {
    let shelf = Shelf::new().images_may_take(50, 40);
    shelf.world.prepare().await.fine();
    shelf.look().await;
    shelf.later(DAY);
    let (report, _) = shelf.turn(Occasion::Tick).await;
    assert_eq!(report.gone, []);
    shelf.runner_lives.set(false);
    for container in shelf.fake().running_containers() {
        shelf.fake().kill(&container);
    }
    let shelf = shelf.images_may_take(0, 0);
    let (report, _) = shelf.turn(Occasion::Tick).await;
    assert_eq!(report.gone, []);
    assert!(report.stuck.as_ref().is_some_and(|stuck| stuck.contains("used by containers")), "{report:?}");
    for container in shelf.fake().containers() {
        shelf.fake().remove_behind(&container).await;
    }
    let (report, _) = shelf.turn(Occasion::Tick).await;
    assert_eq!(report.gone.len(), 2, "{report:?}");
    assert_eq!(shelf.fake().image_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_refuses_is_left_and_the_next_one_goes() {
    let shelf = three();
    shelf.fake().fail_next_on(
        Call::RemoveImage,
        A,
        EngineError::Refused {
            call: "remove image".into(),
            status: 500,
            message: "layer does not exist".into(),
        },
    );
    let (report, _) = shelf.turn(Occasion::Tick).await;
    assert_eq!(report.left.len(), 1);
    assert!(report.left[0].why.contains("layer does not exist"), "{report:?}");
    assert!(!report.gone.is_empty());
    assert!(shelf.store().removals(&shelf.now.borrow()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_young_image_stays_until_it_is_old_enough() {
    let shelf = Shelf::new().images_may_take(50, 40);
    shelf.used(A, 100, HOUR / 60);
    assert_eq!(shelf.ticks().await, Vec::<String>::new());
    shelf.later(HOUR);
    assert_eq!(shelf.ticks().await, [A]);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_came_again_is_young_again() {
    let shelf = three();
    assert_eq!(shelf.ticks().await, [A]);
    let again = image(A, &[(A, 100)]);
    shelf.fake().image_here(A, again);
    // It is known since long, but came just now.
    shelf.look().await;
    shelf.later(HOUR / 60);
    assert_eq!(shelf.ticks().await, [B]);
}

#[tokio::test(start_paused = true)]
async fn what_was_brought_ahead_is_what_its_tag_names_and_the_image_before_it_goes() {
    let shelf = Shelf::new().images_may_take(250, 210);
    let before = shelf.used(A, 100, DAY);
    shelf.used(B, 100, DAY * 30);
    // The tag has moved, and no job has asked for it since.
    let after = image("after", &[("after", 100)]);
    let key = ContentKey { digest: after.digest(), platform: after.facts().platform() };
    let (registry, repository) = ("registry.test".to_owned(), "registry.test/group/a".to_owned());
    let pull = Pull {
        at: shelf.wall(),
        registry,
        mirror: None,
        repository: repository.clone(),
        digest: key.digest.clone(),
        compressed: None,
        on_disk: None,
        download: None,
        extract: None,
        total: HOUR / 60,
        outcome: PullOutcome::Done,
    };
    let engine_id = Some(after.facts().id.clone());
    let content = ContentFact { key, repository, engine_id, layers: Vec::new() };
    let batch = Batch { contents: vec![content], pulls: vec![pull], ..Batch::default() };
    assert!(shelf.store().commit(&batch, shelf.wall()));
    shelf.fake().image_here(A, after.clone());
    shelf.later(DAY / 4);
    let sight = shelf.look().await;
    let named = sight.snapshot.tags.iter().find(|tag| tag.name == A).and_then(|tag| tag.names.clone());
    assert_eq!(named, Some(after.facts().id.clone()));
    let (report, _) = shelf.turn(Occasion::Tick).await;
    let gone: Vec<Reason> = report.gone.iter().map(|gone| gone.reason).collect();
    assert_eq!(gone, [Reason::Moved], "{report:?}");
    assert!(shelf.has(A).await && shelf.has(B).await && !shelf.has(&before.facts().id).await, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moved_since_planning_stays_with_the_other_image() {
    let shelf = three();
    shelf.fake().delay(Call::InspectImage, HOUR / 3600);
    let turn = shelf.turn(Occasion::Tick);
    let moves = async {
        // The plan is made; the tag moves while the image is looked at.
        while shelf.store().removals(&shelf.now.borrow()).is_empty() {
            tokio::time::sleep(HOUR / 36_000).await;
        }
        shelf.fake().image_here(A, image("newer", &[("newer", 100)]));
    };
    let ((report, _), ()) = futures_util::future::join(turn, moves).await;
    assert!(shelf.has(A).await, "{report:?}");
    // The image that was planned went by what was left of its names.
    assert!(!shelf.has(&FakeImage::new(A).facts().id).await, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_its_tag_has_left_goes_first() {
    let shelf = Shelf::new().images_may_take(250, 210);
    shelf.used(A, 100, DAY * 30);
    shelf.used_image(B, &image("old", &[("old", 100)]), DAY * 2);
    shelf.used_image(B, &image("new", &[("new", 100)]), DAY);
    let (report, _) = shelf.turn(Occasion::Tick).await;
    let gone: Vec<_> = report.gone.iter().map(|gone| (gone.id.as_str(), gone.reason)).collect();
    assert_eq!(gone, [(FakeImage::new("old").facts().id.as_str(), Reason::Moved)]);
    assert!(shelf.has(A).await && shelf.has(B).await);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_at_one_image_does_not_keep_the_others() {
    let shelf = three();
    shelf.fake().hang_next(Call::RemoveImage);
    let (report, _) = shelf.turn(Occasion::Tick).await;
    assert_eq!(report.left.len(), 1, "{report:?}");
    assert!(!report.gone.is_empty(), "{report:?}");
    // Whether the engine is through with it nobody knows: it stays marked for a while.
    let marks = shelf.store().removals(&shelf.now.borrow());
    assert_eq!(marks.iter().map(|mark| mark.by).collect::<Vec<_>>(), [EVICTOR]);
    shelf.later(HOUR / 6);
    shelf.turn(Occasion::Tick).await;
    assert!(shelf.store().removals(&shelf.now.borrow()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn removals_that_free_nothing_are_given_up_and_it_is_said_who_holds_the_bytes() {
    let shelf = Shelf::new().keeps_free(500, 600);
    shelf.other.set(300 * MB);
    for at in 0..7 {
        shelf.used(&format!("registry.test/group/app:{at}"), 60, DAY * (30 + at));
    }
    shelf.look().await;
    shelf.shows.set(false);
    let (report, told) = shelf.turn(Occasion::Tick).await;
    assert_eq!(report.gone.len(), 3, "{report:?}");
    let stuck = report.stuck.unwrap();
    assert!(stuck.contains("removing images does not help"), "{stuck}");
    assert!(stuck.contains("of that disk is held by containers, volumes"), "{stuck}");
    assert!(matches!(told.last(), Some(Told::Stuck(_))));
}

#[tokio::test(start_paused = true)]
async fn shared_layers_are_counted_once_and_go_with_the_last() {
    let shelf = Shelf::new().images_may_take(150, 115);
    shelf.used_image(A, &image("a", &[("base", 100), ("a", 10)]), DAY * 30);
    shelf.used_image(B, &image("b", &[("base", 100), ("b", 20)]), DAY * 2);
    assert_eq!(shelf.look().await.used() / MB, 129);
    assert_eq!(shelf.ticks().await, Vec::<String>::new());
    let shelf = shelf.images_may_take(125, 115);
    // The base stays with the other: only its own layer became free.
    let (report, _) = shelf.turn(Occasion::Tick).await;
    let freed: Vec<_> = report.gone.iter().map(|gone| gone.freed.unwrap() / MB).collect();
    assert_eq!(freed.len(), 1, "{report:?}");
    assert!(freed[0] < 21, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn one_evicts_and_the_others_see_that() {
    let shelf = three();
    shelf.fake().delay(Call::RemoveImage, HOUR / 60);
    let first = shelf.turn(Occasion::Tick);
    let second = async {
        tokio::time::sleep(HOUR / 720).await;
        let ticked = shelf.turn(Occasion::Tick).await;
        let ordered = shelf.turn(Occasion::NoSpace { bytes: 50 * MB }).await;
        (ticked, ordered)
    };
    let (first, (ticked, ordered)) = futures_util::future::join(first, second).await;
    assert_eq!(first.0.gone.len(), 1);
    assert!(ticked.0.busy && ticked.0.gone.is_empty());
    // One that a job waits for waits in its turn, and says so.
    assert_eq!(ordered.1[0], Told::Waits);
    assert!(!ordered.0.busy && ordered.0.gone.len() == 1, "{ordered:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_store_nothing_goes() {
    let shelf = three();
    let (report, _) = shelf.turn_with(&Store::void(), Occasion::Tick).await;
    assert_eq!((report.blocked, report.gone.len()), (Some(Blocked::NoStore), 0));
    assert_eq!(shelf.fake().count(Call::RemoveImage), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_lost_meanwhile_ends_it() {
    let shelf = three().images_may_take(150, 110);
    shelf.fake().delay(Call::RemoveImage, HOUR / 360);
    let store = shelf.store();
    let turn = shelf.turn_with(&store, Occasion::Tick);
    let loses = async {
        tokio::time::sleep(HOUR / 720).await;
        let file = rusqlite::Connection::open(shelf.place().file()).unwrap();
        file.execute_batch("BEGIN IMMEDIATE").unwrap();
        tokio::time::sleep(HOUR).await;
    };
    let ((report, _), ()) = futures_util::future::join(turn, loses).await;
    assert_eq!(report.blocked, Some(Blocked::NoStore), "{report:?}");
    assert_eq!(report.gone.len(), 1, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_not_believed_removes_nothing() {
    let shelf = three();
    shelf.clock_is_set.set(false);
    shelf.now.borrow_mut().boot = HOUR / 2;
    let (report, _) = shelf.turn(Occasion::Tick).await;
    assert!(matches!(report.blocked, Some(Blocked::Clock(_))) && report.gone.is_empty(), "{report:?}");
    // One that nobody sets is believed after an hour.
    shelf.now.borrow_mut().boot = HOUR * 2;
    assert_eq!(shelf.ticks().await, [A]);
    // One that stepped behind what is on record is not.
    let shelf = three();
    shelf.now.borrow_mut().wall -= DAY * 21;
    let (report, _) = shelf.turn(Occasion::Tick).await;
    assert!(matches!(report.blocked, Some(Blocked::Clock(_))) && report.gone.is_empty(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_makes_no_image_old() {
    let shelf = Shelf::new().images_may_take(250, 210);
    for name in [A, B, C] {
        shelf.used(name, 100, HOUR / 60);
    }
    assert_eq!(shelf.ticks().await, Vec::<String>::new());
    shelf.now.borrow_mut().wall += DAY * 21;
    assert_eq!(shelf.ticks().await, Vec::<String>::new());
    shelf.later(HOUR * 2);
    assert_eq!(shelf.ticks().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_new_store_nothing_goes_until_the_jobs_are_gone_that_ran_then() {
    let shelf = Shelf::new().images_may_take(250, 210);
    shelf.world.prepare().await.fine();
    std::fs::remove_dir_all(&shelf.world.facts).unwrap();
    for (name, ago) in [(A, 30), (B, 20), (C, 1)] {
        shelf.used(name, 100, DAY * ago);
    }
    let (report, told) = shelf.turn(Occasion::Tick).await;
    let job = shelf.world.names().key().to_owned();
    assert_eq!(report.blocked, Some(Blocked::OlderJobs(vec![job])), "{report:?}");
    assert!(matches!(&told[..], [Told::Stuck(_)]) && report.gone.is_empty());
    // A job that came later is known by its lease, and holds up nothing.
    for container in shelf.fake().containers() {
        assert!(shelf.fake().spec(&container).unwrap().labels.contains_key(LABEL_JOB));
    }
    assert_eq!(shelf.world.cleanup().await, Ok(()));
    assert_eq!(shelf.ticks().await, [A]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_only_a_network_yet_is_one_of_those_too_while_its_runner_lives() {
    let shelf = Shelf::new().images_may_take(250, 210);
    shelf.world.prepare().await.fine();
    for container in shelf.fake().containers() {
        shelf.fake().remove_behind(&container).await;
    }
    assert_eq!(shelf.fake().networks().len(), 1);
    std::fs::remove_dir_all(&shelf.world.facts).unwrap();
    for (name, ago) in [(A, 30), (B, 20), (C, 1)] {
        shelf.used(name, 100, DAY * ago);
    }
    let (report, _) = shelf.turn(Occasion::Tick).await;
    let job = shelf.world.names().key().to_owned();
    assert_eq!(report.blocked, Some(Blocked::OlderJobs(vec![job])), "{report:?}");
    shelf.runner_lives.set(false);
    assert_eq!(shelf.ticks().await, [A]);
}

#[tokio::test(start_paused = true)]
async fn inodes_are_a_limit_of_their_own() {
    let mut shelf = Shelf::new();
    shelf.cache.free_inodes = Some(Marks { start: Amount::Percent(10), stop: Amount::Percent(30) });
    shelf.inodes.set(Some(32_000));
    for (name, ago) in [(A, 30), (B, 20), (C, 1)] {
        shelf.used(name, 100, DAY * ago);
    }
    // 30,000 of 32,000 are in use; each image has 10,000.
    assert_eq!(shelf.ticks().await, [A]);
    assert_eq!(shelf.ticks().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn free_bytes_are_reached_by_measure_and_not_by_reckoning() {
    let shelf = Shelf::new().keeps_free(100, 150);
    shelf.other.set(650 * MB);
    for (name, ago) in [(A, 30), (B, 20), (C, 1)] {
        shelf.used(name, 100, DAY * ago);
    }
    let (report, told) = shelf.turn(Occasion::Tick).await;
    assert_eq!(report.gone.len(), 1, "{report:?}");
    assert_eq!(report.before.map(|room| room.free_bytes / MB), Some(50));
    assert_eq!(report.after.map(|room| room.free_bytes / MB), Some(150));
    assert!(matches!(&told[0], Told::Begins(why) if why.contains("are free")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pull_gets_the_room_that_it_needs_and_one_that_fits_costs_no_call() {
    let shelf = Shelf::new().keeps_free(100, 150);
    shelf.other.set(450 * MB);
    for (name, ago) in [(A, 30), (B, 20), (C, 1)] {
        shelf.used(name, 100, DAY * ago);
    }
    let calls = shelf.fake().calls().len();
    let (report, _) = shelf.turn(Occasion::BeforePull { bytes: 100 * MB }).await;
    assert_eq!((report.ending, report.gone.len()), (Some(Ending::NotNeeded), 0));
    assert_eq!(shelf.fake().calls().len(), calls);
    let (report, _) = shelf.turn(Occasion::BeforePull { bytes: 200 * MB }).await;
    assert_eq!(report.gone.len(), 1, "{report:?}");
    assert!(report.after.is_some_and(|room| room.free_bytes >= 300 * MB));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_gets_room_also_where_it_says_that_there_is_some() {
    let shelf = Shelf::new().keeps_free(100, 150);
    for (name, ago) in [(A, 30), (B, 20), (C, 1)] {
        shelf.used(name, 100, DAY * ago);
    }
    let (report, _) = shelf.turn(Occasion::NoSpace { bytes: 90 * MB }).await;
    assert_eq!(report.gone.len(), 1, "{report:?}");
    // Nor does it have to be seen.
    shelf.visible.set(false);
    let mut shelf = shelf;
    shelf.cache.data_root = None;
    let (report, _) = shelf.turn(Occasion::NoSpace { bytes: 90 * MB }).await;
    assert_eq!(report.gone.len(), 1, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn what_hearth_has_nothing_to_do_with_is_counted_and_stays_unless_told_otherwise() {
    let mut shelf = Shelf::new().images_may_take(150, 100);
    shelf.fake().image_here("registry.test/others/tool:1", image("tool", &[("tool", 100)]));
    shelf.used(A, 100, DAY * 30);
    shelf.look().await;
    shelf.later(DAY);
    assert_eq!(shelf.ticks().await, [A]);
    let (report, _) = {
        shelf = shelf.images_may_take(50, 40);
        shelf.turn(Occasion::Tick).await
    };
    assert!(report.gone.is_empty());
    assert!(report.stuck.is_some_and(|stuck| stuck.contains("neither pulled by hearth nor used by a job")));
    shelf.cache.scope = Scope::All;
    assert_eq!(shelf.ticks().await, ["registry.test/others/tool:1"]);
}

#[tokio::test(start_paused = true)]
async fn builds_without_a_name_go_after_their_time_and_named_ones_stay() {
    let shelf = Shelf::new();
    shelf.fake().build_here("local/app:1", image("first", &[("first", 10)]));
    shelf.fake().build_here("local/app:1", image("second", &[("second", 10)]));
    assert_eq!(shelf.ticks().await, Vec::<String>::new());
    shelf.later(HOUR * 20);
    assert_eq!(shelf.ticks().await, Vec::<String>::new());
    shelf.later(HOUR * 5);
    let (report, _) = shelf.turn(Occasion::Tick).await;
    let gone: Vec<&str> = report.gone.iter().map(|gone| gone.id.as_str()).collect();
    assert_eq!(gone, [FakeImage::new("first").facts().id.as_str()], "{report:?}");
    assert!(matches!(report.gone[0].reason, Reason::Dangling { .. }));
    for _ in 0..40 {
        shelf.later(DAY / 2);
        shelf.look().await;
    }
    assert_eq!(shelf.ticks().await, Vec::<String>::new());
    assert!(shelf.has("local/app:1").await);
    let mut shelf = shelf;
    shelf.cache.keep_local = Some(DAY * 10);
    assert_eq!(shelf.ticks().await, ["local/app:1"]);
}

#[tokio::test(start_paused = true)]
async fn the_build_cache_has_a_limit_of_its_own() {
    let mut shelf = Shelf::new();
    shelf.fake().set_build_cache(Some(900 * MB));
    assert_eq!(shelf.turn(Occasion::Tick).await.0.build_cache, 0);
    assert_eq!(shelf.fake().count(Call::PruneBuildCache), 0);
    shelf.cache.build_cache = Some(ByteSize(400 * MB));
    assert_eq!(shelf.turn(Occasion::AfterPull).await.0.build_cache, 0);
    let (report, told) = shelf.turn(Occasion::Tick).await;
    assert_eq!((report.build_cache, told), (500 * MB, vec![Told::BuildCache(500 * MB)]));
    // An hour long nobody asks again, unless the disk is full.
    shelf.turn(Occasion::Tick).await;
    assert_eq!(shelf.fake().count(Call::PruneBuildCache), 1);
    shelf.turn(Occasion::NoSpace { bytes: MB }).await;
    shelf.later(HOUR);
    shelf.turn(Occasion::Tick).await;
    assert_eq!(shelf.fake().count(Call::PruneBuildCache), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_said_once_until_it_is_kept_again() {
    let shelf = Shelf::new().keeps_free(100, 150);
    shelf.other.set(950 * MB);
    let said = async || shelf.turn(Occasion::Tick).await.1.len();
    assert_eq!((said().await, said().await, said().await), (1, 0, 0));
    shelf.other.set(500 * MB);
    assert_eq!(said().await, 0);
    shelf.other.set(950 * MB);
    assert_eq!((said().await, said().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn volumes_of_a_project_that_runs_no_jobs_go_only_where_that_is_wanted() {
    let mut shelf = Shelf::new();
    let labels = |kept: bool| {
        let mut labels = std::collections::BTreeMap::from([(LABEL_ROLE.to_owned(), "cache".to_owned())]);
        if kept {
            labels.insert("hearth.kept".to_owned(), "true".to_owned());
        }
        labels
    };
    let old = "hearth-tok-project-4-slot-0-builds";
    let active = "hearth-tok-project-5-volume-cache";
    for (name, kept) in [(old, true), (active, true), ("hearth-tok-project-6-mine", false)] {
        let spec = VolumeSpec { name: name.to_owned(), kept, labels: labels(kept) };
        shelf.fake().create_volume(&spec).await.unwrap();
    }
    let used = |name: &str| {
        let batch = Batch { volumes: vec![VolumeUse { name: name.to_owned() }], ..Batch::default() };
        assert!(shelf.store().commit(&batch, shelf.wall()));
    };
    used(old);
    used(active);
    shelf.later(DAY * 100);
    used(active);
    assert_eq!(shelf.turn(Occasion::Tick).await.0.volumes, Vec::<String>::new());
    // One that was never seen before counts as used when it is seen first; nobody's counts at all.
    let now = shelf.wall();
    shelf.cache.keep_volumes = Some(DAY * 90);
    shelf.lease(LeaseKind::Reference, &VolumeUse::leased(old));
    assert_eq!(shelf.turn(Occasion::Tick).await.0.volumes, Vec::<String>::new());
    shelf.runner_lives.set(false);
    assert_eq!(shelf.turn(Occasion::Tick).await.0.volumes, [old]);
    assert_eq!(shelf.wall(), now);
    assert_eq!(shelf.fake().volumes(), [active, "hearth-tok-project-6-mine"]);
    assert!(shelf.store().removals(&shelf.now.borrow()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_disk_elsewhere_is_measured_in_a_running_helper_and_never_at_idle() {
    let mut shelf = Shelf::new();
    shelf.cache.data_root = None;
    shelf.visible.set(false);
    assert_eq!(shelf.look().await.room, None);
    let stat = ["stat", "-f", "-c", "%S %b %f %a %c %d", "/"];
    shelf.fake().command(&stat, Behaviour::new().out("4096 1000 500 400 70 60\n").exit(0));
    assert_eq!(shelf.look().await.room, None);
    shelf.world.prepare().await.fine();
    let room = shelf.look().await.room.unwrap();
    assert_eq!((room.bytes, room.free_bytes), (900 * 4096, 400 * 4096));
    assert_eq!((room.inodes, room.free_inodes), (Some(70), Some(60)));
}
