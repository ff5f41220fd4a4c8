//! Pulls over links and registries that are slow, stand still, break or refuse.

use crate::front::{Front, Rule, on};
use crate::kills::Random;
use crate::pulling::{Cold, On, Prepare, Prepared, with_login};

/// Tries without pauses, and not many seconds of silence.
const RULES: &str = "[pull]\nattempts = 6\nbackoff = 0\nno_progress_timeout = 12\nprogress_interval = 1\n";

/// One kind of trouble.
fn trouble(random: &mut Random, sizes: &[usize]) -> (String, Rule) {
    let bytes = random.below(sizes.iter().copied().max().unwrap_or(1) as u64);
    let times = 1 + random.below(2) as u32;
    let status = [500, 502, 503, 504][random.below(4) as usize];
    let place = ["/manifests/", "/blobs/"][random.below(2) as usize];
    let method = ["HEAD", "GET"][random.below(2) as usize];
    match random.below(6) {
        0 => (format!("cut after {bytes}, {times} times"), on("/blobs/").cut_after(bytes).times(times)),
        1 => (format!("still after {bytes}"), on("/blobs/").stall_after(bytes).times(1)),
        2 => {
            let rate = (256 << 10) + random.below(1 << 20) as usize;
            (format!("{rate} bytes a second"), on("/blobs/").throttle(rate))
        }
        3 => {
            (format!("{place} hangs up, {times} times"), on(place).method("GET").hang_up().times(times))
        }
        4 => (
            format!("{place} {method} {status}, {times} times"),
            on(place).method(method).answer(status).times(times),
        ),
        _ => (
            format!("{place} {method} 429, {times} times"),
            on(place).method(method).answer(429).retry_after("1").times(times),
        ),
    }
}

#[test]
fn whatever_the_link_does_the_right_image_comes_or_the_failure_is_the_systems() {
    for on in On::each("weak links") {
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
        let ended: Vec<Prepared> = running.into_iter().map(Prepare::end).collect();
        for ((words, ..), (cold, prepared)) in rounds.iter().zip(colds.iter().zip(&ended)) {
            eprintln!("{words:?}: {:?} after {:?}", prepared.code, prepared.took);
            eprintln!("{}", prepared.log);
            match prepared.code {
                Some(0) => prepared.got(cold),
                _ => prepared.systems_fault(),
            };
        }
    }
}
