//! What the driver's config call prints, read by the runner's rules.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The overrides that config printed; all of them optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DriverConfig {
    /// Who the driver is, for the log.
    pub driver: Option<DriverName>,
    /// The job's host name.
    pub hostname: Option<String>,
    /// The root of all checkouts, as the scripts see it.
    pub builds_dir: Option<String>,
    /// The root of local caches, as the scripts see it.
    pub cache_dir: Option<String>,
    /// Whether several runners write below `builds_dir`.
    pub builds_dir_is_shared: Option<bool>,
    /// Environment of the driver's later calls.
    pub job_env: Option<BTreeMap<String, String>>,
    /// The shell that scripts are written for.
    pub shell: Option<String>,
}

/// The driver's name and version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DriverName {
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

impl DriverConfig {
    /// Reads what config printed. No bytes at all mean no overrides; anything but one JSON object of the right types is
    /// an error, whose text the runner puts into the log.
    pub fn parse(stdout: &[u8]) -> Result<Self, String> {
        if stdout.is_empty() {
            return Ok(Self::default());
        }
        let bad = |error: serde_json::Error| format!("error while parsing JSON output: {error}");
        let value: Value = serde_json::from_slice(stdout).map_err(bad)?;
        let config: Self = match value {
            Value::Null => Self::default(),
            Value::Object(_) => serde_json::from_value(lowercase_keys(value)).map_err(bad)?,
            _ => return Err("error while parsing JSON output: not an object".to_owned()),
        };
        match config.shell.as_deref() {
            None | Some("bash" | "sh") => Ok(config),
            Some(other) => Err(format!("shell {other} not found (the stand-in writes bash and sh only)")),
        }
    }

    /// Returns "NAME VERSION" for the log; `None` when config named no driver.
    pub fn driver_line(&self) -> Option<String> {
        let driver = self.driver.as_ref()?;
        let name = driver.name.as_deref().filter(|name| !name.is_empty())?;
        Some(match &driver.version {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        })
    }
}

/// Writes the keys small, two levels deep: the runner's JSON reader does not care for their case. The names in
/// `job_env` keep theirs.
fn lowercase_keys(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let lowered = fields.into_iter().map(|(key, value)| {
        let key = key.to_ascii_lowercase();
        let value = if key == "driver" { lowercase_keys(value) } else { value };
        (key, value)
    });
    Value::Object(lowered.collect())
}

#[cfg(test)]
mod tests {
    use super::DriverConfig;

    #[test]
    fn no_bytes_mean_no_overrides() {
        assert_eq!(DriverConfig::parse(b""), Ok(DriverConfig::default()));
    }

    #[test]
    fn keys_are_read_in_any_case_and_unknown_ones_are_passed_over() {
        let config = DriverConfig::parse(
            br#"{"Driver":{"Name":"x","version":"1"},"BUILDS_DIR":"/b","new":[1],"hostname":null,"job_env":{"A_b":"c"}}"#,
        )
        .unwrap();
        assert_eq!(config.driver_line().as_deref(), Some("x 1"));
        assert_eq!(config.builds_dir.as_deref(), Some("/b"));
        assert_eq!(config.hostname, None);
        assert_eq!(config.job_env.unwrap()["A_b"], "c");
    }

    #[test]
    fn anything_but_one_well_typed_object_is_refused() {
        for text in [
            " ",
            "{}{}",
            "{} x",
            "[]",
            r#"{"job_env":{"A":1}}"#,
            r#"{"builds_dir":1}"#,
            r#"{"shell":"fish"}"#,
        ] {
            assert!(DriverConfig::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
