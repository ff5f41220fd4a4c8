//! Pulls over links and registries that are slow, stand still, break or refuse.

use crate::front::{Front, Rule, on as rule};
use crate::kills::Random;
use crate::pulling::{Cold, On, Prepare, with_login};

/// Tries without pauses, and not many seconds of silence.
const RULES: &str =
    "[pull]\nattempts = 6\nbackoff = 0\nno_progress_timeout = 8\nprogress_interval = 1\nconcurrent = 8\n";

/// One kind of trouble.
fn trouble(random: &mut Random, sizes: &[usize]) -> (String, Rule) {
    let bytes = random.below(sizes.iter().copied().max().unwrap_or(1) as u64);
    let times = 1 + random.below(2) as u32;
    let status = [500, 502, 503, 504][random.below(4) as usize];
    let place = ["/manifests/", "/blobs/"][random.below(2) as usize];
    let method = ["HEAD", "GET"][random.below(2) as usize];
    match random.below(6) {
        0 => (format!("cut after {bytes}, {times} times"), rule("/blobs/").cut_after(bytes).times(times)),
        1 => (format!("still after {bytes}"), rule("/blobs/").stall_after(bytes).times(1)),
        2 => {
            let rate = (256 << 10) + random.below(1 << 20) as usize;
            (format!("{rate} bytes a second"), rule("/blobs/").throttle(rate))
        }
        3 => (format!("{place} hangs up, {times} times"), rule(place).method("GET").hang_up().times(times)),
        4 => (
            format!("{place} {method} {status}, {times} times"),
            rule(place).method(method).answer(status).times(times),
        ),
        _ => (
            format!("{place} {method} 429, {times} times"),
            rule(place).method(method).answer(429).retry_after("1").times(times),
        ),
    }
}

#[test]
fn whatever_the_link_does_the_right_image_comes_or_the_failure_is_the_systems() {
    On::each("weak links", |on| {
        let mut random = Random::new("weak links");
        on.settings(RULES);
        let rounds: Vec<(Vec<String>, Front, [usize; 2])> = (0..6)
            .map(|_| {
                let sizes = [64 << 10, 512 << 10].map(|most| 1024 + random.below(most) as usize);
                let front = Front::new(&on.world().parts.registry);
                let troubles: Vec<(String, Rule)> = (0..2).map(|_| trouble(&mut random, &sizes)).collect();
                let words = troubles.iter().map(|(words, _)| words.clone()).collect();
                troubles.into_iter().for_each(|(_, rule)| front.add(rule));
                (words, front, sizes)
            })
            .collect();
        let colds: Vec<Cold<'_>> = rounds.iter().map(|(_, front, sizes)| on.cold(front, sizes)).collect();
        let running: Vec<Prepare<'_>> = colds.iter().map(|cold| on.start(&cold.job("always"))).collect();
        let ended = on.end(running);
        for ((words, ..), (cold, prepared)) in rounds.iter().zip(colds.iter().zip(&ended)) {
            eprintln!("{words:?}: {:?} after {:?}\n{}", prepared.code, prepared.took, prepared.log);
            match prepared.code {
                Some(0) => prepared.got(cold),
                _ => prepared.systems_fault(),
            };
        }
    });
}

#[test]
fn what_a_cut_and_a_stall_cost_depends_on_the_store() {
    On::each("cut and stall", |on| {
        on.settings(RULES);
        let (cut, still) = (Front::new(&on.world().parts.registry), Front::new(&on.world().parts.registry));
        let colds = [on.cold(&cut, &[30 << 10, 300 << 10]), on.cold(&still, &[30 << 10, 300 << 10])];
        let at = 100 << 10;
        cut.add(rule(&colds[0].layers[1]).cut_after(at).times(1));
        still.add(rule(&colds[1].layers[1]).stall_after(at).times(1));
        let running = [on.start(&colds[0].job("always")), on.start(&colds[1].job("always"))];
        let [of_cut, of_still] = running.map(Prepare::end);
        of_cut.got(&colds[0]);
        of_still.got(&colds[1]).says("nothing moved for").says("try 2 of 6");
        let (asked, bytes) = colds[0].fetched(&cut, 1);
        let (small, _) = colds[1].fetched(&still, 0);
        match on.joins_pulls() {
            // The engine goes on where it was, within its own pull.
            true => {
                of_cut.is_silent_about("try 2 of");
                assert_eq!(asked, 2, "{:#?}", cut.log());
                assert!(bytes <= colds[0].sizes[1] + at, "{bytes}");
            }
            false => assert!(asked >= 2, "{:#?}", cut.log()),
        }
        // With the last client go all layers, those that were finished too; Podman keeps them.
        let again = if on.joins_pulls() { 2 } else { 1 };
        assert_eq!(small, again, "{:#?}", still.log());
    });
}

#[test]
fn whose_fault_a_lasting_refusal_is() {
    let ways = [
        ("denies", rule("/manifests/").answer(403), true),
        ("wants a login", rule("/v2/").asks_for_login(), true),
        ("has no such manifest", rule("/manifests/").answer(404), true),
        ("is overloaded", rule("/manifests/").answer(503), false),
        ("has had enough", rule("/manifests/").answer(429).retry_after("3600"), false),
        ("has lost a blob", rule("/blobs/").answer(500), false),
        ("cuts each time", rule("/blobs/").cut_after(1 << 10), false),
        ("lies", rule("/manifests/").method("GET").body("{}"), false),
    ];
    On::each("lasting refusals", |on| {
        on.settings("[pull]\nattempts = 2\nbackoff = 0\nno_progress_timeout = 8\nconcurrent = 8\n");
        let registry = &on.world().parts.registry;
        let fronts: Vec<Front> =
            ways.iter().map(|(_, rule, _)| Front::with(registry, rule.clone())).collect();
        let colds: Vec<Cold<'_>> = fronts.iter().map(|front| on.cold(front, &[20 << 10])).collect();
        let running: Vec<Prepare<'_>> = colds.iter().map(|cold| on.start(&cold.job("always"))).collect();
        for ((_, _, is_jobs), prepared) in ways.iter().zip(on.end(running)) {
            match is_jobs {
                true => prepared.jobs_fault(),
                false => prepared.systems_fault(),
            };
        }
    });
}

#[test]
fn an_account_that_asked_too_much_stalls_no_other_and_all_its_jobs_know() {
    On::each("accounts", |on| {
        on.settings("[pull]\nattempts = 1\n");
        let front = Front::new(&on.world().parts.registry);
        let exhausted = rule("/manifests/").login("one", "first").answer(429);
        front.add(exhausted.retry_after("1800"));
        front.add(rule("/v2/").authorised(false).asks_for_login());
        let cold = on.cold(&front, &[10 << 10]);
        let of = |user: &str, password: &str| with_login(cold.job("always"), &front.address, user, password);
        on.prepare(&of("one", "first")).systems_fault().says("429");
        front.forget();
        // Another process, and as if it were another runner.
        let again = on.prepare(&of("one", "first"));
        again.systems_fault().says("429").is_silent_about("first");
        assert_eq!(front.lines(), [""; 0], "the registry is left alone");
        on.prepare(&of("two", "second")).got(&cold);
        on.prepare(&of("one", "first")).systems_fault();
    });
}

#[test]
fn what_an_engine_says_of_a_signed_address_is_not_repeated() {
    On::each("signed addresses", |on| {
        on.settings("[pull]\nattempts = 1\n");
        let front = Front::new(&on.world().parts.registry);
        // Podman tells where the connection broke; Docker tries that again for long, and is told something at once.
        let elsewhere = rule("/elsewhere");
        front.add(if on.joins_pulls() { elsewhere.answer(403) } else { elsewhere.hang_up() });
        let signed = format!("http://{}/elsewhere?X-Signature=signed-word&X-Expires=60", front.address);
        front.add(rule("/blobs/").answer(307).header("location", &signed));
        let cold = on.cold(&front, &[10 << 10]);
        let prepared = on.prepare(&cold.job("always"));
        assert_ne!(prepared.code, Some(0), "{}", prepared.log);
        assert!(front.count("GET", "signed-word") > 0);
        prepared.is_silent_about("signed-word").is_silent_about("X-Expires");
    });
}
