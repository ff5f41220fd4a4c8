//! The link to the registry: a way to it that carries so many bytes a second, all connections together.
//!
//! The engine takes it for a registry of its own. Bytes are passed on as they are; each direction has its own share, as
//! with most links, and a little delay. It lives on a thread of its own, so that what this program does does not slow it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::Result;

/// How long a byte is on its way, beside the time that the link takes to carry it.
const DELAY: Duration = Duration::from_millis(10);
/// What the link may make up for after a moment in which nobody took it: who waits for it is woken late now and then.
const LATE: Duration = Duration::from_millis(40);
/// How many bytes are passed on at once; several connections take turns with pieces of this size.
const PIECE: usize = 8 << 10;
/// How many pieces may be on their way on one connection.
const ON_THE_WAY: usize = 64;

/// The link. Dropping it ends it.
pub(crate) struct Link {
    /// Where the engine finds it.
    pub address: SocketAddr,
    lanes: Arc<Lanes>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One lane for each direction.
struct Lanes {
    down: Lane,
    up: Lane,
}

/// What carries bytes one after the other.
#[derive(Default)]
struct Lane {
    /// Bytes a second; 0: as fast as can be.
    rate: AtomicU64,
    carried: AtomicU64,
    /// When the last byte that was taken will have been carried.
    free: Mutex<Option<Instant>>,
}

impl Lane {
    /// Takes so many bytes; says when they have been carried.
    fn take(&self, bytes: u64) -> Instant {
        self.carried.fetch_add(bytes, Ordering::Relaxed);
        let now = Instant::now();
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return now;
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = free.map_or(now, |free| free.max(now.checked_sub(LATE).unwrap_or(now)));
        let ends = begins + Duration::from_secs_f64(bytes as f64 / rate as f64);
        *free = Some(ends);
        ends
    }
}

impl Link {
    /// Makes a link to a registry; it is as fast as can be.
    pub(crate) fn to(registry: &str) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let lanes = Arc::new(Lanes { down: Lane::default(), up: Lane::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let (registry, shared) = (registry.to_owned(), Arc::clone(&lanes));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = TcpListener::from_std(listener) {
                    tokio::select! {
                        () = serve(&listener, &registry, &shared) => {}
                        _ = ended => {}
                    }
                }
            });
        });
        Ok(Self { address, lanes, end: Some(end), thread: Some(thread) })
    }

    /// From now on it carries so many bytes a second each way; `None`: as fast as can be.
    pub(crate) fn limit(&self, bytes_per_second: Option<u64>) {
        for lane in [&self.lanes.down, &self.lanes.up] {
            lane.rate.store(bytes_per_second.unwrap_or_default(), Ordering::Relaxed);
        }
    }

    /// Returns how many bytes came from the registry so far.
    pub(crate) fn carried(&self) -> u64 {
        self.lanes.down.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // Whatever went wrong there was told there.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: &TcpListener, registry: &str, lanes: &Arc<Lanes>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(DELAY).await;
            continue;
        };
        let (registry, lanes) = (registry.to_owned(), Arc::clone(lanes));
        tokio::spawn(async move {
            // Who asked sees that the connection ends, and asks again or says so.
            let _ = connection(client, &registry, &lanes).await;
        });
    }
}

async fn connection(client: TcpStream, registry: &str, lanes: &Lanes) -> std::io::Result<()> {
    let server = TcpStream::connect(registry).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    tokio::try_join!(
        carry(client_reads, server_writes, &lanes.up),
        carry(server_reads, client_writes, &lanes.down)
    )?;
    Ok(())
}

/// Carries bytes over a lane until there are no more.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    lane: &Lane,
) -> std::io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let take = async move {
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            let carried = lane.take(length as u64);
            tokio::time::sleep_until(carried.into()).await;
            if sender.send((carried + DELAY, piece[..length].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let give = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(due.into()).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(take, give).map(|((), ())| ())
}
