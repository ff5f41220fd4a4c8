//! A behaving engine in memory, for tests: it obeys the rules of the real one, and its troubles are made to order.
//!
//! It keeps images, networks, volumes, containers and execs. Processes are no shells but [`Behaviour`]s; hearth's own
//! scripts are known to it, everything else the test answers for with [`Fake::program`] and its like. Time passes only
//! through tokio, so that a test with a paused clock waits for nothing. What it does is held to the real engine by the
//! contract suite in tests/it/contract.

mod asking;
mod behaviour;
mod call;
mod container;
mod disk;
mod image;
mod knobs;
mod known;
mod lifecycle;
mod listing;
mod log;
mod pipe;
mod process;
mod program;
mod pulling;
mod registry;
mod removing;
mod scripts;
mod serving;
mod sink;
mod state;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

pub use asking::FakeManifest;
pub use behaviour::Behaviour;
pub use call::{Call, Called};
pub use image::FakeImage;
pub use program::{Place, Run};
pub use registry::Trouble;

use state::State;

struct Inner {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    up: watch::Sender<bool>,
}

/// The fake engine. Its clones are the same engine: a test keeps one and gives one away. It needs a tokio runtime.
#[derive(Clone)]
pub struct Fake(Arc<Inner>);

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    /// Makes an engine on which nothing exists.
    pub fn new() -> Self {
        let inner = Inner {
            state: Mutex::new(State::new()),
            changes: watch::Sender::new(0),
            up: watch::Sender::new(true),
        };
        Self(Arc::new(inner))
    }

    /// Looks at the state, or changes it in a way that nobody waits for.
    fn look<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state, and tells those who wait.
    fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let result = self.look(act);
        self.0.changes.send_modify(|count| *count += 1);
        result
    }

    /// Waits until something is true of the state.
    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut changes = self.0.changes.subscribe();
        while !self.look(|state| holds(state)) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_up(&self) -> bool {
        *self.0.up.borrow()
    }

    /// Waits until the engine is down.
    async fn down(&self) {
        let mut up = self.0.up.subscribe();
        let _ = up.wait_for(|up| !up).await;
    }
}
