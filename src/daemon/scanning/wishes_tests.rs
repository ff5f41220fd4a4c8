use std::collections::BTreeMap;

use super::{ScanWish, candidates};
use crate::daemon::scanning::Scanned;
use crate::image::Platform;
use crate::image::proof::Asker;
use crate::notice::Sources;
use crate::policy::wanted::Soon;
use crate::scan::{CheckoutPath, Files, Running, scan};

/// A job that builds with the socket.
fn sources(script: &str) -> Sources {
    Sources {
        job: "hearth-tok-job-7 https://gitlab.test".to_owned(),
        owner: String::new(),
        helper: "hearth-tok-job-7-helper".to_owned(),
        dir: "/builds/g/p".to_owned(),
        pipeline: "https://gitlab.test 900".to_owned(),
        running: Running {
            name: "compile".to_owned(),
            stage: "build".to_owned(),
            tags: Vec::new(),
            variables: BTreeMap::new(),
            script: vec![script.to_owned()],
            socket: true,
            platform: "linux/arm64".to_owned(),
        },
        own: vec!["docker.io/library/docker:28".to_owned()],
        platform: String::new(),
        number: 7,
        project_key: "https://gitlab.test 4".to_owned(),
        source: None,
        asker: Asker { server: String::new(), project: 4, user_id: None, tokens: Vec::new() },
        credentials: Vec::new(),
        docker_auth_config: None,
        allowed_images: Vec::new(),
        allowed_services: Vec::new(),
        may_pull: true,
        until: 0,
    }
}

/// Scans these files, all that is asked for at once.
fn found(sources: &Sources, checkout: &[(&str, &str)]) -> (Vec<ScanWish>, Vec<String>) {
    let mut files = Files::new();
    let mut findings = scan(&files, &sources.running);
    while !findings.asks.is_empty() {
        for path in findings.asks {
            let held = checkout.iter().find(|(of, _)| *of == CheckoutPath::as_str(&path));
            files.add(path, held.map(|(_, text)| (*text).to_owned()));
        }
        findings = scan(&files, &sources.running);
    }
    candidates(&Scanned { findings, native: Platform::new("linux", "arm64", "") }, sources)
}

fn lines(wishes: &[ScanWish]) -> Vec<String> {
    let platform = |wish: &ScanWish| wish.wish.platform.as_ref().map(|p| format!(" {p}")).unwrap_or_default();
    let name = |wish: &ScanWish| wish.wish.reference.normalized();
    wishes
        .iter()
        .map(|wish| format!("{:?} {}{} {}", wish.soon, name(wish), platform(wish), wish.place))
        .collect()
}

const PIPELINE: &str = "stages: [build, test]
compile: {stage: build, image: 'docker:28', script: x}
lint: {stage: build, image: 'lint:1', script: x}
check: {stage: test, image: 'app:1', services: ['db:1'], script: x}
twice: {stage: test, image: 'docker.io/library/app:1', script: x}
";

#[test]
fn what_comes_next_is_first_and_nothing_comes_twice() {
    let files =
        [(".gitlab-ci.yml", PIPELINE), ("Dockerfile", "FROM base:1 AS a\nFROM base:2\nCOPY --from=a x y\n")];
    let (wishes, notes) = found(&sources("docker build ."), &files);
    let expected = [
        "Now docker.io/library/base:1 Dockerfile:1",
        "Now docker.io/library/base:2 Dockerfile:2",
        "Stages(1) docker.io/library/app:1 .gitlab-ci.yml:4",
        "Stages(1) docker.io/library/db:1 .gitlab-ci.yml:4",
        "Beside docker.io/library/lint:1 .gitlab-ci.yml:3",
    ];
    assert_eq!((lines(&wishes), notes), (expected.map(str::to_owned).to_vec(), Vec::new()));
    assert_eq!(wishes[0].soon, Soon::Now);
}

#[test]
fn what_this_host_does_not_allow_is_left_out_and_said() {
    let mut sources = sources("docker build .");
    sources.allowed_images = vec!["app:*".to_owned(), "docker:*".to_owned()];
    sources.allowed_services = vec!["db:*".to_owned()];
    let pipeline =
        format!("{PIPELINE}other: {{stage: test, image: 'db:1', services: ['app:1', 'x:1'], script: x}}");
    let (wishes, notes) = found(&sources, &[(".gitlab-ci.yml", &pipeline), ("Dockerfile", "FROM base:1\n")]);
    let expected = [
        "Stages(1) docker.io/library/app:1 .gitlab-ci.yml:4",
        "Stages(1) docker.io/library/db:1 .gitlab-ci.yml:4",
    ];
    assert_eq!(lines(&wishes), expected);
    for image in ["base:1", "lint:1", "x:1"] {
        let said = format!("{image} is not fetched ahead: this host does not allow it");
        assert_eq!(notes.iter().filter(|note| note.ends_with(&said)).count(), 1, "{notes:?}");
    }
    sources.allowed_images = vec!["[".to_owned()];
    sources.allowed_services = vec!["[".to_owned()];
    assert_eq!(found(&sources, &[(".gitlab-ci.yml", PIPELINE)]).0, [], "what is no pattern allows nothing");
}

#[test]
fn where_jobs_may_pull_nothing_nothing_comes_and_that_is_said_once() {
    let mut sources = sources("docker build .");
    sources.may_pull = false;
    let files = [(".gitlab-ci.yml", PIPELINE), ("Dockerfile", "FROM base:1\n")];
    let said = "nothing is fetched ahead: this host's pull policies let its jobs pull nothing";
    assert_eq!(found(&sources, &files), (Vec::new(), vec![said.to_owned()]));
    let (wishes, notes) = found(&sources, &[]);
    assert!(wishes.is_empty() && !notes.contains(&said.to_owned()), "nothing is wanted: {notes:?}");
}

#[test]
fn what_is_no_help_to_this_host_is_left_out_and_said() {
    let files = [(
        "Dockerfile",
        "FROM --platform=linux/amd64 a:1 AS amd\nFROM --platform=linux/arm/v7 b:1\nCOPY --from=amd x y\n\
         COPY --from=sha256:0000000000000000000000000000000000000000000000000000000000000000 x y\n",
    )];
    let (wishes, notes) = found(&sources("docker build ."), &files);
    assert_eq!(lines(&wishes), ["Now docker.io/library/b:1 linux/arm/v7 Dockerfile:2"]);
    assert!(
        notes.iter().any(|note| note.contains("a:1 is not fetched ahead: it is for linux/amd64")),
        "{notes:?}"
    );

    let (wishes, notes) = found(&sources("/kaniko/executor --dockerfile Dockerfile"), &files);
    assert_eq!(wishes, []);
    assert!(notes.iter().any(|note| note.contains("kaniko")), "{notes:?}");
    // BuildKit skips what the target does not need.
    let (wishes, _) = found(&sources("docker build ."), &[("Dockerfile", "FROM a:1\nFROM b:1\n")]);
    assert_eq!(lines(&wishes), ["Now docker.io/library/b:1 Dockerfile:2"]);
}

#[test]
fn the_hosts_own_platform_is_that_of_jobs_but_not_of_builds() {
    let mut sources = sources("docker build .");
    sources.platform = "linux/arm/v7".to_owned();
    let (wishes, _) = found(&sources, &[(".gitlab-ci.yml", PIPELINE), ("Dockerfile", "FROM base:1\n")]);
    assert_eq!(lines(&wishes)[0], "Now docker.io/library/base:1 Dockerfile:1");
    assert_eq!(lines(&wishes)[1], "Stages(1) docker.io/library/app:1 linux/arm/v7 .gitlab-ci.yml:4");
}

#[test]
fn a_note_is_one_short_line_whatever_an_author_wrote() {
    let pipeline = format!("check: {{stage: test, image: \"a\\n\\e[31m{}\", script: x}}", "b".repeat(2000));
    let (wishes, notes) = found(&sources(""), &[(".gitlab-ci.yml", &pipeline)]);
    assert_eq!(wishes, []);
    assert!(!notes.is_empty());
    for note in notes {
        assert!(
            note.chars().count() <= super::MAX_NOTE + 1 && !note.contains(|c: char| c.is_control()),
            "{note:?}"
        );
    }
}
