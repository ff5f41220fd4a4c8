//! Replays of small traces, the bound against brute force, and texts that are no traces.

use proptest::prelude::*;

use super::super::cost::{Cost, Size};
use super::super::score::Score;
use super::bound::Problem;
use super::clairvoyant::Future;
use super::{Ahead, Outcome, Policy, Setup, Trace, replay};

fn run(trace: &Trace, policy: Policy, budget: u64, poll: Option<f64>) -> Outcome {
    replay(trace, &Future::new(trace), Setup { poll, ..Setup::new(policy, budget) })
}

fn parse(text: &str) -> Trace {
    Trace::parse(text).unwrap()
}

/// Two images of 100 MB and one of 300 MB; `a` is used all the time, `nightly` once a day.
fn small() -> Trace {
    let mut lines = String::new();
    for (tag, megabytes) in [("a", 100), ("b", 100), ("nightly", 300)] {
        let bytes = megabytes * 1_000_000;
        lines +=
            &format!("{{\"at\":0,\"moved\":\"{tag}\",\"layers\":[[\"{tag}\",{},{bytes}]]}}\n", bytes * 2 / 5);
    }
    for hour in 0..240 {
        let job = if hour % 24 == 2 {
            "nightly"
        } else if hour % 8 == 0 {
            "b"
        } else {
            "a"
        };
        lines += &format!("{{\"at\":{},\"job\":\"{job}\"}}\n", hour * 3600);
    }
    parse(&lines)
}

#[test]
fn an_endless_disk_pulls_each_image_once_and_none_at_all_pulls_every_time() {
    let trace = small();
    let ample = run(&trace, Policy::Rule(Score::Lru), u64::MAX, None);
    assert_eq!((ample.jobs, ample.warm, ample.pulled_bytes, ample.evictions), (240, 237, 200_000_000, 0));
    let none = run(&trace, Policy::Rule(Score::default()), 0, None);
    // Only an image that the job before has left is still there.
    assert!(none.warm < 200 && none.evictions > 40, "{none:?}");
    assert_eq!(trace.working_set(), 500_000_000);
}

#[test]
fn rules_that_count_keep_the_daily_image_from_pushing_the_others_out() {
    let trace = small();
    let seconds = |policy| run(&trace, policy, 420_000_000, None).seconds;
    let lru = seconds(Policy::Rule(Score::Lru));
    let foreseen = seconds(Policy::Rule(Score::Foreseen));
    assert!(seconds(Policy::Clairvoyant) <= foreseen && foreseen <= lru, "{foreseen} {lru}");
}

#[test]
fn polling_pulls_what_moved_before_the_job_asks() {
    let moved = "{\"at\":500000,\"moved\":\"a\",\"layers\":[[\"a2\",40000000,100000000]]}\n";
    let mut lines = "{\"at\":0,\"moved\":\"a\",\"layers\":[[\"a\",40000000,100000000]]}\n".to_owned();
    for hour in 0..300 {
        let at = hour * 3600 + 100;
        if at > 500_000 && !lines.contains("a2") {
            lines += moved;
        }
        lines += &format!("{{\"at\":{at},\"job\":\"a\"}}\n");
    }
    let trace = parse(&lines);
    let cold = run(&trace, Policy::Rule(Score::Foreseen), u64::MAX, None);
    let warm = run(&trace, Policy::Rule(Score::Foreseen), u64::MAX, Some(600.0));
    assert_eq!((cold.warm, warm.warm), (298, 299));
    assert_eq!((warm.prefetched_bytes, warm.prefetched_used_bytes), (40_000_000, 40_000_000));
    assert_eq!(cold.pulled_bytes, warm.pulled_bytes);
}

#[test]
fn a_window_keeps_what_tags_named_before() {
    let trace = small().window(48.0 * 3600.0, 72.0 * 3600.0);
    assert_eq!(trace.jobs().count(), 24);
    assert_eq!(trace.working_set(), 500_000_000);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let good = "{\"at\":1,\"moved\":\"a\",\"layers\":[[\"x\",1,2]]}\n";
    for (text, says) in [
        (String::new(), "line 1: the trace ends without a job"),
        (good.to_owned(), "line 1: the trace ends without a job"),
        ("\n\nhello\n".to_owned(), "line 3: expected value (column 1)"),
        (format!("{good}{{\"at\":0,\"job\":\"a\"}}\n"), "line 2: 0 is before 1 on an earlier line"),
        (format!("{good}{{\"at\":2,\"job\":\"b\"}}\n"), "line 2: the job's image \"b\" has no layers"),
        ("{\"at\":0,\"moved\":\"a\",\"layers\":[]}\n".to_owned(), "line 1: \"a\" moved to an image without"),
        ("{\"at\":0,\"moved\":\"a\"}\n".to_owned(), "line 1: \"a\" moved to an image without layers"),
        (
            format!("{good}{{\"at\":2,\"moved\":\"b\",\"layers\":[[\"x\",1,3]]}}\n"),
            "line 2: the layer \"x\" had",
        ),
        ("{\"job\":\"a\"}\n".to_owned(), "line 1: there is no \"at\""),
        ("{\"at\":1e300,\"job\":\"a\"}\n".to_owned(), "is not a time in seconds"),
        ("{\"at\":0}\n".to_owned(), "line 1: there is neither"),
        ("{\"at\":0,\"job\":\"a\",\"moved\":\"a\"}\n".to_owned(), "line 1: there are both"),
        ("{\"at\":0,\"moved\":\"a\",\"layers\":[[\"x\",-1,2]]}\n".to_owned(), "line 1: invalid value"),
        (
            "{\"at\":0,\"moved\":\"a\",\"layers\":[[\"x\",1,9999999999999]]}\n".to_owned(),
            "is larger than 1 TiB",
        ),
    ] {
        let error = Trace::parse(&text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

/// A few jobs on a few images of a few shared layers.
fn tiny() -> impl Strategy<Value = Trace> {
    let images = prop::collection::vec(prop::collection::vec(0..4_u64, 1..3), 3);
    (images, prop::collection::vec(0..3_usize, 2..9)).prop_map(|(images, jobs)| {
        let mut lines = String::new();
        for (tag, layers) in images.iter().enumerate() {
            let layers =
                layers.iter().map(|n| format!("[\"l{n}\",{},{}]", (n + 1) * 5_000_000, (n + 1) * 12_000_000));
            let layers = layers.collect::<Vec<_>>().join(",");
            lines += &format!("{{\"at\":0,\"moved\":\"t{tag}\",\"layers\":[{layers}]}}\n");
        }
        for (at, job) in jobs.iter().enumerate() {
            lines += &format!("{{\"at\":{},\"job\":\"t{job}\"}}\n", at + 1);
        }
        parse(&lines)
    })
}

/// Returns the fewest seconds that any choice of layers to keep can reach, the overhead shared out by bytes.
fn brute_force(trace: &Trace, budget: u64) -> f64 {
    let jobs: Vec<usize> = trace.jobs().map(|(_, version)| version).collect();
    let size = |set: u32| -> u64 {
        (0..trace.layers.len()).filter(|l| set >> l & 1 == 1).map(|l| trace.layers[l].unpacked).sum()
    };
    let image = |version: usize| trace.versions[version].iter().fold(0_u32, |set, layer| set | 1 << layer);
    let seconds = |missing: u32, whole: u32| -> f64 {
        let missing = (0..trace.layers.len()).filter(|l| missing >> l & 1 == 1);
        missing
            .map(|l| {
                let size: Size = trace.layers[l];
                Cost::default().layer_seconds(size) + 1.5 * size.unpacked as f64 / self::sum(trace, whole)
            })
            .sum()
    };
    let mut reach = vec![f64::INFINITY; 1 << trace.layers.len()];
    reach[0] = 0.0;
    for version in jobs {
        let needs = image(version);
        let mut next = vec![f64::INFINITY; reach.len()];
        for (kept, &so_far) in reach.iter().enumerate().filter(|(_, so_far)| so_far.is_finite()) {
            let here = kept as u32 | needs;
            let now = so_far + seconds(needs & !(kept as u32), needs);
            // While the job runs its image is there; what else is kept has the rest of the budget.
            for after in (0..reach.len() as u32).filter(|after| after & !here == 0) {
                if size(after & !needs) <= budget.saturating_sub(size(needs)) {
                    next[after as usize] = next[after as usize].min(now);
                }
            }
        }
        reach = next;
    }
    reach.into_iter().fold(f64::INFINITY, f64::min)
}

fn sum(trace: &Trace, set: u32) -> f64 {
    (0..trace.layers.len()).filter(|l| set >> l & 1 == 1).map(|l| trace.layers[l].unpacked as f64).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_schedule_of_evictions_saves_more_than_the_bound(trace in tiny(), budget in 0..120_000_000_u64) {
        let problem = Problem::new(&trace, Cost::default());
        let least = brute_force(&trace, budget);
        for rounds in [1, 40] {
            let bound = problem.bound(budget, 0.0, rounds);
            prop_assert!(bound.seconds() <= least + 1e-6, "{bound:?} {least}");
        }
        prop_assert!(problem.bound(budget, 0.0, 1).total >= least - 1e-6);
    }

    #[test]
    fn any_text_is_a_trace_or_has_a_line_to_complain_about(text in "\\PC{0,80}(\n\\PC{0,40}){0,3}") {
        if let Err(error) = Trace::parse(&text) {
            prop_assert!(error.0.iter().all(|complaint| complaint.line >= 1 && !complaint.what.is_empty()));
        }
    }

    #[test]
    fn near_traces_do_not_panic_and_any_budget_can_be_replayed(
        lines in prop::collection::vec(
            (-5.0..50.0_f64, 0..3_usize, prop::bool::ANY, prop::collection::vec((0..4_u64, 0..3_u64 << 39), 0..3)), 0..12),
        budget in any::<u64>(),
    ) {
        let mut lines = lines;
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let text: String = lines.iter().map(|(at, tag, job, layers)| {
            if *job { return format!("{{\"at\":{at},\"job\":\"t{tag}\"}}\n") }
            let layers: Vec<_> = layers.iter().map(|(l, size)| format!("[\"l{l}-{size}\",{size},{size}]")).collect();
            format!("{{\"at\":{at},\"moved\":\"t{tag}\",\"layers\":[{}]}}\n", layers.join(","))
        }).collect();
        if let Ok(trace) = Trace::parse(&text) {
            for score in ["lru", "lfu-da", "gdsf", "layer-gdsf", "decayed", "foreseen"] {
                let outcome = run(&trace, Policy::Rule(score.parse().unwrap()), budget, Some(2.0));
                prop_assert!(outcome.warm <= outcome.jobs && outcome.seconds.is_finite());
            }
            run(&trace, Policy::Clairvoyant, budget, None);
        }
    }
}

fn ahead(trace: &Trace, budget: u64, ahead: Ahead<'_>) -> Outcome {
    let setup = Setup { ahead, ..Setup::new(Policy::Rule(Score::Foreseen), budget) };
    replay(trace, &Future::new(trace), setup)
}

#[test]
fn a_nightly_image_that_does_not_fit_beside_the_others_is_back_before_its_run() {
    let trace = small();
    let history = |history| ahead(&trace, 420_000_000, Ahead { history, list: &[] });
    let (without, with) = (history(false), history(true));
    assert_eq!((without.prefetched_bytes, without.jobs - without.warm > 8), (0, true), "{without:?}");
    // Three nights make a schedule. What it costs is what was pulled for the job before.
    assert!(with.seconds < 0.7 * without.seconds, "{with:?} {without:?}");
    assert!(with.pulled_bytes as f64 <= 1.05 * without.pulled_bytes as f64, "{with:?} {without:?}");
    assert_eq!(with.prefetched_used_bytes, with.prefetched_bytes, "{with:?}");
}

#[test]
fn an_empty_host_warms_its_list_and_a_job_that_comes_meanwhile_waits_for_the_rest() {
    // 100 MB take 1.5 + 16 + 6.7 seconds, one image after the other, from a second after the first line.
    let trace = parse(
        "{\"at\":0,\"moved\":\"a\",\"layers\":[[\"a\",40000000,100000000]]}
         {\"at\":0,\"moved\":\"b\",\"layers\":[[\"b\",40000000,100000000]]}
         {\"at\":30,\"job\":\"a\"}\n{\"at\":30,\"job\":\"b\"}\n",
    );
    let list = |list: &[usize]| ahead(&trace, u64::MAX, Ahead { history: true, list });
    let (none, both) = (list(&[]), list(&[0, 1]));
    assert_eq!((none.warm, both.warm, both.pulled_bytes), (0, 1, none.pulled_bytes));
    assert!((none.seconds - 48.33).abs() < 0.01 && (both.seconds - 19.33).abs() < 0.01, "{both:?} {none:?}");
    let early = |list: &[usize]| ahead(&trace, 99_999_999, Ahead { history: false, list });
    assert_eq!(early(&[0, 1]).prefetched_bytes, 0);
}
