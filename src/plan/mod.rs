//! What shall exist for a job: values without choices. Pure.

pub mod spec;
