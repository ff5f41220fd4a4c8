#!/bin/sh
# Makes sure that a container engine answers: the one that is there already, else the system's service,
# else a dockerd started by hand that outlives this script. Does nothing if one answers.
set -eu
. "$(dirname -- "$0")/lib.sh"

socket=/var/run/docker.sock
log=$parts/engine/dockerd.log

describe() {
    say "engine $(docker version --format '{{.Server.Version}} (API {{.Server.APIVersion}}, {{.Server.Os}}/{{.Server.Arch}})') answers"
}

# An engine that this user may not talk to looks like none. If root can talk to it, no start helps.
refuse_if_denied() {
    if [ ! -S "$socket" ] || [ -w "$socket" ]; then
        return
    fi
    if ! have sudo || sudo docker version >/dev/null 2>&1; then
        fail "no permission on $socket: run this as root, or 'adduser $(id -un 2>/dev/null || id -u) docker' as root and log in again"
    fi
}

have docker || fail "there is no docker command: run tests/parts/install.sh first"

if engine_answers; then
    describe
    exit 0
fi

if [ -n "${DOCKER_HOST:-}" ]; then
    fail "no engine answers at DOCKER_HOST=$DOCKER_HOST: start it, or unset the variable to have one started here"
fi

refuse_if_denied

if [ -d /run/systemd/system ]; then
    say "starting the docker service"
    as_root systemctl start docker || fail "the docker service does not start: see 'journalctl -u docker'"
    if ! wait_for 60 engine_answers; then
        refuse_if_denied
        fail "the docker service started, but no engine answers: see 'journalctl -u docker'"
    fi
    describe
    exit 0
fi

have dockerd || fail "there is no dockerd: run tests/parts/install.sh first"
say "starting dockerd by hand (log: $log)"
mkdir -p "$parts/engine"
# setsid: a signal to the terminal's process group is not the engine's business.
# shellcheck disable=SC2016 # the inner shell expands it
as_root sh -c 'setsid dockerd </dev/null >>"$1" 2>&1 &' sh "$log"
if ! wait_for 60 engine_answers; then
    refuse_if_denied
    say "dockerd does not answer; the end of its log:"
    tail -n 25 "$log" >&2
    exit 1
fi
describe
