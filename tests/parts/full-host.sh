#!/bin/sh
# Fills a host with twice the images it may have: full-host.sh CARGO [ARGUMENTS OF examples/full-host.rs]
#
# The parts must be up (tests/parts/with.sh sees to that).
set -eu
. "$(dirname -- "$0")/lib.sh"

cargo=${1:-cargo}
[ $# -eq 0 ] || shift
cd "$project"
"$cargo" build -q --release --bin hearth
"$cargo" build -q --example full-host
target=${CARGO_TARGET_DIR:-$project/target}
exec "$target/debug/examples/full-host" --registry "$open_registry" --helper "$open_registry/helper:1" \
    --busybox "${HEARTH_TEST_BUSYBOX:-/bin/busybox}" --hearth "$target/release/hearth" "$@"
