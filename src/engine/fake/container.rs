//! A container of the fake engine: what it is made of and what is true of it now.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::image::FakeImage;
use super::log::Log;
use super::pipe::Pipe;
use super::sink::{Client, Sink};
use crate::engine::{ContainerState, Health, Moment};
use crate::plan::job::effective_entrypoint;
use crate::plan::spec::{ContainerSpec, NetworkUse};

/// What a process was told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signal {
    None,
    Term,
    Kill,
    OutOfMemory,
}

/// What a process is to its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Main,
    /// A stage's wrapper, and its name as [`name_of_wrapper`] puts it.
    Stage(u64),
    Exec,
    Child {
        parent: u64,
        escapes: bool,
    },
}

/// Returns a wrapper's name as a number.
pub(super) fn name_of_wrapper(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// A process in a container.
pub(super) struct Process {
    pub(super) kind: Kind,
    pub(super) signal: watch::Sender<Signal>,
    pub(super) sink: Weak<Sink>,
}

impl Process {
    /// Sends a signal; a weaker one after a stronger one does nothing.
    pub(super) fn send(&self, signal: Signal) {
        self.signal.send_if_modified(|now| {
            let stronger = *now < signal;
            *now = signal.max(*now);
            stronger
        });
    }
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Fresh,
    Running { since: Instant },
    Stopped,
}

/// A container.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) spec: ContainerSpec,
    pub(super) image: FakeImage,
    pub(super) created: i128,
    pub(super) status: Status,
    pub(super) exit_code: i64,
    pub(super) ended: Option<Moment>,
    pub(super) oom_killed: bool,
    pub(super) error: String,
    /// The name of the network it is on, and its address there while it runs.
    pub(super) address: Option<(String, String)>,
    /// Where it mounts which volumes.
    pub(super) volumes: Vec<(String, String)>,
    /// Those of them that go with it.
    pub(super) anonymous: Vec<String>,
    /// Files in its writable layer.
    pub(super) files: BTreeSet<String>,
    pub(super) log: Log,
    pub(super) stdin: Pipe,
    /// Clients that attached before its start.
    pub(super) attached: Vec<Client>,
    pub(super) processes: BTreeMap<u64, Process>,
    pub(super) removing: bool,
    pub(super) starts: usize,
}

impl Container {
    /// Makes a container that was never started.
    pub(super) fn new(id: String, spec: ContainerSpec, image: FakeImage, created: i128) -> Self {
        let volumes = spec.mounts.iter().filter(|m| !m.source.starts_with('/'));
        let volumes = volumes.map(|m| (m.target.clone(), m.source.clone())).collect();
        let mut container = Self {
            id,
            spec,
            image,
            created,
            status: Status::Fresh,
            exit_code: 0,
            ended: None,
            oom_killed: false,
            error: String::new(),
            address: None,
            volumes,
            anonymous: Vec::new(),
            files: BTreeSet::new(),
            log: Log::default(),
            stdin: Pipe::default(),
            attached: Vec::new(),
            processes: BTreeMap::new(),
            removing: false,
            starts: 0,
        };
        container.renew_stdin();
        container
    }

    /// Makes the stdin of the next main process.
    pub(super) fn renew_stdin(&mut self) {
        self.stdin = if self.spec.open_stdin { Pipe::default() } else { Pipe::empty() };
    }

    pub(super) fn running(&self) -> bool {
        matches!(self.status, Status::Running { .. })
    }

    /// Returns for how long it has run; `None` while it does not.
    pub(super) fn up_for(&self) -> Option<Duration> {
        match self.status {
            Status::Running { since } => Some(since.elapsed()),
            Status::Fresh | Status::Stopped => None,
        }
    }

    /// Tells whether a text names it.
    pub(super) fn is(&self, name: &str) -> bool {
        self.spec.name == name || self.id == name
    }

    /// Returns the ENTRYPOINT it has, where it has one.
    pub(super) fn entrypoint(&self) -> &[String] {
        effective_entrypoint(self.spec.entrypoint.as_deref(), &self.image.facts.entrypoint)
    }

    /// Returns the host names it has on the networks of jobs.
    pub(super) fn aliases(&self) -> &[String] {
        match &self.spec.network {
            NetworkUse::Joined { aliases, .. } => aliases,
            NetworkUse::Mode(_) => &[],
        }
    }

    /// Signals every process of a kind.
    pub(super) fn signal(&self, signal: Signal, which: impl Fn(u64, Kind) -> bool) {
        self.processes.iter().filter(|(pid, p)| which(**pid, p.kind)).for_each(|(_, p)| p.send(signal));
    }

    /// Ends the container with its main process: everything else in it is killed.
    pub(super) fn end(&mut self, code: i64, oom: bool, at: i128) {
        self.status = Status::Stopped;
        self.exit_code = code;
        self.ended = Some(Moment(at));
        self.oom_killed = oom;
        self.address = None;
        self.stdin.abandon();
        self.renew_stdin();
        self.log.flush(at);
        self.signal(Signal::Kill, |_, _| true);
        self.processes.clear();
    }

    fn health(&self) -> Health {
        let Some((after, then)) = self.image.health else { return Health::None };
        match (self.status, self.up_for()) {
            (Status::Fresh, _) => Health::None,
            (_, Some(time)) if time < after => Health::Starting,
            (_, Some(_)) => then,
            (_, None) => Health::Unhealthy,
        }
    }

    /// Returns what an inspection tells.
    pub(super) fn state(&self) -> ContainerState {
        let user = if self.spec.user.is_empty() { &self.image.facts.user } else { &self.spec.user };
        ContainerState {
            id: self.id.clone(),
            running: self.running(),
            fresh: self.status == Status::Fresh,
            removing: self.removing,
            exit_code: self.exit_code,
            ended: self.ended.filter(|_| !self.running()),
            oom_killed: self.oom_killed,
            error: self.error.clone(),
            health: self.health(),
            labels: self.spec.labels.clone(),
            user: user.clone(),
            addresses: self.address.clone().into_iter().collect(),
            memory: self.spec.limits.memory.map_or(0, |m| m.as_i64()),
        }
    }
}
