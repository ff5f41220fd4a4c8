//! Pure modules know nothing of the world, and edges do not know each other.

use std::path::{Path, PathBuf};

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a source directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

fn offences(module: &str, banned: &[&str]) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = match src.join(format!("{module}.rs")) {
        file if file.exists() => vec![file],
        _ => sources(&src.join(module)),
    };
    assert!(!files.is_empty(), "there is no module {module}");
    let mut offences = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in banned.iter().filter(|word| line.contains(**word)) {
                offences.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    offences
}

#[test]
fn pure_modules_import_no_runtime_engine_file_system_environment_or_clock() {
    let banned = [
        "tokio",
        "bollard",
        "hyper",
        "rustls",
        "std::fs",
        "std::net",
        "std::env::",
        "std::process",
        "std::io",
        "Instant",
        "SystemTime",
        "rusqlite",
        "crate::engine",
        "crate::store",
        "crate::host",
        "crate::registry",
        "crate::stage",
        "crate::evict",
        "crate::fetch",
        "crate::runner",
        "crate::operator",
        "crate::daemon",
    ];
    for module in ["job", "image", "plan", "policy", "scan", "units", "outcome", "secret", "moment"] {
        assert_eq!(offences(module, &banned), Vec::<String>::new());
    }
}

#[test]
fn edges_do_not_import_each_other_or_what_joins_them() {
    let shells =
        ["crate::evict", "crate::stage", "crate::fetch", "crate::runner", "crate::operator", "crate::daemon"];
    for (module, others) in [
        ("engine", &["crate::settings::load", "crate::host", "crate::registry", "crate::store"][..]),
        ("registry", &["crate::engine", "crate::settings", "crate::host", "crate::store"]),
        ("settings", &["crate::engine", "crate::host", "crate::registry", "crate::store"]),
        ("host", &["crate::engine", "crate::settings", "crate::registry", "crate::store"]),
        ("store", &["crate::engine", "crate::registry", "crate::settings", "crate::host"]),
        ("notice", &["crate::engine", "crate::registry", "crate::settings", "crate::host"]),
    ] {
        let banned: Vec<&str> = shells.iter().chain(others).copied().collect();
        assert_eq!(offences(module, &banned), Vec::<String>::new());
    }
}
