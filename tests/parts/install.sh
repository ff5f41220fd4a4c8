#!/bin/sh
# Installs through apt what tests and demo stand on and this machine lacks; does nothing if nothing is missing.
# Only the Rust toolchain is not installed: its absence is reported with the command that gets it.
set -eu
. "$(dirname -- "$0")/lib.sh"

have apt-get || fail "this is for Debian: there is no apt-get; install what it names by hand (see CONTRIBUTING.md)"

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# True if apt knows a package that can be installed.
available() {
    apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

missing=''
want() {
    missing="$missing $1"
}

# An engine that answers is enough, wherever it runs. Without one, Debian's is installed. The client is needed
# in any case; from Debian 13 on it is a package of its own, docker-cli.
want_engine() {
    if have docker && { have dockerd || engine_answers; }; then
        return
    fi
    have dockerd || [ -n "${DOCKER_HOST:-}" ] || [ -S /var/run/docker.sock ] || want docker.io
    have docker || want docker
    have iptables || want iptables
}

list_missing() {
    want_engine
    have docker-registry || want docker-registry
    have htpasswd || want apache2-utils
    have nginx || want nginx-light
    # A second engine, the init that its containers need, and names on its networks.
    have podman || want podman
    have catatonit || want catatonit
    installed netavark || want netavark
    installed aardvark-dns || want aardvark-dns
    # A small Debian with another engine in it.
    have debootstrap || want debootstrap
    have git || want git
    # The images are made of a busybox that needs no libraries.
    installed busybox-static || want busybox-static
    have qemu-aarch64-static || have qemu-aarch64 || want qemu-user-static
    installed ca-certificates || want ca-certificates
    # What cargo links with, and the native parts of crates are compiled with.
    have cc || want gcc
    installed libc6-dev || want libc6-dev
    have make || want make
    # What layers are packed with.
    have tar || want tar
    have gzip || want gzip
}

# The names that differ between Debian's releases, once apt has its lists: resolve PACKAGE...
resolve() {
    for package in "$@"; do
        case $package in
        docker)
            if available docker-cli; then echo docker-cli; else echo docker.io; fi
            ;;
        nginx-light)
            if available nginx-light; then echo nginx-light; else echo nginx; fi
            ;;
        *) echo "$package" ;;
        esac
    done | sort -u
}

# Installs packages without starting their services: registries and web servers on all addresses are not wanted,
# the parts start their own on loopback. Needs root.
apt_install() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' HUP INT TERM
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
    if [ -d /run/systemd/system ]; then
        for package in "$@"; do
            case $package in
            docker-registry) systemctl disable -q docker-registry || true ;;
            nginx | nginx-light) systemctl disable -q nginx || true ;;
            esac
        done
    fi
}

# Says how to get a toolchain if there is none, or one that is too old.
check_cargo() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$project/Cargo.toml")
    how="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --component clippy --component rustfmt"
    have curl || how="apt-get install curl && $how"
    have cargo || fail "there is no cargo; get Rust $wanted or newer with:
    $how"
    got=$(cd "$project" && cargo --version | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
    oldest=$(printf '%s\n%s\n' "$wanted" "$got" | sort -V | head -n 1)
    if [ "$oldest" != "$wanted" ]; then
        if have rustup; then
            how='rustup update stable'
        fi
        fail "cargo is $got, and $wanted or newer is needed; get it with:
    $how"
    fi
}

# The second half of this script, run as root by the first: install.sh --as-root PACKAGE...
if [ "${1-}" = --as-root ]; then
    shift
    apt-get update -q || say "apt-get update had errors; trying with what it has"
    # shellcheck disable=SC2046 # a list of package names
    apt_install $(resolve "$@")
    exit
fi

list_missing
if [ -n "$missing" ]; then
    say "missing:$missing"
    # shellcheck disable=SC2086 # a list of package names
    as_root "$here/install.sh" --as-root $missing
    missing=''
    list_missing
    [ -z "$missing" ] || fail "installed, and yet missing:$missing"
fi
check_cargo
say "everything is installed"
