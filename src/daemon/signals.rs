//! What the daemon is asked for by signals.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::outcome::Failure;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// End, in good order.
    Stop,
    /// Read the settings anew.
    Reload,
}

/// The wishes of this process's signals: TERM and INT end it, HUP has it read its settings.
///
/// # Errors
/// The system takes no handlers.
pub fn wishes() -> Result<mpsc::Receiver<Wish>, Failure> {
    let listen = |kind: SignalKind| {
        signal(kind).map_err(|error| Failure::system(format!("signals cannot be handled: {error}")))
    };
    let (told, wishes) = mpsc::channel(4);
    for (kind, wish) in [
        (SignalKind::terminate(), Wish::Stop),
        (SignalKind::interrupt(), Wish::Stop),
        (SignalKind::hangup(), Wish::Reload),
    ] {
        tokio::spawn(forward(listen(kind)?, wish, told.clone()));
    }
    Ok(wishes)
}

async fn forward(mut signals: Signal, wish: Wish, told: mpsc::Sender<Wish>) {
    while signals.recv().await.is_some() {
        if told.send(wish).await.is_err() {
            return;
        }
    }
}
