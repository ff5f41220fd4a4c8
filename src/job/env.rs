//! The environment of a stage process, as GitLab Runner sets it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::outcome::Failure;

const PREFIX: &str = "CUSTOM_ENV_";

/// What a stage process was told by its environment.
#[derive(Clone, Default)]
pub struct StageEnv {
    /// The job's variables, expanded and without their prefix. Authors can set most of them.
    pub variables: BTreeMap<String, String>,
    /// JOB_RESPONSE_FILE; `None` where the runner did not start this process.
    pub response_file: Option<PathBuf>,
    /// The attempt's own directory.
    pub temp_dir: Option<PathBuf>,
    /// BUILD_EXIT_CODE_FILE; `None` before runner 17.9.
    pub exit_code_file: Option<PathBuf>,
    /// The exit code that means "the job failed".
    pub build_failure: u8,
    /// The exit code that means "the system failed".
    pub system_failure: u8,
    /// Names of variables whose values are not UTF-8 and were mended.
    pub mended: Vec<String>,
}

impl fmt::Debug for StageEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StageEnv")
            .field("variables", &self.variables.keys())
            .field("response_file", &self.response_file)
            .field("temp_dir", &self.temp_dir)
            .finish_non_exhaustive()
    }
}

impl StageEnv {
    /// Reads the environment given. Exit codes that are missing or no numbers fall back to the runner's own 1 and 2.
    pub fn read(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut env = Self { build_failure: 1, system_failure: 2, ..Self::default() };
        for (name, value) in environment {
            let Ok(name) = name.into_string() else { continue };
            if let Some(name) = name.strip_prefix(PREFIX) {
                let value = value.into_string().unwrap_or_else(|raw| {
                    env.mended.push(name.to_owned());
                    raw.to_string_lossy().into_owned()
                });
                env.variables.insert(name.to_owned(), value);
                continue;
            }
            match name.as_str() {
                "JOB_RESPONSE_FILE" => env.response_file = Some(value.into()),
                "TMPDIR" => env.temp_dir = Some(value.into()),
                "BUILD_EXIT_CODE_FILE" => env.exit_code_file = Some(value.into()),
                "BUILD_FAILURE_EXIT_CODE" => env.build_failure = code(&value).unwrap_or(1),
                "SYSTEM_FAILURE_EXIT_CODE" => env.system_failure = code(&value).unwrap_or(2),
                _ => {}
            }
        }
        env
    }

    /// Returns a variable's value; empty counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns whether a feature flag or switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"))
    }

    /// Returns JOB_RESPONSE_FILE or the failure that says who has to set it.
    pub fn response_path(&self) -> Result<&PathBuf, Failure> {
        self.response_file.as_ref().ok_or_else(|| {
            Failure::system("JOB_RESPONSE_FILE is not set, so there is no job to run")
                .hint("GitLab Runner 14.1 or later sets it; to try hearth without a runner: hearth try")
        })
    }
}

fn code(value: &OsString) -> Option<u8> {
    value.to_str()?.parse().ok().filter(|code| *code != 0)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::StageEnv;

    #[test]
    fn prefixed_variables_lose_their_prefix_and_others_stay_out() {
        let env = StageEnv::read([
            ("CUSTOM_ENV_A".into(), "1".into()),
            ("A".into(), "host".into()),
            ("JOB_RESPONSE_FILE".into(), "/x/response.json".into()),
            ("SYSTEM_FAILURE_EXIT_CODE".into(), "7".into()),
            ("BUILD_FAILURE_EXIT_CODE".into(), "no number".into()),
        ]);
        assert_eq!(env.get("A"), Some("1"));
        assert_eq!((env.build_failure, env.system_failure), (1, 7));
        assert!(env.response_path().is_ok());
        assert!(!format!("{env:?}").contains('1'), "values must not be shown");
    }

    #[test]
    fn values_that_are_not_utf8_are_mended_and_named() {
        let env = StageEnv::read([("CUSTOM_ENV_B".into(), OsString::from_vec(vec![b'a', 0xff]))]);
        assert_eq!(env.get("B"), Some("a\u{fffd}"));
        assert_eq!(env.mended, ["B"]);
    }

    #[test]
    fn without_a_response_file_the_message_says_what_sets_it() {
        let text = StageEnv::read([]).response_path().unwrap_err().to_string();
        assert!(text.contains("JOB_RESPONSE_FILE") && text.contains("hearth try"), "{text}");
    }
}
