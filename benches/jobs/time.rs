//! Seconds: whole jobs by three contenders in turn, and `hearth config`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hearth::runner::JobReport;
use serde_json::{Map, Value, json};

use crate::floor::{self, Timings};
use crate::table::{Bound, Table, Verdicts, unjudged};
use crate::work::{Extras, Work};
use crate::world::{Quiet, World};
use crate::{Result, shell};

/// How often `hearth config` is run.
const CONFIG_ROUNDS: usize = 40;
/// The most milliseconds that it may take.
const CONFIG_MOST: f64 = 10.0;
/// How many times the floor's time a job may take.
const MOST_OF_FLOOR: f64 = 1.25;

impl Work {
    /// How many times faster than the plain driver a job shall be.
    fn least_gain(self) -> f64 {
        match self {
            Self::ScriptOnly => 1.4,
            Self::NineStages => 2.0,
        }
    }
}

/// Who runs a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Floor,
    Hearth,
    Plain,
}

impl Contender {
    const ALL: [Self; 3] = [Self::Floor, Self::Hearth, Self::Plain];

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Hearth => "hearth",
            Self::Plain => "plain",
        }
    }
}

/// One job.
struct Run {
    took: Duration,
    parts: Timings,
}

impl Run {
    /// Returns the seconds outside of all parts: what the runner does.
    fn between(&self) -> f64 {
        self.took.as_secs_f64() - self.parts.iter().map(|(_, took)| took.as_secs_f64()).sum::<f64>()
    }
}

/// The jobs of one kind: for each round, one run a contender, in the order of [`Contender::ALL`].
struct Rounds {
    work: Work,
    rounds: Vec<[Run; 3]>,
}

/// Measures whole jobs.
pub(crate) async fn jobs(world: &World, count: u32, verdicts: &mut Verdicts) -> Result<Value> {
    let mut measured: Vec<Rounds> =
        Work::ALL.into_iter().map(|work| Rounds { work, rounds: Vec::new() }).collect();
    // The first round warms up: it is not counted.
    for round in 0..=count {
        for rounds in &mut measured {
            let runs = one_round(world, rounds.work, round).await?;
            if round > 0 {
                rounds.rounds.push(runs);
            }
        }
    }
    let mut document = Map::new();
    let mut table =
        Table::new(&["job", "by", "median s", "min", "max", "ratio", "", "0 .. bound", "bound", ""]);
    for rounds in &measured {
        rounds.judge(&mut table, verdicts);
        document.insert(rounds.work.name().to_owned(), rounds.document());
    }
    table.print(&format!(
        "Seconds of a job, image present ({count} rounds in turn; a ratio is the median of the rounds' own)"
    ));
    for rounds in &measured {
        rounds.print_parts();
    }
    Ok(Value::Object(document))
}

/// Runs a job by each contender; another one begins in each round.
async fn one_round(world: &World, work: Work, round: u32) -> Result<[Run; 3]> {
    let mut runs: [Option<Run>; 3] = [None, None, None];
    for turn in 0..3 {
        let index = (turn + round as usize) % 3;
        runs[index] = Some(one_job(world, work, Contender::ALL[index]).await?);
    }
    let [Some(floor), Some(hearth), Some(plain)] = runs else {
        return Err("a contender was left out".into());
    };
    Ok([floor, hearth, plain])
}

async fn one_job(world: &World, work: Work, contender: Contender) -> Result<Run> {
    let job = work.job(world, Extras::default());
    let driver = match contender {
        Contender::Floor => None,
        Contender::Hearth => Some(world.hearth()),
        Contender::Plain => Some(shell::command(&world.dir)),
    };
    let began = Instant::now();
    let run = match driver {
        None => {
            let parts = floor::run(world, &world.endpoint, &job, &|_| ()).await?;
            Run { took: began.elapsed(), parts }
        }
        Some(driver) => {
            let report = world.run(&world.runner(driver, &[]), &job, &mut Quiet::default()).await?;
            Run { took: began.elapsed(), parts: parts(&report) }
        }
    };
    let stages: Vec<&str> = run.parts.iter().map(|(name, _)| name.as_str()).collect();
    let inner = stages.iter().filter(|name| !["config", "prepare", "cleanup"].contains(name));
    if !inner.eq(work.stages()) {
        return Err(format!("{} ran other stages than planned: {stages:?}", contender.name()).into());
    }
    if work == Work::NineStages && world.server.artifacts(job.id).is_none() {
        return Err(format!("{} lost the artifacts", contender.name()).into());
    }
    Ok(run)
}

fn parts(report: &JobReport) -> Timings {
    report.calls.iter().map(|call| (call.name.clone(), call.took)).collect()
}

impl Rounds {
    fn took(&self, contender: Contender) -> Vec<Duration> {
        self.rounds.iter().map(|runs| runs[contender as usize].took).collect()
    }

    fn ratio(&self, above: Contender, below: Contender) -> f64 {
        let ratios = self
            .rounds
            .iter()
            .map(|runs| runs[above as usize].took.as_secs_f64() / runs[below as usize].took.as_secs_f64());
        middle(ratios.collect())
    }

    fn judge(&self, table: &mut Table, verdicts: &mut Verdicts) {
        let name = self.work.name();
        for contender in Contender::ALL {
            let took = self.took(contender);
            let seconds =
                |duration: Option<Duration>| format!("{:.3}", duration.unwrap_or_default().as_secs_f64());
            let (ratio, words, judged) = match contender {
                Contender::Floor => (String::new(), String::new(), unjudged()),
                Contender::Hearth => {
                    let ratio = self.ratio(contender, Contender::Floor);
                    let bound = Bound::AtMost(MOST_OF_FLOOR);
                    let judged = verdicts.judge(&format!("{name}, hearth / floor"), ratio, "times", bound);
                    (format!("{ratio:.2}"), "hearth / floor".to_owned(), judged)
                }
                Contender::Plain => {
                    let ratio = self.ratio(contender, Contender::Hearth);
                    let bound = Bound::AtLeast(self.work.least_gain());
                    let judged = verdicts.judge(&format!("{name}, plain / hearth"), ratio, "times", bound);
                    (format!("{ratio:.2}"), "plain / hearth".to_owned(), judged)
                }
            };
            let times = [
                seconds(Some(median(&took))),
                seconds(took.iter().min().copied()),
                seconds(took.iter().max().copied()),
            ];
            let cells = [name.to_owned(), contender.name().to_owned()].into_iter().chain(times);
            table.row(cells.chain([ratio, words]).chain(judged));
        }
    }

    fn print_parts(&self) {
        let mut table = Table::new(&["stage", "floor", "hearth", "plain", "hearth - floor"]);
        let names = ["config", "prepare"].iter().chain(self.work.stages()).chain(&["cleanup"]);
        for name in names {
            let part = |contender: Contender| {
                let took: Vec<Duration> = self
                    .rounds
                    .iter()
                    .filter_map(|runs| runs[contender as usize].parts.iter().find(|(part, _)| part == name))
                    .map(|(_, took)| *took)
                    .collect();
                (!took.is_empty()).then(|| median(&took).as_secs_f64() * 1000.0)
            };
            let cells = Contender::ALL.map(part);
            let more = cells[1].unwrap_or_default() - cells[0].unwrap_or_default();
            let text = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
            table.row([(*name).to_owned()].into_iter().chain(cells.map(text)).chain([format!("{more:+.1}")]));
        }
        let between = Contender::ALL.map(|contender| {
            let rest = self.rounds.iter().map(|runs| runs[contender as usize].between()).collect();
            middle(rest) * 1000.0
        });
        let more = format!("{:+.1}", between[1] - between[0]);
        let cells = between.map(|ms| format!("{ms:.1}"));
        table.row(["(between)".to_owned()].into_iter().chain(cells).chain([more]));
        table.print(&format!("Milliseconds of each part of a {} job (medians)", self.work.name()));
    }

    fn document(&self) -> Value {
        let contenders = Contender::ALL.map(|contender| {
            let runs: Vec<Value> = self
                .rounds
                .iter()
                .map(|runs| &runs[contender as usize])
                .map(|run| {
                    let parts: Map<String, Value> = run
                        .parts
                        .iter()
                        .map(|(name, took)| (name.clone(), json!(took.as_secs_f64())))
                        .collect();
                    json!({"seconds": run.took.as_secs_f64(), "parts": parts})
                })
                .collect();
            (contender.name().to_owned(), Value::Array(runs))
        });
        Value::Object(contenders.into_iter().collect())
    }
}

/// Measures `hearth config`.
pub(crate) fn config(world: &World, verdicts: &mut Verdicts) -> Result<Value> {
    let mut took = Vec::new();
    for _ in 0..CONFIG_ROUNDS {
        let mut command = Command::new(&world.driver);
        command.arg("config").args(world.options()).env_clear().envs(world.env(&[]));
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let began = Instant::now();
        let output = command.output()?;
        took.push(began.elapsed());
        if !output.status.success() || output.stdout.is_empty() {
            return Err("hearth config failed".into());
        }
    }
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let middle = ms(median(&took));
    let judged = verdicts.judge("hearth config", middle, "ms", Bound::AtMost(CONFIG_MOST));
    let mut table = Table::new(&["call", "median ms", "max", "0 .. bound", "bound", ""]);
    let most = ms(took.iter().max().copied().unwrap_or_default());
    let cells = ["hearth config".to_owned(), format!("{middle:.1}"), format!("{most:.1}")];
    table.row(cells.into_iter().chain(judged));
    table.print(&format!("Time of a stage that needs no engine ({CONFIG_ROUNDS} calls)"));
    Ok(json!({ "median_seconds": middle / 1000.0 }))
}

/// Returns the median; zero of nothing.
pub(crate) fn median(took: &[Duration]) -> Duration {
    Duration::from_secs_f64(middle(took.iter().map(Duration::as_secs_f64).collect()))
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => numbers[half],
        _ => f64::midpoint(numbers[half - 1], numbers[half]),
    }
}
