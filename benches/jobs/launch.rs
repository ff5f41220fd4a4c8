//! The memory of stage processes: each is started by a launcher that asks the kernel for its child's peak.
//!
//! The launcher is this program itself: `jobs launch FILE PROGRAM ARGUMENTS`. Some kernels count the memory of the one
//! that starts a process as that process's own until it runs its own program, so the launcher's is told too.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use hearth::runner::DriverCommand;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use crate::Result;
use crate::table::{Bound, Table, Verdicts};
use crate::work::{Extras, Work};
use crate::world::{Quiet, World};

/// The first argument of the launcher.
const WORD: &str = "launch";
/// The most that a stage process may have, in bytes.
const MOST_BYTES: u64 = 15 << 20;
/// How often each job is run; the largest counts.
const ROUNDS: usize = 3;

/// Runs as launcher if the arguments ask for it.
pub(crate) fn asked(args: &[OsString]) -> Option<ExitCode> {
    let [_, word, file, program, rest @ ..] = args else { return None };
    if word != WORD {
        return None;
    }
    Some(match launch(Path::new(file), program, rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: the launcher failed: {error}");
            ExitCode::from(2)
        }
    })
}

fn launch(file: &Path, program: &OsString, args: &[OsString]) -> Result<ExitCode> {
    let own = peak(UsageWho::RUSAGE_SELF)?;
    let status = Command::new(program).args(args).stdin(Stdio::null()).status()?;
    let line = format!("{} {own}\n", peak(UsageWho::RUSAGE_CHILDREN)?);
    OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2)))
}

/// Returns the most memory that a process, or any of its children, ever had resident, in bytes.
fn peak(who: UsageWho) -> Result<u64> {
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    Ok(u64::try_from(getrusage(who)?.max_rss())? * unit)
}

/// Measures the stage processes of all jobs.
pub(crate) async fn run(world: &World, verdicts: &mut Verdicts) -> Result<Value> {
    let file = world.dir.join("memory");
    let runner = world.runner(launched(world, &file), &[]);
    let mut largest: Vec<(String, u64)> = Vec::new();
    let mut launcher = 0;
    for work in Work::ALL.into_iter().flat_map(|work| [work; ROUNDS]) {
        std::fs::write(&file, "")?;
        let report = world.run(&runner, &work.job(world, Extras::default()), &mut Quiet::default()).await?;
        let text = std::fs::read_to_string(&file)?;
        if text.lines().count() != report.calls.len() {
            return Err("the launcher did not measure every stage".into());
        }
        for (line, call) in text.lines().zip(&report.calls) {
            let (peak, own) = line.split_once(' ').ok_or("the launcher wrote a bad line")?;
            let (peak, own): (u64, u64) = (peak.parse()?, own.parse()?);
            launcher = launcher.max(own);
            match largest.iter_mut().find(|(name, _)| *name == call.name) {
                Some((_, most)) => *most = peak.max(*most),
                None => largest.push((call.name.clone(), peak)),
            }
        }
    }
    let mut table = Table::new(&["stage", "MiB", "0 .. bound", "bound", ""]);
    for (name, bytes) in &largest {
        let judged = verdicts.judge(
            &format!("memory of {name}"),
            mebibytes(*bytes),
            "MiB",
            Bound::AtMost(mebibytes(MOST_BYTES)),
        );
        table.row([name.clone(), format!("{:.1}", mebibytes(*bytes))].into_iter().chain(judged));
    }
    table.print(&format!(
        "Memory of stage processes, peak resident (the launcher of each has {:.1} MiB itself)",
        mebibytes(launcher)
    ));
    let document = largest.into_iter().map(|(name, bytes)| (name, json!(bytes))).collect();
    Ok(Value::Object(document))
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn launched(world: &World, file: &Path) -> DriverCommand {
    let DriverCommand { program, config_args, prepare_args, run_args, cleanup_args } = world.hearth();
    let before = |args: Vec<OsString>| -> Vec<OsString> {
        let launcher: [OsString; 3] = [WORD.into(), file.into(), PathBuf::clone(&program).into()];
        launcher.into_iter().chain(args).collect()
    };
    DriverCommand {
        program: world.exe.clone(),
        config_args: before(config_args),
        prepare_args: before(prepare_args),
        run_args: before(run_args),
        cleanup_args: before(cleanup_args),
    }
}
