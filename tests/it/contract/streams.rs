//! Reading streams of output, with patience but not for ever.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use hearth::engine::Output;

/// How long the slowest thing that shall happen may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something, but not for ever.
pub(super) async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens in time")
}

/// Reads a stream to its end: stdout and stderr.
pub(super) async fn read(mut output: Output) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    patiently(async {
        while let Some(chunk) = output.next().await {
            let chunk = chunk.unwrap();
            if chunk.stderr { &mut err } else { &mut out }.extend_from_slice(&chunk.bytes);
        }
    })
    .await;
    (out, err)
}

/// Reads a stream to its end, as text.
pub(super) async fn text(output: Output) -> String {
    let (out, err) = read(output).await;
    String::from_utf8([out, err].concat()).unwrap()
}

/// Reads from a stream until so many bytes of stdout are there.
pub(super) async fn read_some(output: &mut Output, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    patiently(async {
        while out.len() < bytes {
            let chunk = output.next().await.expect("the stream goes on").unwrap();
            out.extend_from_slice(&chunk.bytes);
        }
    })
    .await;
    out
}
