//! The environment of one driver call.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};

use super::job::JobDescription;
use super::layout::Layout;
use super::variables::{JobStatus, all_variables, expand_by_job};

/// An environment: names and values.
pub type Environment = BTreeMap<OsString, OsString>;

/// What the environment of a call depends on, besides the job.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The runner process's own environment.
    pub inherited: &'a [(OsString, OsString)],
    /// The attempt's directory.
    pub temp_dir: &'a Path,
    /// What config asked for; empty in config itself.
    pub job_env: &'a BTreeMap<String, String>,
    /// The job's directories; all empty in the first config call.
    pub layout: &'a Layout,
    /// How far the job is.
    pub status: JobStatus,
}

/// Puts an environment together, in the runner's order; later names win.
pub fn call_environment(job: &JobDescription, around: Surroundings<'_>) -> Environment {
    let mut env: Environment = around.inherited.iter().cloned().collect();
    let mut set = |key: &str, value: OsString| {
        env.insert(OsString::from(key), value);
    };
    set("TMPDIR", around.temp_dir.into());
    set("BUILD_FAILURE_EXIT_CODE", "1".into());
    set("SYSTEM_FAILURE_EXIT_CODE", "2".into());
    if job.version.since(17, 9) {
        set("BUILD_EXIT_CODE_FILE", around.temp_dir.join("build_exit_code").into());
    }
    set("JOB_RESPONSE_FILE", around.temp_dir.join("response.json").into());
    for (key, value) in around.job_env {
        set(key, value.into());
    }
    for variable in all_variables(job, around.layout, around.status) {
        set(&format!("CUSTOM_ENV_{}", variable.key), variable.value.into());
    }
    set("CUSTOM_ENV_CI_JOB_SERVICES", services_json(job).into());
    env
}

/// Returns CI_JOB_SERVICES: empty without services, else a JSON array.
fn services_json(job: &JobDescription) -> String {
    if job.services.is_empty() {
        return String::new();
    }
    let services = job.services.iter().map(|service| {
        let mut fields = json!({
            "name": expand_by_job(job, &service.image.name),
            "alias": service.aliases.first().map(|alias| expand_by_job(job, alias)).unwrap_or_default(),
            "entrypoint": service.image.entrypoint,
            "command": service.command,
        });
        if job.version.since(19, 0) && !service.variables.is_empty() {
            let variables = service.variables.iter();
            fields["variables"] =
                variables.map(|it| json!({"key": it.key, "value": expand_by_job(job, &it.value)})).collect();
        }
        fields
    });
    Value::Array(services.collect()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::path::Path;

    use super::{Surroundings, call_environment};
    use crate::runner::job::JobDescription;
    use crate::runner::layout::Layout;
    use crate::runner::parts::{Service, Variable};
    use crate::runner::variables::JobStatus;
    use crate::runner::version::RunnerVersion;

    fn env(job: &JobDescription, job_env: &[(&str, &str)], layout: &Layout) -> BTreeMap<String, String> {
        let inherited = [(OsString::from("PATH"), OsString::from("/bin")), ("TMPDIR".into(), "/old".into())];
        let job_env = job_env.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let around = Surroundings {
            inherited: &inherited,
            temp_dir: Path::new("/t"),
            job_env: &job_env,
            layout,
            status: JobStatus::Running,
        };
        let text = |it: OsString| it.into_string().unwrap();
        call_environment(job, around).into_iter().map(|(key, value)| (text(key), text(value))).collect()
    }

    #[test]
    fn before_config_the_directories_are_empty() {
        let env = env(&JobDescription::new(3), &[], &Layout::default());
        assert_eq!(env["CUSTOM_ENV_CI_BUILDS_DIR"], "");
        assert_eq!(env["CUSTOM_ENV_CI_PROJECT_DIR"], "");
        assert_eq!(env["CUSTOM_ENV_RUNNER_TEMP_PROJECT_DIR"], ".tmp");
        assert_eq!(env["CUSTOM_ENV_CI_JOB_SERVICES"], "");
        assert_eq!(env.get("CUSTOM_ENV_CI_JOB_IMAGE"), None);
        assert_eq!(env["TMPDIR"], "/t");
        assert_eq!(env["PATH"], "/bin");
        assert_eq!(env["JOB_RESPONSE_FILE"], "/t/response.json");
        assert_eq!(env["BUILD_EXIT_CODE_FILE"], "/t/build_exit_code");
        assert_eq!(
            (env["BUILD_FAILURE_EXIT_CODE"].as_str(), env["SYSTEM_FAILURE_EXIT_CODE"].as_str()),
            ("1", "2")
        );
    }

    #[test]
    fn job_env_wins_over_the_runner_and_only_variables_carry_the_prefix() {
        let job = JobDescription::new(3)
            .with_variable(Variable::plain("CONF", "line 1\nline 2\n").as_file())
            .variable("PLAIN", "x");
        let env = env(&job, &[("TMPDIR", "/mine"), ("HEARTH_X", "1")], &Layout::default());
        assert_eq!(env["TMPDIR"], "/mine");
        assert_eq!(env["HEARTH_X"], "1");
        assert_eq!(env["CUSTOM_ENV_CONF"], "line 1\nline 2\n");
        assert_eq!(env["CUSTOM_ENV_PLAIN"], "x");
        assert_eq!(env.get("PLAIN"), None);
    }

    #[test]
    fn an_old_runner_has_no_exit_code_file() {
        let job = JobDescription::new(3).version(RunnerVersion::new(17, 8, 0));
        assert_eq!(env(&job, &[], &Layout::default()).get("BUILD_EXIT_CODE_FILE"), None);
    }

    #[test]
    fn services_are_listed_with_their_first_alias_only() {
        let service =
            Service { aliases: vec!["db".into(), "other".into()], ..Service::named("pg:$CI_JOB_ID") };
        let env = env(&JobDescription::new(3).service(service), &[], &Layout::default());
        let list: serde_json::Value = serde_json::from_str(&env["CUSTOM_ENV_CI_JOB_SERVICES"]).unwrap();
        assert_eq!(list, serde_json::json!([{"name":"pg:3","alias":"db","entrypoint":null,"command":null}]));
    }
}
