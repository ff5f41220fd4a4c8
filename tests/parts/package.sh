#!/bin/sh
# Prepares what the package's test stands on: cargo-deb below the parts directory, two versions of the Debian package made
# of the driver that was built for the tests, and an image of a small Debian that boots systemd, in the engine. Prints the
# directory. Where something cannot be had, it says so, prints nothing, and the test is skipped aloud.
# HEARTH_NO_PACKAGE=1 leaves it out.
set -eu
. "$(dirname -- "$0")/lib.sh"

dir=$parts/package
image=hearth-parts/systemd:1
mirror=${HEARTH_DEBIAN_MIRROR:-http://deb.debian.org/debian}
cargo_deb=3.8.0

leave_out() {
    skip "the Debian package is not tested: $*"
    exit 0
}

# Makes the image. What it lacks against a machine that was set up by hand: everything that is not asked for here.
make_image() {
    timeout 20 wget -q -t 1 -O /dev/null "$mirror/dists/bookworm/InRelease" || leave_out "$mirror does not answer"
    say "making a Debian that boots systemd from $mirror: a minute or two (log: $dir/debian.log)" >&2
    rm -rf "$dir/debian"
    for step in --download-only --merged-usr; do
        limit=900
        [ "$step" = --merged-usr ] || limit=150
        timeout -k 5 "$limit" debootstrap "$step" --variant=minbase --include=systemd,systemd-sysv,dbus \
            bookworm "$dir/debian" "$mirror" </dev/null >>"$dir/debian.log" 2>&1 ||
            leave_out "debootstrap $step did not get through: see $dir/debian.log"
    done
    rm -rf "$dir/debian/var/cache/apt/archives" "$dir/debian/var/lib/apt/lists"
    tar -C "$dir/debian" -c . | docker import - "$image" >>"$dir/debian.log"
    rm -rf "$dir/debian"
}

# Makes a package of a version: deb VERSION
deb() {
    (cd "$project" && "$dir/bin/cargo-deb" deb --no-build --profile dev --strip --fast -q --deb-version "$1" \
        --output "$dir/hearth-$1.deb") >>"$dir/deb.log" 2>&1
}

[ -z "${HEARTH_NO_PACKAGE:-}" ] || leave_out "HEARTH_NO_PACKAGE is set"
[ "$(id -u)" = 0 ] || leave_out "it is tested as root only"
for command in debootstrap wget docker dpkg-deb strip cargo; do
    have "$command" || leave_out "there is no $command here"
done
mkdir -p "$dir"
if [ "$("$dir/bin/cargo-deb" --version 2>/dev/null)" != "cargo-deb $cargo_deb" ]; then
    say "building cargo-deb (log: $dir/cargo-deb.log)" >&2
    # Its own target directory: the project's would keep what nobody needs again.
    CARGO_TARGET_DIR=$dir/target cargo install --force --locked --quiet --version "$cargo_deb" --root "$dir" cargo-deb \
        >"$dir/cargo-deb.log" 2>&1 || leave_out "cargo-deb cannot be built: see $dir/cargo-deb.log"
    rm -rf "$dir/target"
fi
docker image inspect "$image" >/dev/null 2>&1 || make_image
for version in 0.1.0-1 0.1.0-2; do
    deb "$version" || fail "the Debian package cannot be made: see $dir/deb.log"
done
echo "$dir"
