//! JOB_RESPONSE_FILE: the wire types, tolerant of `null` arrays and unknown keys, private to [`crate::job`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::outcome::Failure;
use crate::secret::Secret;

/// The largest JOB_RESPONSE_FILE that is read, in bytes. GitLab bounds a job's payload to a few MiB.
pub const MAX_RESPONSE_BYTES: u64 = 32 << 20;

/// The job as the runner wrote it.
#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub(super) id: i64,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) token: Secret,
    #[serde(default)]
    pub(super) allow_git_fetch: bool,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) job_info: JobInfo,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) git_info: GitInfo,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) runner_info: RunnerInfo,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) variables: Vec<Variable>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) steps: Vec<Script>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) image: Image,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) services: Vec<Image>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) artifacts: Vec<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) cache: Vec<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) dependencies: Vec<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) credentials: Vec<Credential>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) secrets: BTreeMap<String, SecretSource>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct JobInfo {
    #[serde(default, deserialize_with = "null_default")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) project_id: i64,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) project_full_path: String,
    /// Since 18.5; 0 where it is not sent.
    #[serde(default, deserialize_with = "null_default")]
    pub(super) user_id: i64,
    /// The user on whose behalf a service account's job runs: the token has only the rights that both have.
    #[serde(default, deserialize_with = "null_default")]
    pub(super) scoped_user_id: i64,
}

#[derive(Default, Deserialize)]
pub(super) struct GitInfo {
    #[serde(default, deserialize_with = "null_default")]
    pub(super) repo_url: Secret,
    #[serde(default, deserialize_with = "null_default", rename = "ref")]
    pub(super) reference: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) sha: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) before_sha: String,
    #[serde(default)]
    pub(super) protected: Option<bool>,
}

impl fmt::Debug for GitInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitInfo {{ ref: {:?}, protected: {:?}, .. }}", self.reference, self.protected)
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RunnerInfo {
    #[serde(default)]
    pub(super) timeout: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Variable {
    #[serde(default, deserialize_with = "null_default")]
    pub(super) key: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) value: Secret,
    #[serde(default)]
    pub(super) public: bool,
    #[serde(default)]
    pub(super) file: bool,
    #[serde(default)]
    pub(super) raw: bool,
}

/// One of the job's scripts; it has no Debug form, since authors write secrets into them.
#[derive(Default, Deserialize)]
pub(super) struct Script {
    #[serde(default, deserialize_with = "null_default")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) script: Vec<String>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script {{ name: {:?}, .. }}", self.name)
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Image {
    #[serde(default, deserialize_with = "null_default")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) alias: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) command: Vec<String>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) entrypoint: Vec<String>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) variables: Vec<Variable>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) pull_policy: Vec<String>,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) executor_opts: ExecutorOpts,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ExecutorOpts {
    #[serde(default, deserialize_with = "null_default")]
    pub(super) docker: DockerOpts,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct DockerOpts {
    #[serde(default, deserialize_with = "null_default")]
    pub(super) platform: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) user: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Credential {
    #[serde(default, rename = "type", deserialize_with = "null_default")]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) url: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) username: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(super) password: Secret,
}

/// A `secrets:` entry; only whether it becomes a file matters here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SecretSource {
    #[serde(default)]
    pub(super) file: Option<bool>,
}

fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Parses the bytes of JOB_RESPONSE_FILE. Errors never quote the file: it is full of secrets.
pub(super) fn parse(bytes: &[u8]) -> Result<Response, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what =
            if error.is_eof() { "ends too early" } else { "is not the JSON object GitLab Runner writes" };
        Failure::system(format!(
            "JOB_RESPONSE_FILE {what} (line {}, column {})",
            error.line(),
            error.column()
        ))
        .hint(
            "the disk of the runner's temporary directory may be full; GitLab Runner 15.0 or later is needed",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn null_arrays_unknown_keys_and_both_forms_of_run_are_taken() {
        for run in ["\"\"", "[{\"name\":\"x\"}]"] {
            let text = format!(
                "{{\"id\":1,\"variables\":null,\"steps\":null,\"services\":null,\"artifacts\":null,\"cache\":null,\
                 \"credentials\":null,\"dependencies\":null,\"image\":{{\"name\":\"\",\"entrypoint\":null}},\
                 \"run\":{run},\"new\":{{\"key\":[]}}}}"
            );
            let response = parse(text.as_bytes()).unwrap();
            assert_eq!(response.id, 1);
            assert!(response.variables.is_empty());
        }
    }

    #[test]
    fn a_truncated_file_says_so_and_shows_no_secret() {
        let failure =
            parse(br#"{"id":1,"token":"s3cr3t","git_info":{"repo_url":"https://u:pa55"#).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("ends too early"), "{text}");
        assert!(!text.contains("s3cr3t") && !text.contains("pa55"), "{text}");
        let failure = parse(br#"{"id":"s3cr3t"}"#).unwrap_err();
        assert!(!failure.to_string().contains("s3cr3t"), "{failure}");
    }
}
