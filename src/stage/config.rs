//! `hearth config`: tells the runner where the containers have their directories. Needs no engine.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::settings::Settings;

/// The document that GitLab Runner reads from stdout.
#[derive(Debug, Serialize)]
struct Document<'a> {
    driver: Driver,
    hostname: &'a str,
    builds_dir: &'a str,
    cache_dir: &'a str,
    builds_dir_is_shared: bool,
    shell: &'a str,
    job_env: BTreeMap<&'a str, &'a str>,
}

#[derive(Debug, Serialize)]
struct Driver {
    name: &'static str,
    version: &'static str,
}

/// Makes the document. `job_env` reaches the later stages' own environment, never the job's.
pub fn document(settings: &Settings, hostname: &str) -> String {
    let driver = &settings.driver;
    let document = Document {
        driver: Driver { name: "hearth", version: env!("CARGO_PKG_VERSION") },
        hostname: driver.hostname.as_deref().unwrap_or(hostname),
        builds_dir: &driver.builds_dir,
        cache_dir: &driver.cache_dir,
        builds_dir_is_shared: false,
        shell: &driver.shell,
        job_env: BTreeMap::from([("HEARTH_VERSION", env!("CARGO_PKG_VERSION"))]),
    };
    serde_json::to_string(&document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_has_what_the_runner_reads() {
        let text = super::document(&crate::settings::defaults().unwrap(), "pi4");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["driver"]["name"], "hearth");
        assert_eq!(value["builds_dir"], "/builds");
        assert_eq!(value["cache_dir"], "/cache");
        assert_eq!(value["hostname"], "pi4");
        assert_eq!(value["shell"], "bash");
        assert!(value["job_env"].as_object().unwrap().values().all(serde_json::Value::is_string));
    }
}
