//! The container engine: one narrow trait in our own words, and the Docker API behind it.
//!
//! An edge: it talks to the engine's socket and to nothing else. "Gone" and "in use" are answers, not errors. What an
//! engine refuses because of what the *job* asked for is told apart from what is wrong with the host in [`refusal`].

mod api;
mod client;
mod convert;
mod docker;
mod error;
#[cfg(feature = "fake-engine")]
pub mod fake;
mod info;
mod listing;
mod moment;
mod podman;
mod progress;
pub mod refusal;

pub use api::{
    Attached, Chunk, ContainerState, ContainerSummary, Created, Creation, Engine, EngineVersion, Event,
    EventKind, Events, ExecRunning, ExecState, Health, ImageSummary, Input, LogsRequest, ObjectSummary,
    Output, PullRequest, RegistryLogin, Removal, Tagging,
};
pub use client::{API_HINT_FILE, Docker, MINIMUM_API, endpoint};
pub use error::EngineError;
pub use info::{EngineInfo, InsecureRegistries, StoreKind};
pub use moment::Moment;
pub use progress::{Progress, PullEvent, PullMeter, PullTotals, PulledLayer};
