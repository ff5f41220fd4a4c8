//! A process's stdin: a pipe of the usual size, which ends only when its writer says so or is gone altogether.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::AsyncWrite;

/// How much a pipe and the connection before it hold.
const CAPACITY: usize = 64 * 1024;

#[derive(Default)]
struct Inner {
    bytes: VecDeque<u8>,
    ended: bool,
    reader_gone: bool,
    wakers: Vec<Waker>,
}

/// Both ends of a pipe.
#[derive(Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<Inner>>);

impl Pipe {
    /// A pipe that is at its end already.
    pub(super) fn empty() -> Self {
        let pipe = Self::default();
        pipe.end();
        pipe
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut inner);
        let wakers = std::mem::take(&mut inner.wakers);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Ends the input: what was written may still be read.
    pub(super) fn end(&self) {
        self.with(|inner| inner.ended = true);
    }

    /// Says that nobody reads any more: writers get EPIPE.
    pub(super) fn abandon(&self) {
        self.with(|inner| inner.reader_gone = true);
    }

    /// Reads what there is; `None`: the end of the input.
    pub(super) async fn read(&self) -> Option<Bytes> {
        std::future::poll_fn(|context| {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.bytes.is_empty() && !inner.ended {
                inner.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            let bytes: Vec<u8> = std::mem::take(&mut inner.bytes).into();
            let wakers = std::mem::take(&mut inner.wakers);
            drop(inner);
            wakers.into_iter().for_each(Waker::wake);
            Poll::Ready((!bytes.is_empty()).then(|| Bytes::from(bytes)))
        })
        .await
    }

    /// Reads to the end of the input.
    pub(super) async fn read_all(&self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(bytes) = self.read().await {
            all.extend_from_slice(&bytes);
        }
        all
    }

    fn poll_write(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.reader_gone || inner.ended {
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY.saturating_sub(inner.bytes.len()).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            inner.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        inner.bytes.extend(&bytes[..room]);
        let wakers = std::mem::take(&mut inner.wakers);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(room))
    }
}

/// A client's connection to a process. Only when both of its halves are dropped is it closed, and the input at its end.
pub(super) struct Connection(pub(super) Pipe);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The writing half of a connection; shutting it down ends the process's input, dropping it alone does not.
pub(super) struct Stdin(pub(super) Arc<Connection>);

impl AsyncWrite for Stdin {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.0.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.0.end();
        Poll::Ready(Ok(()))
    }
}
