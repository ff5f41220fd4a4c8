//! What a test may decide a command does.

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is a container's main process.
    Main,
    /// It is a stage's script; the fake has read all of it.
    Stage,
    /// It is any other exec, or a shell that reads a script from stdin.
    Exec,
}

/// A command that is about to run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Where.
    pub place: Place,
    /// The container's name.
    pub container: &'a str,
    /// The image's name, as the container's spec has it.
    pub image: &'a str,
    /// The command.
    pub argv: &'a [String],
    /// Variables added by the exec, or the container's own for a main process.
    pub env: &'a [String],
    /// The user of the exec; empty: the container's.
    pub user: &'a str,
    /// A stage's script; empty for others, which read with [`Behaviour::then`](super::Behaviour::then).
    pub stdin: &'a [u8],
}
