//! `hearth prefetch` on real engines: what comes ahead is warm, jobs join it, and it gives way.

use nix::sys::signal::Signal;

use crate::front::{Front, on as rule};
use crate::pulling::{Cold, LONG, On, Running, is_get_of, manifests};

/// How full the machine's disk is, is not what these are about.
const NO_MARKS: &str = "[cache]\nfree_low = \"\"\nfree_high = \"\"\ninodes_low = \"\"\ninodes_high = \"\"\n[pull]\nprogress_interval = 1\n";

/// Starts to prefetch an image, and returns when nothing more comes of its last layer.
fn stands_still<'o>(on: &'o On, front: &Front, cold: &Cold<'o>) -> Running {
    front.add(rule(&format!("/blobs/{}", cold.layers[1])).stall_after(100 << 10));
    let ahead = on.command(&["prefetch", &cold.name]);
    front.wait_until("the second layer stands still", LONG, |log| {
        let has = |layer: usize, bytes| {
            log.iter().any(|asked| is_get_of(asked, &cold.layers[layer]) && asked.sent >= bytes)
        };
        has(0, cold.sizes[0]) && has(1, 100 << 10)
    });
    ahead
}

#[test]
fn what_was_prefetched_is_warm_for_the_first_job() {
    On::each("prefetch", |on| {
        on.settings(NO_MARKS);
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        let mut dry = on.command(&["prefetch", "--dry-run", &cold.name]);
        assert_eq!(dry.end(), Some(0), "{}", dry.log());
        assert!(dry.log().contains("missing") && dry.log().contains("fits"), "{}", dry.log());
        assert_eq!(cold.fetched(&front, 0).0, 0, "{}", dry.log());
        let mut ahead = on.command(&["prefetch", &cold.name]);
        assert_eq!(ahead.end(), Some(0), "{}", ahead.log());
        assert!(ahead.log().contains("fetched"), "{}", ahead.log());
        let asked = manifests(on, &front);
        for layer in 0..2 {
            assert_eq!(cold.fetched(&front, layer), (1, cold.sizes[layer]), "{:#?}", front.lines());
        }
        on.prepare(&cold.job("always")).got(&cold).is_silent_about("Pulling");
        assert_eq!(manifests(on, &front), (asked.0 + 1, asked.1), "one question: {:#?}", front.lines());
        let mut again = on.command(&["prefetch", &cold.name]);
        assert_eq!(again.end(), Some(0), "{}", again.log());
        assert!(again.log().contains("here, and up to date"), "{}", again.log());
        assert_eq!(cold.fetched(&front, 1).0, 1);
    });
}

#[test]
fn a_job_joins_a_prefetch_and_no_layer_comes_twice() {
    On::each("prefetch and a job", |on| {
        on.settings(NO_MARKS);
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        let mut ahead = stands_still(on, &front, &cold);
        let job = on.start(&cold.job("always"));
        job.wait_for("this host prefetches it already, waiting for");
        front.clear();
        front.release();
        job.end().got(&cold).says("this host has prefetched it").is_silent_about("another job");
        assert_eq!(ahead.end(), Some(0), "{}", ahead.log());
        for layer in 0..2 {
            assert_eq!(cold.fetched(&front, layer), (1, cold.sizes[layer]), "{:#?}", front.lines());
        }
    });
}

#[test]
fn a_prefetch_that_is_ended_leaves_its_pull_to_the_job_that_waits() {
    On::each("ended prefetch", |on| {
        on.settings(NO_MARKS);
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        let mut ahead = stands_still(on, &front, &cold);
        let job = on.start(&cold.job("always"));
        job.wait_for("this host prefetches it already, waiting for");
        ahead.signal(Signal::SIGINT);
        job.wait_for("the prefetch of it gives way, this job goes on with its pull");
        assert_eq!(ahead.end(), Some(2), "{}", ahead.log());
        assert!(ahead.log().contains(": stopped"), "{}", ahead.log());
        front.clear();
        front.release();
        job.end().got(&cold);
        if on.joins_pulls() {
            for layer in 0..2 {
                assert_eq!(cold.fetched(&front, layer), (1, cold.sizes[layer]), "{:#?}", front.log());
            }
        }
    });
}

#[test]
fn a_prefetch_that_is_ended_alone_leaves_nothing_wrong_behind() {
    On::each("prefetch ended alone", |on| {
        on.settings(NO_MARKS);
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        let mut ahead = stands_still(on, &front, &cold);
        ahead.signal(Signal::SIGINT);
        assert_eq!(ahead.end(), Some(2), "{}", ahead.log());
        front.clear();
        front.release();
        on.prepare(&cold.job("always")).got(&cold).is_silent_about("prefetch");
    });
}

#[test]
fn a_daemon_brings_the_list_to_a_host_before_its_first_job() {
    On::each("prefetch by a daemon", |on| {
        let front = Front::new(&on.world().parts.registry);
        let cold = on.cold(&front, &[40 << 10, 400 << 10]);
        let list = format!(
            "[prefetch]\nhistory = false\npoll = \"off\"\n[[prefetch.images]]\nimage = {:?}\n",
            cold.name
        );
        on.settings(&format!("{NO_MARKS}{list}").replace("[cache]\n", "[cache]\nevict = false\n"));
        let mut daemon = on.command(&["daemon"]);
        daemon.wait_for(&format!("fetched {} ahead (list: in the list)", cold.name));
        let asked = manifests(on, &front);
        on.prepare(&cold.job("always")).got(&cold).is_silent_about("Pulling");
        assert_eq!(manifests(on, &front), (asked.0 + 1, asked.1), "one question: {:#?}", front.lines());
        for layer in 0..2 {
            assert_eq!(cold.fetched(&front, layer), (1, cold.sizes[layer]), "{:#?}", front.lines());
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.end(), Some(0), "{}", daemon.log());
    });
}
