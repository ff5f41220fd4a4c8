//! JOB_RESPONSE_FILE: the job as the runner writes it down for the driver.

use serde_json::{Map, Value, json};

use super::job::JobDescription;
use super::parts::{Image, Service, Variable};
use super::variables::{expand_by_job, payload_variables};

/// Returns the file's text: one JSON object with the keys that the job's runner version knows, and a line end.
pub fn response_json(job: &JobDescription) -> String {
    let text = payload(job).to_string();
    // The runner's JSON writer escapes these three; they stand in strings only.
    let escaped = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    format!("{escaped}\n")
}

fn payload(job: &JobDescription) -> Value {
    let version = job.version;
    let mut top = json!({
        "id": job.id,
        "token": job.token.expose(),
        "allow_git_fetch": job.git.allow_fetch,
        "job_info": job_info(job),
        "git_info": git_info(job),
        "runner_info": {"timeout": job.timeouts.job.as_secs()},
        "variables": list(job, payload_variables(job).iter().map(variable).collect()),
        "steps": list(job, steps(job)),
        "image": image(job, &job.image),
        "services": list(job, job.services.iter().map(|it| service(job, it)).collect()),
        "artifacts": list(job, artifacts(job)),
        "cache": list(job, caches(job)),
        "credentials": list(job, credentials(job)),
        "dependencies": list(job, dependencies(job)),
        "features": {
            "trace_sections": false,
            "token_mask_prefixes": list(job, vec![json!("glpat-")]),
            "failure_reasons": list(job, vec![json!("script_failure"), json!("runner_system_failure")]),
        },
    });
    if version.since(18, 7) {
        top["inputs"] = json!({});
    }
    if !job.before_sources.is_empty() && version.since(15, 8) {
        top["hooks"] = json!([{"name": "pre_get_sources_script", "script": job.before_sources}]);
    }
    if version.since(17, 1) && !version.since(18, 9) {
        top["run"] = json!("");
    }
    if version.since(18, 1) {
        top["policy_options"] = json!({"execution_policy_job": false, "policy_name": ""});
    }
    if version.since(19, 0) {
        top["suspend_options"] = json!({});
    }
    top
}

/// Returns an array, or the `null` that an empty one becomes where the job asks for it.
fn list(job: &JobDescription, items: Vec<Value>) -> Value {
    if items.is_empty() && job.null_arrays { Value::Null } else { Value::Array(items) }
}

fn strings(job: &JobDescription, items: &[String]) -> Value {
    list(job, items.iter().map(|item| json!(item)).collect())
}

fn job_info(job: &JobDescription) -> Value {
    let project = job.project_path.rsplit('/').next().unwrap_or_default();
    let mut info = json!({
        "name": job.name,
        "stage": job.pipeline_stage,
        "project_id": job.project_id,
        "project_name": project,
    });
    if job.version.since(16, 11) {
        info["time_in_queue_seconds"] = json!(0.5);
        info["project_jobs_running_on_instance_runners_count"] = json!("0");
    }
    if job.version.since(18, 5) {
        info["project_full_path"] = json!(job.project_path);
        for key in ["namespace_id", "root_namespace_id", "organization_id", "queue_depth"] {
            info[key] = json!(1);
        }
        info["user_id"] = json!(job.user_id);
        info["instance_id"] = json!("try");
        info["instance_uuid"] = json!("");
        info["queue_size"] = json!(0);
    }
    if job.version.since(19, 0) {
        info["pipeline_id"] = json!(job.id);
    }
    info
}

fn git_info(job: &JobDescription) -> Value {
    let mut info = json!({
        "repo_url": job.repo_url(),
        "ref": job.git.reference,
        "sha": job.git.sha,
        "before_sha": "0".repeat(40),
        "ref_type": "branch",
        "refspecs": strings(job, &job.refspecs()),
        "depth": job.git.depth,
    });
    if job.version.since(16, 11) {
        info["repo_object_format"] = json!("sha1");
    }
    if job.version.since(18, 3) {
        info["protected"] = json!(job.git.protected);
    }
    info
}

fn variable(variable: &Variable) -> Value {
    json!({
        "key": variable.key,
        "value": variable.value,
        "public": variable.public,
        "file": variable.file,
        "masked": variable.masked,
        "raw": variable.raw,
    })
}

fn steps(job: &JobDescription) -> Vec<Value> {
    let step = |name: &str, script: &[String], timeout: u64, when: &str, allow_failure: bool| {
        json!({
            "name": name,
            "script": strings(job, script),
            "timeout": timeout,
            "when": when,
            "allow_failure": allow_failure,
        })
    };
    let timeout = job.timeouts.job.as_secs();
    let mut steps = vec![step("script", &job.script, timeout, "on_success", false)];
    steps
        .extend(job.more_steps.iter().map(|(name, script)| step(name, script, timeout, "on_success", false)));
    if !job.after_script.is_empty() {
        steps.push(step("after_script", &job.after_script, 300, "always", true));
    }
    steps
}

fn image(job: &JobDescription, image: &Image) -> Value {
    // Runners before 16 leave the names to the driver.
    let name = if job.version.since(16, 0) { expand_by_job(job, &image.name) } else { image.name.clone() };
    let mut fields = Map::new();
    fields.insert("name".to_owned(), json!(name));
    if let Some(entrypoint) = &image.entrypoint {
        fields.insert("entrypoint".to_owned(), json!(entrypoint));
    }
    if !image.pull_policy.is_empty() && job.version.since(15, 1) {
        fields.insert("pull_policy".to_owned(), json!(image.pull_policy));
    }
    if job.version.since(16, 6) {
        let mut options = json!({"docker": {"platform": image.platform}});
        if job.version.since(16, 7) {
            options["docker"]["user"] = json!(image.user);
        }
        if job.version.since(18, 0) {
            options["kubernetes"] = json!({"user": ""});
        }
        fields.insert("executor_opts".to_owned(), options);
    }
    Value::Object(fields)
}

fn service(job: &JobDescription, service: &Service) -> Value {
    let mut fields = image(job, &service.image);
    if !service.aliases.is_empty() {
        let aliases = service.aliases.join(" ");
        fields["alias"] =
            json!(if job.version.since(16, 0) { expand_by_job(job, &aliases) } else { aliases });
    }
    if let Some(command) = &service.command {
        fields["command"] = json!(command);
    }
    if !service.variables.is_empty() {
        fields["variables"] = Value::Array(service.variables.iter().map(variable).collect());
    }
    fields
}

fn artifacts(job: &JobDescription) -> Vec<Value> {
    let one = |it: &super::parts::Artifacts| {
        json!({
            "name": it.name,
            "untracked": false,
            "paths": strings(job, &it.paths),
            "exclude": strings(job, &it.exclude),
            "when": it.when.word(),
            "artifact_type": "archive",
            "artifact_format": "zip",
            "expire_in": "",
        })
    };
    job.artifacts.iter().map(one).collect()
}

fn caches(job: &JobDescription) -> Vec<Value> {
    let one = |it: &super::parts::Cache| {
        let mut fields = json!({
            "key": it.key,
            "untracked": it.untracked,
            "policy": it.policy.word(),
            "paths": strings(job, &it.paths),
            "when": it.when.word(),
        });
        if job.version.since(15, 11) {
            fields["fallback_keys"] = strings(job, &it.fallback_keys);
        }
        fields
    };
    job.cache.iter().map(one).collect()
}

fn credentials(job: &JobDescription) -> Vec<Value> {
    let one = |it: &super::parts::Credential| json!({"type": "registry", "url": it.url, "username": it.username, "password": it.password.expose()});
    job.credentials.iter().map(one).collect()
}

fn dependencies(job: &JobDescription) -> Vec<Value> {
    let one = |it: &super::parts::Dependency| {
        json!({
            "id": it.id,
            "token": it.token.expose(),
            "name": it.name,
            "artifacts_file": {"filename": it.filename, "size": it.size},
        })
    };
    job.dependencies.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::response_json;
    use crate::runner::job::JobDescription;
    use crate::runner::parts::Service;
    use crate::runner::version::RunnerVersion;

    fn keys(value: &Value) -> Vec<&str> {
        let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    fn read(job: &JobDescription) -> Value {
        serde_json::from_str(&response_json(job)).unwrap()
    }

    #[test]
    fn an_old_runner_sends_few_keys_and_unexpanded_names() {
        let job = JobDescription::new(9)
            .version(RunnerVersion::new(15, 11, 0))
            .image("base/$CI_PROJECT_NAME:1")
            .script("true");
        let top = read(&job);
        assert_eq!(
            keys(&top),
            [
                "allow_git_fetch",
                "artifacts",
                "cache",
                "credentials",
                "dependencies",
                "features",
                "git_info",
                "id",
                "image",
                "job_info",
                "runner_info",
                "services",
                "steps",
                "token",
                "variables"
            ]
        );
        assert_eq!(keys(&top["job_info"]), ["name", "project_id", "project_name", "stage"]);
        assert_eq!(
            keys(&top["git_info"]),
            ["before_sha", "depth", "ref", "ref_type", "refspecs", "repo_url", "sha"]
        );
        assert_eq!(keys(&top["image"]), ["name"]);
        assert_eq!(top["image"]["name"], "base/$CI_PROJECT_NAME:1");
    }

    #[test]
    fn a_new_runner_sends_more_keys_and_expanded_names() {
        let mut job = JobDescription::new(9).image("base/$CI_PROJECT_NAME:1").script("echo a > b && c");
        job.image.user = "1000".into();
        job.services
            .push(Service { aliases: vec!["db".into(), "data".into()], ..Service::named("pg:$CI_JOB_ID") });
        let text = response_json(&job);
        assert!(text.contains(r"echo a \u003e b \u0026\u0026 c") && text.ends_with("}\n"));
        let top = read(&job);
        assert_eq!(top["image"]["name"], "base/project:1");
        assert_eq!(top["image"]["executor_opts"]["docker"]["user"], "1000");
        assert_eq!(top["services"][0]["name"], "pg:9");
        assert_eq!(top["services"][0]["alias"], "db data");
        assert_eq!(top["git_info"]["protected"], false);
        assert_eq!(top["run"], "");
        assert_eq!(top["policy_options"]["execution_policy_job"], false);
        assert_eq!(top["job_info"]["project_full_path"], "try/project");
        assert_eq!(top.get("hooks"), None);
    }

    #[test]
    fn empty_arrays_become_null_where_asked() {
        let mut job = JobDescription::new(9);
        assert_eq!(read(&job)["services"], serde_json::json!([]));
        job.null_arrays = true;
        let top = read(&job);
        for key in ["services", "artifacts", "cache", "credentials", "dependencies"] {
            assert_eq!(top[key], Value::Null, "{key}");
        }
        assert_eq!(top["steps"][0]["script"], Value::Null);
    }
}
