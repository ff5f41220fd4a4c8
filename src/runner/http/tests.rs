use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{HttpServer, Repository, Served};
use crate::runner::test_dir::TestDir;
use crate::secret::Secret;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[expect(clippy::disallowed_methods, reason = "a test finds git where its own PATH does")]
fn env() -> Vec<(OsString, OsString)> {
    ["PATH", "HOME"].iter().filter_map(|&key| Some((key.into(), std::env::var_os(key)?))).collect()
}

async fn server(repository: Option<Repository>) -> HttpServer {
    HttpServer::start(LOOPBACK, Served { repository, tokens: vec![Secret::new("s3cret")] }).await.unwrap()
}

async fn ask(server: &HttpServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, header: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n")
}

fn upload(token: &str) -> String {
    let body = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nPK-archive\r\n--XX--\r\n";
    format!(
        "POST /api/v4/jobs/7/artifacts?artifact_format=zip HTTP/1.1\r\nHost: x\r\nConnection: close\r\nJOB-TOKEN: {token}\r\n\
         Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn commit(dir: &Path) -> String {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(dir).args(["-c", "user.name=T", "-c", "user.email=t@example.test"]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?} {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "-b", "main"]);
    std::fs::write(dir.join("README"), "hello\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    git(&["rev-parse", "HEAD"])
}

async fn git(args: Vec<String>) -> std::process::Output {
    tokio::task::spawn_blocking(move || {
        let mut command = Command::new("git");
        command.args(args).env("GIT_TERMINAL_PROMPT", "0").output().unwrap()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn artifacts_come_back_as_they_went_up_and_only_with_the_token() {
    let server = server(None).await;
    let path = "/api/v4/jobs/7/artifacts";
    assert!(ask(&server, &get(path, "JOB-TOKEN: s3cret\r\n")).await.starts_with("HTTP/1.1 404"));
    assert!(ask(&server, &upload("wrong")).await.starts_with("HTTP/1.1 401"));
    assert!(ask(&server, &upload("")).await.starts_with("HTTP/1.1 401"));
    assert_eq!(server.artifacts(7), None);
    assert!(ask(&server, &upload("s3cret")).await.starts_with("HTTP/1.1 201"));
    assert_eq!(server.artifacts(7), Some(Bytes::from_static(b"PK-archive")));
    assert!(ask(&server, &get(path, "JOB-TOKEN: s3cret\r\n")).await.ends_with("\r\n\r\nPK-archive"));
    assert!(ask(&server, &get(path, "")).await.starts_with("HTTP/1.1 401"));
    assert_eq!(server.requests(), 6);
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let server = server(None).await;
    let broken = upload("s3cret").replace("multipart/form-data", "text/plain");
    assert!(ask(&server, &broken).await.starts_with("HTTP/1.1 400"));
    assert!(ask(&server, &get("/else", "")).await.starts_with("HTTP/1.1 404"));
    let long = get("/", &format!("X: {}\r\n", "y".repeat(200_000)));
    assert!(ask(&server, &long).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_repository_is_cloned_with_the_token_and_refused_without() {
    let dir = TestDir::new();
    let sha = commit(dir.path());
    let server = server(Some(Repository::new(dir.path().join(".git"), &env()))).await;
    let host = server.url().replace("http://", "");
    let target = dir.path().join("clone").display().to_string();
    let clone = |user: &str| {
        let url = format!("http://{user}{host}/any/project.git");
        git(vec!["clone".into(), "-q".into(), url, target.clone()])
    };
    assert!(!clone("").await.status.success());
    assert!(!clone("gitlab-ci-token:wrong@").await.status.success());
    let output = clone("gitlab-ci-token:s3cret@").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(format!("{target}/README")).unwrap(), b"hello\n");
    let by_number = git(vec![
        "-C".into(),
        target.clone(),
        "fetch".into(),
        "-q".into(),
        "--depth=1".into(),
        "origin".into(),
        format!("+{sha}:refs/pipelines/1"),
    ]);
    assert!(by_number.await.status.success());
    let push = git(vec![
        "-C".into(),
        target.clone(),
        "push".into(),
        "-q".into(),
        "origin".into(),
        "HEAD:refs/heads/x".into(),
    ]);
    assert!(!push.await.status.success(), "nobody writes");
}

#[tokio::test]
async fn the_probe_is_an_empty_repository_open_to_all() {
    let server = server(None).await;
    let output = git(vec!["ls-remote".into(), format!("{}/reach.git", server.url())]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(server.requests() > 0);
}
