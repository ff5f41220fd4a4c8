#!/bin/sh
# Runs one job cold and once more warm, and tells how much time the warmth saved.
#
# Cold means that the engine has none of the job's images: they are removed first, so the first run pulls them.
# demo.sh [IMAGE]: the job's image; without one, a small Debian with a C compiler from the open registry.
# The parts must be up (tests/parts/with.sh sees to that) and hearth built in release.
set -eu
. "$(dirname -- "$0")/lib.sh"

image=${1:-$open_registry/job/debian:1}
helper_image=$open_registry/helper:1
service=$open_registry/job/web:1
hearth=${CARGO_TARGET_DIR:-$project/target}/release/hearth

[ -x "$hearth" ] || fail "there is no $hearth: run 'make build' first"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Removes an image from the engine under all its names, without force. One that the engine will not give up (a
# container uses it) would make the cold run a warm one.
forget() {
    docker image inspect --format '{{range .RepoTags}}{{println .}}{{end}}{{range .RepoDigests}}{{println .}}{{end}}' \
        "$1" 2>/dev/null |
        while IFS= read -r name; do
            [ -z "$name" ] || docker rmi "$name" >/dev/null 2>&1 || true
        done
    if docker image inspect "$1" >/dev/null 2>&1; then
        fail "$1 cannot be removed from the engine, so there is no cold run. Containers that use it:" \
            "$(docker ps -a --filter "ancestor=$1" --format '{{.Names}}' | tr '\n' ' ')"
    fi
}

# A repository of the kind that jobs have: something to build, and a script that builds it.
make_sources() {
    mkdir "$1"
    cat >"$1/hello.c" <<'END'
#include <stdio.h>

int main(void) {
    puts("hello from the job");
    return 0;
}
END
    cat >"$1/build.sh" <<'END'
set -e
mkdir -p deps
echo "a run on $(date)" >>deps/runs
if command -v cc >/dev/null 2>&1; then
    cc -O2 -o deps/hello hello.c
    ./deps/hello >out.txt
else
    echo "hello without a compiler" >out.txt
fi
cat out.txt
END
    git -C "$1" init -q -b main
    git -C "$1" add .
    git -C "$1" -c user.name=demo -c user.email=demo@localhost commit -q -m 'something to build'
}

# Runs the job once and leaves its seconds in $seconds: run NAME
run() {
    printf '\n=== %s ===\n\n' "$1"
    start=$(date +%s%N)
    "$hearth" try --config "$work/hearth.toml" --image "$image" --service "$service" \
        --cache deps --artifact out.txt --repo "$work/sources" -- 'sh build.sh' ||
        fail "the $1 job failed"
    end=$(date +%s%N)
    seconds=$(awk -v ns=$((end - start)) 'BEGIN { printf "%.2f", ns / 1e9 }')
}

cat >"$work/hearth.toml" <<END
[store]
dir = "$work/store"
[job]
helper_image = "$helper_image"
END
make_sources "$work/sources"
for name in "$image" "$helper_image" "$service"; do
    forget "$name"
done

# What the open registry was asked since line $1 of its log, by a pattern: asked LINE PATTERN
asked() {
    tail -n "+$(($1 + 1))" "$parts/registry/open/log" 2>/dev/null | grep -c "$2" || true
}

log_lines() {
    wc -l 2>/dev/null <"$parts/registry/open/log" || echo 0
}

begin=$(log_lines)
run cold
cold=$seconds
cold_layers=$(asked "$begin" '"GET /v2/[^"]*/blobs/')
begin=$(log_lines)
run warm
warm=$seconds
warm_layers=$(asked "$begin" '"GET /v2/[^"]*/blobs/')
warm_questions=$(asked "$begin" '"HEAD /v2/[^"]*/manifests/')

printf '\n'
awk -v cold="$cold" -v warm="$warm" 'BEGIN {
    printf "cold  %6.2f s   (images pulled)\n", cold
    printf "warm  %6.2f s   (images there)\n", warm
    printf "ratio %6.1f x\n", cold / warm
    exit !(warm < cold)
}' || fail "the warm job was not faster than the cold one"

# The log tells nothing where the registry was started by something else, or the image comes from elsewhere.
if [ "$cold_layers" -gt 0 ]; then
    printf '\nthe open registry, by its access log: %s layers fetched by the cold job;\n' "$cold_layers"
    printf '%s questions (HEAD) and %s layers by the warm one, whose pull policy is "always"\n' \
        "$warm_questions" "$warm_layers"
    [ "$warm_layers" -eq 0 ] || fail "the warm job fetched layers"
fi
