use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Inbox, MAX_LETTER, Notice, Post, Sources, decode, encode};
use crate::image::proof::Asker;
use crate::job::RegistryCredential;
use crate::scan::Running;
use crate::secret::Secret;
use crate::store::{Sharing, StorePlace};

fn sources() -> Sources {
    let variables = BTreeMap::from([("CI_COMMIT_BRANCH".to_owned(), "main".to_owned())]);
    Sources {
        job: "hearth-tok-job-7 https://gitlab.test".to_owned(),
        owner: "40/777/0f-1a/1000000000/5000/2400/4026531836".to_owned(),
        helper: "hearth-tok-job-7-helper".to_owned(),
        dir: "/builds/group/project".to_owned(),
        pipeline: "https://gitlab.test 900".to_owned(),
        running: Running {
            name: "compile".to_owned(),
            stage: "build".to_owned(),
            tags: vec!["arm".to_owned()],
            variables,
            script: vec!["docker build --secret s3cr3t-0 .".to_owned()],
            socket: true,
            platform: String::new(),
        },
        own: vec!["docker.io/library/docker:28".to_owned()],
        platform: String::new(),
        number: 7,
        project_key: "https://gitlab.test 4".to_owned(),
        source: Some("push".to_owned()),
        asker: Asker {
            server: "https://gitlab.test".to_owned(),
            project: 4,
            user_id: Some("5".to_owned()),
            tokens: vec![Secret::new("s3cr3t-1")],
        },
        credentials: vec![RegistryCredential {
            url: "registry.gitlab.test".to_owned(),
            username: "gitlab-ci-token".to_owned(),
            password: Secret::new("s3cr3t-2"),
        }],
        docker_auth_config: Some(Secret::new("s3cr3t-3")),
        allowed_images: vec!["registry.gitlab.test/**".to_owned()],
        allowed_services: Vec::new(),
        may_pull: true,
        until: 1_000_003_600,
    }
}

fn notices() -> Vec<Notice> {
    let job = || "hearth-tok-job-7 https://gitlab.test".to_owned();
    vec![
        Notice::Prepares { job: job(), owner: "40/777/0f-1a/1/2/3/4".to_owned() },
        Notice::Pulls { job: job(), image: "docker.io/library/alpine@sha256:0".to_owned(), bytes: Some(9) },
        Notice::Prepared { job: job() },
        Notice::Sources(Box::new(sources())),
        Notice::Over { job: job() },
    ]
}

/// Two notices are the same if their letters are.
fn same(one: &Notice, other: &Notice) -> bool {
    encode(one).is_some_and(|letter| Some(letter) == encode(other))
}

#[test]
fn a_notice_is_read_back_from_its_letter() {
    for notice in notices() {
        let read = decode(&encode(&notice).unwrap()).unwrap();
        assert!(same(&notice, &read), "{notice:?}");
    }
    let letter = encode(&Notice::Sources(Box::new(sources()))).unwrap();
    let Some(Notice::Sources(read)) = decode(&letter) else { panic!("no sources") };
    assert_eq!((read.asker, read.credentials), (sources().asker, sources().credentials));
    assert_eq!(
        (read.docker_auth_config, read.running.script),
        (sources().docker_auth_config, sources().running.script)
    );
}

#[test]
fn no_secret_is_in_debug() {
    for notice in notices() {
        assert!(!format!("{notice:?} {notice:#?}").contains("s3cr3t"));
    }
}

#[test]
fn what_is_no_letter_of_this_version_is_no_notice() {
    let good = encode(&notices()[2]).unwrap();
    let other = String::from_utf8(good.clone()).unwrap().replace("\"version\":1", "\"version\":2");
    for bad in [&b""[..], b"{}", b"\xff\xfe", b"[1]", &good[1..], &good[..good.len() - 1], other.as_bytes()] {
        assert!(decode(bad).is_none(), "{}", String::from_utf8_lossy(bad));
    }
}

proptest::proptest! {
    /// Anybody who may write to the socket may write anything.
    #[test]
    fn a_letter_with_changes_is_a_notice_or_none(
        which in 0..5_usize,
        changes in proptest::collection::vec((proptest::prelude::any::<usize>(), proptest::prelude::any::<u8>()), 0..6),
    ) {
        let mut letter = encode(&notices()[which]).unwrap();
        for (at, byte) in changes {
            let at = at % letter.len();
            letter[at] = byte;
        }
        if let Some(notice) = decode(&letter) {
            assert!(encode(&notice).is_some());
        }
    }
}

#[test]
fn a_letter_that_is_too_long_is_neither_written_nor_read() {
    let mut long = sources();
    long.running.script.push("x".repeat(MAX_LETTER));
    assert!(encode(&Notice::Sources(Box::new(long))).is_none());
    let mut letter = encode(&notices()[0]).unwrap();
    letter.resize(MAX_LETTER, b' ');
    assert!(decode(&letter).is_some());
    letter.push(b' ');
    assert!(decode(&letter).is_none());
}

/// A directory that lives as long as a test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hearth-notice-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn place(&self) -> StorePlace {
        StorePlace::new(&self.0, Sharing::Group)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("daemon.sock")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_is_sent_arrives_in_order_and_garbage_is_counted() {
    let directory = Directory::new();
    let mut inbox = Inbox::bind(&directory.place()).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.send_to(b"hello", directory.socket()).unwrap();
    stranger.send_to(b"", directory.socket()).unwrap();
    for notice in notices() {
        Post::to(&directory.place()).unwrap().send(&notice);
    }
    for notice in notices() {
        assert!(same(&notice, &inbox.recv().await.unwrap()), "{notice:?}");
    }
    assert_eq!(inbox.dropped(), 2);
}

#[tokio::test]
async fn the_longest_letter_arrives() {
    let directory = Directory::new();
    let mut inbox = Inbox::bind(&directory.place()).unwrap();
    let mut long = sources();
    let room = MAX_LETTER - encode(&Notice::Sources(Box::new(sources()))).unwrap().len();
    long.running.script.push("x".repeat(room - 3));
    let long = Notice::Sources(Box::new(long));
    assert_eq!(encode(&long).unwrap().len(), MAX_LETTER);
    Post::to(&directory.place()).unwrap().send(&long);
    assert!(same(&long, &inbox.recv().await.unwrap()));
}

#[tokio::test]
async fn the_socket_is_for_those_who_share_the_store() {
    let directory = Directory::new();
    for (sharing, mode) in [(Sharing::Group, 0o660), (Sharing::Owner, 0o600)] {
        let _inbox = Inbox::bind(&StorePlace::new(&directory.0, sharing)).unwrap();
        let found = std::fs::metadata(directory.socket()).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{found:o}");
    }
}

#[tokio::test]
async fn without_a_daemon_nothing_is_sent_and_a_dead_ones_socket_is_replaced() {
    let directory = Directory::new();
    let place = directory.place();
    assert!(Post::to(&place).is_none(), "there is no file");
    // A daemon that was killed leaves its file.
    drop(UnixDatagram::bind(directory.socket()).unwrap());
    drop(UnixDatagram::bind(directory.0.join("daemon.new")).unwrap());
    assert!(directory.socket().exists() && Post::to(&place).is_none(), "nobody listens");
    let mut inbox = Inbox::bind(&place).unwrap();
    Post::to(&place).unwrap().send(&notices()[0]);
    assert!(same(&notices()[0], &inbox.recv().await.unwrap()));
    drop(inbox);
    assert!(!directory.socket().exists());
    std::fs::write(directory.socket(), "no socket").unwrap();
    assert!(Post::to(&place).is_none());
}

#[tokio::test]
async fn nothing_is_told_through_a_link_or_to_the_socket_of_somebody_else() {
    let dir = Directory::new();
    let inbox = Inbox::bind(&dir.place()).unwrap();
    let (here, other) = (dir.socket(), dir.0.join("other.sock"));
    assert!(Post::to(&dir.place()).is_some());
    std::fs::rename(&here, &other).unwrap();
    std::os::unix::fs::symlink(&other, &here).unwrap();
    assert!(Post::to(&dir.place()).is_none(), "a link leads anywhere");
    std::fs::remove_file(&here).unwrap();
    std::fs::rename(&other, &here).unwrap();
    assert!(Post::to(&dir.place()).is_some());
    if nix::unistd::geteuid().is_root() {
        let chown = |path: &std::path::Path, user| std::os::unix::fs::chown(path, Some(user), None).unwrap();
        chown(&here, 65_534);
        assert!(Post::to(&dir.place()).is_none(), "somebody else's");
        chown(&dir.0, 65_534);
        assert!(Post::to(&dir.place()).is_some(), "the store's own user's");
    }
    drop(inbox);
}

#[tokio::test]
async fn the_file_of_a_later_daemon_stays() {
    let directory = Directory::new();
    let earlier = Inbox::bind(&directory.place()).unwrap();
    let _later = Inbox::bind(&directory.place()).unwrap();
    drop(earlier);
    assert!(directory.socket().exists());
}

/// It would hang for ever if a notice were waited for.
#[tokio::test]
async fn a_daemon_that_does_not_read_holds_up_nobody() {
    let directory = Directory::new();
    let mut inbox = Inbox::bind(&directory.place()).unwrap();
    for _ in 0..5000 {
        Post::to(&directory.place()).unwrap().send(&notices()[0]);
    }
    assert!(same(&notices()[0], &inbox.recv().await.unwrap()), "those that had room are there");
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_said() {
    let directory = Directory::new();
    let deep = directory.0.join("d".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let place = StorePlace::new(&deep, Sharing::Group);
    assert!(Inbox::bind(&place).unwrap_err().to_string().contains("100 bytes"));
    assert!(Post::to(&place).is_none());
}
