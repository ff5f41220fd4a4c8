//! The arguments of `hearth simulate` and how they are written.

use std::path::PathBuf;
use std::str::FromStr;

use crate::policy::Score;
use crate::units::ByteSize;

/// The arguments of `hearth simulate`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SimulateArgs {
    /// A trace instead of this host's own history: one JSON object a line, plain or gzipped (docs/policy.md has the format)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// The settings file, which may say where this host's history is, instead of the usual one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How much images may take: sizes such as 8g, or shares of the working set such as 0.5ws [default: this host's own
    /// images_high, for its own history; 0.3ws 0.5ws 0.7ws 0.9ws]
    #[arg(long = "budget", value_name = "B", num_args = 1.., value_delimiter = ',')]
    pub budgets: Vec<Budget>,
    /// Rules to compare: lru, lfu-da, gdsf, layer-gdsf, decayed, decayed:DAYS, foreseen
    #[arg(long = "policy", value_name = "P", num_args = 1.., value_delimiter = ',', default_values = ["lru", "layer-gdsf", "decayed", "foreseen"])]
    pub policies: Vec<Score>,
    /// Look for moved tags this often and pull them ahead of jobs, such as 30m or 6h
    #[arg(long, value_name = "T")]
    pub poll: Option<Span>,
    /// Bring images back before jobs use them again, by schedule and history, while no job runs
    #[arg(long)]
    pub prefetch: bool,
    /// Names that are on the list of what to bring ahead, as the trace or this host's jobs write them
    #[arg(long = "list", value_name = "IMAGE", num_args = 1.., value_delimiter = ',')]
    pub listed: Vec<String>,
    /// Leave out the jobs before this time after the first one, such as 28d
    #[arg(long, value_name = "T")]
    pub from: Option<Span>,
    /// Leave out the jobs from this time after the first one on
    #[arg(long, value_name = "T")]
    pub to: Option<Span>,
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,
}

impl SimulateArgs {
    /// Fills in the budgets where none are named; `own` is what images may take on this host.
    #[must_use]
    pub fn with_budgets(mut self, own: Option<ByteSize>) -> Self {
        if self.budgets.is_empty() {
            let own = own.filter(|_| self.trace.is_none()).map(Budget::Bytes);
            self.budgets = own.into_iter().chain(USUAL.map(Budget::Share)).collect();
        }
        self
    }
}

/// The shares of the working set that are usually compared.
const USUAL: [f64; 4] = [0.3, 0.5, 0.7, 0.9];

/// How much images may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// So many bytes.
    Bytes(ByteSize),
    /// This share of the working set.
    Share(f64),
}

impl Budget {
    /// Returns the bytes.
    pub fn bytes(self, working_set: u64) -> u64 {
        match self {
            Self::Bytes(size) => size.0,
            Self::Share(share) => (share * working_set as f64) as u64,
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("{text:?} is no budget: write a size such as 8g, or a share such as 0.5ws");
        match text.strip_suffix("ws") {
            Some(share) => {
                let share = share.parse().ok().filter(|share| (0.0..=1000.0).contains(share));
                share.map(Self::Share).ok_or_else(bad)
            }
            None => text.parse().map(Self::Bytes).map_err(|_| bad()),
        }
    }
}

/// A span of time in seconds, written with s, m, h or d.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span(pub f64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
        let found = units.iter().find_map(|(unit, seconds)| text.strip_suffix(unit).map(|n| (n, seconds)));
        let span = found.and_then(|(number, seconds)| Some(number.parse::<f64>().ok()? * seconds));
        span.filter(|span| (0.0..1e10).contains(span)).map(Self).ok_or_else(|| {
            format!("{text:?} is no span of time: write a number with s, m, h or d, such as 30m")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, SimulateArgs, Span};
    use crate::units::ByteSize;

    #[test]
    fn a_hosts_own_budget_is_compared_first_with_its_own_history() {
        let own = Some(ByteSize(8 << 30));
        let host = SimulateArgs::default().with_budgets(own).budgets;
        assert_eq!((host[0], host[1], host.len()), (Budget::Bytes(ByteSize(8 << 30)), Budget::Share(0.3), 5));
        let trace = SimulateArgs { trace: Some("t".into()), ..SimulateArgs::default() };
        assert_eq!(trace.with_budgets(own).budgets.len(), 4);
        let named = SimulateArgs { budgets: vec![Budget::Share(0.4)], ..SimulateArgs::default() };
        assert_eq!(named.with_budgets(own).budgets, [Budget::Share(0.4)]);
    }

    #[test]
    fn budgets_and_spans_are_read_as_people_write_them() {
        assert_eq!("0.5ws".parse(), Ok(Budget::Share(0.5)));
        assert_eq!("8g".parse(), Ok(Budget::Bytes(ByteSize(8 << 30))));
        assert_eq!("0".parse(), Ok(Budget::Bytes(ByteSize(0))));
        assert_eq!("30m".parse(), Ok(Span(1800.0)));
        assert_eq!("1.5d".parse(), Ok(Span(129_600.0)));
        for text in ["", "ws", "-1ws", "nanws", "1e9ws", "much"] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
        for text in ["", "30", "m", "-5m", "infs", "5 weeks"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
