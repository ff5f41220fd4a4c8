//! On which occasion images go, and what that asks for.

/// Why eviction is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Time has passed.
    Tick,
    /// Something was pulled.
    AfterPull,
    /// A pull is about to begin that needs so many bytes: compressed ones for a while, and unpacked ones that are missing.
    BeforePull {
        /// The bytes.
        bytes: u64,
    },
    /// The engine said that there is no space left.
    NoSpace {
        /// The bytes that were asked for; 0: not known.
        bytes: u64,
    },
    /// An operator asked for it.
    Command,
}
