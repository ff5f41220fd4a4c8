//! A checkout and a running job for tests.

use std::collections::BTreeMap;

use super::{CheckoutPath, Files, Findings, MAX_ROUNDS, Reach, Running, Wanted, When, scan};

/// The running job that most tests start from.
pub(super) fn running(script: &str) -> Running {
    let variables = [
        ("CI_PROJECT_DIR", "/builds/g/p"),
        ("CI_REGISTRY_IMAGE", "registry.example.com/g/p"),
        ("CI_COMMIT_SHA", "abc"),
        ("CI_COMMIT_BRANCH", "main"),
        ("CI_PIPELINE_SOURCE", "push"),
        ("CI_JOB_NAME", "compile"),
    ];
    Running {
        name: "compile".to_owned(),
        stage: "build".to_owned(),
        tags: vec!["small".to_owned(), "arm".to_owned()],
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        script: script.lines().map(str::to_owned).collect(),
        socket: true,
        platform: "linux/arm64".to_owned(),
    }
}

/// Scans as a caller does: what is asked for is read, and the scan comes again.
pub(super) fn scanned(running: &Running, checkout: &[(&str, &str)]) -> Findings {
    let checkout: BTreeMap<&str, &str> = checkout.iter().copied().collect();
    let mut files = Files::new();
    for _ in 0..MAX_ROUNDS {
        let findings = scan(&files, running);
        if findings.asks.is_empty() {
            return findings;
        }
        for path in findings.asks {
            let text = checkout.get(path.as_str()).map(|text| (*text).to_owned());
            files.add(path, text);
        }
    }
    scan(&files, running)
}

/// Adds a file to what was read.
pub(super) fn add(files: &mut Files, path: &str, text: &str) {
    files.add(CheckoutPath::root().join(path).expect("a path"), Some(text.to_owned()));
}

/// Writes what was found in one line each.
pub(super) fn lines(findings: &Findings) -> Vec<String> {
    findings.wanted.iter().map(line).collect()
}

fn line(wanted: &Wanted) -> String {
    let mut line = match wanted.when {
        When::Now => "now".to_owned(),
        When::Stages(stages) => format!("+{stages}"),
        When::Beside => "beside".to_owned(),
    };
    line.push_str(&format!(" {}", wanted.image));
    if let Some(platform) = &wanted.platform {
        line.push_str(&format!(" on {platform}"));
    }
    if !wanted.needed {
        line.push_str(" unneeded");
    }
    if let Reach::Elsewhere(store) = wanted.reach {
        line.push_str(&format!(" in {store:?}"));
    }
    line
}

/// Writes the notes in one line each.
pub(super) fn notes(findings: &Findings) -> Vec<String> {
    findings.notes.iter().map(ToString::to_string).collect()
}
