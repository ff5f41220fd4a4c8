//! The [`Engine`] trait and the values that cross it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncWrite;

use super::error::EngineError;
use super::info::EngineInfo;
use super::moment::Moment;
use super::progress::PullEvent;
use crate::image::{HistoryEntry, ImageFacts, Platform};
use crate::plan::spec::{ContainerSpec, ExecSpec, NetworkSpec, VolumeSpec};
use crate::secret::Secret;

/// What an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// Its name and version, for people.
    pub name: String,
    /// The API version in use, such as `1.41`.
    pub api: String,
    /// Its operating system, such as `linux`.
    pub os: String,
    /// Its architecture in Go's words, such as `arm64`.
    pub arch: String,
}

/// A login to a registry, as the engine takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// The user name; empty with an identity token.
    pub username: String,
    /// The password; empty with an identity token.
    pub password: Secret,
    /// An OAuth token; empty with user and password.
    pub identity_token: Secret,
    /// The registry's address.
    pub server: String,
}

/// An image to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// The full reference with tag or digest.
    pub reference: String,
    /// The platform; empty: the engine's own.
    pub platform: String,
    /// The login; `None`: anonymous.
    pub login: Option<RegistryLogin>,
}

/// Whether something had to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// Made, with warnings the engine gave.
    Made(Created),
    /// The name is taken by an object of an earlier attempt.
    NameTaken,
    /// The image is not on this host (any more).
    ImageMissing,
}

/// An object just made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// The engine's ID for it.
    pub id: String,
    /// What the engine could not do as asked.
    pub warnings: Vec<String>,
}

/// The answer to a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone now.
    Removed,
    /// It was gone before.
    Gone,
    /// Something uses it, or it is being removed by somebody else.
    InUse,
}

/// The answer to a wish that an image have one more name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagging {
    /// It has the name; an image that had it before lost it.
    Tagged,
    /// The image is not on this host (any more).
    ImageMissing,
}

/// The health of a container whose image has a HEALTHCHECK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No check is configured.
    None,
    /// Not decided yet.
    Starting,
    /// The check passes.
    Healthy,
    /// The check fails.
    Unhealthy,
}

/// The state of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerState {
    /// The engine's ID.
    pub id: String,
    /// Whether its main process runs.
    pub running: bool,
    /// Whether it was created and never started.
    pub fresh: bool,
    /// Whether the engine is removing it; it may still run for a moment.
    pub removing: bool,
    /// The main process's exit code, where it ended.
    pub exit_code: i64,
    /// When the main process last ended; `None`: it never did, or runs.
    pub ended: Option<Moment>,
    /// Whether the engine saw the main process killed for lack of memory.
    pub oom_killed: bool,
    /// What the engine says about a failed start; empty for nothing.
    pub error: String,
    /// Its health.
    pub health: Health,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The user it was created with; empty: root.
    pub user: String,
    /// Its address on each network: network name to IPv4 address.
    pub addresses: BTreeMap<String, String>,
    /// The memory limit in bytes; 0: none.
    pub memory: i64,
}

/// A container in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSummary {
    /// The engine's ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The image as its creation named it; the ID where that name means another image now.
    pub image: String,
    /// The engine's ID of its image.
    pub image_id: String,
    /// Whether its main process runs.
    pub running: bool,
    /// When it was created, since the epoch by the engine's clock.
    pub created: Duration,
}

/// An image in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The engine's ID.
    pub id: String,
    /// Its names with a tag, as the engine writes them.
    pub tags: Vec<String>,
    /// Its names with a digest, `repository@sha256:…`, as the engine writes them. containerd's store lists the digest of one
    /// of its names only; [`Engine::image`] tells all.
    pub digests: Vec<String>,
    /// All that it holds, in bytes, as the engine counts it: what it shares with other images too, and with containerd's
    /// store both blobs and unpacked layers, where [`ImageFacts::bytes`] has the blobs alone.
    pub bytes: u64,
    /// When it was built, since the epoch; zero: it does not say.
    pub created: Duration,
}

/// A network or a volume in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// The engine's ID; a volume's is its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was created, since the epoch by the engine's clock; `None`: it does not say.
    pub created: Option<Duration>,
}

/// What an event happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// An image.
    Image,
    /// A container.
    Container,
    /// A volume.
    Volume,
    /// Anything else.
    Other,
}

/// Something that happened on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// To what kind of thing.
    pub kind: EventKind,
    /// What happened, in Docker's words: `pull`, `tag`, `untag`, `delete` of images, `create`, `start`, `die`, `destroy` of
    /// containers, `create`, `destroy` of volumes, and others.
    pub action: String,
    /// The thing's ID; of a pull the name that was pulled, of a volume its name.
    pub id: String,
    /// A container's labels, between other things that the engine says of it.
    pub labels: BTreeMap<String, String>,
}

/// Which part of a container's log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogsRequest {
    /// Only lines since this many seconds after the epoch; 0: all.
    pub since: i64,
    /// Only the last lines; `None`: all.
    pub tail: Option<u32>,
    /// Whether to go on with new lines.
    pub follow: bool,
    /// Whether each line starts with its time.
    pub timestamps: bool,
}

/// Bytes of a container's or exec's output, stdout and stderr in the order the engine gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Whether they were written to stderr.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// What happens on the engine, from now on until the connection ends.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, EngineError>>>>;
/// A stream of output.
pub type Output = Pin<Box<dyn Stream<Item = Result<Chunk, EngineError>>>>;
/// The way to a process's stdin; shutting it down is the end of its input.
pub type Input = Pin<Box<dyn AsyncWrite>>;

/// Both ends of an attached container.
pub struct Attached {
    /// What it prints.
    pub output: Output,
    /// Its stdin.
    pub input: Input,
}

/// A command started in a container.
pub struct ExecRunning {
    /// The engine's ID for it.
    pub id: String,
    /// What it prints.
    pub output: Output,
    /// Its stdin.
    pub input: Input,
}

/// The state of a command in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecState {
    /// Whether it still runs.
    pub running: bool,
    /// Its exit code; `None` while it runs or where the engine lost it.
    pub exit_code: Option<i64>,
}

/// A container engine. One method is one API call, unless it says otherwise.
#[expect(async_fn_in_trait, reason = "hearth runs on one thread; no future has to be Send")]
pub trait Engine {
    /// Returns where the engine is, as it was configured; no call.
    fn endpoint(&self) -> &str;

    /// Returns what the engine is, and settles the API version on the first call.
    async fn version(&self) -> Result<EngineVersion, EngineError>;

    /// Returns what the engine says of its store and its registries.
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// Returns when the engine began: a container that had ended by then was not ended under this engine's eyes, but by
    /// its restart. `None`: it does not tell (Docker without a default bridge), or containers live without it (Podman).
    async fn began(&self) -> Result<Option<Moment>, EngineError>;

    /// Returns an image's facts; `None` if it is not on this host.
    async fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError>;

    /// Pulls an image, telling of its progress. A failure inside the stream is [`EngineError::Refused`] with status 0.
    async fn pull(
        &self,
        request: &PullRequest,
        on_event: &mut dyn FnMut(PullEvent),
    ) -> Result<(), EngineError>;

    /// Returns an image's history, oldest entry first; `None` if it is not on this host. With the facts' diff IDs it makes
    /// the image's [`layers`](crate::image::layers).
    async fn image_history(&self, reference: &str) -> Result<Option<Vec<HistoryEntry>>, EngineError>;

    /// Gives an image (by tag, digest or ID) one more name with a tag.
    async fn tag(&self, source: &str, target: &str) -> Result<Tagging, EngineError>;

    /// Returns all images, without those that are only layers of others.
    async fn images(&self) -> Result<Vec<ImageSummary>, EngineError>;

    /// Takes one name from an image, never by force: its content goes with the last name, but not while a container has
    /// it. An ID removes an image of at most one name. [`Removal::InUse`]: it stays as it is.
    async fn remove_image(&self, name: &str) -> Result<Removal, EngineError>;

    /// Removes the oldest of the build cache until `keep` bytes are left; how many bytes went. `None`: the engine has no
    /// such cache (Podman).
    async fn prune_build_cache(&self, keep: u64) -> Result<Option<u64>, EngineError>;

    /// Asks the registry, through the engine, which platforms an image has; empty: the engine cannot ask (Podman).
    async fn platforms(&self, request: &PullRequest) -> Result<Vec<Platform>, EngineError>;

    /// Creates a network (two calls where an older engine makes a second one of a name that is taken, or has no
    /// IPv6 addresses of its own).
    async fn create_network(&self, spec: &NetworkSpec) -> Result<Creation, EngineError>;

    /// Removes a network by name or ID.
    async fn remove_network(&self, name: &str) -> Result<Removal, EngineError>;

    /// Returns the IDs of networks with a label.
    async fn networks_labelled(&self, label: &str, value: &str) -> Result<Vec<String>, EngineError>;

    /// Returns all networks of jobs: those with the label [`LABEL_JOB`](crate::job::names::LABEL_JOB), whatever its value.
    async fn networks(&self) -> Result<Vec<ObjectSummary>, EngineError>;

    /// Creates a volume, or finds the one of that name.
    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), EngineError>;

    /// Removes a volume.
    async fn remove_volume(&self, name: &str) -> Result<Removal, EngineError>;

    /// Returns the names of volumes with a label.
    async fn volumes_labelled(&self, label: &str, value: &str) -> Result<Vec<String>, EngineError>;

    /// Returns all volumes that hearth made: those with the label [`LABEL_ROLE`](crate::job::names::LABEL_ROLE), whatever its value.
    async fn volumes(&self) -> Result<Vec<ObjectSummary>, EngineError>;

    /// Creates a container.
    async fn create_container(&self, spec: &ContainerSpec) -> Result<Creation, EngineError>;

    /// Starts a container; one that runs already is fine.
    async fn start_container(&self, name: &str) -> Result<(), EngineError>;

    /// Returns a container's state; `None` if it does not exist.
    async fn container(&self, name: &str) -> Result<Option<ContainerState>, EngineError>;

    /// Stops a container: TERM to its main process, KILL after `grace`. Waits for its end; gone or stopped is fine.
    async fn stop_container(&self, name: &str, grace: Duration) -> Result<(), EngineError>;

    /// Kills a container's main process and with it all others; gone or stopped is fine.
    async fn kill_container(&self, name: &str) -> Result<(), EngineError>;

    /// Removes a container, running or not, with its anonymous volumes.
    async fn remove_container(&self, name: &str) -> Result<Removal, EngineError>;

    /// Returns all containers with a label, stopped ones too.
    async fn containers_labelled(
        &self,
        label: &str,
        value: &str,
    ) -> Result<Vec<ContainerSummary>, EngineError>;

    /// Returns all containers, stopped ones too, whoever made them.
    async fn containers(&self) -> Result<Vec<ContainerSummary>, EngineError>;

    /// Listens to what happens to images, containers and volumes (two calls: a second one tells that the engine is there).
    async fn events(&self) -> Result<Events, EngineError>;

    /// Returns a container's log.
    async fn logs(&self, name: &str, request: &LogsRequest) -> Result<Output, EngineError>;

    /// Attaches to a container's main process, which may not have been started yet.
    async fn attach(&self, name: &str) -> Result<Attached, EngineError>;

    /// Starts a command in a running container (two calls).
    async fn exec(&self, container: &str, spec: &ExecSpec) -> Result<ExecRunning, EngineError>;

    /// Returns the state of a command.
    async fn exec_state(&self, id: &str) -> Result<ExecState, EngineError>;
}
