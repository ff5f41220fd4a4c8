//! Runs a stage's script by an exec: bytes to the job log as they come, and an end whatever happens.

use std::fs::File;
use std::io::Write;
use std::pin::{Pin, pin};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use crate::engine::{Engine, EngineError, ExecRunning, Input};
use crate::plan::script;
use crate::plan::spec::ExecSpec;

/// How many chunks may wait for a slow reader; more waits in the container.
const WAITING_CHUNKS: usize = 8;
/// How often the engine is asked whether a silent or held stream belongs to a process that ended.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// How long a stream may still bring bytes after its process ended.
const DRAIN: Duration = Duration::from_millis(500);
/// How long beyond the grace a stop may take before it is given up.
const STOP_MARGIN: Duration = Duration::from_secs(8);

/// The job log, for what the job's own processes print: unbuffered, in order, with back-pressure.
pub struct JobOutput {
    sender: mpsc::Sender<Bytes>,
    thread: JoinHandle<()>,
}

impl JobOutput {
    /// Writes to `file` from a thread of its own, so that a reader that stands still does not make a signal wait.
    pub fn new(mut file: File) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
        let thread = std::thread::spawn(move || {
            while let Some(bytes) = receiver.blocking_recv() {
                if file.write_all(&bytes).is_err() {
                    break;
                }
            }
        });
        Self { sender, thread }
    }

    /// Writes bytes; `false`: the reader hung up.
    pub async fn write(&self, bytes: Bytes) -> bool {
        bytes.is_empty() || self.sender.send(bytes).await.is_ok()
    }

    /// Waits until something can be written at once; `None`: the reader hung up.
    pub async fn reserve(&self) -> Option<mpsc::Permit<'_, Bytes>> {
        self.sender.reserve().await.ok()
    }

    /// Waits until all is written, at most `limit`; `false`: it was not.
    pub async fn finish(self, limit: Duration) -> bool {
        let Self { sender, thread } = self;
        drop(sender);
        let deadline = Instant::now() + limit;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(Duration::from_millis(1)).await;
        }
        true
    }
}

/// The wish that this process ends: TERM or INT from the runner.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Makes a wish and the way to express it.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits until the end is wished for.
    pub async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stop {
    /// Waits until the end was wished for `limit` ago: then nothing may hold this process any more.
    pub async fn overdue(&mut self, limit: Duration) {
        self.requested().await;
        sleep(limit).await;
    }
}

/// How a stage's exec ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Its process ended with this code; `None`: the engine does not know it.
    Exited(Option<i64>),
    /// It was stopped, since the runner wished it.
    Stopped,
    /// It was stopped, since the reader of the job log hung up.
    HungUp,
}

/// What an exec runs in.
pub struct Place<'a, E> {
    /// The engine.
    pub engine: &'a E,
    /// The container.
    pub container: &'a str,
    /// Whether the container may be killed where its processes do not end: the build container, never the helper.
    pub may_kill: bool,
    /// How long processes have between TERM and KILL.
    pub grace: Duration,
}

impl<E: Engine> Place<'_, E> {
    /// Runs a command with a script on its stdin until it ends, or is to end. `side` runs beside it.
    pub async fn run(
        &self,
        spec: &ExecSpec,
        script: Vec<u8>,
        out: &JobOutput,
        stop: &mut Stop,
        side: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Ending, EngineError> {
        let exec = tokio::select! {
            exec = self.engine.exec(self.container, spec) => exec?,
            () = stop.overdue(self.grace + STOP_MARGIN) => return Ok(Ending::Stopped),
        };
        let ExecRunning { id, output, input } = exec;
        let mut output = output;
        let mut feed = pin!(feed(input, script));
        let mut fed = false;
        let mut side = side;
        let mut side_done = false;
        let mut ask = interval_at(Instant::now() + ASK_EVERY, ASK_EVERY);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drain_until: Option<Instant> = None;
        loop {
            let next = async {
                let permit = out.reserve().await?;
                Some((permit, output.next().await))
            };
            tokio::select! {
                biased;
                () = stop.requested() => return self.stop(output, out, Ending::Stopped).await,
                taken = next => match taken {
                    None => return self.stop(output, out, Ending::HungUp).await,
                    Some((permit, Some(chunk))) => {
                        permit.send(chunk?.bytes);
                        if let Some(until) = &mut drain_until {
                            *until = (*until).min(Instant::now() + DRAIN);
                        }
                    }
                    Some((_, None)) => return self.ended(&id).await,
                },
                () = &mut feed, if !fed => fed = true,
                () = &mut side, if !side_done => side_done = true,
                _ = ask.tick() => {
                    // A process of another user may outlive the stage and hold the stream: it must not hold the job.
                    if drain_until.is_none() && !self.engine.exec_state(&id).await?.running {
                        drain_until = Some(Instant::now() + DRAIN * 4);
                    }
                }
                () = sleep_until(drain_until.unwrap_or_else(Instant::now)), if drain_until.is_some() => {
                    return self.ended(&id).await;
                }
            }
        }
    }

    async fn ended(&self, id: &str) -> Result<Ending, EngineError> {
        let mut pause = Duration::from_millis(10);
        // The stream may end a moment before the engine has the exit code.
        for _ in 0..8 {
            let state = self.engine.exec_state(id).await?;
            if !state.running {
                return Ok(Ending::Exited(state.exit_code));
            }
            sleep(pause).await;
            pause *= 2;
        }
        Ok(Ending::Exited(None))
    }

    /// Ends the stage's processes: TERM to all, KILL after the grace; what they still print is printed. Bounded, also
    /// where the engine does not answer.
    async fn stop(
        &self,
        mut output: crate::engine::Output,
        out: &JobOutput,
        ending: Ending,
    ) -> Result<Ending, EngineError> {
        let limit = self.grace + STOP_MARGIN;
        let print = async {
            while let Some(Ok(chunk)) = output.next().await {
                if ending == Ending::Stopped {
                    out.write(chunk.bytes).await;
                }
            }
        };
        let end = async {
            let spec = ExecSpec {
                command: script::stop(u64::try_from(self.grace.as_millis() / 100).unwrap_or(u64::MAX)),
                user: String::new(),
                env: Vec::new(),
                stdin: false,
            };
            if let Ok(mut exec) = self.engine.exec(self.container, &spec).await {
                while let Some(Ok(_)) = exec.output.next().await {}
            }
        };
        let all = async {
            let mut print = pin!(print);
            tokio::select! {
                () = &mut print => return true,
                () = end => {}
            }
            timeout(Duration::from_secs(2), print).await.is_ok()
        };
        let ended = timeout(limit, all).await.unwrap_or(false);
        if !ended && self.may_kill {
            let _ = timeout(Duration::from_secs(5), self.engine.kill_container(self.container)).await;
        }
        Ok(ending)
    }
}

async fn feed(mut input: Input, script: Vec<u8>) {
    // A process that ends before it has read everything closes its stdin: its exit code says the rest.
    let _ = input.write_all(&script).await;
    let _ = input.shutdown().await;
    // The connection carries the output too; it stays until the stage is over.
    std::future::pending::<()>().await;
}
