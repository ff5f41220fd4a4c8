//! Runs a stage's script by an exec: bytes to the job log as they come, and an end whatever happens.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::output::JobOutput;

use crate::engine::{Engine, EngineError, ExecRunning, Input};
use crate::plan::script;
use crate::plan::spec::ExecSpec;

/// After what time the engine is first asked whether a stream is held although its process ended; then less often.
const ASK_FIRST: Duration = Duration::from_secs(3);
/// The longest time between two such questions.
const ASK_LATEST: Duration = Duration::from_secs(30);
/// How long a stream may be silent, with a reader that waits for it, after its process ended.
const DRAIN: Duration = Duration::from_millis(500);
/// How long such a stream may go on in all: processes that nobody can end may print for ever.
const DRAIN_LATEST: Duration = Duration::from_secs(600);
/// Longer than any job.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest pause before the engine is asked for an exit code once more; all pauses together are twice that.
const LONGEST_LAG: Duration = Duration::from_millis(1280);
/// How long beyond the grace a stop may take before it is given up.
const STOP_MARGIN: Duration = Duration::from_secs(8);

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
    /// What the stage's wrapper is known by.
    pub mark: &'a str,
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
        let mut side = side;
        let mut side_done = false;
        let mut pause = ASK_FIRST;
        let mut ask = Box::pin(self.ask_after(pause, &id));
        // A process of another user may outlive the stage and hold the stream: it must not hold the job.
        let mut over: Option<Instant> = None;
        loop {
            let next = async {
                let room = out.reserve().await?;
                let silence = over.map_or(FOREVER, |_| DRAIN);
                Some((room, timeout(silence, output.next()).await.ok().flatten()))
            };
            tokio::select! {
                biased;
                () = stop.requested() => return self.stop(&id, output, out, Ending::Stopped).await,
                taken = next => match taken {
                    None => return self.stop(&id, output, out, Ending::HungUp).await,
                    Some((room, Some(chunk))) => {
                        room.send(chunk?.bytes);
                        if over.is_some_and(|since| since.elapsed() > DRAIN_LATEST) {
                            return self.ended(&id).await;
                        }
                    }
                    Some((_, None)) => return self.ended(&id).await,
                },
                () = &mut feed => {}
                () = &mut side, if !side_done => side_done = true,
                runs = &mut ask, if over.is_none() => {
                    if runs {
                        pause = (pause * 2).min(ASK_LATEST);
                        ask = Box::pin(self.ask_after(pause, &id));
                    } else {
                        over = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// Asks later whether the process still runs. An engine that does not answer is no answer: the stream tells of a lost
    /// one. Without an exit code it did not end: a busy engine has yet to start it.
    async fn ask_after(&self, pause: Duration, id: &str) -> bool {
        sleep(pause).await;
        self.engine.exec_state(id).await.map_or(true, |state| state.running || state.exit_code.is_none())
    }

    async fn ended(&self, id: &str) -> Result<Ending, EngineError> {
        let mut pause = Duration::from_millis(10);
        // The stream may end a moment before the engine has the exit code.
        loop {
            let state = self.engine.exec_state(id).await?;
            if !state.running && state.exit_code.is_some() {
                return Ok(Ending::Exited(state.exit_code));
            }
            if pause > LONGEST_LAG {
                return Ok(Ending::Exited(None));
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Ends the stage's processes: TERM to all, KILL after the grace; what they still print is printed. Bounded, also
    /// where the engine does not answer.
    async fn stop(
        &self,
        id: &str,
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
                command: script::stop(
                    u64::try_from(self.grace.as_millis() / 100).unwrap_or(u64::MAX),
                    self.mark,
                ),
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
            // What is not printed by now waits for a slow reader, or is held by a process that nobody can end.
            timeout(Duration::from_secs(2), print).await.is_ok()
                || self.engine.exec_state(id).await.is_ok_and(|state| !state.running)
        };
        let ended = timeout(limit, all).await.unwrap_or(false);
        if !ended && self.may_kill {
            let _ = timeout(Duration::from_secs(5), self.engine.kill_container(self.container)).await;
        }
        Ok(ending)
    }
}

/// Gives the script to the process. It never ends: the connection carries the output too, and stays until the stage is over.
async fn feed(mut input: Input, script: Vec<u8>) {
    // A process that ends before it has read everything closes its stdin: its exit code says the rest.
    let _ = input.write_all(&script).await;
    let _ = input.shutdown().await;
    std::future::pending::<()>().await;
}
