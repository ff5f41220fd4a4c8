//! API calls and container starts of a job, counted at the engine's socket.

use std::collections::BTreeMap;
use std::time::Duration;

use hearth::runner::{CallReport, DriverCommand, Events};
use serde_json::{Value, json};

use crate::proxy::{Call, Proxy};
use crate::table::{Bound, Table, Verdicts, unjudged};
use crate::time::median;
use crate::work::{Extras, Work};
use crate::world::{Noisy, Quiet, World};
use crate::{Result, floor, shell};

/// How often each job is counted; the worst counts.
const ROUNDS: usize = 3;

/// What a kind of job may cost.
struct Limits {
    calls: f64,
    starts: f64,
}

impl Work {
    fn limits(self) -> Limits {
        match self {
            Self::ScriptOnly => Limits { calls: 30.0, starts: 2.0 },
            Self::NineStages => Limits { calls: 45.0, starts: 2.0 },
        }
    }
}

/// Tells the proxy which driver call is running.
struct Phases<'a> {
    proxy: &'a Proxy,
    quiet: Quiet,
}

impl Events for Phases<'_> {
    fn log(&mut self, bytes: &[u8]) {
        self.quiet.log(bytes);
    }

    fn runner_log(&mut self, bytes: &[u8]) {
        self.quiet.log(bytes);
    }

    fn call_starts(&mut self, name: &str) {
        self.proxy.phase(name);
    }

    fn call_ends(&mut self, _call: &CallReport) {
        self.proxy.phase("between");
    }
}

impl Noisy for Phases<'_> {
    fn text(&self) -> String {
        self.quiet.text()
    }
}

/// Counts all jobs.
pub(crate) async fn run(world: &World, verdicts: &mut Verdicts) -> Result<Value> {
    let proxy = Proxy::start(world.dir.join("engine.sock"), &world.endpoint)?;
    let mut counter = Counter { world, proxy: &proxy, document: BTreeMap::new() };
    let mut table = Table::new(&["job", "by", "what", "count", "0 .. bound", "bound", ""]);
    for work in Work::ALL {
        let plain = counter.hearth(work, Extras::default()).await?;
        judge(&mut table, verdicts, work.name(), &plain, Some(work.limits().calls));
        let always = counter.hearth(work, Extras { always: true, ..Extras::default() }).await?;
        let name = format!("{}, always", work.name());
        judge(&mut table, verdicts, &name, &always, Some(plain.len() as f64 + 2.0));
        let service = counter.hearth(work, Extras { service: true, ..Extras::default() }).await?;
        judge(&mut table, verdicts, &format!("{}, a service", work.name()), &service, None);
        for (by, calls) in [("floor", counter.floor(work).await?), ("plain", counter.plain(work).await?)] {
            let row = |what: &str, count: usize| {
                let cells = [work.name(), by, what].map(str::to_owned);
                cells.into_iter().chain([count.to_string()]).chain(unjudged())
            };
            table.row(row("calls", calls.len()));
            table.row(row("starts", starts(&calls)));
        }
        by_stage(&format!("API calls of a {} job, stage by stage", work.name()), &plain);
        by_call(&format!("API calls of a {} job, call by call (through the proxy)", work.name()), &plain);
    }
    table.print(&format!("API calls and container starts (the worst of {ROUNDS} jobs)"));
    Ok(serde_json::to_value(counter.document)?)
}

fn starts(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.is_start()).count()
}

fn judge(table: &mut Table, verdicts: &mut Verdicts, name: &str, calls: &[Call], most: Option<f64>) {
    for (what, count, bound) in [
        ("calls", calls.len(), most),
        ("starts", starts(calls), most.map(|_| Work::ScriptOnly.limits().starts)),
    ] {
        let judged = match bound {
            Some(bound) => {
                verdicts.judge(&format!("{name}, {what}"), count as f64, what, Bound::AtMost(bound))
            }
            None => unjudged(),
        };
        let cells = [name, "hearth", what].map(str::to_owned).into_iter();
        table.row(cells.chain([count.to_string()]).chain(judged));
    }
}

fn by_stage(title: &str, calls: &[Call]) {
    let mut table = Table::new(&["stage", "calls", "starts", "which"]);
    let mut phases: Vec<&str> = Vec::new();
    for call in calls {
        if !phases.contains(&call.phase.as_str()) {
            phases.push(&call.phase);
        }
    }
    for phase in phases {
        let of_phase: Vec<Call> = calls.iter().filter(|call| call.phase == phase).cloned().collect();
        let mut kinds: Vec<(&str, usize)> = Vec::new();
        for call in &of_phase {
            match kinds.iter_mut().find(|(kind, _)| *kind == call.kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((&call.kind, 1)),
            }
        }
        let which: Vec<String> = kinds
            .into_iter()
            .map(|(kind, count)| if count == 1 { kind.to_owned() } else { format!("{count} x {kind}") })
            .collect();
        table.row([
            phase.to_owned(),
            of_phase.len().to_string(),
            starts(&of_phase).to_string(),
            which.join(", "),
        ]);
    }
    table.print(title);
}

fn by_call(title: &str, calls: &[Call]) {
    let mut kinds: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for call in calls {
        kinds.entry(&call.kind).or_default().push(call.took);
    }
    let mut kinds: Vec<(&str, Vec<Duration>)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, took)| std::cmp::Reverse(took.iter().sum::<Duration>()));
    let mut table = Table::new(&["call", "calls", "median ms", "ms in all"]);
    for (kind, took) in kinds {
        let ms = |duration: Duration| format!("{:.1}", duration.as_secs_f64() * 1000.0);
        table.row([kind.to_owned(), took.len().to_string(), ms(median(&took)), ms(took.iter().sum())]);
    }
    table.print(title);
}

struct Counter<'a> {
    world: &'a World,
    proxy: &'a Proxy,
    document: BTreeMap<String, Value>,
}

impl Counter<'_> {
    async fn hearth(&mut self, work: Work, extras: Extras) -> Result<Vec<Call>> {
        let mut name = format!("hearth, {}", work.name());
        for (on, word) in [(extras.always, ", always"), (extras.service, ", a service")] {
            name.push_str(if on { word } else { "" });
        }
        self.driven(&name, self.world.hearth(), work, extras).await
    }

    async fn plain(&mut self, work: Work) -> Result<Vec<Call>> {
        let name = format!("plain, {}", work.name());
        self.driven(&name, shell::command(&self.world.dir), work, Extras::default()).await
    }

    async fn driven(
        &mut self,
        name: &str,
        driver: DriverCommand,
        work: Work,
        extras: Extras,
    ) -> Result<Vec<Call>> {
        let env = [("DOCKER_HOST".into(), self.proxy.endpoint().into())];
        let runner = self.world.runner(driver, &env);
        let mut worst = Vec::new();
        for _ in 0..ROUNDS {
            let mut events = Phases { proxy: self.proxy, quiet: Quiet::default() };
            self.world.run(&runner, &work.job(self.world, extras), &mut events).await?;
            keep_worse(&mut worst, self.proxy.take());
        }
        self.write_down(name, &worst);
        Ok(worst)
    }

    async fn floor(&mut self, work: Work) -> Result<Vec<Call>> {
        let mut worst = Vec::new();
        for _ in 0..ROUNDS {
            let job = work.job(self.world, Extras::default());
            floor::run(self.world, &self.proxy.endpoint(), &job, &|name| self.proxy.phase(name)).await?;
            keep_worse(&mut worst, self.proxy.take());
        }
        self.write_down(&format!("floor, {}", work.name()), &worst);
        Ok(worst)
    }

    fn write_down(&mut self, name: &str, calls: &[Call]) {
        let list: Vec<Value> = calls
            .iter()
            .map(|call| {
                json!({"stage": call.phase, "call": call.kind, "status": call.status, "seconds": call.took.as_secs_f64()})
            })
            .collect();
        let entry = json!({"calls": calls.len(), "starts": starts(calls), "list": list});
        self.document.insert(name.to_owned(), entry);
    }
}

fn keep_worse(worst: &mut Vec<Call>, calls: Vec<Call>) {
    if (calls.len(), starts(&calls)) >= (worst.len(), starts(worst)) {
        *worst = calls;
    }
}
