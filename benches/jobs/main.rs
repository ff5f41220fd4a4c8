//! Measures jobs: seconds against the raw API and against a plain docker driver, API calls, container starts, memory.
//!
//! `make bench` runs it. It is a program that prints tables, not a timed test: every table names the bound that hearth
//! shall keep, and the exit code is 1 where one is missed.
#![expect(clippy::print_stdout, reason = "tables on stdout are what this program is for")]

mod args;
mod count;
mod floor;
#[path = "../shared/ground.rs"]
mod ground;
mod launch;
mod proxy;
mod shell;
mod size;
#[path = "../shared/table.rs"]
mod table;
mod time;
mod work;
mod world;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

use clap::Parser as _;
use hearth::host::Host;
use serde_json::{Map, Value};

use args::{Args, Topic};
use table::Verdicts;
use world::World;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let host = Host::read();
    if let Some(code) = launch::asked(&host.args) {
        return code;
    }
    let args = Args::parse_from(&host.args);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let world = match runtime.block_on(World::new(&host, &args)) {
        Ok(world) => world,
        Err(error) => return failed(&*error),
    };
    let done = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(&world, &args))));
    world.sweep(matches!(done, Ok(Ok(_))));
    match done {
        Ok(Ok(verdicts)) => verdicts.conclude(),
        Ok(Err(error)) => failed(&*error),
        Err(panic) => resume_unwind(panic),
    }
}

fn failed(error: &dyn Error) -> ExitCode {
    eprintln!("bench: {error}");
    ExitCode::from(2)
}

async fn run(world: &World, args: &Args) -> Result<Verdicts> {
    world.watch_signals();
    world.warm_up().await?;
    let mut verdicts = Verdicts::default();
    let mut document = Map::new();
    for topic in Topic::ALL.into_iter().filter(|topic| args.wants(*topic)) {
        let value = match topic {
            Topic::Size => size::run(world, &mut verdicts)?,
            Topic::Memory => launch::run(world, &mut verdicts).await?,
            Topic::Calls => count::run(world, &mut verdicts).await?,
            Topic::Config => time::config(world, &mut verdicts)?,
            Topic::Time => time::jobs(world, args.rounds, &mut verdicts).await?,
        };
        document.insert(topic.name().to_owned(), value);
    }
    if let Some(path) = &args.json {
        document.insert("missed".to_owned(), verdicts.missed().into());
        std::fs::write(path, serde_json::to_string_pretty(&Value::Object(document))?)?;
    }
    Ok(verdicts)
}
