//! The way of a call to the fake engine: it is written down, may be made to fail, and goes on when its client is gone.

use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Fake;
use crate::engine::EngineError;

/// A call of the Docker API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Call {
    Version,
    Info,
    ListImages,
    InspectImage,
    RemoveImage,
    PruneBuildCache,
    ImageHistory,
    TagImage,
    Pull,
    Platforms,
    CreateNetwork,
    RemoveNetwork,
    ListNetworks,
    InspectNetwork,
    CreateVolume,
    RemoveVolume,
    ListVolumes,
    CreateContainer,
    StartContainer,
    InspectContainer,
    StopContainer,
    KillContainer,
    RemoveContainer,
    ListContainers,
    Events,
    Logs,
    Attach,
    CreateExec,
    StartExec,
    InspectExec,
}

impl Call {
    /// Returns the name by which the Docker implementation calls it in its errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Info => "info",
            Self::ListImages => "list images",
            Self::InspectImage => "inspect image",
            Self::RemoveImage => "remove image",
            Self::PruneBuildCache => "prune build cache",
            Self::ImageHistory => "image history",
            Self::TagImage => "tag image",
            Self::Pull => "pull",
            Self::Platforms => "inspect registry image",
            Self::CreateNetwork => "create network",
            Self::RemoveNetwork => "remove network",
            Self::ListNetworks => "list networks",
            Self::InspectNetwork => "inspect network",
            Self::CreateVolume => "create volume",
            Self::RemoveVolume => "remove volume",
            Self::ListVolumes => "list volumes",
            Self::CreateContainer => "create container",
            Self::StartContainer => "start container",
            Self::InspectContainer => "inspect container",
            Self::StopContainer => "stop container",
            Self::KillContainer => "kill container",
            Self::RemoveContainer => "remove container",
            Self::ListContainers => "list containers",
            Self::Events => "events",
            Self::Logs => "read container log",
            Self::Attach => "attach",
            Self::CreateExec => "create exec",
            Self::StartExec => "start exec",
            Self::InspectExec => "inspect exec",
        }
    }
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Which.
    pub call: Call,
    /// On what: a name, an image's reference, the container of an exec, an exec's ID, or `LABEL=VALUE`.
    pub object: String,
    /// When.
    pub at: Instant,
}

/// What happens to a call instead of what should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is refused, and does nothing.
    Error(EngineError),
    /// It is never answered, and does nothing.
    Silence,
    /// It is done, but the connection breaks before the answer.
    LostAnswer,
}

/// What calls were made, and what shall happen to later ones.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) made: Vec<Called>,
    pub(super) faults: Vec<(Call, String, Fault)>,
    pub(super) delays: Vec<(Call, Duration)>,
    /// How many calls are still let in; `None`: all.
    pub(super) left: Option<usize>,
}

impl Calls {
    /// Takes note of a call; `false`: its client was killed before it.
    fn let_in(&mut self, call: Call, object: &str) -> bool {
        match &mut self.left {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        self.made.push(Called { call, object: object.to_owned(), at: Instant::now() });
        true
    }

    fn fault(&mut self, call: Call, object: &str) -> Option<Fault> {
        let at =
            self.faults.iter().position(|(c, ending, _)| *c == call && object.ends_with(ending.as_str()))?;
        Some(self.faults.remove(at).2)
    }

    fn delay(&self, call: Call) -> Duration {
        self.delays.iter().rev().find(|(c, _)| *c == call).map_or(Duration::ZERO, |(_, delay)| *delay)
    }
}

/// Returns the error for a connection that broke.
pub(super) fn lost(call: &str) -> EngineError {
    EngineError::Lost { call: call.to_owned(), reason: "connection reset by peer".to_owned() }
}

impl Fake {
    /// Lets a call in and does its work in the engine's own time: it is done even if the client goes away meanwhile.
    pub(super) async fn serve<T, W>(&self, call: Call, object: &str, work: W) -> Result<T, EngineError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, EngineError>> + Send + 'static,
    {
        if !self.change(|state| state.calls.let_in(call, object)) {
            std::future::pending::<()>().await;
        }
        let (fault, delay, timeout) =
            self.look(|state| (state.calls.fault(call, object), state.calls.delay(call), state.timeout));
        if !self.is_up() {
            return Err(EngineError::Unreachable {
                endpoint: "fake://".to_owned(),
                reason: "Connection refused (os error 111)".to_owned(),
            });
        }
        let (answer, answered) = oneshot::channel();
        let engine = self.clone();
        tokio::spawn(async move {
            let done = async {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                match fault {
                    Some(Fault::Error(error)) => Some(Err(error)),
                    Some(Fault::Silence) => std::future::pending().await,
                    Some(Fault::LostAnswer) => work.await.err().map(Err),
                    None => Some(work.await),
                }
            };
            tokio::select! {
                biased;
                () = engine.down() => {}
                done = done => if let Some(done) = done { let _ = answer.send(done); },
            }
        });
        tokio::select! {
            biased;
            answer = answered => answer.unwrap_or_else(|_| Err(lost(call.name()))),
            () = tokio::time::sleep(timeout) => {
                Err(EngineError::Timeout { call: call.name().to_owned(), seconds: timeout.as_secs() })
            }
        }
    }
}
