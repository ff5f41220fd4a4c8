//! The four stages that GitLab Runner calls, one file of straight-line code each.
//!
//! A shell: a stage parses ([`crate::job`]), decides ([`crate::image`], [`crate::plan`]) and acts
//! ([`crate::engine`]); it ends well or in one [`crate::outcome::Failure`]. Stages share no state but the engine and hints in
//! the attempt's directory ([`hint`]), and none needs the hints.

pub mod apply;
pub mod around;
pub mod begin;
pub mod cleanup;
pub mod config;
pub mod courier;
pub mod ended;
pub mod exec;
pub mod found;
pub mod handover;
pub mod hint;
pub mod leases;
pub mod output;
pub mod prepare;
pub mod removal;
pub mod run;
pub mod service_logs;
pub mod services;

pub use around::Around;
pub use begin::Begun;
pub use courier::Courier;
