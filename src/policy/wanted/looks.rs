//! When a tag is looked up in its registry: every so often, each tag at a moment of its own.

/// The least time between two looks, as a share of the usual one, where the interval itself was changed.
const LEAST: f64 = 0.5;

/// Returns when to look a tag up next: in each interval of `every` seconds at a moment that follows from its name and the
/// host's `seed`. So neither do all tags of a host ask at once, nor all hosts for one tag. `last` is the last look; one that
/// lies ahead of `now` is the word of a clock that was wrong. A time that has passed means: now.
pub fn next_look(name: &str, seed: u64, last: Option<f64>, every: f64, now: f64) -> f64 {
    let every = if every.is_finite() { every.max(1.0) } else { f64::from(u32::MAX) };
    let moment = share(name, seed) * every;
    let least = match last.filter(|last| *last <= now) {
        Some(last) => last + every * LEAST,
        None => now,
    };
    ((least - moment) / every).ceil() * every + moment
}

/// A share of one, below one, that is any as likely as any other: FNV-1a, stirred.
fn share(name: &str, seed: u64) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.to_le_bytes().into_iter().chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::next_look;
    use proptest::prelude::*;

    const EVERY: f64 = 1800.0;
    const NOW: f64 = 1.6e9;

    #[test]
    fn looks_of_many_tags_are_spread_and_each_keeps_its_moment() {
        let mut quarters = [0; 4];
        for tag in 0..400 {
            let name = format!("docker.io/library/image-{tag}:latest");
            let first = next_look(&name, 7, None, EVERY, NOW);
            assert!((NOW..NOW + EVERY).contains(&first), "{first}");
            quarters[((first - NOW) / EVERY * 4.0) as usize] += 1;
            let then = next_look(&name, 7, Some(first), EVERY, first);
            assert!((then - first - EVERY).abs() < 1e-3, "{first} {then}");
        }
        assert!(quarters.iter().all(|tags| (70..130).contains(tags)), "{quarters:?}");
        assert_ne!(next_look("a", 7, None, EVERY, NOW), next_look("a", 8, None, EVERY, NOW));
    }

    proptest! {
        #[test]
        fn no_tag_is_looked_up_twice_in_a_moment_or_not_at_all(
            name in "[a-z]{1,8}",
            seed in any::<u64>(),
            since in prop::option::of(-1e6..1e6_f64),
            every in 1.0..1e6_f64,
        ) {
            let last = since.map(|since| NOW - since);
            let next = next_look(&name, seed, last, every, NOW);
            prop_assert!(next.is_finite());
            let (least, most) = match last.filter(|last| *last <= NOW) {
                Some(last) => (last + every * 0.5, last + every * 1.5),
                None => (NOW, NOW + every),
            };
            prop_assert!(next >= least - 1e-3 && next <= most + 1e-3, "{next} {least} {most}");
        }
    }
}
