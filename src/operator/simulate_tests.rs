//! `hearth simulate` on small and on year-long traces.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::simulate::{Around, Report, run};
use super::simulate_args::SimulateArgs;
use super::simulate_host_tests;
use crate::policy::simulate::bound::Problem;
use crate::policy::simulate::clairvoyant::Future;
use crate::policy::simulate::grid::side_by_side;
use crate::policy::simulate::trace::Entry;
use crate::policy::simulate::{Ahead, Policy, Setup, Trace, replay};
use crate::policy::{Cost, Score};
use crate::record;
use crate::store::StorePlace;

const SMALL: &str = r#"{"at":0,"moved":"a","layers":[["base",40000000,100000000],["a",4000000,10000000]]}
{"at":0,"moved":"b","layers":[["base",40000000,100000000],["b",40000000,100000000]]}
{"at":60,"job":"a"}
{"at":3600,"job":"b"}
{"at":7200,"job":"a"}
{"at":90000,"job":"b"}
"#;

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("hearth-simulate-{name}-{}", std::process::id()));
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

fn simulate(name: &str, bytes: &[u8], more: &[&str]) -> (u8, String, String) {
    let path = file(name, bytes);
    let result = command(&[&["simulate", "--trace", path.to_str().unwrap()], more].concat());
    std::fs::remove_file(&path).unwrap();
    let plain = |text: String| text.replace(path.to_str().unwrap(), "FILE");
    (result.0, plain(result.1), plain(result.2))
}

fn command(line: &[&str]) -> (u8, String, String) {
    with_store(line, None)
}

/// Runs the command with this place for the host's store.
pub(super) fn with_store(line: &[&str], place: Option<&StorePlace>) -> (u8, String, String) {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: SimulateArgs,
    }
    let args = <Line as clap::Parser>::try_parse_from(line).unwrap().args.with_budgets(None);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let told = Mutex::new((0, 0));
    let around = Around {
        history: &|| record::history(place, simulate_host_tests::NOW),
        progress: &|done, of| *told.lock().unwrap() = (done, of),
    };
    let code = run(&args, &around, &mut out, &mut err);
    let (done, of) = *told.lock().unwrap();
    assert_eq!(done, of);
    assert_eq!(of > 0, code == 0);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn the_table_says_what_each_rule_costs() {
    let (code, out, err) = simulate("table", SMALL.as_bytes(), &["--budget", "1g,0.5ws", "--policy", "lru"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let expected = "\
4 jobs of 2 images in 1 days; the images in use take 200 MiB

budget 1 GiB (511 % of what is in use)
  rule              waited   to lru     warm    pulled   written  evicted
  lru                 51 s   +0.0 %   50.0 %  80.1 MiB   200 MiB        0
  clairvoyant         51 s   +0.0 %   50.0 %  80.1 MiB   200 MiB        0
  no rule below       50 s   -1.5 %
  least waiting: lru, no less than lru
";
    assert_eq!(&out[..expected.len().min(out.len())], expected);
    assert!(out.contains("budget 100 MiB (50 % of what is in use)"), "{out}");
}

#[test]
fn json_has_the_same_figures() {
    let (code, out, _) =
        simulate("json", SMALL.as_bytes(), &["--budget", "0", "--json", "--policy", "foreseen"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["jobs"], &report["budgets"][0]["bytes"]), (0, &4.into(), &0.into()));
    assert_eq!(report["budgets"][0]["rules"][0]["rule"], "foreseen");
}

#[test]
fn gzipped_traces_windows_and_polling_are_taken() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(SMALL.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let (code, out, err) = simulate("gz", &packed, &["--from", "1h", "--to", "1d", "--poll", "30m"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("1 jobs of 1 images"), "{out}");
    assert!(out.contains("looked for every 30 min") && out.contains("lru, unaided"), "{out}");
    let ahead = ["--prefetch", "--list", "a,b", "--budget", "1g", "--policy", "foreseen"];
    let (code, out, _) = simulate("ahead", SMALL.as_bytes(), &ahead);
    assert_eq!(code, 0);
    assert!(out.contains("2 listed images are brought before the first job"), "{out}");
    assert!(out.contains("foreseen             0 s -100.0 %"), "{out}");
    let (code, _, err) = simulate("unknown", SMALL.as_bytes(), &["--list", "c"]);
    assert_eq!((code, err.contains("no job uses \"c\"")), (2, true), "{err}");
    let (code, _, err) = simulate("cut", &packed[..packed.len() / 2], &[]);
    assert_eq!((code, err.contains("cannot be unpacked")), (2, true), "{err}");
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let (code, out, err) = command(&["simulate"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("--trace FILE"), "{err}");
    let (_, _, err) = command(&["simulate", "--trace", "/nonexistent/trace"]);
    assert!(err.contains("/nonexistent/trace"), "{err}");
    let (code, _, err) = simulate("wrong", b"{\"at\":0}\nx\n", &[]);
    assert_eq!(code, 2);
    assert!(err.starts_with("the trace FILE is not valid\n  line 1: "), "{err}");
    assert!(err.contains("line 1: there is neither") && err.contains("line 2: "), "{err}");
    let (_, _, err) = simulate("late", SMALL.as_bytes(), &["--from", "9d"]);
    assert!(err.contains("no job between"), "{err}");
    let (_, _, err) = simulate("poll", SMALL.as_bytes(), &["--poll", "0s"]);
    assert!(err.contains("too short"), "{err}");
}

/// Hours waited at half, 0.7 and 0.9 of the working set, as they were measured elsewhere by the same rules.
struct Year {
    file: &'static str,
    lru: [f64; 3],
    decayed: [f64; 3],
    clairvoyant: [f64; 3],
    bound: [f64; 3],
}

const YEARS: [Year; 2] = [
    Year {
        file: "ci-year-1",
        lru: [108.5, 32.0, 11.4],
        decayed: [-23.2, -26.3, -7.3],
        clairvoyant: [-49.5, -49.2, -7.7],
        bound: [-59.1, -58.1, -9.6],
    },
    Year {
        file: "ci-year-2",
        lru: [70.3, 15.8, 9.6],
        decayed: [-17.8, -17.9, -1.3],
        clairvoyant: [-51.5, -34.7, -1.3],
        bound: [-61.0, -39.6, -3.8],
    },
];

fn read(path: &Path) -> Trace {
    let mut text = String::new();
    let mut packed = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    packed.read_to_string(&mut text).unwrap();
    Trace::parse(&text).unwrap()
}

/// The same trace, but which tag a job uses is another one every thirty days.
fn drifting(mut trace: Trace) -> Trace {
    let tags = trace.tags.len();
    let mut current = vec![None; tags];
    for entry in &mut trace.entries {
        match entry {
            Entry::Moved { tag, version, .. } => current[*tag] = Some(*version),
            Entry::Job { event, version } => {
                let month = (event.at / (30.0 * 86_400.0)) as usize;
                event.tag = (event.tag * 7 + month * 17) % tags;
                *version = current[event.tag].unwrap();
            }
        }
    }
    trace
}

#[test]
fn the_default_follows_where_everything_changes() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ci-year-2.jsonl.gz");
    let trace = drifting(read(&data));
    let future = Future::new(&trace);
    let seconds = |score| {
        let budget = trace.working_set() / 10 * 7;
        let policy = Policy::Rule(score);
        replay(&trace, &future, Setup::new(policy, budget)).seconds
    };
    let (lru, foreseen) = (seconds(Score::Lru), seconds(Score::Foreseen));
    assert!(foreseen < 0.9 * lru, "{foreseen} {lru}");
}

#[test]
fn a_year_costs_what_others_measured_and_the_default_wins_sixty_percent() {
    for year in YEARS {
        let data =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{}.jsonl.gz", year.file));
        let trace = read(&data);
        let (future, set) = (Future::new(&trace), trace.working_set() as f64);
        let problem = Problem::new(&trace, Cost::default());
        let rules = [Score::Lru, Score::DecayedRate { half_life: Score::HALF_LIFE }, Score::Foreseen];
        let policies: Vec<Policy> =
            rules.into_iter().map(Policy::Rule).chain([Policy::Clairvoyant]).collect();
        let work: Vec<(Policy, f64)> = [0.5, 0.7, 0.9]
            .into_iter()
            .flat_map(|share| policies.iter().map(move |rule| (*rule, share)))
            .collect();
        let hours = side_by_side(&work, 4, |(policy, share)| {
            let budget = (share * set) as u64;
            let setup = Setup::new(*policy, budget);
            replay(&trace, &future, setup).seconds / 3600.0
        });
        let mut sums = [0.0; 4];
        for (cell, hours) in hours.chunks(4).enumerate() {
            let close = |is: f64, percent: f64, within: f64| {
                let expected = year.lru[cell] * (1.0 + percent / 100.0);
                assert!((is / expected - 1.0).abs() < within, "{} {cell}: {is} {expected}", year.file);
            };
            close(hours[0], 0.0, 0.01);
            close(hours[1], year.decayed[cell], 0.01);
            close(hours[3], year.clairvoyant[cell], 0.02);
            let saves = |hours: f64| problem.total() / 3600.0 - hours;
            let budget = ([0.5, 0.7, 0.9][cell] * set) as u64;
            let bound = problem.bound(budget, saves(hours[3]) * 3600.0, 120).savings / 3600.0;
            let known = saves(year.lru[cell] * (1.0 + year.bound[cell] / 100.0));
            assert!((bound / known - 1.0).abs() < 0.02, "{} {cell}: {bound} {known}", year.file);
            assert!(bound >= saves(hours[3]), "{} {cell}: {bound} {hours:?}", year.file);
            assert!(hours[2] < hours[0] * 1.01, "{} {cell}: {hours:?}", year.file);
            assert!(hours[2] - hours[1] < hours[0] * 5e-4, "{} {cell}: {hours:?}", year.file);
            sums.iter_mut().zip(hours).for_each(|(sum, hours)| *sum += hours);
        }
        let way = (sums[0] - sums[2]) / (sums[0] - sums[3]);
        assert!(way >= 0.6, "{}: {way}", year.file);
    }
}

#[test]
fn polling_keeps_its_promises_once_the_images_in_use_fit() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/ci-year-2.jsonl.gz");
    let budgets =
        ["--budget", "0.9ws,1.2ws", "--poll", "30m", "--policy", "foreseen", "--to", "180d", "--json"];
    let (code, out, _) = command(&[&["simulate", "--trace", file.to_str().unwrap()], &budgets[..]].concat());
    assert_eq!(code, 0);
    let report: Report = serde_json::from_str(&out).unwrap();
    for budget in report.budgets {
        let (lru, row) = (&budget.baseline, &budget.rules[0]);
        assert!(row.seconds < 0.4 * lru.seconds, "{row:?}");
        assert!(row.pulled_bytes as f64 <= 1.05 * lru.pulled_bytes as f64, "{row:?} {lru:?}");
        assert!(row.prefetched_used.unwrap() > 0.9, "{row:?}");
        assert!(budget.bound_seconds <= budget.clairvoyant.seconds);
    }
}

/// The ten names that jobs used most in the first month: what an operator would put on the list.
fn busiest(trace: &Trace) -> Vec<usize> {
    let mut uses = vec![0_u32; trace.tags.len()];
    let first_month = trace.start() + 30.0 * 86_400.0;
    trace.jobs().filter(|(event, _)| event.at < first_month).for_each(|(event, _)| uses[event.tag] += 1);
    let mut tags: Vec<usize> = (0..uses.len()).filter(|tag| uses[*tag] > 0).collect();
    tags.sort_by_key(|tag| std::cmp::Reverse(uses[*tag]));
    tags.truncate(10);
    tags
}

#[test]
fn a_year_with_list_history_and_looks_keeps_its_promises() {
    let work: Vec<(&str, f64)> =
        ["ci-year-1", "ci-year-2"].into_iter().flat_map(|file| [(file, 0.9), (file, 1.2)]).collect();
    side_by_side(&work, 2, |(file, share)| {
        let trace =
            read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{file}.jsonl.gz")));
        let (list, future) = (busiest(&trace), Future::default());
        let budget = (share * trace.working_set() as f64) as u64;
        let lru = replay(&trace, &future, Setup::new(Policy::Rule(Score::Lru), budget));
        let ahead = Ahead { history: true, list: &list };
        let setup = Setup { poll: Some(1800.0), ahead, ..Setup::new(Policy::Rule(Score::Foreseen), budget) };
        let host = replay(&trace, &future, setup);
        // Promised are 60 % less; what is measured is in docs/policy.md.
        assert!(host.seconds < 0.14 * lru.seconds, "{file} {share}: {host:?} {lru:?}");
        assert!(
            host.pulled_bytes as f64 <= 1.05 * lru.pulled_bytes as f64,
            "{file} {share}: {host:?} {lru:?}"
        );
        let used = host.prefetched_used_bytes as f64 / host.prefetched_bytes as f64;
        assert!(used > 0.9, "{file} {share}: {used}");
    });
}
