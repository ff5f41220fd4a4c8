//! One pull for all jobs of a host that want the same image, whatever becomes of the one that began it.

use nix::sys::signal::Signal;

use crate::front::{Front, on as rule};
use crate::pulling::{LONG, On, Prepare, is_get_of, manifests, with_login};

const JOBS: usize = 6;
const WAITS: &str = "another job is pulling it";

#[test]
fn jobs_that_want_one_cold_image_make_one_pull_and_each_asks_for_itself() {
    On::each("one pull", |on| {
        on.settings("[pull]\nprogress_interval = 1\n");
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        front.add(rule("/blobs/").stall_after(0));
        let running: Vec<Prepare<'_>> = (0..JOBS).map(|_| on.start(&cold.job("always"))).collect();
        // All of them have asked, one has begun, and the others say that they wait for it.
        front.wait_until("all ask", LONG, |log| {
            log.iter().filter(|asked| asked.method == "HEAD" && asked.path.contains("/manifests/")).count()
                == JOBS
        });
        let end = std::time::Instant::now() + LONG;
        while running.iter().filter(|one| one.log().contains(WAITS)).count() < JOBS - 1 {
            assert!(std::time::Instant::now() < end, "they do not wait");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        front.clear();
        front.release();
        let ended = on.end(running);
        for one in &ended {
            one.got(&cold);
        }
        let waited = ended.iter().filter(|one| one.log.contains("another job has pulled it")).count();
        assert_eq!(waited, JOBS - 1);
        assert_eq!(manifests(on, &front), (JOBS, 1), "{:#?}", front.lines());
        for layer in 0..2 {
            assert_eq!(cold.fetched(&front, layer), (1, cold.sizes[layer]), "{:#?}", front.lines());
        }
    });
}

#[test]
fn another_project_without_access_gets_nothing_from_a_pull_that_goes_on() {
    On::each("one pull, two projects", |on| {
        let front = Front::new(&on.world().parts.registry);
        front.add(rule("/v2/").authorised(false).asks_for_login());
        let cold = on.cold(&front, &[200 << 10]);
        front.add(rule(&format!("/blobs/{}", cold.layers[0])).stall_after(0));
        let may = |id| {
            let mut job = with_login(cold.job("always"), &front.address, "one", "right");
            job.project_id = id;
            job
        };
        let leader = on.start(&may(71));
        front.wait_until("a layer", LONG, |log| log.iter().any(|asked| is_get_of(asked, &cold.layers[0])));
        for policy in ["always", "if-not-present"] {
            let mut job = cold.job(policy);
            job.project_id = 72;
            on.prepare(&job).jobs_fault().says("may not be read");
        }
        let second = on.start(&may(73));
        second.wait_for(WAITS);
        front.clear();
        front.add(rule("/v2/").authorised(false).asks_for_login());
        front.release();
        leader.end().got(&cold);
        second.end().got(&cold);
        // Nor later, from what is here.
        for policy in ["always", "if-not-present", "never"] {
            let mut job = cold.job(policy);
            job.project_id = 72;
            on.prepare(&job).jobs_fault();
        }
        assert_eq!(cold.fetched(&front, 0).0, 1);
    });
}

/// A job that pulls and stands still in its second layer, the first one being here.
fn leader<'o>(on: &'o On, front: &Front, cold: &crate::pulling::Cold<'_>) -> Prepare<'o> {
    front.add(rule(&format!("/blobs/{}", cold.layers[1])).stall_after(100 << 10));
    let leader = on.start(&cold.job("always"));
    front.wait_until("the second layer stands still", LONG, |log| {
        let has = |layer: usize, bytes| {
            log.iter().any(|asked| is_get_of(asked, &cold.layers[layer]) && asked.sent >= bytes)
        };
        has(0, cold.sizes[0]) && has(1, 100 << 10)
    });
    leader
}

#[test]
fn a_leader_that_is_killed_is_followed_by_a_waiter() {
    On::each("killed leader", |on| {
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        let leader = leader(on, &front, &cold);
        let waiters = [on.start(&cold.job("always")), on.start(&cold.job("always"))];
        waiters.iter().for_each(|waiter| waiter.wait_for(WAITS));
        leader.signal(Signal::SIGKILL);
        front.clear();
        front.release();
        for waiter in waiters {
            waiter.end().got(&cold);
        }
        let leader = leader.end();
        assert_eq!(leader.code, None, "{}", leader.log);
        assert_eq!(manifests(on, &front).0, 3);
        // The leader and one of the others, unless that came before the engine had noticed.
        assert!((1..=2).contains(&cold.fetched(&front, 1).0), "{:#?}", front.lines());
    });
}

#[test]
fn a_leader_that_is_cancelled_leaves_its_pull_to_a_waiter() {
    On::each("cancelled leader", |on| {
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        let leader = leader(on, &front, &cold);
        let waiters = [on.start(&cold.job("always")), on.start(&cold.job("always"))];
        waiters.iter().for_each(|waiter| waiter.wait_for(WAITS));
        leader.signal(Signal::SIGTERM);
        leader.end().systems_fault().says("stopped by the runner");
        front.clear();
        front.release();
        let ended = on.end(waiters.into());
        ended.iter().for_each(|one| {
            one.got(&cold);
        });
        let heirs = ended.iter().filter(|one| one.log.contains("this one goes on with its pull")).count();
        assert_eq!(heirs, 1, "{}\n{}", ended[0].log, ended[1].log);
        if on.joins_pulls() {
            for layer in 0..2 {
                assert_eq!(cold.fetched(&front, layer), (1, cold.sizes[layer]), "{:#?}", front.log());
            }
        } else {
            assert!(cold.fetched(&front, 1).0 <= 2, "{:#?}", front.log());
        }
    });
}

#[test]
fn a_leader_that_is_frozen_is_not_waited_for() {
    On::each("frozen leader", |on| {
        on.settings("[pull]\nno_progress_timeout = 3\nconcurrent = 1\n");
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        let other = on.cold(&front, &[10 << 10]);
        let leader = leader(on, &front, &cold);
        leader.signal(Signal::SIGSTOP);
        let waiter = on.start(&cold.job("always"));
        waiter.wait_for(WAITS);
        let stranger = on.start(&other.job("always"));
        front.clear();
        front.release();
        waiter.end().got(&cold);
        stranger.end().got(&other);
        leader.signal(Signal::SIGCONT);
        leader.end().got(&cold);
    });
}

#[test]
fn pulls_wait_for_each_other_where_the_settings_allow_one_at_a_time() {
    On::each("one at a time", |on| {
        // With containerd's store, progress is told by the MiB: here, at the end.
        let patience = if on.has_containerds_store() { 60 } else { 6 };
        on.settings(&format!("[pull]\nconcurrent = 1\nno_progress_timeout = {patience}\n"));
        let front = Front::new(&on.world().parts.registry);
        let (one, other) = (on.cold(&front, &[900 << 10]), on.cold(&front, &[100 << 10]));
        // It takes some seconds, but it moves.
        front.add(rule(&format!("/blobs/{}", one.layers[0])).throttle(70 << 10));
        let first = on.start(&one.job("always"));
        front.wait_until("the first pulls", LONG, |log| {
            log.iter().any(|asked| is_get_of(asked, &one.layers[0]))
        });
        let second = on.start(&other.job("always"));
        second.wait_for("waiting for other pulls on this host");
        let third = on.start(&other.job("always"));
        third.wait_for(WAITS);
        first.end().got(&one);
        let ended = [second.end(), third.end()];
        ended.iter().for_each(|one| {
            one.got(&other);
        });
        let log = front.log();
        let begins = log.iter().position(|asked| is_get_of(asked, &other.layers[0])).expect("it was pulled");
        let last = log.iter().rposition(|asked| is_get_of(asked, &one.layers[0])).expect("it was pulled");
        assert!(begins > last && log[last].sent >= one.sizes[0], "{log:#?}");
        // Who waits for its turn is waited for, however long that takes.
        let get = format!("/v2/{}/manifests/", other.repository);
        assert_eq!(front.count("GET", &get), 1, "{log:#?}");
    });
}
