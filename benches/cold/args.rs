//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures the first pipeline on a host: with nothing, with each kind of prefetch, and warm.
#[derive(Debug, Parser)]
#[command(name = "cold")]
pub(crate) struct Args {
    /// How large the images are and how long the jobs work, as a part of what is usual.
    #[arg(long, default_value_t = 0.25, value_parser = part)]
    pub scale: f64,
    /// What the link to the registry carries, in Mbit/s.
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    pub mbit: f64,
    /// How often the floor and the warm host are measured in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Only these cases, and the floor; all without it.
    #[arg(long, value_enum)]
    pub only: Vec<Case>,
    /// Writes the picture into a file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Writes what was measured into a file, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Measures this driver instead of the one just built.
    #[arg(long, value_name = "PROGRAM")]
    pub driver: Option<PathBuf>,
    /// Prints the jobs' logs and the daemon's journal.
    #[arg(long)]
    pub logs: bool,
    /// What `cargo bench` gives to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number: &f64| *number > 0.0 && number.is_finite())
        .ok_or_else(|| "a number above 0".into())
}

fn part(text: &str) -> Result<f64, String> {
    positive(text).and_then(|number| if number <= 1.0 { Ok(number) } else { Err("at most 1".into()) })
}

/// How a host stands when the pipeline begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Case {
    /// All images are here, and no registry is asked.
    Floor,
    /// Nothing is here and nothing is prefetched.
    None,
    /// The daemon brought what the operator listed.
    List,
    /// All images went after the pipeline ran; the daemon brought back what jobs use.
    History,
    /// Nothing is here; the daemon reads the checkout of the pipeline's first job.
    Scan,
    /// The pipeline ran here before.
    Warm,
}

impl Case {
    /// All cases, in the order in which they are told.
    pub(crate) const ALL: [Self; 6] =
        [Self::Floor, Self::None, Self::List, Self::History, Self::Scan, Self::Warm];

    /// Returns the case's short name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::None => "none",
            Self::List => "list",
            Self::History => "history",
            Self::Scan => "scan",
            Self::Warm => "warm",
        }
    }

    /// Returns what people call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Floor => "The floor",
            Self::None => "No cache",
            Self::List => "List",
            Self::History => "History",
            Self::Scan => "FROM scan",
            Self::Warm => "Warm",
        }
    }

    /// Says what the case is, in a few words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Floor => "all is here, no registry is asked",
            Self::None => "each job pulls what it needs",
            Self::List => "a new host, warmed by the list",
            Self::History => "all had gone, jobs' images came back",
            Self::Scan => "first pipeline, its checkout is read",
            Self::Warm => "the pipeline ran here before",
        }
    }
}

impl Args {
    /// Returns the cases to be measured.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let wanted = |case: &Case| *case == Case::Floor || self.only.is_empty() || self.only.contains(case);
        Case::ALL.into_iter().filter(wanted).collect()
    }
}
