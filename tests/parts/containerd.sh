#!/bin/sh
# Runs a newer Docker with containerd's image store beside the engine, in a small Debian of its own below the parts
# directory, and prints where it answers: unix://PATH. Where it cannot run here, it says so, prints nothing, and the tests
# on it are skipped aloud. HEARTH_NO_CONTAINERD=1 leaves it out.
set -eu
. "$(dirname -- "$0")/lib.sh"

dir=$parts/containerd
debian=$dir/debian
socket=$dir/shared/docker.sock
mirror=${HEARTH_DEBIAN_MIRROR:-http://deb.debian.org/debian}

# The second half of this script, in a mount namespace of its own: containerd.sh --engine DEBIAN DIR BRIDGE. The engine
# that it becomes keeps everything in DIR, answers at DIR/shared/docker.sock, and takes all its mounts with it.
if [ "${1-}" = --engine ]; then
    debian=$2 dir=$3 bridge=$4
    mkdir -p "$dir/shared" "$dir/data" "$debian/shared" "$debian/old" "$debian/var/lib/docker"
    mount --bind "$debian" "$debian"
    mount --bind "$dir/shared" "$debian/shared"
    # An overlay cannot lie on an overlay.
    case $(stat -f -c %T "$dir") in
    overlay*) mount -t tmpfs -o size=2g none "$debian/var/lib/docker" ;;
    *) mount --bind "$dir/data" "$debian/var/lib/docker" ;;
    esac
    mount -t proc none "$debian/proc"
    mount --rbind /sys "$debian/sys"
    mount --rbind /dev "$debian/dev"
    mount -t tmpfs none "$debian/run"
    mount -t tmpfs none "$debian/tmp"
    # A chroot is not enough: containers would get a root that is not theirs.
    cd "$debian"
    pivot_root . old
    umount -l /old
    # With this variable set, it leaves AppArmor to the host. No --bridge=none and no address pools: with them, it deletes
    # docker0, whosever it is.
    exec env container=hearth PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        dockerd --bridge="$bridge" --iptables=false --ip6tables=false --ip-masq=false --shutdown-timeout=2 \
        --cgroup-parent=/hearth-parts --exec-root=/run/docker --pidfile=/run/docker.pid -H unix:///shared/docker.sock
fi

answers() {
    [ -S "$socket" ] && docker -H "unix://$socket" version --format '{{.Server.Version}}' >/dev/null 2>&1
}

has_begun_or_ended() {
    answers || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null
}

# True if an engine keeps its images in containerd's store: is_that_kind [-H HOST]
is_that_kind() {
    docker "$@" info --format '{{.DriverStatus}}' 2>/dev/null | grep -q io.containerd.snapshotter
}

leave_out() {
    skip "no engine with containerd's image store: $*"
    exit 0
}

# Makes the Debian. What was fetched of it before a time was up is not fetched again.
make_debian() {
    rm -rf "$debian"
    mkdir -p "$dir"
    timeout 20 wget -q -t 1 -O /dev/null "$mirror/dists/trixie/InRelease" || leave_out "$mirror does not answer"
    say "making a Debian with Docker in it from $mirror: a minute or two (log: $dir/debian.log)" >&2
    for step in --download-only --merged-usr; do
        limit=900
        [ "$step" = --merged-usr ] || limit=150
        timeout -k 5 "$limit" debootstrap "$step" --variant=minbase \
            --include=docker.io,containerd,iptables,ca-certificates trixie "$dir/new" "$mirror" \
            </dev/null >>"$dir/debian.log" 2>&1 || leave_out "debootstrap $step did not get through: see $dir/debian.log"
    done
    rm -rf "$dir/new/var/cache/apt/archives" "$dir/new/var/lib/apt/lists"
    mkdir -p "$dir/new/etc/docker"
    echo '{"features": {"containerd-snapshotter": true}}' >"$dir/new/etc/docker/daemon.json"
    mv "$dir/new" "$debian"
}

# A bridge of its own for each parts directory.
number=$(printf %s "$parts" | cksum | cut -d ' ' -f 1)
bridge=hearth-c$((number % 10000))

make_bridge() {
    if ! ip link show "$bridge" >/dev/null 2>&1; then
        ip link add name "$bridge" type bridge || return
    fi
    ip addr replace "10.19.$((number % 250)).1/24" dev "$bridge" && ip link set "$bridge" up
}

# The firewall is left to the other engine, whose rules may drop what goes between two containers on one of our networks.
# One rule lets it pass, and nothing else: what stays within a bridge.
let_pass() {
    [ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" = 1 ] || return 0
    have iptables || return
    set -- FORWARD -m physdev --physdev-is-bridged -m comment --comment "$bridge" -j ACCEPT
    iptables -C "$@" 2>/dev/null || iptables -I "$@"
}

if [ -n "${HEARTH_NO_CONTAINERD:-}" ]; then
    leave_out "HEARTH_NO_CONTAINERD is set"
fi
if ! answers; then
    ! is_that_kind || leave_out "the engine that runs here is one itself"
    [ "$(id -u)" = 0 ] || leave_out "it is tested as root only"
    for command in debootstrap wget ip unshare pivot_root; do
        have "$command" || leave_out "there is no $command here"
    done
    unshare -m true 2>/dev/null || leave_out "nothing may be mounted here"
    [ -d "$debian" ] || make_debian
    make_bridge >&2 || leave_out "no bridge for it can be made here"
    say "starting Docker with containerd's image store (log: $dir/log)" >&2
    echo "$bridge" >"$dir/bridge"
    rm -f "$socket"
    setsid unshare -m -- "$here/containerd.sh" --engine "$debian" "$dir" "$bridge" </dev/null >>"$dir/log" 2>&1 &
    echo $! >"$dir/pid"
    wait_for 60 has_begun_or_ended || true
    answers || leave_out "it does not answer: see $dir/log"
fi
let_pass >&2 || leave_out "its containers would not reach each other"
is_that_kind -H "unix://$socket" || leave_out "it keeps its images elsewhere: see $dir/log"
say "Docker $(docker -H "unix://$socket" version --format '{{.Server.Version}}') with containerd's image store answers" >&2
echo "unix://$socket"
