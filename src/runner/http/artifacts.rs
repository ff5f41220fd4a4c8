//! The artifacts API, as far as the runner's helper uses it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};

/// The largest upload that is taken.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// The archives, by job.
#[derive(Debug, Default)]
pub(super) struct Store(BTreeMap<u64, Bytes>);

impl Store {
    pub(super) fn put(&mut self, job: u64, archive: Bytes) {
        self.0.insert(job, archive);
    }

    pub(super) fn get(&self, job: u64) -> Option<Bytes> {
        self.0.get(&job).cloned()
    }
}

/// Returns the job whose artifacts a path names; `None` for any other path.
pub(super) fn job_of(path: &str) -> Option<u64> {
    path.strip_prefix("/api/v4/jobs/")?.strip_suffix("/artifacts")?.parse().ok()
}

/// Takes an upload and returns the archive in it.
pub(super) async fn receive(request: Request<Incoming>) -> Result<Bytes, (StatusCode, &'static str)> {
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = boundary_of(content_type)
        .ok_or((StatusCode::BAD_REQUEST, "multipart/form-data with a boundary is expected\n"))?;
    let body = match Limited::new(request.into_body(), MOST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "too large\n"));
        }
        Err(_) => return Err((StatusCode::BAD_REQUEST, "the upload broke off\n")),
    };
    let range = file_in(&body, &boundary).ok_or((StatusCode::BAD_REQUEST, "no part is named file\n"))?;
    Ok(body.slice(range))
}

fn boundary_of(content_type: &str) -> Option<String> {
    let parameters = content_type.strip_prefix("multipart/form-data")?;
    let boundary = parameters.split(';').find_map(|it| it.trim().strip_prefix("boundary="))?;
    let boundary = boundary.trim_matches('"');
    (!boundary.is_empty()).then(|| boundary.to_owned())
}

/// Finds the content of the part that is named `file`.
fn file_in(body: &[u8], boundary: &str) -> Option<std::ops::Range<usize>> {
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter stands at the very start, without a line end before it.
    let mut at = body.starts_with(&delimiter.as_bytes()[2..]).then_some(delimiter.len() - 2)?;
    loop {
        let head = at + 2;
        let content = head + find(body.get(head..)?, b"\r\n\r\n")? + 4;
        let end = content + find(&body[content..], delimiter.as_bytes())?;
        let headers = String::from_utf8_lossy(&body[head..content]).to_ascii_lowercase();
        let is_file = headers.lines().any(|line| {
            line.starts_with("content-disposition:") && line.split(';').any(|it| it.trim() == "name=\"file\"")
        });
        if is_file {
            return Some(content..end);
        }
        at = end + delimiter.len();
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    // Skips from first byte to first byte: archives are large, and the delimiter is rare.
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == wanted[0]) {
        let start = from + at;
        if bytes[start..].starts_with(wanted) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{boundary_of, file_in, job_of};

    #[test]
    fn only_the_artifacts_of_a_job_are_an_artifacts_path() {
        assert_eq!(job_of("/api/v4/jobs/17/artifacts"), Some(17));
        for path in [
            "/api/v4/jobs/x/artifacts",
            "/api/v4/jobs/17/trace",
            "/jobs/17/artifacts",
            "/api/v4/jobs//artifacts",
        ] {
            assert_eq!(job_of(path), None, "{path}");
        }
    }

    #[test]
    fn the_part_named_file_is_found() {
        let body = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XX\r\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"a.zip\"\r\nContent-Type: x\r\n\r\nPK\r\n-\r\n--X\r\n--XX--\r\n";
        let range = file_in(body.as_bytes(), "XX").unwrap();
        assert_eq!(&body[range], "PK\r\n-\r\n--X");
        for bad in [
            "",
            "--XX",
            "--XX\r\n",
            "--XX\r\n\r\n\r\nabc",
            "no",
            "--XX--\r\n",
            "--XX\r\nA: b\r\n\r\n1\r\n--XX",
        ] {
            assert_eq!(file_in(bad.as_bytes(), "XX"), None, "{bad:?}");
        }
        assert_eq!(boundary_of("multipart/form-data; boundary=\"q\"").as_deref(), Some("q"));
        assert_eq!(boundary_of("text/plain; boundary=q"), None);
    }
}
