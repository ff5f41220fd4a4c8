//! A front before an engine's socket: it counts requests, claims other API versions, or answers all by itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// The API versions that the front claims: oldest and newest. Its requests must carry `speaks`.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) oldest: &'static str,
    pub(crate) newest: &'static str,
    /// The only version it takes; it is passed on as 1.41.
    pub(crate) speaks: &'static str,
}

struct Shared {
    engine: PathBuf,
    claim: Claim,
    asked: Mutex<Vec<String>>,
}

/// The front; its thread ends with the process.
pub(crate) struct ApiFront {
    /// `unix:///…`, for settings and DOCKER_HOST.
    pub(crate) host: String,
    shared: Arc<Shared>,
}

impl ApiFront {
    /// Stands before the engine's socket.
    pub(crate) fn new(dir: &Path, engine: &str, claim: Claim) -> Self {
        let path = dir.join("front.sock");
        let listener = UnixListener::bind(&path).expect("a socket in the test's directory");
        let shared = Arc::new(Shared { engine: engine.into(), claim, asked: Mutex::default() });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || shared.serve(client));
            }
        });
        Self { host: format!("unix://{}", path.display()), shared }
    }

    /// Returns the request lines so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no thread panics").clone()
    }
}

impl Shared {
    /// Passes one request on, then both directions until their ends.
    fn serve(&self, client: UnixStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        self.asked.lock().expect("no thread panics").push(line.trim_end().to_owned());
        let mut headers = String::new();
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header == "\r\n" {
                break;
            }
            headers.push_str(&header);
        }
        let upgrade = headers.to_ascii_lowercase().contains("upgrade:");
        if !upgrade {
            let keep = |header: &&str| !header.to_ascii_lowercase().starts_with("connection:");
            headers = headers.split_inclusive('\n').filter(keep).collect();
            headers.push_str("Connection: close\r\n");
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        if path.split('?').next().is_some_and(|path| path.ends_with("/version")) {
            return self.version(client, &headers);
        }
        let versioned = format!("/v{}/", self.claim.speaks);
        if !path.starts_with(&versioned) && path != "/_ping" {
            let body = "{\"message\":\"client version is not the one this engine speaks\"}";
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{body}"
            );
            return (&client).write_all(answer.as_bytes());
        }
        let mut engine = UnixStream::connect(&self.engine)?;
        engine.write_all(line.replacen(&versioned, "/v1.41/", 1).as_bytes())?;
        engine.write_all(headers.as_bytes())?;
        engine.write_all(b"\r\n")?;
        let (mut back, mut to_client) = (engine.try_clone()?, client);
        let backward = thread::spawn(move || {
            let _ = std::io::copy(&mut back, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut reader, &mut engine);
        let _ = engine.shutdown(Shutdown::Write);
        let _ = backward.join();
        Ok(())
    }

    fn version(&self, mut client: UnixStream, headers: &str) -> std::io::Result<()> {
        let mut engine = UnixStream::connect(&self.engine)?;
        engine.write_all(format!("GET /version HTTP/1.1\r\n{headers}\r\n").as_bytes())?;
        let mut answer = String::new();
        engine.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let mut value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        value["ApiVersion"] = self.claim.newest.into();
        value["MinAPIVersion"] = self.claim.oldest.into();
        let body = value.to_string();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        client.write_all(head.as_bytes())?;
        client.write_all(body.as_bytes())
    }
}
