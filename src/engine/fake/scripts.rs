//! What hearth's own scripts do in containers of the fake engine, and how main processes come to them.

use std::time::Duration;

use super::behaviour::Behaviour;
use super::container::{Container, Kind, Signal, name_of_wrapper};
use super::image::FakeImage;
use super::known::{Known, handover_state};
use super::process::{Command, End, Life};
use super::program::Place;
use super::state::State;
use crate::plan::script::{EXIT_NO_RUNNER, READY_FILE, READY_LINE};

/// What a container's main process is.
pub(super) struct Main {
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Command,
    pub(super) own_command: bool,
    pub(super) image: FakeImage,
    /// What the test answers for it.
    pub(super) answer: Option<Behaviour>,
}

impl Main {
    pub(super) fn of(container: &Container) -> Self {
        Self {
            entrypoint: container.entrypoint().to_vec(),
            command: Command {
                argv: container.spec.command.clone().unwrap_or_default(),
                env: container.spec.env.clone(),
                user: container.spec.user.clone(),
            },
            own_command: container.spec.command.is_none(),
            image: container.image.clone(),
            answer: None,
        }
    }

    /// Returns ENTRYPOINT and command together.
    pub(super) fn whole(&self) -> Command {
        Command { argv: [self.entrypoint.as_slice(), &self.command.argv].concat(), ..self.command.clone() }
    }

    /// Returns why the engine could not start it; `None`: it can.
    pub(super) fn refusal(&self) -> Option<(u16, i64, String)> {
        if let Some(bad) = &self.image.bad_start {
            return Some((bad.status, bad.code, bad.words.clone()));
        }
        let first = self.entrypoint.first().or(self.command.argv.first())?;
        let own = !self.entrypoint.is_empty() && self.entrypoint == self.image.facts.entrypoint;
        let here = self.answer.is_some() || if is_shell(first) { self.image.has_shell } else { own };
        (!here).then(|| {
            (
                400,
                127,
                format!(
                    "failed to create shim task: OCI runtime create failed: runc create failed: {}",
                    no_program(first)
                ),
            )
        })
    }
}

/// Returns runc's words for a program that an image lacks.
pub(super) fn no_program(name: &str) -> String {
    format!(
        "unable to start container process: exec: \"{name}\": executable file not found in $PATH: unknown"
    )
}

/// Tells whether a command's first word is the shell that most images have.
pub(super) fn is_shell(word: &str) -> bool {
    matches!(word, "sh" | "/bin/sh")
}

impl Life {
    /// Plays a container's main process: its ENTRYPOINT, and what that hands over to.
    pub(super) async fn main(&self, main: &Main) -> End {
        let Main { entrypoint, command, own_command, image, answer } = main;
        if let Some(behaviour) = answer {
            return self.play(behaviour.clone()).await;
        }
        let mut command = command.clone();
        match entrypoint.as_slice() {
            [] => {}
            [shell, dash_c] if shell.ends_with("sh") && dash_c == "-c" => {
                // Its command is its first word alone; the others are that command's parameters.
                return if command.argv.first().is_some_and(|word| word == "sh") {
                    self.shell(image).await
                } else {
                    command.argv.truncate(1);
                    self.command(&command).await
                };
            }
            _ => match self.play(image.entry.clone()).await {
                End::Through => {}
                end => return end,
            },
        }
        if *own_command {
            return self.play(image.command.clone()).await;
        }
        match Known::of(&command.argv) {
            Some(Known::Probe) => self.shell(image).await,
            Some(Known::Helper { builds, ready, need_runner, .. }) => {
                self.helper(&builds, &ready, need_runner && !image.has_runner).await
            }
            _ => self.command(&command).await,
        }
    }

    /// Plays an exec.
    pub(super) async fn command(&self, command: &Command) -> End {
        match Known::of(&command.argv) {
            Some(Known::Stage { ready, memory, .. }) => self.stage(&ready, &memory, command).await,
            known => match (self.program(Place::Exec, command, b""), known) {
                (Some(behaviour), _) => self.play(behaviour).await,
                (None, Some(Known::Stop { tenths, name })) => self.stop(tenths, &name).await,
                (None, Some(Known::Identity { state })) => self.identity(&state).await,
                (None, Some(Known::AddHosts { lines })) => {
                    self.fake.change(|state| {
                        if let Some(container) = state.container_mut(&self.container) {
                            container.spec.extra_hosts.extend(lines);
                        }
                    });
                    End::Code(0)
                }
                (None, Some(Known::Wait { seconds, services })) => self.wait(seconds, services).await,
                (None, Some(Known::Read { checkout, bytes })) => self.read(&checkout, bytes).await,
                (None, Some(Known::Idle)) => self.play(Behaviour::new().forever()).await,
                (None, _) if !command.argv.first().is_some_and(|word| is_shell(word)) => {
                    let name = command.argv.first().map_or("", String::as_str);
                    let words = format!("OCI runtime exec failed: exec failed: {}\r\n", no_program(name));
                    self.sink.write(false, words.into()).await;
                    End::Code(126)
                }
                (None, _) => {
                    let words = format!("fake: no program of the test answers for {:?}\n", command.argv);
                    self.sink.write(true, words.into()).await;
                    End::Code(127)
                }
            },
        }
    }

    /// A shell that reads stdin: the handover's script, or one that the test answers for.
    async fn shell(&self, image: &FakeImage) -> End {
        let mut stdin = Vec::new();
        let term = self.until_term();
        tokio::pin!(term);
        loop {
            let bytes = tokio::select! {
                bytes = self.stdin.read() => bytes,
                () = &mut term => return End::Code(143),
            };
            let Some(bytes) = bytes else { break };
            stdin.extend_from_slice(&bytes);
            if let Some(state) = handover_state(&stdin) {
                let said = format!("\u{1e}hearth-handover {}\u{1e}", image.identity);
                return self
                    .play(Behaviour::new().touch(format!("/dev/shm/{state}")).out(said).forever())
                    .await;
            }
        }
        let command = Command { argv: vec!["sh".to_owned()], ..Command::default() };
        match self.program(Place::Exec, &command, &stdin) {
            Some(behaviour) => self.play(behaviour).await,
            None => End::Through,
        }
    }

    async fn identity(&self, state: &str) -> End {
        let file = format!("/dev/shm/{state}");
        let known = self.fake.look(|state| {
            let container = state.container(&self.container)?;
            container.files.contains(&file).then(|| container.image.identity.clone())
        });
        self.sink.write(false, format!("{}\n", known.unwrap_or_default()).into()).await;
        End::Code(0)
    }

    async fn until_term(&self) {
        if self.shielded {
            std::future::pending::<()>().await;
        }
        self.play(Behaviour::new().forever()).await;
    }

    async fn helper(&self, builds: &str, ready: &str, lacks_runner: bool) -> End {
        let takes = self.fake.look(|state| state.helper_takes);
        self.fake.change(|state| state.sweep(&self.container, builds));
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if lacks_runner {
            return End::Code(EXIT_NO_RUNNER);
        }
        let ready = if ready.is_empty() { READY_FILE } else { ready };
        let stays = Behaviour::new().touch(ready).out(format!("{READY_LINE}\n")).forever();
        let end = self.play(stays.on_term(Behaviour::new().exit(0))).await;
        self.fake.change(|state| state.sweep(&self.container, builds));
        end
    }

    /// A stage's wrapper: the script, and then an end to what it left behind.
    async fn stage(&self, ready: &str, memory: &str, command: &Command) -> End {
        if !ready.is_empty() {
            let waits = Behaviour::new().await_file(ready);
            match self.play(waits).await {
                End::Through => {}
                end => return end,
            }
        }
        let script = tokio::select! {
            script = self.stdin.read_all() => script,
            () = self.until_term() => return End::Code(143),
        };
        let behaviour = self.program(Place::Stage, command, &script).unwrap_or_default();
        let end = self.play(behaviour).await;
        let mine = |kind: Kind| kind == Kind::Child { parent: self.pid, escapes: false };
        self.fake.change(|state| state.signal(&self.container, Signal::Kill, |_, kind| mine(kind)));
        self.fake.until(|state| !state.has_process(&self.container, |_, kind| mine(kind))).await;
        if end == End::OutOfMemory {
            let words = format!(
                "\n\x1b[31;1mERROR: out of memory: the kernel killed a process of this stage (memory limit: {memory})\x1b[0;m\n"
            );
            self.sink.write(true, words.into()).await;
            return End::Code(137);
        }
        end
    }

    /// Ends what the stage of that name runs: TERM, then KILL.
    async fn stop(&self, tenths: u64, name: &str) -> End {
        let theirs = |state: &State| state.stages(&self.container, name_of_wrapper(name));
        let stages = self.fake.look(|state| theirs(state));
        let of_stage = |pid: u64, kind: Kind| match kind {
            Kind::Stage(_) => stages.contains(&pid),
            Kind::Child { parent, escapes } => !escapes && stages.contains(&parent),
            Kind::Main | Kind::Exec => false,
        };
        let tell = |signal| self.fake.change(|state| state.signal(&self.container, signal, of_stage));
        let gone = || self.fake.until(|state| theirs(state).is_empty());
        tell(Signal::Term);
        if tokio::time::timeout(Duration::from_millis(tenths * 100), gone()).await.is_err() {
            tell(Signal::Kill);
            let _ = tokio::time::timeout(Duration::from_millis(2500), gone()).await;
        }
        End::Code(0)
    }

    /// Reads what [`Fake::checkout_has`] put there.
    async fn read(&self, checkout: &str, most: usize) -> End {
        let stdin = self.stdin.read_all().await;
        let stdin = String::from_utf8_lossy(&stdin);
        let mut lines = stdin.lines();
        let Some(mark) = lines.next() else { return End::Code(4) };
        for (number, path) in (1..).zip(lines) {
            let path = format!("{checkout}/{path}");
            let Some(file) = self.fake.look(|state| state.texts.get(&path).cloned()) else { continue };
            let bytes = file.get(..most).unwrap_or(&file);
            self.sink
                .write(false, [format!("{mark} {number}\n").as_bytes(), bytes, b"\n"].concat().into())
                .await;
        }
        self.sink.write(false, format!("{mark} end\n").into()).await;
        End::Code(0)
    }

    async fn wait(&self, seconds: u64, services: Vec<(String, String, Vec<u16>)>) -> End {
        let waits = services.iter().map(|(place, host, ports)| async move {
            while !self.fake.look(|state| state.answers(&self.container, host, ports)) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            self.sink.write(false, format!("ready {place}\n").into()).await;
        });
        let all = futures_util::future::join_all(waits);
        let _ = tokio::time::timeout(Duration::from_secs(seconds), all).await;
        End::Code(0)
    }
}
