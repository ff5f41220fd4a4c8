//! What shall exist for a job, and what shall run in it: values without choices.
//!
//! Pure: a plan is made from the job, the settings and what is known of the images; acting on it decides nothing.
//! [`wish`] says which images a job gets, [`job`] which network, volumes and containers, [`script`] which small shell
//! programs run in them, [`spec`] is the vocabulary.

pub mod containers;
pub mod job;
pub mod script;
pub mod spec;
pub mod wish;

pub use containers::Context;
pub use job::{
    Ground, JobImages, JobPlan, Readiness, ServicePlan, effective_entrypoint, is_below, reaches_engine,
    stage_options,
};
pub use wish::{ImageWish, ServiceWish, Wishes, check_platform, wrong_platform};
