//! The commands that look at this host, as the command line has them.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use super::desk::Desk;
use super::{evict, explain, images, pin, status, why_cold};
use crate::engine::Engine;

/// A command that looks at this host.
#[derive(Debug, Clone, Subcommand)]
pub enum HostCommand {
    /// Shows the images on this host, what each is worth, and what would go next
    Images(images::ImagesArgs),
    /// Says why an image is kept or would go, and what it would take to keep it
    Explain(explain::ExplainArgs),
    /// Says how a job came to its images, and why any of them was not here
    WhyCold(why_cold::WhyColdArgs),
    /// Makes room now if a limit is reached, as the daemon does
    Evict(evict::EvictArgs),
    /// Keeps images on this host whatever the disk says
    Pin(pin::PinArgs),
    /// Takes pins back
    Unpin(pin::UnpinArgs),
    /// Shows how engine, store, disk and daemon are, and how warm jobs were
    Status(status::StatusArgs),
}

impl HostCommand {
    /// Returns the settings file that was named.
    pub fn config(&self) -> Option<PathBuf> {
        match self {
            Self::Images(args) => args.config.clone(),
            Self::Explain(args) => args.config.clone(),
            Self::WhyCold(args) => args.config.clone(),
            Self::Evict(args) => args.config.clone(),
            Self::Pin(args) => args.config.clone(),
            Self::Unpin(args) => args.config.clone(),
            Self::Status(args) => args.config.clone(),
        }
    }

    /// Runs it and returns its exit code: 0, or 2 if it could not do what was asked, with what is wrong on `err`.
    pub async fn run<E: Engine>(&self, desk: &Desk<'_, E>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
        match self {
            Self::Images(args) => images::run(args, desk, out, err).await,
            Self::Explain(args) => explain::run(args, desk, out, err).await,
            Self::WhyCold(args) => why_cold::run(args, desk, out, err),
            Self::Evict(args) => evict::run(args, desk, out, err).await,
            Self::Pin(args) => pin::pin(args, desk, out, err).await,
            Self::Unpin(args) => pin::unpin(args, desk, out, err),
            Self::Status(args) => status::run(args, desk, out, err).await,
        }
    }
}
