#!/bin/sh
# Makes the images that tests and demo run in, out of Debian packages, and pushes them to the two registries.
#
# Nothing is installed and nothing on this machine is changed: apt works on a state of its own below the parts
# directory, packages are unpacked, not run. What takes long is kept there, so a second run only pushes, and
# what a registry has is not pushed again.
set -eu
. "$(dirname -- "$0")/lib.sh"

trees=$parts/trees
mkdir -p "$trees"
native=$(dpkg --print-architecture)

# --- packages ---------------------------------------------------------------------------------------------------

# Runs apt-get for one architecture, on a state of its own that starts from nothing: private_apt ARCHITECTURE ARGUMENTS...
private_apt() {
    state=$parts/apt/$1
    if [ ! -f "$state/conf" ]; then
        mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
        : >"$state/status"
        cat >"$state/conf" <<END
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "$state";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
APT::Architecture "$1";
#clear APT::Architectures;
APT::Architectures { "$1"; };
APT::Sandbox::User "root";
Debug::NoLocking "true";
END
    fi
    shift
    apt-get -c "$state/conf" -q -y --no-install-recommends "$@"
}

# Fetches packages with all they depend on, and prints the paths of those not fetched before.
fetch() {
    archives=$parts/apt/$native/cache/archives
    find "$archives" -name '*.deb' | sort >"$trees/before"
    private_apt "$native" --download-only install "$@" >>"$trees/log" 2>&1 ||
        fail "apt cannot fetch $*: see $trees/log"
    find "$archives" -name '*.deb' | sort | comm -13 "$trees/before" -
}

# Unpacks the packages named on standard input into a directory, which is made anew: unpack DIRECTORY
unpack() {
    rm -rf "$1"
    mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64"
    for name in bin sbin lib lib64; do
        ln -s "usr/$name" "$1/$name"
    done
    while IFS= read -r deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -p -f - -C "$1" --keep-directory-symlink --no-same-owner
    done
    for waste in doc info lintian locale man bug; do
        rm -rf "${1:?}/usr/share/$waste"
    done
}

# Packs a directory as a layer, all files owned by root: pack DIRECTORY NAME TAR-OPTIONS...
pack() {
    directory=$1
    name=$2
    shift 2
    tar -c -f - -C "$directory" --sort=name --owner=0 --group=0 --numeric-owner --mtime='2024-01-01 00:00Z' "$@" . |
        gzip -n -5 >"$trees/$name.part"
    mv "$trees/$name.part" "$trees/$name"
    rm -rf "$directory"
}

# --- the Debian layers ------------------------------------------------------------------------------------------

# What git and ca-certificates depend on but the helper does not need; the job image has it in its last layer.
unneeded() {
    grep -E '/(perl|libperl|liberror-perl|git-man|debconf|libgdbm|libdb5)[^/]*$'
}

# Three layers: a base, git and what the helper commands use, a C compiler. No scripts of the packages are run,
# so what they would have set up and is needed here is set up by hand.
make_debian_layers() {
    say "unpacking Debian packages (log: $trees/log)"
    : >"$trees/log"
    rm -rf "$parts/apt/$native"
    private_apt "$native" update >>"$trees/log" 2>&1 || fail "apt-get update failed: see $trees/log"

    base=$trees/base
    fetch base-files base-passwd bash coreutils dash debianutils findutils grep gzip hostname mawk procps sed tar \
        util-linux >"$trees/debs"
    unpack "$base" <"$trees/debs"
    [ -e "$base/usr/bin/sh" ] || ln -s dash "$base/usr/bin/sh"
    [ -e "$base/usr/bin/awk" ] || ln -s mawk "$base/usr/bin/awk"
    cp "$base/usr/share/base-passwd/passwd.master" "$base/etc/passwd"
    cp "$base/usr/share/base-passwd/group.master" "$base/etc/group"
    sed -i 's|^\(root:.*\):[^:]*$|\1:/bin/bash|' "$base/etc/passwd"
    echo 'dev:x:1000:1000:dev:/home/dev:/bin/bash' >>"$base/etc/passwd"
    echo 'dev:x:1000:' >>"$base/etc/group"
    echo 'hosts: files dns' >"$base/etc/nsswitch.conf"
    mkdir -p "$base/home/dev" "$base/root" "$base/tmp"
    chmod 1777 "$base/tmp"
    chmod 0777 "$base/home/dev"
    pack "$base" base.tar.gz

    tools=$trees/tools
    fetch ca-certificates curl git unzip zip >"$trees/debs"
    unneeded <"$trees/debs" >"$trees/debs.unneeded" || true
    grep -v -x -F -f "$trees/debs.unneeded" "$trees/debs" | unpack "$tools"
    mkdir -p "$tools/etc/ssl/certs"
    cat "$tools"/usr/share/ca-certificates/mozilla/*.crt >"$tools/etc/ssl/certs/ca-certificates.crt"
    pack "$tools" tools.tar.gz --exclude=./bin --exclude=./sbin --exclude=./lib --exclude=./lib64

    compiler=$trees/compiler
    fetch gcc libc6-dev make >"$trees/debs"
    cat "$trees/debs" "$trees/debs.unneeded" | unpack "$compiler"
    ln -s gcc "$compiler/usr/bin/cc"
    pack "$compiler" compiler.tar.gz --exclude=./bin --exclude=./sbin --exclude=./lib --exclude=./lib64

    rm -f "$trees"/debs* "$trees/before"
    rm -rf "$parts/apt/$native"
}

# The helper's own layer: the runner's helper commands under both their names, and its entry point.
make_helper_layer() {
    helper=$trees/helper
    rm -rf "$helper"
    mkdir -p "$helper/usr/bin"
    cp "$here/gitlab-runner" "$helper/usr/bin/gitlab-runner-helper"
    ln -s gitlab-runner-helper "$helper/usr/bin/gitlab-runner"
    # shellcheck disable=SC2016 # the script expands it
    printf '#!/bin/sh\numask 0000\nexec "${@:-sh}"\n' >"$helper/usr/bin/gitlab-runner-build"
    chmod 0755 "$helper/usr/bin/gitlab-runner-helper" "$helper/usr/bin/gitlab-runner-build"
    pack "$helper" helper.tar.gz
}

# --- other architectures ----------------------------------------------------------------------------------------

platform_of() {
    case $1 in
    armhf) echo linux/arm/v7 ;;
    *) echo "linux/$1" ;;
    esac
}

# Fetches busybox-static of another architecture: foreign_busybox ARCHITECTURE
foreign_busybox() {
    [ ! -s "$trees/busybox-$1" ] || return 0
    say "fetching a busybox for $1"
    log=$trees/log-$1
    rm -rf "$parts/apt/$1"
    # Other sources of this machine need not have this architecture; what counts is whether the package comes.
    private_apt "$1" update >"$log" 2>&1 || true
    private_apt "$1" --download-only install busybox-static >>"$log" 2>&1 || return 1
    rm -rf "$trees/foreign"
    mkdir "$trees/foreign"
    find "$parts/apt/$1/cache/archives" -name 'busybox-static_*.deb' -exec dpkg-deb -x {} "$trees/foreign" \;
    find "$trees/foreign" -type f -name busybox -exec cp {} "$trees/busybox-$1" \;
    rm -rf "$trees/foreign" "$parts/apt/$1"
    [ -s "$trees/busybox-$1" ]
}

# Lets the kernel run programs of an architecture through qemu: emulate ARCHITECTURE. Not every machine can.
emulate() {
    case $1 in
    amd64) qemu="qemu-x86_64" ;;
    arm64) qemu="qemu-aarch64" ;;
    armhf) qemu="qemu-arm" ;;
    esac
    binfmt=/proc/sys/fs/binfmt_misc
    if [ ! -e "$binfmt/register" ]; then
        as_root mount -t binfmt_misc binfmt_misc "$binfmt" 2>/dev/null || true
    fi
    if [ ! -e "$binfmt/$qemu" ] && [ -e "/usr/lib/binfmt.d/$qemu.conf" ]; then
        # shellcheck disable=SC2016 # the inner shell expands it
        as_root sh -c 'cat "$1" >"$2"' sh "/usr/lib/binfmt.d/$qemu.conf" "$binfmt/register" 2>/dev/null || true
    fi
    [ -e "$binfmt/$qemu" ] || skip "no $qemu in $binfmt: images for $1 do not run here"
}

# --- all of it --------------------------------------------------------------------------------------------------

push() {
    "$pusher" --registry "$open_registry" "$@" >>"$trees/pushed"
    "$pusher" --registry "$private_registry" --login "$user:$password" "$@" >>"$trees/pushed"
}

busybox=$(command -v busybox) || fail "there is no busybox: run tests/parts/install.sh first"

cd "$project"
say "building the pusher"
cargo build -q --example push-image
pusher=${CARGO_TARGET_DIR:-$project/target}/debug/examples/push-image
: >"$trees/pushed"

foreign=''
for architecture in arm64 armhf amd64; do
    [ "$architecture" != "$native" ] || continue
    emulate "$architecture"
    if foreign_busybox "$architecture"; then
        foreign="$foreign --foreign=$(platform_of "$architecture")=$trees/busybox-$architecture"
    else
        skip "no busybox for $architecture to be had (see $trees/log-$architecture): job/multi:1 goes without it"
    fi
done
# shellcheck disable=SC2086 # a list of options
push catalogue --busybox "$busybox" $foreign

# The last layer tells whether all are there, and not made by an older version of this script.
if [ -z "$(find "$trees/compiler.tar.gz" -newer "$here/images.sh" 2>/dev/null)" ]; then
    make_debian_layers
fi
make_helper_layer
push image helper:1 --layer "$trees/base.tar.gz" --layer "$trees/tools.tar.gz" --layer "$trees/helper.tar.gz" \
    --cmd gitlab-runner-build
push image job/debian:1 --layer "$trees/base.tar.gz" --layer "$trees/tools.tar.gz" \
    --layer "$trees/compiler.tar.gz" --cmd bash

say "$(wc -l <"$trees/pushed") images pushed (list: $trees/pushed)"
