//! What of the fake engine takes time or starts something: containers and execs that begin, end and go.

use std::sync::Arc;
use std::time::Duration;

use super::Fake;
use super::container::{Kind, Signal, Status, name_of_wrapper};
use super::pipe::{Connection, Pipe, Stdin};
use super::process::{Command, End, Life, ask};
use super::program::Place;
use super::scripts::{Main, is_shell, no_program};
use super::sink::{Sink, stream};
use super::state::{Exec, State};
use crate::engine::{Attached, EngineError, EventKind, ExecRunning, LogsRequest, Output, Removal};
use crate::plan::spec::ExecSpec;

fn no_such_container(name: &str) -> EngineError {
    EngineError::NotFound { message: format!("No such container: {name}") }
}

impl Fake {
    /// Starts a container that does not run.
    pub(super) fn start(&self, name: &str) -> Result<(), EngineError> {
        let found = self.look(|state| {
            let container = state.container(name)?;
            Some((Main::of(container), container.spec.clone(), state.programs.clone()))
        });
        let (mut main, spec, programs) = found.ok_or_else(|| no_such_container(name))?;
        main.answer = ask(&programs, Place::Main, &spec, &main.whole(), b"");
        self.change(|state| self.start_now(state, name, main))
    }

    fn start_now(&self, state: &mut State, name: &str, main: Main) -> Result<(), EngineError> {
        let container = state.container(name).ok_or_else(|| no_such_container(name))?;
        if container.running() {
            return Ok(());
        }
        if container.removing {
            let message = "container is marked for removal and cannot be started".to_owned();
            return Err(EngineError::Conflict { message });
        }
        let (id, spec) = (container.id.clone(), container.spec.clone());
        let begun = match main.refusal() {
            Some((status, code, message)) => {
                Err((code, EngineError::Refused { call: "start container".to_owned(), status, message }))
            }
            None => state.connect(&spec).map_err(|error| (128, error)),
        };
        let Some(container) = state.container_mut(&id) else { return Err(no_such_container(name)) };
        let address = match begun {
            Ok(address) => address,
            Err((code, error)) => {
                container.exit_code = code;
                container.error = error.words();
                return Err(error);
            }
        };
        container.status = Status::Running { since: tokio::time::Instant::now() };
        container.address = address;
        container.exit_code = 0;
        container.oom_killed = false;
        container.error.clear();
        container.starts += 1;
        let stdin = container.stdin.clone();
        let sink = Sink::of_container(self, &id, std::mem::take(&mut container.attached));
        state.tell(EventKind::Container, "start", &id, &spec.labels);
        let life = Life::begin(self, state, &id, Kind::Main, stdin, sink);
        tokio::spawn(async move {
            let end = life.until_killed(life.main(&main)).await;
            life.fake.change(|state| {
                let now = state.now();
                if let Some(container) = state.container_mut(&life.container)
                    && container.processes.contains_key(&life.pid)
                {
                    container.end(end.code(), end == End::OutOfMemory, now);
                    let labels = container.spec.labels.clone();
                    state.tell(EventKind::Container, "die", &life.container, &labels);
                }
            });
        });
        Ok(())
    }

    /// Signals a container's main process.
    pub(super) fn signal_main(&self, id: &str, signal: Signal) {
        self.look(|state| state.signal(id, signal, |_, kind| kind == Kind::Main));
    }

    fn running(&self, name: &str) -> Option<String> {
        self.look(|state| state.container(name).filter(|c| c.running()).map(|c| c.id.clone()))
    }

    async fn until_stopped(&self, id: &str) {
        self.until(|state| !state.container(id).is_some_and(|c| c.running())).await;
    }

    /// Ends a container: TERM, and KILL after `grace`; without a grace KILL at once.
    pub(super) async fn end(&self, name: &str, grace: Option<Duration>) {
        let Some(id) = self.running(name) else { return };
        if let Some(grace) = grace {
            self.signal_main(&id, Signal::Term);
            if tokio::time::timeout(grace, self.until_stopped(&id)).await.is_ok() {
                return;
            }
        }
        self.signal_main(&id, Signal::Kill);
        self.until_stopped(&id).await;
    }

    /// Removes a container and what goes with it.
    pub(super) async fn remove(&self, name: &str) -> Removal {
        let marked = self.change(|state| {
            let takes = state.removal_takes;
            let container = state.container_mut(name)?;
            Some((!std::mem::replace(&mut container.removing, true)).then(|| (container.id.clone(), takes)))
        });
        let (id, takes) = match marked {
            None => return Removal::Gone,
            Some(None) => return Removal::InUse,
            Some(Some(marked)) => marked,
        };
        self.end(&id, None).await;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.change(|state| state.drop_container(&id));
        Removal::Removed
    }

    /// Connects a client to a container's main process, of now or of the next start.
    pub(super) fn join(&self, name: &str) -> Result<(Output, Option<Stdin>), EngineError> {
        self.look(|state| {
            let container = state.container_mut(name).ok_or_else(|| no_such_container(name))?;
            let connection = container.spec.open_stdin.then(|| Arc::new(Connection(container.stdin.clone())));
            let (client, listening) = stream(connection.clone());
            let main = container.processes.values().find(|p| p.kind == Kind::Main);
            match main.and_then(|main| main.sink.upgrade()) {
                Some(sink) => sink.join(client),
                None => container.attached.push(client),
            }
            Ok((Box::pin(listening) as Output, connection.map(Stdin)))
        })
    }

    /// Writes down an exec that shall be.
    pub(super) fn create_exec(state: &mut State, name: &str, spec: &ExecSpec) -> Result<String, EngineError> {
        let container = state.container(name).ok_or_else(|| no_such_container(name))?;
        if !container.running() {
            return Err(EngineError::Conflict {
                message: format!("Container {} is not running", container.id),
            });
        }
        let container = container.id.clone();
        let id = state.next_id();
        let exec = Exec { container, argv: spec.command.clone(), running: false, exit_code: None };
        state.execs.insert(id.clone(), exec);
        Ok(id)
    }

    /// Starts an exec that was created.
    pub(super) fn start_exec(
        &self,
        state: &mut State,
        id: &str,
        spec: &ExecSpec,
    ) -> Result<ExecParts, EngineError> {
        let exec = state
            .execs
            .get(id)
            .ok_or_else(|| EngineError::NotFound { message: format!("No such exec instance: {id}") })?;
        let container = exec.container.clone();
        let Some(inside) = state.container(&container).filter(|c| c.running()) else {
            return Err(EngineError::Conflict { message: format!("Container {container} is not running") });
        };
        let lacks = !inside.image.has_shell && spec.command.first().is_some_and(|word| is_shell(word));
        let stdin = if spec.stdin { Pipe::default() } else { Pipe::empty() };
        let connection = spec.stdin.then(|| Arc::new(Connection(stdin.clone())));
        let (client, listening) = stream(connection.clone());
        let kind = match super::known::Known::of(&spec.command) {
            Some(super::known::Known::Stage { name, .. }) => Kind::Stage(name_of_wrapper(&name)),
            _ => Kind::Exec,
        };
        let life = Life::begin(self, state, &container, kind, stdin, Sink::of_exec(client));
        if let Some(exec) = state.execs.get_mut(id) {
            exec.running = true;
        }
        let command = Command { argv: spec.command.clone(), env: spec.env.clone(), user: spec.user.clone() };
        tokio::spawn(run_exec(life, id.to_owned(), command, lacks));
        Ok(ExecParts { listening: Box::pin(listening), stdin: connection.map(Stdin) })
    }

    /// Returns a container's log.
    pub(super) fn read_log(&self, name: &str, request: &LogsRequest) -> Result<Output, EngineError> {
        let (client, listening) = stream(None);
        let (id, lines, at) = self.look(|state| {
            let container = state.container(name).ok_or_else(|| no_such_container(name))?;
            let mut lines = container.log.read(0, request);
            if let Some(tail) = request.tail {
                lines.drain(..lines.len().saturating_sub(tail as usize));
            }
            Ok::<_, EngineError>((container.id.clone(), lines, container.log.len()))
        })?;
        let (fake, request) = (self.clone(), request.clone());
        tokio::spawn(async move {
            let (mut lines, mut at) = (lines, at);
            loop {
                for (stderr, bytes) in lines {
                    if client.send(crate::engine::Chunk { stderr, bytes: bytes.into() }).await.is_err() {
                        return;
                    }
                }
                let over = |state: &State| !state.container(&id).is_some_and(|c| c.running());
                let more = |state: &State| state.container(&id).is_some_and(|c| c.log.len() > at);
                if !request.follow {
                    return;
                }
                tokio::select! {
                    () = fake.until(|state| more(state) || over(state)) => {}
                    () = fake.down() => return,
                    () = client.closed() => return,
                }
                if fake.look(|state| over(state) && !more(state)) {
                    return;
                }
                (lines, at) = fake.look(|state| {
                    state.container(&id).map(|c| (c.log.read(at, &request), c.log.len())).unwrap_or_default()
                });
            }
        });
        Ok(Box::pin(listening))
    }
}

/// Both ends of an exec that was started. They are made on the engine's side and cross to the client.
pub(super) struct ExecParts {
    listening: std::pin::Pin<Box<super::sink::Listening>>,
    stdin: Option<Stdin>,
}

impl ExecParts {
    pub(super) fn into_running(self, id: String) -> ExecRunning {
        ExecRunning { id, output: self.listening, input: input(self.stdin) }
    }
}

fn input(stdin: Option<Stdin>) -> crate::engine::Input {
    match stdin {
        Some(stdin) => Box::pin(stdin),
        None => Box::pin(tokio::io::sink()),
    }
}

/// Makes an attached container of its parts.
pub(super) fn attached((output, stdin): (Output, Option<Stdin>)) -> Attached {
    Attached { output, input: input(stdin) }
}

async fn run_exec(life: Life, id: String, command: Command, lacks_program: bool) {
    let end = if lacks_program {
        let name = command.argv.first().map_or("", String::as_str);
        let words = format!("OCI runtime exec failed: exec failed: {}\r\n", no_program(name));
        life.sink.write(false, words.into()).await;
        End::Code(126)
    } else {
        life.until_killed(life.command(&command)).await
    };
    if end == End::Lost {
        life.sink.cut();
    }
    life.stdin.abandon();
    let (lag, linger) = life.fake.change(|state| {
        state.container_mut(&life.container).map(|c| c.processes.remove(&life.pid));
        (state.exec_lags, state.exec_lingers)
    });
    if let Some(linger) = linger {
        let sink = Arc::downgrade(&life.sink);
        tokio::spawn(async move {
            tokio::time::sleep(linger).await;
            if let Some(sink) = sink.upgrade() {
                sink.cut();
            }
        });
    }
    let fake = life.fake.clone();
    let end = if life.sink.is_deaf() { End::Code(126) } else { end };
    let over = move || {
        fake.change(|state| {
            if let Some(exec) = state.execs.get_mut(&id) {
                exec.running = false;
                exec.exit_code = (end != End::Lost).then_some(end.code());
            }
        });
    };
    if lag.is_zero() {
        over();
    } else {
        drop(life);
        tokio::time::sleep(lag).await;
        over();
    }
}
