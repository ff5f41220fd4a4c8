//! A process's output: to the clients that listen, with back-pressure, and to the container's log.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::Fake;
use super::pipe::Connection;
use crate::engine::{Chunk, EngineError};

/// How many chunks wait for a client that reads slowly before the process does.
const WAITING: usize = 16;

/// The engine's end of a client's stream.
pub(super) type Client = mpsc::Sender<Chunk>;

/// Where the output of a process and of all that it started goes. It is open until the last of them is gone.
pub(super) struct Sink {
    clients: Mutex<Vec<Client>>,
    log: Option<(Fake, String)>,
    /// Whether output came for a client that had hung up.
    deaf: AtomicBool,
}

impl Sink {
    /// Makes an exec's output.
    pub(super) fn of_exec(client: Client) -> Arc<Self> {
        Arc::new(Self { clients: Mutex::new(vec![client]), log: None, deaf: AtomicBool::new(false) })
    }

    /// Makes the output of a container's main process.
    pub(super) fn of_container(fake: &Fake, id: &str, clients: Vec<Client>) -> Arc<Self> {
        Arc::new(Self {
            clients: Mutex::new(clients),
            log: Some((fake.clone(), id.to_owned())),
            deaf: AtomicBool::new(false),
        })
    }

    /// Adds a client, which sees what comes from now on.
    pub(super) fn join(&self, client: Client) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }

    /// Tells whether output came for a client that had hung up. For Docker such an exec failed with 126.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    /// Breaks all connections.
    pub(super) fn cut(&self) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Writes, waiting for the slowest client.
    pub(super) async fn write(&self, stderr: bool, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if let Some((fake, id)) = &self.log {
            fake.change(|state| state.log(id, stderr, &bytes));
        }
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for client in clients {
            if client.send(Chunk { stderr, bytes: bytes.clone() }).await.is_err() {
                self.deaf.store(true, Ordering::Relaxed);
            }
        }
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|client| !client.is_closed());
    }
}

/// The client's end of a stream, and its share of the connection.
pub(super) struct Listening {
    chunks: mpsc::Receiver<Chunk>,
    _connection: Option<Arc<Connection>>,
}

/// Makes both ends of a client's stream.
pub(super) fn stream(connection: Option<Arc<Connection>>) -> (Client, Listening) {
    let (client, chunks) = mpsc::channel(WAITING);
    (client, Listening { chunks, _connection: connection })
}

impl Stream for Listening {
    type Item = Result<Chunk, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_recv(context).map(|chunk| chunk.map(Ok))
    }
}
