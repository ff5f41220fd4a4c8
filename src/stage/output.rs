//! The job log, for what the job's own processes print: unbuffered, in order, with back-pressure.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How many chunks may wait for a slow reader; more waits in the container.
const WAITING_CHUNKS: usize = 8;

/// Where a stage's output goes.
pub struct JobOutput {
    sender: mpsc::Sender<Bytes>,
    done: oneshot::Receiver<()>,
    at_line_start: Cell<bool>,
}

impl JobOutput {
    /// Writes to `file` from a thread of its own, so that a reader that stands still does not make a signal wait.
    pub fn new(mut file: File) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
        let (tell, done) = oneshot::channel();
        std::thread::spawn(move || {
            while let Some(bytes) = receiver.blocking_recv() {
                if file.write_all(&bytes).is_err() {
                    break;
                }
            }
            let _ = tell.send(());
        });
        Self { sender, done, at_line_start: Cell::new(true) }
    }

    /// Writes bytes; `false`: the reader hung up.
    pub async fn write(&self, bytes: Bytes) -> bool {
        if bytes.is_empty() {
            return true;
        }
        match self.reserve().await {
            Some(room) => {
                room.send(bytes);
                true
            }
            None => false,
        }
    }

    /// Waits until something can be written at once; `None`: the reader hung up.
    pub async fn reserve(&self) -> Option<Room<'_>> {
        let permit = self.sender.reserve().await.ok()?;
        Some(Room { permit, at_line_start: &self.at_line_start })
    }

    /// Waits until all is written, at most `limit`; `false`: it was not.
    pub async fn finish(self, limit: Duration) -> bool {
        let Self { sender, done, .. } = self;
        drop(sender);
        timeout(limit, done).await.is_ok()
    }
}

/// Room for one chunk.
pub struct Room<'a> {
    permit: mpsc::Permit<'a, Bytes>,
    at_line_start: &'a Cell<bool>,
}

impl Room<'_> {
    /// Returns whether what was written last ended a line.
    pub fn is_at_line_start(&self) -> bool {
        self.at_line_start.get()
    }

    /// Writes a chunk.
    pub fn send(self, bytes: Bytes) {
        self.at_line_start.set(bytes.ends_with(b"\n"));
        self.permit.send(bytes);
    }
}
