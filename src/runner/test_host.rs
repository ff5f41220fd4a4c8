//! A host for tests: a driver that runs scripts on this machine, and a `gitlab-runner` command.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::stand_in::{DriverCommand, StandIn};
use super::test_dir::TestDir;

/// A driver that runs scripts on this host. FAKE_<call> holds commands to run first.
const DRIVER: &str = r#"#!/bin/sh
call=$1
if [ "$call" = run ]; then while [ $# -gt 2 ]; do shift; done; call=$2; fi
echo "$call ${CUSTOM_ENV_CI_JOB_STATUS} ${FAKE_ENV:-}" >> "$FAKE_ROOT/calls"
eval "hook=\${FAKE_$call:-}"; eval "$hook"
case $call in
config) printf '{"driver":{"name":"fake","version":"1"},"builds_dir":"%s/builds","cache_dir":"%s/cache","job_env":{"FAKE_ENV":"yes"}}' "$FAKE_ROOT" "$FAKE_ROOT" ;;
prepare) ;;
cleanup) echo "cleaned up" ;;
*)
    rm -f "${BUILD_EXIT_CODE_FILE:-/dev/null/x}" 2>/dev/null
    ${FAKE_SHELL:-bash} < "$1"; code=$?
    [ $code = 0 ] || { [ -z "${BUILD_EXIT_CODE_FILE:-}" ] || echo $code > "$BUILD_EXIT_CODE_FILE"; exit 1; }
esac
"#;

/// A `gitlab-runner` that archives for real and says what it was asked.
const HELPER: &str = r#"#!/bin/bash
command=$1; shift
upload() {
    address=${url#http://}
    printf -- '--XX\r\nContent-Disposition: form-data; name="file"\r\n\r\n' > "$FAKE_ROOT/body"
    { cat "$FAKE_ROOT/artifacts"; printf -- '\r\n--XX--\r\n'; } >> "$FAKE_ROOT/body"
    exec 3<> "/dev/tcp/${address%:*}/${address#*:}"
    printf 'POST /api/v4/jobs/%s/artifacts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nJOB-TOKEN: %s\r\n' "$id" "$token" >&3
    printf 'Content-Type: multipart/form-data; boundary=XX\r\n' >&3
    printf 'Content-Length: %s\r\n\r\n' "$(wc -c < "$FAKE_ROOT/body")" >&3
    cat "$FAKE_ROOT/body" >&3
    head -1 <&3 | grep -q 201
}
while [ $# -gt 0 ]; do case $1 in --file) file=$2 ;; --path) paths="$paths $2" ;;
    --url) url=$2 ;; --token) token=$2 ;; --id) id=$2 ;; esac; shift; done
case $command in
cache-archiver) mkdir -p "$(dirname "$file")" && tar -cf "$file" $paths ;;
cache-extractor) tar -xf "$file" ;;
artifacts-uploader) tar -cf "$FAKE_ROOT/artifacts" $paths; [ -z "${FAKE_UPLOAD:-}" ] || upload ;;
artifacts-downloader) tar -xf "$FAKE_ROOT/artifacts" ;;
esac
"#;

pub(crate) struct Host {
    dir: TestDir,
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let dir = TestDir::new();
        for (name, text) in [("driver", DRIVER), ("bin/gitlab-runner", HELPER)] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        let path = format!("{}/bin:/usr/local/bin:/usr/bin:/bin", dir.path().display());
        let env = vec![("PATH".into(), path.into()), ("FAKE_ROOT".into(), dir.path().into())];
        Self { dir, env }
    }

    pub(crate) fn hook(mut self, call: &str, commands: &str) -> Self {
        self.env.push((format!("FAKE_{call}").into(), commands.into()));
        self
    }

    pub(crate) fn stand_in(&self) -> StandIn {
        let driver = DriverCommand::new(self.dir.path().join("driver"), &[]);
        StandIn::new(driver, self.env.clone(), self.dir.path().join("tmp"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn calls(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default()
    }

    pub(crate) fn left_over(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("tmp")).unwrap().count()
    }
}
