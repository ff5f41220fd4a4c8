//! hearth: a GitLab Runner custom executor driver that keeps small hosts warm.
//!
//! The modules follow the way of one job. Pure modules decide and know nothing of the world ([`job`], [`image`],
//! [`plan`], [`policy`], [`scan`], [`units`], [`outcome`]); edges touch one part of the world each ([`settings`],
//! [`engine`], [`store`], [`registry`], [`notice`], [`host`]); shells join them ([`evict`], [`fetch`], [`stage`], [`runner`],
//! [`operator`], [`daemon`], [`prefetch`]). ARCHITECTURE.md
//! tells the whole.

pub mod cli;
pub mod daemon;
pub mod engine;
pub mod evict;
pub mod fetch;
pub mod host;
pub mod image;
pub mod job;
pub mod joblog;
pub mod moment;
pub mod notice;
pub mod operator;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod prefetch;
pub mod record;
pub mod registry;
pub mod runner;
pub mod scan;
pub mod secret;
pub mod settings;
pub mod stage;
pub mod store;
pub mod units;
