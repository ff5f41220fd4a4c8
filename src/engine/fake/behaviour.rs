//! What a process of the fake engine does, step by step.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// What comes after all of stdin was read.
type Next = Arc<dyn Fn(&[u8]) -> Behaviour + Send + Sync>;

/// What a process does: its steps in order, and how it takes a TERM. At the end of its steps it exits with 0.
#[derive(Clone, Default)]
pub struct Behaviour {
    pub(super) steps: Vec<Step>,
    pub(super) on_term: OnTerm,
}

#[derive(Clone)]
pub(super) enum Step {
    Print { stderr: bool, bytes: Bytes, times: usize },
    Sleep(Duration),
    Cat,
    Then(Next),
    Child { behaviour: Behaviour, escapes: bool },
    Touch(String),
    Await(String),
    IfFile { path: String, there: Behaviour },
    Exit(i64),
    Forever,
    OutOfMemory,
    Lost,
}

#[derive(Clone, Default)]
pub(super) enum OnTerm {
    #[default]
    Dies,
    Ignores,
    Runs(Box<Behaviour>),
}

impl Behaviour {
    /// Does nothing and exits with 0.
    pub fn new() -> Self {
        Self::default()
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Prints to stdout.
    pub fn out(self, bytes: impl Into<Bytes>) -> Self {
        self.out_times(bytes, 1)
    }

    /// Prints the same bytes to stdout many times, as fast as they are read.
    pub fn out_times(self, bytes: impl Into<Bytes>, times: usize) -> Self {
        self.step(Step::Print { stderr: false, bytes: bytes.into(), times })
    }

    /// Prints to stderr.
    pub fn err(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Print { stderr: true, bytes: bytes.into(), times: 1 })
    }

    /// Takes its time.
    pub fn sleep(self, time: Duration) -> Self {
        self.step(Step::Sleep(time))
    }

    /// Copies stdin to stdout until the end of the input.
    pub fn cat(self) -> Self {
        self.step(Step::Cat)
    }

    /// Reads stdin to its end, then goes on as `next` says; steps after this one are not reached.
    pub fn then(self, next: impl Fn(&[u8]) -> Behaviour + Send + Sync + 'static) -> Self {
        self.step(Step::Then(Arc::new(next)))
    }

    /// Starts a child in the background; it holds the output open for as long as it lives. A stage's wrapper ends it.
    pub fn child(self, behaviour: Behaviour) -> Self {
        self.step(Step::Child { behaviour, escapes: false })
    }

    /// Starts a child in the background that a stage's wrapper may not kill, such as one of another user.
    pub fn escaping_child(self, behaviour: Behaviour) -> Self {
        self.step(Step::Child { behaviour, escapes: true })
    }

    /// Writes a file: into the volume mounted there, else into the container's own layer.
    pub fn touch(self, path: impl Into<String>) -> Self {
        self.step(Step::Touch(path.into()))
    }

    /// Waits until a file exists.
    pub fn await_file(self, path: impl Into<String>) -> Self {
        self.step(Step::Await(path.into()))
    }

    /// Goes on as `there` says if a file exists, else with the next step.
    pub fn if_file(self, path: impl Into<String>, there: Behaviour) -> Self {
        self.step(Step::IfFile { path: path.into(), there })
    }

    /// Exits.
    pub fn exit(self, code: i64) -> Self {
        self.step(Step::Exit(code))
    }

    /// Stays until it is ended from outside.
    pub fn forever(self) -> Self {
        self.step(Step::Forever)
    }

    /// Is killed by the kernel for lack of memory.
    pub fn out_of_memory(self) -> Self {
        self.step(Step::OutOfMemory)
    }

    /// Is lost: its output ends, and the engine knows no exit code.
    pub fn lost(self) -> Self {
        self.step(Step::Lost)
    }

    /// Ignores TERM.
    pub fn ignoring_term(mut self) -> Self {
        self.on_term = OnTerm::Ignores;
        self
    }

    /// Answers TERM with other steps, of which the last ends it.
    pub fn on_term(mut self, last: Behaviour) -> Self {
        self.on_term = OnTerm::Runs(Box::new(last));
        self
    }
}
