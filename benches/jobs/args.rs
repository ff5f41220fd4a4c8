//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures jobs against the raw API and against a plain docker driver.
#[derive(Debug, Parser)]
#[command(name = "jobs")]
pub(crate) struct Args {
    /// How often each job is run by each contender; the medians count.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Only these topics; all without it.
    #[arg(long, value_enum)]
    pub only: Vec<Topic>,
    /// Writes what was measured into a file, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Measures this driver instead of the one just built.
    #[arg(long, value_name = "PROGRAM")]
    pub driver: Option<PathBuf>,
    /// Prints the jobs' logs where one fails.
    #[arg(long)]
    pub logs: bool,
    /// What `cargo bench` gives to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topic {
    /// The size of the binary.
    Size,
    /// The memory of each stage process.
    Memory,
    /// API calls and container starts.
    Calls,
    /// The time of `hearth config`.
    Config,
    /// The time of whole jobs.
    Time,
}

impl Topic {
    /// All topics, in the order in which they are measured.
    pub(crate) const ALL: [Self; 5] = [Self::Size, Self::Memory, Self::Calls, Self::Config, Self::Time];

    /// Returns the topic's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Memory => "memory",
            Self::Calls => "calls",
            Self::Config => "config",
            Self::Time => "time",
        }
    }
}

impl Args {
    /// Returns whether a topic is to be measured.
    pub(crate) fn wants(&self, topic: Topic) -> bool {
        self.only.is_empty() || self.only.contains(&topic)
    }
}
