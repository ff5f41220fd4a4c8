#!/bin/sh
# Runs Podman's Docker API beside the engine, with a store, settings and a socket of its own below the parts directory,
# and prints where it answers: unix://PATH. Where it cannot run here, it says so, prints nothing, and the tests on it are
# skipped aloud. HEARTH_NO_PODMAN=1 leaves it out.
set -eu
. "$(dirname -- "$0")/lib.sh"

dir=$parts/podman
socket=$dir/podman.sock

answers() {
    [ -S "$socket" ] && docker -H "unix://$socket" version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# What it would take from /etc is given to it here. The registries are on loopback, whatever their ports; limits above
# those of this shell would need a capability that not every container has.
write_settings() {
    mkdir -p "$dir/tmp" "$dir/networks"
    cat >"$dir/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[network]
network_backend = "netavark"
network_config_dir = "$dir/networks"
[engine]
events_logger = "file"
END
    cat >"$dir/registries.conf" <<END
[[registry]]
location = "127.0.0.1"
insecure = true
END
    cat >"$dir/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$dir/root"
runroot = "$dir/run"
END
}

if [ -n "${HEARTH_NO_PODMAN:-}" ]; then
    skip "Podman is not wanted: HEARTH_NO_PODMAN is set"
    exit 0
fi
if ! have podman; then
    skip "there is no podman: nothing is tested on it (apt-get install podman catatonit netavark aardvark-dns)"
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    skip "Podman is tested as root only"
    exit 0
fi
if ! answers; then
    say "starting Podman's service (log: $dir/log)" >&2
    write_settings
    CONTAINERS_CONF=$dir/containers.conf CONTAINERS_REGISTRIES_CONF=$dir/registries.conf \
        CONTAINERS_STORAGE_CONF=$dir/storage.conf \
        setsid podman --tmpdir "$dir/tmp" system service --time 0 "unix://$socket" </dev/null >>"$dir/log" 2>&1 &
    echo $! >"$dir/pid"
    if ! wait_for 20 answers; then
        skip "Podman's service does not answer: see $dir/log"
        exit 0
    fi
fi
say "Podman $(docker -H "unix://$socket" version --format '{{.Server.Version}}') answers" >&2
echo "unix://$socket"
