//! The runner version that the stand-in pretends to be.

use std::fmt;
use std::str::FromStr;

/// A GitLab Runner release: decides which keys, variables and stages exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunnerVersion {
    /// The first number, such as 18 in 18.6.0.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

/// A text that is not a runner version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a runner version: write it as 18.6.0")]
pub struct BadRunnerVersion(pub String);

impl RunnerVersion {
    /// Makes a version from its three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Says whether this release is `major.minor` or later.
    pub fn since(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl Default for RunnerVersion {
    fn default() -> Self {
        Self::new(18, 6, 0)
    }
}

impl FromStr for RunnerVersion {
    type Err = BadRunnerVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadRunnerVersion(text.to_owned());
        let numbers: Vec<u32> = text
            .trim_start_matches('v')
            .split('.')
            .map(|part| part.parse().map_err(|_| bad()))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [major, minor] => Ok(Self::new(major, minor, 0)),
            [major, minor, patch] => Ok(Self::new(major, minor, patch)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for RunnerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::RunnerVersion;

    #[test]
    fn versions_are_read_and_compared_by_number() {
        let version: RunnerVersion = "17.11.2".parse().unwrap();
        assert_eq!(version, RunnerVersion::new(17, 11, 2));
        assert!(version.since(17, 9) && version.since(17, 11) && !version.since(18, 0));
        assert_eq!("v15.0".parse(), Ok(RunnerVersion::new(15, 0, 0)));
        for bad in ["", "18", "18.x.1", "1.2.3.4", "main"] {
            assert!(bad.parse::<RunnerVersion>().is_err(), "{bad}");
        }
    }
}
