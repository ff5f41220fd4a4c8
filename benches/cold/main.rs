//! Measures the cold start: a pipeline on a host that has no images yet, or all of them, behind a slow link.
//!
//! `make bench-cold` runs it. A registry stands behind a link of 20 Mbit/s; the images have layers as large as those of
//! well-known ones, and the pipeline is lint, a build over the engine's socket, test, and a manifest, all four times the
//! scale. It prints the seconds to each job's first script line and to the pipeline's end, draws them, and ends with 1
//! where a bound is missed.
#![expect(clippy::print_stdout, reason = "tables on stdout are what this program is for")]

mod args;
#[path = "../shared/ground.rs"]
mod ground;
#[path = "../../tests/support/images.rs"]
mod images;
mod keeper;
mod link;
mod picture;
#[path = "../../tests/support/pusher.rs"]
#[expect(unused_imports, reason = "its tests are left out of a program without a harness")]
mod pusher;
mod report;
mod run;
mod shelf;
mod story;
#[path = "../shared/table.rs"]
mod table;
mod watch;
mod world;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

use clap::Parser as _;
use hearth::host::Host;

use args::Args;
use table::Verdicts;
use world::World;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let host = Host::read();
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
    if cfg!(debug_assertions) && args.driver.is_none() {
        println!("the driver was built without optimisation");
    }
    let told = run::cases(world, args).await?;
    let report = report::Story::new(&told, args);
    report.check()?;
    report.print();
    let mut verdicts = Verdicts::default();
    report.judge(&mut verdicts);
    if let Some(path) = &args.json {
        let mut document = report.document();
        document["missed"] = verdicts.missed().into();
        std::fs::write(path, serde_json::to_string_pretty(&document)?)?;
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, picture::draw(&told, &report.title()))?;
    }
    Ok(verdicts)
}
