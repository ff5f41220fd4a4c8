//! A front before a registry: it counts what is asked, and makes the way to it slow, broken or busy.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is wrong with the way. Numbers of bytes are those of one blob.
#[derive(Clone, Copy, Default)]
pub(crate) struct Way {
    /// Bytes a second; 0: as fast as it goes.
    pub(crate) rate: usize,
    /// Blobs stop coming after so many bytes, and nothing more happens; 0: they do not.
    pub(crate) stall_after: usize,
    /// Blobs are cut off after so many bytes; 0: they are not.
    pub(crate) cut_after: usize,
    /// How often a blob is cut off.
    pub(crate) cuts: u32,
    /// So many questions for manifests are answered with 503.
    pub(crate) busy: u32,
}

struct Shared {
    upstream: String,
    way: Way,
    busy: AtomicU32,
    cuts: AtomicU32,
    asked: Mutex<Vec<String>>,
    closed: AtomicBool,
}

/// The front; it is closed when it is dropped.
pub(crate) struct Front {
    /// Where it listens, `127.0.0.1:PORT`.
    pub(crate) address: String,
    shared: Arc<Shared>,
}

impl Front {
    /// Stands before a registry at `HOST:PORT`.
    pub(crate) fn new(upstream: &str, way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            way,
            busy: AtomicU32::new(way.busy),
            cuts: AtomicU32::new(way.cuts),
            asked: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.closed.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || {
                    let _ = shared.serve(client);
                });
            }
        });
        Self { address, shared }
    }

    /// Returns the request lines so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no thread panics").clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    /// Answers one request and closes.
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut head = String::new();
        reader.read_line(&mut head)?;
        let line = head.trim_end().to_owned();
        self.asked.lock().expect("no thread panics").push(line.clone());
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header == "\r\n" {
                break;
            }
            if !header.to_ascii_lowercase().starts_with("connection:") {
                head.push_str(&header);
            }
        }
        head.push_str("Connection: close\r\n\r\n");
        if line.contains("/manifests/") && take_one(&self.busy) {
            let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return client.write_all(answer.as_bytes());
        }
        let mut registry = TcpStream::connect(&self.upstream)?;
        registry.write_all(head.as_bytes())?;
        let blob = line.contains("/blobs/");
        let mut sent = 0;
        let mut buffer = vec![0; 16 << 10];
        let mut cut = false;
        loop {
            let read = registry.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            client.write_all(&buffer[..read])?;
            sent += read;
            if !blob {
                continue;
            }
            if self.way.rate > 0 {
                thread::sleep(Duration::from_secs_f64(read as f64 / self.way.rate as f64));
            }
            if self.way.stall_after > 0 && sent >= self.way.stall_after {
                // Until the other side gives up.
                let _ = client.read(&mut buffer);
                return Ok(());
            }
            if self.way.cut_after > 0 && sent >= self.way.cut_after && take_one(&self.cuts) {
                cut = true;
                break;
            }
        }
        if cut { client.shutdown(Shutdown::Both) } else { Ok(()) }
    }
}

fn take_one(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}
