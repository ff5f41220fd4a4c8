//! One driver call as the runner makes it: a process group of its own, pipes that are read to their end, and the kill
//! sequence.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

use super::environment::Environment;
use super::trouble::{Cancel, Canceller, Mishap, Pace, Watcher};

/// What to start.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Environment,
    /// The working directory.
    pub(super) dir: PathBuf,
}

/// Why the runner stops a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The job was cancelled.
    Canceled,
    /// The job ran out of time.
    JobTimeout,
    /// The call ran out of its own time.
    CallTimeout,
}

/// What may end a call before it ends itself.
#[derive(Debug)]
pub(super) struct Guard {
    /// The moments at which to stop it.
    pub(super) deadlines: Vec<(Instant, Stop)>,
    pub(super) canceller: Canceller,
    /// The level of cancel that stops it; `None` when no cancel does.
    pub(super) cancel_from: Option<Cancel>,
    pub(super) watcher: Watcher,
    pub(super) pace: Option<Pace>,
    /// Between SIGTERM and SIGKILL.
    pub(super) graceful: Duration,
    /// Between SIGKILL and giving up.
    pub(super) force: Duration,
}

/// Which pipe bytes came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It never started, for this reason.
    NotStarted(String),
    /// Not even SIGKILL ended it, or somebody else held its pipes.
    Dormant,
    /// The runner was gone first.
    Unknown,
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct CallEnd {
    pub(super) exit: Exit,
    /// Why it was stopped; `None` when it was left alone.
    pub(super) stop: Option<Stop>,
    pub(super) took: Duration,
}

/// Makes a call and waits until the process has ended *and* its pipes are closed.
pub(super) async fn run(call: &Call, guard: Guard, sink: &mut dyn FnMut(Stream, &[u8])) -> CallEnd {
    let started = Instant::now();
    let mut command = Command::new(&call.program);
    command.args(&call.args).env_clear().envs(&call.env).current_dir(&call.dir).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (exit, stop) = match command.spawn() {
        Ok(child) => {
            let mut running = Running::new(child, guard, started);
            let exit = running.wait(sink).await;
            (exit, running.stop)
        }
        Err(error) => (Exit::NotStarted(error.to_string()), None),
    };
    CallEnd { exit, stop, took: started.elapsed() }
}

/// How far the kill sequence is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// SIGTERM was sent.
    Terminating,
    /// SIGKILL was sent.
    Killing,
}

struct Running {
    child: Child,
    group: Option<Pid>,
    guard: Guard,
    timed: Vec<(Instant, Mishap)>,
    phase: Phase,
    /// When the phase is over.
    until: Option<Instant>,
    stop: Option<Stop>,
    hung_up: bool,
    abandoned: bool,
}

impl Running {
    fn new(child: Child, guard: Guard, started: Instant) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let timed =
            guard.watcher.timed().into_iter().map(|(after, mishap)| (started + after, mishap)).collect();
        Self {
            child,
            group,
            guard,
            timed,
            phase: Phase::Running,
            until: None,
            stop: None,
            hung_up: false,
            abandoned: false,
        }
    }

    async fn wait(&mut self, sink: &mut dyn FnMut(Stream, &[u8])) -> Exit {
        const MOST: usize = 64 * 1024;
        let chunk = self.guard.pace.map_or(MOST, |pace| pace.chunk.clamp(1, MOST));
        let (mut out, mut err) = (self.child.stdout.take(), self.child.stderr.take());
        let (mut out_buffer, mut err_buffer) = (vec![0; chunk], vec![0; chunk]);
        let mut status: Option<io::Result<ExitStatus>> = None;
        let mut resume: Option<Instant> = None;
        while status.is_none() || out.is_some() || err.is_some() {
            let open = self.phase == Phase::Running;
            let canceller = self.guard.canceller.clone();
            let level = self.guard.cancel_from.filter(|_| open);
            let deadline = self.guard.deadlines.iter().min_by_key(|(at, _)| *at).copied().filter(|_| open);
            let mishap = self.timed.iter().min_by_key(|(at, _)| *at).copied();
            tokio::select! {
                result = self.child.wait(), if status.is_none() => status = Some(result),
                count = read(&mut out, &mut out_buffer), if out.is_some() && resume.is_none() => {
                    resume = self.took(Stream::Stdout, count, &mut out, &out_buffer, sink);
                }
                count = read(&mut err, &mut err_buffer), if err.is_some() && resume.is_none() => {
                    resume = self.took(Stream::Stderr, count, &mut err, &err_buffer, sink);
                }
                () = until(resume), if resume.is_some() => resume = None,
                () = reached(&canceller, level), if level.is_some() => self.terminate(Stop::Canceled),
                () = until(deadline.map(|(at, _)| at)), if deadline.is_some() => {
                    self.terminate(deadline.map_or(Stop::JobTimeout, |(_, stop)| stop));
                }
                () = until(mishap.map(|(at, _)| at)), if mishap.is_some() => {
                    if let Some(due) = mishap {
                        self.timed.retain(|it| *it != due);
                        self.happens(due.1);
                    }
                }
                () = until(self.until), if self.until.is_some() => {
                    if self.phase == Phase::Killing {
                        return Exit::Dormant;
                    }
                    self.kill();
                }
            }
            if self.abandoned {
                return Exit::Unknown;
            }
            if self.hung_up {
                (out, err, resume) = (None, None, None);
            }
        }
        match status {
            Some(Ok(status)) => exit_of(status),
            Some(Err(error)) => Exit::NotStarted(error.to_string()),
            None => Exit::Unknown,
        }
    }

    /// Hands on what was read; at the end of the pipe, closes it. Returns when to read again, for a slow reader.
    fn took<T>(
        &mut self,
        stream: Stream,
        count: io::Result<usize>,
        pipe: &mut Option<T>,
        buffer: &[u8],
        sink: &mut dyn FnMut(Stream, &[u8]),
    ) -> Option<Instant> {
        let bytes = match count {
            Ok(count) if count > 0 => &buffer[..count],
            _ => {
                *pipe = None;
                return None;
            }
        };
        sink(stream, bytes);
        for mishap in self.guard.watcher.saw(bytes) {
            self.happens(mishap);
        }
        self.guard.pace.map(|pace| Instant::now() + pace.pause)
    }

    fn happens(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::Cancel(level) => self.guard.canceller.cancel(level),
            Mishap::KillDriver => {
                if let Some(pid) = self.group {
                    let _ = kill(pid, Signal::SIGKILL);
                }
            }
            Mishap::KillGroup => {
                self.signal(Signal::SIGKILL);
            }
            Mishap::HangUp => self.hung_up = true,
            Mishap::RunnerDies => self.abandoned = true,
        }
    }

    /// Starts the kill sequence: SIGTERM to the group, or SIGKILL at once where it cannot be sent.
    fn terminate(&mut self, why: Stop) {
        self.stop = Some(why);
        if self.signal(Signal::SIGTERM) {
            self.phase = Phase::Terminating;
            self.until = Some(Instant::now() + self.guard.graceful);
        } else {
            self.kill();
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.phase = Phase::Killing;
        self.until = Some(Instant::now() + self.guard.force);
    }

    fn signal(&self, signal: Signal) -> bool {
        self.group.is_some_and(|group| killpg(group, signal).is_ok())
    }
}

async fn read(pipe: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read(buffer).await,
        None => Ok(0),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn reached(canceller: &Canceller, level: Option<Cancel>) {
    match level {
        Some(level) => canceller.reached(level).await,
        None => std::future::pending().await,
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}

#[cfg(test)]
mod tests;
