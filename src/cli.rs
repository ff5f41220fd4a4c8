//! The command line: what can be asked for, and from what the answers are made.

use std::io::{self, IsTerminal, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::daemon::journal::{Journal, Level};
use crate::daemon::{self, World};
use crate::engine;
use crate::evict::Here;
use crate::fetch::flight::Departure;
use crate::fetch::operator_dir;
use crate::host::{self, Host};
use crate::job::{StageEnv, Step};
use crate::joblog::JobLog;
use crate::moment::Liveness;
use crate::operator::commands::HostCommand;
use crate::operator::desk::{self, Desk};
use crate::operator::{check, prefetch, prefetch_plan, simulate, simulate_args, try_job};
use crate::outcome::{Failure, Fault};
use crate::record;
use crate::settings::{self, Settings, Sources};
use crate::stage::exec::Stop;
use crate::stage::output::JobOutput;
use crate::stage::{Around, Begun, Courier, around, cleanup, config, leases, prepare, run};
use crate::store::Limits;

/// How long the reader of the job log may take for the last lines of a stage that is over.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A GitLab Runner custom executor driver for small hosts.
#[derive(Debug, Parser)]
#[command(name = "hearth", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stage: tells GitLab Runner where the containers have their directories
    Config(StageArgs),
    /// Stage: images, network, volumes and containers of a job
    Prepare(StageArgs),
    /// Stage: runs one script of a job
    Run(RunArgs),
    /// Stage: removes what a job left
    Cleanup(StageArgs),
    /// Prints the settings in force, where each comes from and what it costs
    Check(check::CheckArgs),
    /// Replays this host's jobs, or a trace: what each rule of the cache would have cost at each budget
    Simulate(Box<simulate_args::SimulateArgs>),
    #[command(flatten)]
    Host(Box<HostCommand>),
    /// Brings images to this host before a job asks for them
    Prefetch(Box<prefetch::PrefetchArgs>),
    /// Looks after this host between jobs: removes what dead jobs left, keeps the disk from filling up
    Daemon(DaemonArgs),
    /// Runs one job through the installed driver, without GitLab
    Try(Box<try_job::TryArgs>),
}

#[derive(Debug, Args)]
struct StageArgs {
    /// The settings file; without it /etc/hearth/config.toml, then the user's configuration directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overlays the settings with the table [runner."NAME"]
    #[arg(long, value_name = "NAME")]
    runner: Option<String>,
}

#[derive(Debug, Args)]
struct DaemonArgs {
    /// The settings file; without it /etc/hearth/config.toml, then the user's configuration directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Chooses the rule that images are ranked by, writes it down and ends: the daemon starts this once a week
    #[arg(long, hide = true)]
    choose_rule: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    stage: StageArgs,
    /// The script, as GitLab Runner names it
    script: PathBuf,
    /// The stage, as GitLab Runner names it
    step: String,
}

/// Runs the program and returns what to tell the system. A panic is the system's fault.
pub fn main(host: Host) -> ExitCode {
    let env = StageEnv::read(host.env.iter().cloned());
    let system_failure = env.system_failure;
    std::panic::set_hook(Box::new(|info| {
        // The place only: a message could quote what the job keeps secret.
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(io::stderr(), "hearth: internal error at {place}; please report it");
    }));
    let code = std::panic::catch_unwind(AssertUnwindSafe(|| dispatch(&host, env))).unwrap_or(system_failure);
    ExitCode::from(code)
}

fn dispatch(host: &Host, env: StageEnv) -> u8 {
    let cli = match Cli::try_parse_from(&host.args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { env.system_failure } else { 0 };
        }
    };
    start_tracing(host);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hearth: no event loop: {error}");
            return env.system_failure;
        }
    };
    let code = match cli.command {
        Command::Config(args) => config_stage(host, &env, &args),
        Command::Prepare(args) => runtime.block_on(prepare_stage(host, env, &args)),
        Command::Run(args) => runtime.block_on(run_stage(host, env, &args)),
        Command::Cleanup(args) => runtime.block_on(cleanup_stage(host, env, &args)),
        Command::Check(args) => {
            let sources = sources(host, args.config.clone());
            check::run(&args, sources, &mut io::stdout().lock(), &mut io::stderr().lock())
        }
        Command::Simulate(args) => simulate_command(host, *args),
        Command::Host(command) => runtime.block_on(host_command(host, &command)),
        Command::Prefetch(args) => runtime.block_on(prefetch_command(host, &args)),
        Command::Daemon(args) => runtime.block_on(daemon_command(host, args)),
        Command::Try(args) => runtime.block_on(try_command(host, *args)),
    };
    // Calls that were given up may still hang in the background; nothing waits for them.
    runtime.shutdown_background();
    code
}

/// HEARTH_LOG=debug prints what hearth does to stderr; it is quiet otherwise.
fn start_tracing(host: &Host) {
    let level = host.var("HEARTH_LOG").and_then(|level| level.to_str()).and_then(|level| level.parse().ok());
    if let Some(level) = level {
        let level: tracing::Level = level;
        tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(false).init();
    }
}

fn sources(host: &Host, explicit: Option<PathBuf>) -> Sources {
    Sources::new(explicit, host.var("XDG_CONFIG_HOME"), host.var("HOME"))
}

fn load(host: &Host, args: &StageArgs) -> Result<Settings, Failure> {
    let loaded = settings::load(&sources(host, args.config.clone()), args.runner.as_deref())?;
    Ok(loaded.settings)
}

/// Returns the directory of the operator's `config.json`.
fn operators(host: &Host, settings: &Settings) -> Option<PathBuf> {
    let path = |name: &str| host.var(name).map(Path::new);
    operator_dir(settings.pull.docker_config_dir.as_deref(), path("DOCKER_CONFIG"), path("HOME"))
}

fn docker_host(host: &Host) -> Option<&str> {
    host.var("DOCKER_HOST").and_then(|value| value.to_str())
}

fn job_log() -> JobLog {
    match host::stdout() {
        Ok(file) => JobLog::to_file(file),
        Err(_) => JobLog::new(Box::new(io::sink())),
    }
}

fn config_stage(host: &Host, env: &StageEnv, args: &StageArgs) -> u8 {
    let log = JobLog::new(Box::new(io::stderr()));
    let result = load(host, args).and_then(|settings| {
        let document = config::document(&settings, &host::hostname());
        host::stdout()
            .and_then(|mut out| out.write_all(document.as_bytes()))
            .map_err(|error| Failure::system(format!("stdout cannot be written: {error}")))
    });
    exit_code(env, log, result)
}

async fn prepare_stage(host: &Host, env: StageEnv, args: &StageArgs) -> u8 {
    let log = job_log();
    let told = env.clone();
    let mut stop = stop_on_signals();
    let (leave, departure) = Departure::new();
    let work = async {
        let begun = Begun::new(env, load(host, args)?)?;
        let engine = begun.engine(docker_host(host))?;
        let settings = &begun.settings;
        let around = Around {
            operator_dir: operators(host, settings),
            registries: around::registries(host, settings),
            store: around::open_store(host, settings, &log),
            who: host::Who::read(),
            disk: Rc::new(crate::evict::disk),
            departure,
        };
        prepare::run(&begun, &engine, around, &log).await
    };
    let result = {
        let mut work = pin!(work);
        tokio::select! {
            result = &mut work => result,
            () = stop.requested() => {
                leave.wish(async { drop(work.await) }).await;
                // Exit 0 would count as success, exit 1 would turn a cancelled job into a failed one.
                Err(Failure::system("prepare was stopped by the runner"))
            }
        }
    };
    exit_code(&told, log, result)
}

async fn run_stage(host: &Host, env: StageEnv, args: &RunArgs) -> u8 {
    let log = job_log();
    let told = env.clone();
    let mut stop = stop_on_signals();
    let result = async {
        let begun = Begun::new(env, load(host, &args.stage)?)?;
        let engine = begun.engine(docker_host(host))?;
        let out =
            host::stdout().map_err(|error| Failure::system(format!("stdout cannot be written: {error}")))?;
        let courier = Courier::new(around::store_place(host, &begun.settings), host::Who::read);
        let (step, out) = (Step::of(&args.step), JobOutput::new(out));
        run::run(&begun, &engine, &args.script, &step, out, &mut stop, &courier).await
    }
    .await;
    exit_code(&told, log, result)
}

async fn cleanup_stage(host: &Host, env: StageEnv, args: &StageArgs) -> u8 {
    let log = JobLog::new(Box::new(io::stderr()));
    let told = env.clone();
    let mut stop = stop_on_signals();
    let work = async {
        let begun = Begun::new(env, load(host, args)?)?;
        let engine = begun.engine(docker_host(host))?;
        let store = around::open_store(host, &begun.settings, &log);
        let courier = Courier::new(around::store_place(host, &begun.settings), host::Who::read);
        let result = cleanup::run(&begun, &engine, &courier).await;
        leases::drop_all(&store, &begun);
        // No job waits for it here, and it is once a day.
        if store.tidy_is_due(host::now()) {
            store.tidy(&Limits::default(), &host::moment());
        }
        result
    };
    let result = tokio::select! {
        result = work => result,
        () = stop.requested() => Err(Failure::system("cleanup was stopped by the runner")),
    };
    exit_code(&told, log, result)
}

fn simulate_command(host: &Host, args: simulate_args::SimulateArgs) -> u8 {
    let loaded = settings::load(&sources(host, args.config.clone()), None);
    let own = loaded.as_ref().ok().and_then(|loaded| loaded.settings.cache.images).map(|marks| marks.start);
    let args = args.with_budgets(own);
    let history = || {
        let settings = &loaded.as_ref().map_err(Clone::clone)?.settings;
        record::history(around::store_place(host, settings).as_ref(), host::now())
    };
    let shown = io::stderr().is_terminal();
    let progress = |done: usize, of: usize| {
        let line = if done < of { format!("replay {done} of {of}") } else { String::new() };
        if shown {
            // A terminal that is gone is noticed by the table.
            let _ = write!(io::stderr(), "\r{line}\u{1b}[K");
        }
    };
    let around = simulate::Around { history: &history, progress: &progress };
    // The lock on stderr is not held: progress comes from other threads.
    simulate::run(&args, &around, &mut io::stdout().lock(), &mut io::stderr())
}

async fn host_command(host: &Host, command: &HostCommand) -> u8 {
    at_desk(host, command.config(), async |desk| {
        command.run(desk, &mut io::stdout(), &mut io::stderr()).await
    })
    .await
}

async fn prefetch_command(host: &Host, args: &prefetch::PrefetchArgs) -> u8 {
    let mut stop = stop_on_signals();
    at_desk(host, args.config.clone(), async |desk| {
        let (leave, departure) = Departure::new();
        if args.plan {
            let now = host::now();
            let clocks = (host::local_time(now), host::month_began(now));
            let (mut out, mut err) = (io::stdout(), io::stderr());
            return prefetch_plan::run(args.json, desk, clocks, &mut out, &mut err).await;
        }
        let this = desk.here.process;
        let around = prefetch::Around {
            operator_dir: operators(host, desk.settings),
            registries: around::registries(host, desk.settings),
            // What it does belongs to no runner: it vouches for itself.
            who: host::Who::new(this, this, host::moment, host::liveness),
            disks: Rc::new(crate::evict::disk),
            departure,
            terminal: io::stderr().is_terminal(),
        };
        let (mut out, mut err) = (io::stdout(), io::stderr());
        let mut work = pin!(prefetch::run(args, desk, around, &mut out, &mut err));
        tokio::select! {
            code = &mut work => return code,
            () = stop.requested() => {}
        }
        let mut code = None;
        leave.wish(async { code = Some((&mut work).await) }).await;
        match code {
            Some(code) => code,
            // Who waited goes on with the pull; what is left is to say so.
            None => tokio::time::timeout(LAST_LINES, work).await.unwrap_or(desk::WRONG),
        }
    })
    .await
}

/// Loads the settings, and does something with what commands about this host are given.
async fn at_desk(
    host: &Host,
    config: Option<PathBuf>,
    act: impl AsyncFnOnce(&Desk<'_, engine::Docker>) -> u8,
) -> u8 {
    let world = daemon::OnHost { host, config };
    let settings = match world.settings() {
        Ok(settings) => settings,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{failure}");
            return desk::WRONG;
        }
    };
    let engine = world.engine(&settings);
    let endpoint = engine::endpoint(settings.engine.host.as_deref(), docker_host(host));
    let place = world.store(&settings);
    let here = Here {
        process: world.process(),
        moment: &host::moment,
        clock_is_set: world.clock_is_set().await,
        lives: &|lease| world.liveness(lease.owner) != Liveness::Gone,
        disk: &crate::evict::disk,
    };
    let desk = Desk {
        settings: &settings,
        place: place.as_ref(),
        engine: engine.as_ref(),
        endpoint: &endpoint,
        here,
    };
    act(&desk).await
}

async fn daemon_command(host: &Host, args: DaemonArgs) -> u8 {
    let levels = host::stderr_is_journal(host.var("JOURNAL_STREAM"));
    let journal = Journal::new(Box::new(io::stderr()), levels);
    let world = daemon::OnHost { host, config: args.config };
    if args.choose_rule {
        return daemon::choice::choose(&world, &journal).await;
    }
    let result = match daemon::signals::wishes() {
        Ok(wishes) => daemon::run(&world, &journal, wishes).await,
        Err(failure) => Err(failure),
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            journal.say(Level::Error, failure.to_string());
            1
        }
    }
}

async fn try_command(host: &Host, args: try_job::TryArgs) -> u8 {
    let context = try_job::TryContext {
        exe: host.exe.clone(),
        env: host.env.clone(),
        temp_dir: host.var("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from),
        now: std::time::UNIX_EPOCH + host::now(),
        pid: std::process::id(),
        out: &mut io::stdout(),
        err: &mut io::stderr(),
    };
    try_job::run(args, context).await
}

fn stop_on_signals() -> Stop {
    use tokio::signal::unix::{SignalKind, signal};
    let (wish, stop) = Stop::new();
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let _ = wish.send(true);
            std::future::pending::<()>().await;
        });
    }
    stop
}

/// Tells the runner how a stage ended: by a line in the job log, BUILD_EXIT_CODE_FILE and the exit code.
fn exit_code(env: &StageEnv, log: JobLog, result: Result<(), Failure>) -> u8 {
    let code = tell(env, &log, result);
    log.finish(LAST_LINES);
    code
}

fn tell(env: &StageEnv, log: &JobLog, result: Result<(), Failure>) -> u8 {
    let Err(failure) = result else {
        forget_exit_code(env);
        return 0;
    };
    if !failure.quiet {
        log.line(format!("\u{1b}[31;1mERROR: {}\u{1b}[0;m", failure.message));
        for hint in &failure.hints {
            log.line(format!("  hint: {hint}"));
        }
    }
    match failure.fault {
        Fault::Job => {
            match failure.exit_code.zip(env.exit_code_file.as_ref()) {
                Some((code, file)) => {
                    if let Err(error) = std::fs::write(file, format!("{code}\n")) {
                        log.warn(format!("WARNING: exit code {code} cannot be told to the runner: {error}"));
                        forget_exit_code(env);
                    }
                }
                None => forget_exit_code(env),
            }
            env.build_failure
        }
        Fault::System => {
            forget_exit_code(env);
            env.system_failure
        }
    }
}

/// The runner never clears the file: a code of an earlier stage would be reported for this one.
fn forget_exit_code(env: &StageEnv) {
    if let Some(file) = &env.exit_code_file {
        let _ = std::fs::remove_file(file);
    }
}
