#!/bin/sh
# Undoes what the parts have left behind: stops the registries that were started here, removes their images from
# the engine, deletes the parts directory. Installed packages stay, and an engine goes on running.
set -eu
. "$(dirname -- "$0")/lib.sh"

for name in open private; do
    pid=$(cat "$parts/registry/$name/pid" 2>/dev/null) || continue
    # Only if it is still that process, and not another one that got its number.
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -F "$parts/registry/$name/config.yml"; then
        say "stopping the $name registry"
        kill "$pid"
    fi
done

pid=$(cat "$parts/podman/pid" 2>/dev/null) || pid=''
if [ -n "$pid" ]; then
    socket=$parts/podman/podman.sock
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -F "$socket"; then
        say "stopping Podman"
        # shellcheck disable=SC2046 # a list of IDs
        docker -H "unix://$socket" rm -f $(docker -H "unix://$socket" ps -aq) >/dev/null 2>&1 || true
        kill "$pid"
    fi
    # Its store is a mount of its own, which the watchers of past execs hold for some minutes.
    umount -l "$parts/podman/root/overlay" 2>/dev/null || true
fi

pid=$(cat "$parts/containerd/pid" 2>/dev/null) || pid=''
bridge=$(cat "$parts/containerd/bridge" 2>/dev/null) || bridge=''
if [ -n "$bridge" ]; then
    socket=$parts/containerd/shared/docker.sock
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -F -e "--bridge=$bridge"; then
        say "stopping Docker with containerd's image store"
        # shellcheck disable=SC2046 # a list of IDs
        docker -H "unix://$socket" rm -f $(docker -H "unix://$socket" ps -aq) >/dev/null 2>&1 || true
        kill "$pid"
        ended() { ! kill -0 "$pid" 2>/dev/null; }
        wait_for 20 ended || say "it does not end: its process is $pid"
    fi
    ip link del "$bridge" 2>/dev/null || true
    iptables -D FORWARD -m physdev --physdev-is-bridged -m comment --comment "$bridge" -j ACCEPT 2>/dev/null || true
    find /sys/fs/cgroup -depth -type d -path '*/hearth-parts*' -exec rmdir {} + 2>/dev/null || true
fi

if engine_answers; then
    docker images --format '{{.Repository}}:{{.Tag}}' |
        grep -e "^$open_registry/" -e "^$private_registry/" -e '^hearth-parts/' |
        while IFS= read -r image; do
            docker rmi "$image" >/dev/null 2>&1 || say "$image stays: it is in use, or has no tag"
        done
fi

if [ -e "$parts/engine/dockerd.log" ] && engine_answers; then
    say "dockerd was started from here and goes on running; 'kill \$(cat /var/run/docker.pid)' stops it"
fi
rm -rf "$parts"
