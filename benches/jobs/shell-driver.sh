#!/bin/sh
# A GitLab Runner custom executor driver on the docker command line: one container a stage.
set -eu

helper=@HELPER@
token=$CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN
job=plain-$token-job-$CUSTOM_ENV_CI_JOB_ID
cache=plain-$token-project-$CUSTOM_ENV_CI_PROJECT_ID-cache

case $1 in
config)
    echo '{"driver":{"name":"plain","version":"1"},"builds_dir":"/builds","cache_dir":"/cache","shell":"bash"}'
    ;;
prepare)
    for image in "$helper" "$CUSTOM_ENV_CI_JOB_IMAGE"; do
        docker image inspect "$image" >/dev/null 2>&1 || docker pull "$image"
    done
    docker network create "$job" >/dev/null
    docker volume create "$job-builds" >/dev/null
    docker volume create "$cache" >/dev/null
    ;;
run)
    case $3 in
    build_script | step_* | after_script) image=$CUSTOM_ENV_CI_JOB_IMAGE shell=sh ;;
    *) image=$helper shell=bash ;;
    esac
    docker run --rm -i --name "$job-$3" --network "$job" -v "$job-builds:/builds" -v "$cache:/cache" \
        "$image" "$shell" <"$2" || exit "$BUILD_FAILURE_EXIT_CODE"
    ;;
cleanup)
    docker network rm "$job" >/dev/null
    docker volume rm "$job-builds" >/dev/null
    ;;
esac
