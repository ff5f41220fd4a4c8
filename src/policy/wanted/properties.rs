//! What holds for any candidates and any host.

use proptest::prelude::*;

use super::super::cost::{Cost, Size};
use super::{Candidate, Demand, Held, Host, Loses, Running, Soon, Source, cut, may_begin, rank};

const NOW: f64 = 1e9;
const MB: u64 = 1_000_000;

fn demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        (0.0..0.01_f64).prop_map(Demand::Rate),
        (-9e4..9e4_f64).prop_map(|from_now| Demand::At(NOW + from_now)),
        prop::sample::select(vec![Soon::Now, Soon::Beside, Soon::Stages(1), Soon::Stages(4)])
            .prop_map(Demand::Soon),
        Just(Demand::Listed),
    ]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let source = prop::sample::select(vec![
        Source::List,
        Source::Schedule,
        Source::History,
        Source::Moved,
        Source::Scan,
    ]);
    let size = prop::option::of((0..900_u64, 0..2000_u64));
    // Few names and few sizes, so that many are alike.
    ("[a-c]", "|linux/arm64", source, demand(), prop::sample::select(vec![0.0, 0.5, 1.0]), size).prop_map(
        |(name, platform, source, demand, cold, size)| Candidate {
            name,
            platform,
            source,
            demand,
            cold,
            missing: size.map(|(compressed, unpacked)| Size {
                compressed: compressed * MB,
                unpacked: unpacked * MB,
                inodes: 0,
            }),
            cost: Cost::default(),
            pipeline: (source == Source::Scan).then(|| "p".to_owned()),
        },
    )
}

fn host() -> impl Strategy<Value = Host> {
    let bytes = || prop::option::of(0..1000 * MB);
    let flags = prop::array::uniform3(any::<bool>());
    let times = prop::array::uniform2(prop::option::weighted(0.3, (-9e3..9e3_f64).prop_map(|t| NOW + t)));
    (flags, times, bytes(), bytes()).prop_map(
        |([idle, preparing, scans_beside], [window_opens, backed_off_until], month_left, pipeline_left)| {
            Host { idle, preparing, window_opens, month_left, pipeline_left, scans_beside, backed_off_until }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_order_does_not_depend_on_the_order_they_come_in(
        (one, other) in prop::collection::vec(candidate(), 0..12)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let order = |all: &[Candidate]| -> Vec<(Candidate, u64, u64)> {
            let ranked = rank(all, NOW).into_iter();
            ranked.map(|r| (all[r.index].clone(), r.worth.to_bits(), r.not_before.to_bits())).collect()
        };
        // What nobody has looked at is no different from what is known to be as large, so the two may change places.
        let key = |all: Vec<(Candidate, u64, u64)>| -> Vec<_> {
            all.into_iter().map(|(c, worth, begins)| (c.name, c.platform, c.source, worth, begins)).collect()
        };
        prop_assert_eq!(key(order(&one)), key(order(&other)));
    }

    #[test]
    fn each_is_ranked_once_and_the_best_is_worth_most(all in prop::collection::vec(candidate(), 0..12)) {
        let ranked = rank(&all, NOW);
        let mut seen: Vec<usize> = ranked.iter().map(|r| r.index).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..all.len()).collect::<Vec<_>>());
        prop_assert!(ranked.is_sorted_by(|a, b| a.worth >= b.worth));
        prop_assert!(ranked.iter().all(|r| r.worth.is_finite() && r.worth >= 0.0 && r.seconds > 0.0));
    }

    #[test]
    fn nothing_begins_that_something_holds_up(candidate in candidate(), host in host()) {
        let ranked = rank(std::slice::from_ref(&candidate), NOW)[0];
        let scan = candidate.source == Source::Scan;
        let needs = candidate.missing.map_or(1, |size| size.compressed);
        let held = [
            host.preparing,
            !(host.idle || scan && host.scans_beside),
            !scan && host.window_opens.is_some(),
            host.month_left.is_some_and(|left| left < needs),
            scan && host.pipeline_left.is_some_and(|left| left < needs),
            host.backed_off_until.is_some_and(|until| until > NOW),
            ranked.not_before > NOW,
            ranked.worth == 0.0,
        ];
        let answer = may_begin(&candidate, &ranked, &host, NOW);
        prop_assert_eq!(answer.is_err(), held.contains(&true), "{:?} {:?}", answer, held);
        // What says until when it holds does not hold any more then.
        if let Err(held) = answer && let Some(until) = held.until().filter(|until| *until > NOW) {
            let host = Host { window_opens: None, ..host };
            let then = may_begin(&candidate, &ranked, &host, until);
            prop_assert!(!matches!(then, Err(Held::NotYet { .. } | Held::Window { .. })) , "{:?}", then);
        }
    }

    #[test]
    fn the_more_is_lost_or_the_less_is_gained_the_less_is_cut(
        (done, more) in (0..3000_u64, 0..3000_u64),
        total in prop::option::of(0..6000_u64),
        (share, more_share) in (0.0..1.0_f64, 0.0..1.0_f64),
        (job, more_job) in (0..3000_u64, 0..3000_u64),
        speed in 1e5..1e8_f64,
    ) {
        let running = |done: u64, share: f64| Running {
            seconds_done: 60.0,
            bytes_done: done * MB,
            bytes_total: total.map(|total| (total + done) * MB),
            loses: Loses::Part(share),
        };
        let cuts = |done, share, job: u64| cut(&running(done, share), Some(job * MB), speed);
        // Each line: where the right side is cut, so is the left one.
        prop_assert!(cuts(done, share, job) >= cuts(done + more, share, job));
        prop_assert!(cuts(done, share, job) >= cuts(done, (share + more_share).min(1.0), job));
        prop_assert!(cuts(done, share, job + more_job) >= cuts(done, share, job));
        prop_assert!(!cuts(done, share, 0));
    }
}
