//! Which image a job means, whether it may have it, and with whose credentials it is fetched.
//!
//! Pure rules: nothing here knows the engine, the registry, the file system, the environment or the clock. The rules
//! are those of GitLab's docker executor; where this driver is stricter, the item says so.

mod allow;
mod answer;
mod auth;
pub mod decide;
mod docker_config;
pub mod index;
mod layers;
mod local;
mod mirror;
mod platform;
pub mod proof;
mod reference;
mod refusal;
mod resolved;
mod step;

pub use allow::{
    BadPattern, Patterns, ProjectPatterns, check_image, decide_policies, decide_service_user, decide_user,
    may_pull,
};
pub use answer::Answer;
pub use auth::{AuthBook, AuthSources, Credentials, Lookup, PayloadCredential, Source};
pub use layers::{Compressed, HistoryEntry, LayerFact, chain_ids, layers, own_bytes, unique_bytes};
pub use mirror::Mirrors;
pub use platform::{BadPlatform, Fit, Platform, list_platforms};
pub use reference::{BadReference, ImageRef};
pub use resolved::{ImageFacts, ResolvedImage};
