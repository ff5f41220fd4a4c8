//! What GitLab asked for: the job as the runner hands it over, parsed and checked once.
//!
//! Pure: no file, no engine, no clock. [`response`] reads the bytes of JOB_RESPONSE_FILE, [`mod@env`] the environment of a
//! stage process; [`spec`] joins them into the [`JobSpec`] that everything else sees. Identity, image, services,
//! credentials and policies come from the file; only what an author may set anyway comes from the environment.

pub mod ancestry;
pub mod env;
pub mod expand;
pub mod names;
pub mod owner;
pub mod response;
pub mod spec;
pub mod step;

pub use env::StageEnv;
pub use names::Names;
pub use owner::Owner;
pub use spec::{Feature, GitStrategy, ImageRequest, JobSpec, RegistryCredential, ServiceRequest};
pub use step::{Place, Step};
