# What the scripts of this directory share. Sourced by them, never run.
# shellcheck shell=sh disable=SC2034 # what is set here is used by the scripts

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
project=$(CDPATH='' cd -- "$here/../.." && pwd)

# Everything the parts make lives below this directory; `make clean-parts` deletes it.
parts=${HEARTH_PARTS:-$project/.parts}
mkdir -p "$parts"
parts=$(CDPATH='' cd -- "$parts" && pwd)

# The two registries, on loopback only. The password guards nothing but the tests' own images.
open_port=${HEARTH_OPEN_PORT:-5501}
private_port=${HEARTH_PRIVATE_PORT:-5502}
open_registry=127.0.0.1:$open_port
private_registry=127.0.0.1:$private_port
user=${HEARTH_TEST_USER:-hearth}
password=${HEARTH_TEST_PASSWORD:-tests-only}

say() {
    printf 'parts: %s\n' "$*"
}

# Says that something this machine cannot do is left out, so that nobody takes silence for success.
skip() {
    printf 'parts: SKIP: %s\n' "$*" >&2
}

fail() {
    printf 'parts: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "\"$1\" needs root and there is no sudo: run this as root"
    fi
}

# Waits until a command succeeds: wait_for SECONDS COMMAND...
wait_for() {
    tries=$(($1 * 5))
    shift
    while [ "$tries" -gt 0 ]; do
        if "$@"; then
            return 0
        fi
        tries=$((tries - 1))
        sleep 0.2
    done
    return 1
}

# True if a container engine answers (DOCKER_HOST, else the usual socket).
engine_answers() {
    have docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}
