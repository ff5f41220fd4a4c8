#!/bin/sh
# Sees to it that all parts are there and run, then runs a command with the variables that tell the tests where
# they are: with.sh COMMAND...  Quick when everything is there already.
set -eu
. "$(dirname -- "$0")/lib.sh"

[ $# -gt 0 ] || fail "usage: with.sh COMMAND..."
for part in install engine registry images; do
    "$here/$part.sh"
done

export HEARTH_PARTS="$parts"
export HEARTH_TEST_REGISTRY="$open_registry"
export HEARTH_TEST_PRIVATE_REGISTRY="$private_registry"
export HEARTH_TEST_USER="$user"
export HEARTH_TEST_PASSWORD="$password"
HEARTH_TEST_BUSYBOX=$(command -v busybox)
export HEARTH_TEST_BUSYBOX
podman=$("$here/podman.sh")
if [ -n "$podman" ]; then
    export HEARTH_TEST_PODMAN="$podman"
fi
containerd=$("$here/containerd.sh") || containerd=''
if [ -n "$containerd" ]; then
    export HEARTH_TEST_CONTAINERD="$containerd"
fi
say "running: $*"
cd "$project"
exec "$@"
