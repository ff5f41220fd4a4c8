//! `[cache]` and `[daemon]`: what the host keeps, and how it is looked after.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::image::Patterns;
use crate::policy::Score;
use crate::units::ByteSize;

/// `[cache]`: which images stay on this host.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheSettings {
    /// Removes images that pass the marks.
    pub evict: bool,
    /// Which images may go.
    pub scope: Scope,
    /// What images may take in all: eviction starts above the first and stops at the second. `None`: no limit.
    pub images: Option<Marks<ByteSize>>,
    /// What shall be free where images lie: eviction starts below the first and stops at the second. `None`: no limit.
    pub free: Option<Marks<Amount>>,
    /// Inodes that shall be free there, in the same way.
    pub free_inodes: Option<Marks<Amount>>,
    /// The rule that ranks images.
    pub rule: Rule,
    /// For how long an image stays after it came.
    pub minimum_age: Duration,
    /// For how long an image stays that a build left without a name.
    pub keep_dangling: Duration,
    /// For how long an image stays unused that was built here and has a name; `None`: for ever.
    pub keep_local: Option<Duration>,
    /// What the engine's build cache may take; `None`: it is left alone.
    pub build_cache: Option<ByteSize>,
    /// For how long the volumes of a project stay that runs no jobs; `None`: for ever.
    pub keep_volumes: Option<Duration>,
    /// Globs of images that stay in any case, the pins of `[[prefetch.images]]` included.
    pub pins: Patterns,
    /// The directory where the engine keeps images, as hearth sees it; `None`: the engine is asked.
    pub data_root: Option<PathBuf>,
}

/// Which images may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Those that hearth pulled, or that jobs used.
    #[default]
    Used,
    /// All that the engine has.
    All,
}

impl Scope {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::All => "all",
        }
    }
}

/// Where eviction starts and where it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks<T> {
    /// Where it starts.
    pub start: T,
    /// Where it stops.
    pub stop: T,
}

/// An amount, as such or as a part of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// That many.
    Number(u64),
    /// So many hundredths of the whole.
    Percent(u8),
}

impl Amount {
    /// Returns it as a number.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => (u128::from(whole) * u128::from(percent) / 100) as u64,
        }
    }
}

/// The rule that ranks images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The one that would have served this host best in its last weeks; until that is known, the usual one.
    Auto,
    /// Always the same.
    Fixed(Score),
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Fixed).map_err(|bad: crate::policy::score::BadScore| format!("{bad}, auto"))
    }
}

/// `[daemon]`: how `hearth daemon` looks after the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    /// How often it looks at images and at what jobs left behind, if nothing else makes it look.
    pub interval: Duration,
    /// How often it looks how full the disk is.
    pub watch: Duration,
    /// After which time a job counts as dead whatever says otherwise.
    pub longest_job: Duration,
}

#[cfg(test)]
mod tests {
    use super::{Amount, Rule};
    use crate::policy::Score;

    #[test]
    fn a_part_of_a_disk_of_any_size_is_exact() {
        assert_eq!(Amount::Percent(10).of(u64::MAX), u64::MAX / 10);
        assert_eq!(Amount::Percent(15).of(1000), 150);
        assert_eq!(Amount::Number(7).of(1000), 7);
    }

    #[test]
    fn rules_are_known_by_their_names() {
        assert_eq!("auto".parse(), Ok(Rule::Auto));
        assert_eq!("lru".parse(), Ok(Rule::Fixed(Score::Lru)));
        let problem = "best".parse::<Rule>().unwrap_err();
        assert!(problem.contains("lru") && problem.ends_with("auto"), "{problem}");
    }
}
