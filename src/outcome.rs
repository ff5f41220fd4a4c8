//! Whose fault a failure is, and how it is told to GitLab Runner.
//!
//! Every failure is classified where it arises. A stage ends well or in one [`Failure`]; `cli` turns that into the number
//! that the runner asked for.

use std::fmt;

/// Whose fault a failure is; decides the exit class and with it whether GitLab Runner tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The job asked for something that cannot be had, or its script failed: the author has to act.
    Job,
    /// The host, the engine, the network or hearth itself failed: the operator has to act, or a retry may help.
    System,
}

/// A failure: whose fault, what happened to what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is.
    pub fault: Fault,
    /// What happened and to what: one sentence without a final stop.
    pub message: String,
    /// What the reader can do, one line each.
    pub hints: Vec<String>,
    /// The exit code of the job's script; `None` where no script ran or the code is not known.
    pub exit_code: Option<u8>,
    /// Whether the runner says it anyway: a script that failed needs no line of ours.
    pub quiet: bool,
    /// Whether the engine may still be doing what it gave no answer for.
    pub unanswered: bool,
    /// Whether it is that the engine's disk is full.
    pub no_space: bool,
}

impl Failure {
    /// Makes a failure that the job's author has to mend.
    pub fn job(message: impl Into<String>) -> Self {
        Self::new(Fault::Job, message.into())
    }

    /// Makes a failure of the host, the engine or hearth itself.
    pub fn system(message: impl Into<String>) -> Self {
        Self::new(Fault::System, message.into())
    }

    fn new(fault: Fault, message: String) -> Self {
        Self {
            fault,
            message,
            hints: Vec::new(),
            exit_code: None,
            quiet: false,
            unanswered: false,
            no_space: false,
        }
    }

    /// Marks a failure that the runner reports well enough by itself.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Sets the exit code that GitLab shall see.
    #[must_use]
    pub fn with_exit_code(mut self, code: u8) -> Self {
        self.exit_code = Some(code);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for hint in &self.hints {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
