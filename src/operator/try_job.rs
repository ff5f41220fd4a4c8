//! `hearth try`: one job through the installed driver, without GitLab.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{SignalKind, signal};

pub use super::try_args::{Entrypoint, TryArgs};
use super::try_repo::Sources;
use super::try_server::{attach, attach_remote, candidates};
use super::try_view::{Printer, document, exit_code, table};
use crate::outcome::Failure;
use crate::runner::{
    Cancel, Canceller, DriverCommand, HttpServer, JobDescription, JobReport, Served, StandIn,
};

/// What the command is told about the world.
pub struct TryContext<'a> {
    /// This program: the driver, unless another is named.
    pub exe: PathBuf,
    /// The environment, which the driver inherits as it would from the runner.
    pub env: Vec<(OsString, OsString)>,
    /// Where the attempts' directories are made.
    pub temp_dir: PathBuf,
    /// The time; with the process number it makes the job's number.
    pub now: SystemTime,
    /// This process's number.
    pub pid: u32,
    /// Where the job's log and the table go.
    pub out: &'a mut dyn Write,
    /// Where complaints and the driver's own log go.
    pub err: &'a mut dyn Write,
}

/// Runs the command and returns its exit code: 0 the job succeeded, 1 it failed, 2 the host or the driver failed.
pub async fn run(args: TryArgs, context: TryContext<'_>) -> u8 {
    let canceller = Canceller::new();
    let mut work = pin!(run_until(args, context, canceller.clone()));
    let (mut interrupts, mut terminations) =
        (signal(SignalKind::interrupt()).ok(), signal(SignalKind::terminate()).ok());
    loop {
        tokio::select! {
            code = &mut work => return code,
            Some(()) = next(&mut interrupts) => cancel_more(&canceller),
            Some(()) = next(&mut terminations) => canceller.cancel(Cancel::Hard),
        }
    }
}

/// Waits for a signal; for ever where it could not be listened to.
async fn next(signals: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    match signals {
        Some(signals) => signals.recv().await,
        None => std::future::pending().await,
    }
}

fn cancel_more(canceller: &Canceller) {
    canceller.cancel(if canceller.level() == Cancel::No { Cancel::Graceful } else { Cancel::Hard });
}

/// Runs the command with a handle for cancels.
async fn run_until(args: TryArgs, context: TryContext<'_>, canceller: Canceller) -> u8 {
    let TryContext { exe, env, temp_dir, now, pid, out, err } = context;
    let id = job_number(now, pid);
    let mut printer = Printer::new(out, err);
    let result = async {
        let driver = driver(&args, &exe)?;
        let sources = args.repo.as_deref().map(|repo| Sources::find(repo, &env)).transpose()?;
        let stand_in = StandIn::new(driver, env, temp_dir).canceller(canceller.clone());
        let mut trial =
            Trial { args: &args, stand_in, canceller, sources, printer: &mut printer, left_out: Vec::new() };
        let done = trial.run(id).await;
        trial.conclude(&done)
    };
    match result.await {
        Ok(code) => code,
        Err(failure) => {
            let failure: Failure = failure;
            let _ = writeln!(printer.err, "hearth try: {failure}");
            2
        }
    }
}

/// The distance to the number of another try with the same job.
const STEP: u64 = 1000;

/// A job that is over, and what its server got.
struct Done {
    job: u64,
    report: JobReport,
    /// The size of the artifacts that arrived.
    artifacts: Option<usize>,
    /// Whether artifacts were to arrive.
    expected: bool,
}

struct Trial<'a, 'w> {
    args: &'a TryArgs,
    stand_in: StandIn,
    canceller: Canceller,
    sources: Option<Sources>,
    printer: &'a mut Printer<'w>,
    left_out: Vec<&'static str>,
}

impl Trial<'_, '_> {
    /// Runs the job; where it needs this host's server, with the first address that it reaches, or else without.
    async fn run(&mut self, id: u64) -> Done {
        let served = matches!(self.sources, Some(Sources::Local { .. }));
        if !served && self.args.artifact.is_empty() {
            let mut job = self.args.job(id);
            attach_remote(&mut job, self.sources.as_ref());
            return self.plain(job).await;
        }
        let addresses = match self.args.address {
            Some(address) => vec![address],
            None => candidates(),
        };
        let mut tried = Vec::new();
        for (number, address) in (0..).zip(addresses) {
            let mut job = self.args.job(id + number * STEP);
            attach_remote(&mut job, self.sources.as_ref());
            let Ok(server) = self.serve(address, &job).await else { continue };
            attach(&mut job, &server, self.sources.as_ref());
            let report = self.stand_in.run(&job, self.printer).await;
            let cancelled = self.canceller.level() > Cancel::No;
            if server.requests() > 0 || cancelled || !stopped_at_sources(&report) {
                let artifacts = server.artifacts(job.id).map(|archive| archive.len());
                return Done { job: job.id, report, artifacts, expected: !job.artifacts.is_empty() };
            }
            self.printer.say(&format!("\nThe job's network does not reach {}.", server.url()));
            tried.push(address.to_string());
        }
        self.left_out.extend(served.then_some("clone"));
        self.left_out.extend((!self.args.artifact.is_empty()).then_some("artifacts"));
        let tried = if tried.is_empty() {
            "this host has none".to_owned()
        } else {
            format!("tried {}", tried.join(", "))
        };
        self.printer.say(&format!(
            "Left out: {}. No address of this host is reached from the job's network ({tried}); name one with --address.\n",
            self.left_out.join(" and ")
        ));
        let mut job = self.args.job(id + 100 * STEP);
        job.artifacts.clear();
        attach_remote(&mut job, self.sources.as_ref());
        self.plain(job).await
    }

    async fn plain(&mut self, job: JobDescription) -> Done {
        let report = self.stand_in.run(&job, self.printer).await;
        Done { job: job.id, report, artifacts: None, expected: false }
    }

    async fn serve(&self, address: std::net::IpAddr, job: &JobDescription) -> std::io::Result<HttpServer> {
        let repository = match &self.sources {
            Some(Sources::Local { repository, .. }) => Some(repository.clone()),
            Some(Sources::Remote { .. }) | None => None,
        };
        HttpServer::start(address, Served { repository, tokens: vec![job.token.clone()] }).await
    }

    /// Prints the table and writes the document; returns the exit code.
    fn conclude(&mut self, done: &Done) -> Result<u8, Failure> {
        let shown = table(&done.report);
        self.printer.say(shown.trim_end_matches('\n'));
        if let Some(path) = &self.args.json {
            document(done.job, &done.report, done.artifacts, &self.left_out)
                .and_then(|text| std::fs::write(path, text))
                .map_err(|error| Failure::system(format!("writing {}: {error}", path.display())))?;
        }
        match done.artifacts {
            Some(bytes) => self.printer.say(&format!("\nartifacts arrived: {bytes} bytes")),
            None if done.expected && done.report.succeeded() => {
                return Err(Failure::system("the job succeeded, but its artifacts did not arrive")
                    .hint("is there a gitlab-runner command in the helper image?"));
            }
            None => {}
        }
        Ok(exit_code(&done.report.outcome))
    }
}

fn stopped_at_sources(report: &JobReport) -> bool {
    !report.succeeded() && report.call("get_sources").is_some() && report.call("build_script").is_none()
}

/// Makes the driver's command lines. Paths become absolute: calls run in a directory of their own.
fn driver(args: &TryArgs, exe: &Path) -> Result<DriverCommand, Failure> {
    let absolute = |path: &Path| {
        path.canonicalize().map_err(|error| Failure::system(format!("{}: {error}", path.display())))
    };
    let program = absolute(args.driver.as_deref().unwrap_or(exe))?;
    let mut options: Vec<OsString> = Vec::new();
    if let Some(config) = &args.config {
        options.extend(["--config".into(), absolute(config)?.into()]);
    }
    if let Some(runner) = &args.runner {
        options.extend(["--runner".into(), runner.into()]);
    }
    Ok(DriverCommand::new(program, &options))
}

/// Makes a number that no other job of this host has: two calls within a millisecond are different processes. It stays
/// small enough for programs that read numbers as floating point.
fn job_number(now: SystemTime, pid: u32) -> u64 {
    const START: u128 = 1_600_000_000_000;
    let millis = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    u64::try_from(millis.saturating_sub(START)).unwrap_or(0) * STEP + u64::from(pid) % STEP
}

#[cfg(test)]
mod tests;
