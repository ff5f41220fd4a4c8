//! What the service manager is told: nothing, where there is none.

use std::cell::Cell;
use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    stopping: Cell<bool>,
}

impl Notifier {
    /// Says that the daemon looks after the host now, also again after [`Notifier::reloading`].
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Says that the settings are being read anew.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    /// Says that the daemon ends.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
        self.stopping.set(true);
    }

    /// Says in one line what the daemon does.
    pub fn status(&self, status: &str) {
        if !self.stopping.get() {
            self.tell(&[NotifyState::Status(status)]);
        }
    }

    /// Says that the daemon lives.
    pub fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// Returns how often [`Notifier::alive`] has to be called; `None`: nobody waits for it.
    pub fn alive_every(&self) -> Option<Duration> {
        watchdog_enabled().map(|limit| limit / 3)
    }

    /// A manager that does not hear takes nothing from the daemon's work.
    fn tell(&self, state: &[NotifyState<'_>]) {
        let _ = notify(state);
    }
}
