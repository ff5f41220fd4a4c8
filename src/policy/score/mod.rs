//! What an image on the shelf is worth: one rule a file. The lowest rank goes first.

pub mod decayed_rate;
pub mod foreseen;
pub mod gdsf;
pub mod layer_gdsf;
pub mod lfu_da;
pub mod lru;

use std::fmt;
use std::str::FromStr;

use super::cost::Size;
use super::history::History;
use super::room::{Order, Usual};
use super::shelf::{Item, Shelf};
use foreseen::Foreseen;

const DAY: f64 = 86_400.0;

/// The rule that ranks images.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Score {
    /// Least recently used first.
    Lru,
    /// Least frequently used first, with dynamic ageing.
    LfuDa,
    /// Greedy-Dual-Size-Frequency over whole images, blind to shared layers.
    Gdsf,
    /// Greedy-Dual-Size-Frequency over the layers that would really go.
    LayerGdsf,
    /// Decayed rate of uses × seconds to pull what would go ÷ bytes it would free.
    DecayedRate {
        /// Seconds in which a use counts half.
        half_life: f64,
    },
    /// Foreseen next use × seconds to pull what would go ÷ bytes it would free, as far as they are needed.
    #[default]
    Foreseen,
}

/// A text that names no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rule: lru, lfu-da, gdsf, layer-gdsf, decayed, decayed:DAYS, foreseen")]
pub struct BadScore(String);

impl Score {
    /// The half-life of the decayed rate where none is given, in seconds. 3 to 14 days are nearly alike.
    pub const HALF_LIFE: f64 = 7.0 * DAY;

    /// Returns seconds in which a tag's rate halves under this rule.
    pub fn half_life(self) -> f64 {
        if let Self::DecayedRate { half_life } = self { half_life.max(1.0) } else { Self::HALF_LIFE }
    }

    /// Returns the memory that this rule needs.
    pub fn history(self, tags: usize) -> History {
        History::new(tags, self.half_life(), self == Self::Foreseen)
    }

    /// Returns what to note on an image when it is used. `uses` counts its tag's uses, this one included; `inflation` is
    /// the rank of what went last.
    pub fn priority(self, shelf: &Shelf, item: &Item, uses: f64, inflation: f64) -> f64 {
        match self {
            Self::LfuDa => lfu_da::priority(uses, inflation),
            Self::Gdsf => gdsf::priority(shelf, item, uses, inflation),
            Self::LayerGdsf => layer_gdsf::priority(shelf, item, uses, inflation),
            Self::Lru | Self::DecayedRate { .. } | Self::Foreseen => 0.0,
        }
    }

    /// Says whether [`Score::priority`] has anything to note.
    pub fn notes(self) -> bool {
        matches!(self, Self::LfuDa | Self::Gdsf | Self::LayerGdsf)
    }
}

impl FromStr for Score {
    type Err = BadScore;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "lru" => Self::Lru,
            "lfu-da" => Self::LfuDa,
            "gdsf" => Self::Gdsf,
            "layer-gdsf" => Self::LayerGdsf,
            "decayed" => Self::DecayedRate { half_life: Self::HALF_LIFE },
            "foreseen" => Self::Foreseen,
            other => {
                let days = other.strip_prefix("decayed:").map(|days| days.trim_end_matches('d'));
                let days = days.and_then(|days| days.parse::<f64>().ok());
                match days.filter(|days| (0.01..=1000.0).contains(days)) {
                    Some(days) => Self::DecayedRate { half_life: days * DAY },
                    None => return Err(BadScore(text.to_owned())),
                }
            }
        })
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lru => f.pad("lru"),
            Self::LfuDa => f.pad("lfu-da"),
            Self::Gdsf => f.pad("gdsf"),
            Self::LayerGdsf => f.pad("layer-gdsf"),
            Self::DecayedRate { half_life } if *half_life == Self::HALF_LIFE => f.pad("decayed"),
            Self::DecayedRate { half_life } => f.pad(&format!("decayed:{}d", half_life / DAY)),
            Self::Foreseen => f.pad("foreseen"),
        }
    }
}

/// A rule at work on one moment's history.
pub struct Ranking<'a> {
    score: Score,
    history: &'a History,
    now: f64,
    foreseen: Option<Foreseen>,
}

impl<'a> Ranking<'a> {
    /// Prepares the rule for this moment.
    pub fn new(score: Score, history: &'a History, shelf: &Shelf, now: f64) -> Self {
        let foreseen = (score == Score::Foreseen).then(|| Foreseen::new(history, shelf, now));
        Self { score, history, now, foreseen }
    }
}

impl Order for Ranking<'_> {
    fn tidies(&self) -> bool {
        self.score != Score::Lru
    }

    fn packs(&self) -> bool {
        self.score == Score::Foreseen
    }

    fn rank(&mut self, shelf: &Shelf, item: &Item, frees: Size, usual: Usual) -> f64 {
        match (self.score, &self.foreseen) {
            (Score::DecayedRate { .. }, _) => decayed_rate::rank(self.history, item, frees, self.now),
            (Score::Foreseen, Some(foreseen)) => foreseen.rank(shelf, item, frees, usual),
            (Score::LfuDa | Score::Gdsf | Score::LayerGdsf, _) => item.priority,
            (Score::Lru | Score::Foreseen, _) => lru::rank(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Score;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in
            ["lru", "lfu-da", "gdsf", "layer-gdsf", "decayed", "decayed:3d", "decayed:0.5d", "foreseen"]
        {
            assert_eq!(text.parse::<Score>().map(|score| score.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "LRU", "decayed:", "decayed:-1", "decayed:0", "decayed:nan", "best"] {
            assert!(text.parse::<Score>().is_err(), "{text}");
        }
    }
}
