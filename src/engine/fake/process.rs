//! Processes of the fake engine: they play their behaviours, take signals, and hold their output open.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::Fake;
use super::behaviour::{Behaviour, OnTerm, Step};
use super::container::{Kind, Process, Signal};
use super::pipe::Pipe;
use super::program::{Place, Run};
use super::sink::Sink;
use super::state::{Program, State};
use crate::plan::spec::ContainerSpec;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its steps are over.
    Through,
    /// It exited, or a signal ended it.
    Code(i64),
    /// The kernel killed it for lack of memory.
    OutOfMemory,
    /// The engine lost it.
    Lost,
}

impl End {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Through | Self::Lost => 0,
            Self::Code(code) => code,
            Self::OutOfMemory => 137,
        }
    }
}

/// What comes after a list of steps.
enum Flow {
    End(End),
    Becomes(Behaviour),
}

/// A command as it was given to the engine.
#[derive(Debug, Clone, Default)]
pub(super) struct Command {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) user: String,
}

/// Asks programs of the test, the last first, what a command does.
pub(super) fn ask(
    programs: &[Program],
    place: Place,
    spec: &ContainerSpec,
    command: &Command,
    stdin: &[u8],
) -> Option<Behaviour> {
    let Command { argv, env, user } = command;
    let run = Run { place, container: &spec.name, image: &spec.image, argv, env, user, stdin };
    programs.iter().rev().find_map(|program| program(&run))
}

/// A process that runs.
pub(super) struct Life {
    pub(super) fake: Fake,
    pub(super) container: String,
    pub(super) pid: u64,
    pub(super) stdin: Pipe,
    pub(super) sink: Arc<Sink>,
    /// Whether TERM does nothing unless it is handled: so it is for PID 1.
    pub(super) shielded: bool,
    signal: watch::Receiver<Signal>,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Life {
    /// Begins a process in a container that runs. Nothing happens before it is played.
    pub(super) fn begin(
        fake: &Fake,
        state: &mut State,
        container: &str,
        kind: Kind,
        stdin: Pipe,
        sink: Arc<Sink>,
    ) -> Self {
        let pid = state.next();
        let (sender, signal) = watch::channel(Signal::None);
        let mut shielded = false;
        if let Some(container) = state.container_mut(container) {
            shielded = kind == Kind::Main && !container.spec.init;
            container.processes.insert(pid, Process { kind, signal: sender, sink: Arc::downgrade(&sink) });
        }
        Self { fake: fake.clone(), container: container.to_owned(), pid, stdin, sink, shielded, signal }
    }

    async fn signalled(&self, least: Signal) -> Signal {
        let mut signal = self.signal.clone();
        match signal.wait_for(|now| *now >= least).await {
            Ok(now) => *now,
            Err(_) => Signal::Kill,
        }
    }

    /// Does `work` until it ends or is killed.
    pub(super) async fn until_killed(&self, work: impl Future<Output = End>) -> End {
        tokio::select! {
            biased;
            signal = self.signalled(Signal::Kill) => {
                if signal == Signal::OutOfMemory { End::OutOfMemory } else { End::Code(137) }
            }
            end = work => end,
        }
    }

    /// Asks the test what a command does; `None`: it says nothing.
    pub(super) fn program(&self, place: Place, command: &Command, stdin: &[u8]) -> Option<Behaviour> {
        let (programs, spec) = self.fake.look(|state| {
            let spec = state.container(&self.container).map(|c| c.spec.clone());
            (state.programs.clone(), spec)
        });
        ask(&programs, place, &spec?, command, stdin)
    }

    /// Plays a behaviour to its end.
    pub(super) async fn play(&self, behaviour: Behaviour) -> End {
        let mut behaviour = behaviour;
        loop {
            let steps = self.steps(&behaviour.steps);
            let flow = match &behaviour.on_term {
                OnTerm::Ignores => steps.await,
                OnTerm::Dies if self.shielded => steps.await,
                OnTerm::Dies => tokio::select! {
                    biased;
                    flow = steps => flow,
                    _ = self.signalled(Signal::Term) => Flow::End(End::Code(143)),
                },
                OnTerm::Runs(last) => tokio::select! {
                    biased;
                    flow = steps => flow,
                    _ = self.signalled(Signal::Term) => self.steps(&last.steps).await,
                },
            };
            match flow {
                Flow::End(end) => return end,
                Flow::Becomes(next) => behaviour = next,
            }
        }
    }

    async fn steps(&self, steps: &[Step]) -> Flow {
        for step in steps {
            match step {
                Step::Print { stderr, bytes, times } => {
                    for _ in 0..*times {
                        self.sink.write(*stderr, bytes.clone()).await;
                    }
                }
                Step::Sleep(time) => tokio::time::sleep(*time).await,
                Step::Cat => {
                    while let Some(bytes) = self.stdin.read().await {
                        self.sink.write(false, bytes).await;
                    }
                }
                Step::Then(next) => return Flow::Becomes(next(&self.stdin.read_all().await)),
                Step::Child { behaviour, escapes } => self.fork(behaviour.clone(), *escapes),
                Step::Touch(path) => self.fake.change(|state| state.touch(&self.container, path)),
                Step::Await(path) => self.fake.until(|state| state.has_file(&self.container, path)).await,
                Step::IfFile { path, there } => {
                    if self.fake.look(|state| state.has_file(&self.container, path)) {
                        return Flow::Becomes(there.clone());
                    }
                }
                Step::Exit(code) => return Flow::End(End::Code(*code)),
                Step::Forever => std::future::pending().await,
                Step::OutOfMemory => return Flow::End(End::OutOfMemory),
                Step::Lost => return Flow::End(End::Lost),
            }
        }
        Flow::End(End::Through)
    }

    /// Starts a child, which shares the output.
    fn fork(&self, behaviour: Behaviour, escapes: bool) {
        let kind = Kind::Child { parent: self.pid, escapes };
        let child = self.fake.change(|state| {
            Self::begin(&self.fake, state, &self.container, kind, Pipe::empty(), Arc::clone(&self.sink))
        });
        tokio::spawn(child.childhood(behaviour));
    }

    fn childhood(self, behaviour: Behaviour) -> Boxed<()> {
        Box::pin(async move {
            self.until_killed(self.play(behaviour)).await;
            self.fake.change(|state| {
                state.container_mut(&self.container).map(|c| c.processes.remove(&self.pid));
            });
        })
    }
}
