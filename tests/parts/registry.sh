#!/bin/sh
# Runs two registries on loopback: an open one, and one that asks for a user and a password.
# A registry that answers on its port already is used as it is.
set -eu
. "$(dirname -- "$0")/lib.sh"

# The first line of the answer to GET /v2/: answer PORT [USER:PASSWORD]
answer() {
    busybox wget -q -S -O /dev/null "http://${2:+$2@}127.0.0.1:$1/v2/" 2>&1 | grep -m 1 HTTP/ || true
}

open_answers() {
    case $(answer "$open_port") in *' 200 '*) true ;; *) false ;; esac
}

# It must let the user in, and nobody else.
private_answers() {
    case $(answer "$private_port") in *' 401 '*) ;; *) return 1 ;; esac
    case $(answer "$private_port" "$user:$password") in *' 200 '*) true ;; *) false ;; esac
}

anything_answers() {
    [ -n "$(answer "$1")" ]
}

# Writes a configuration and starts a registry with it: start NAME PORT
start() {
    dir=$parts/registry/$1
    mkdir -p "$dir/storage"
    {
        cat <<END
version: 0.1
log:
  level: warn
  accesslog:
    disabled: false
storage:
  filesystem:
    rootdirectory: $dir/storage
  delete:
    enabled: true
http:
  addr: 127.0.0.1:$2
END
        if [ "$1" = private ]; then
            cat <<END
auth:
  htpasswd:
    realm: hearth
    path: $dir/htpasswd
END
        fi
    } >"$dir/config.yml"
    if [ "$1" = private ]; then
        printf '%s' "$password" | htpasswd -niB "$user" | grep . >"$dir/htpasswd"
    fi
    setsid docker-registry serve "$dir/config.yml" </dev/null >>"$dir/log" 2>&1 &
    echo $! >"$dir/pid"
}

# Starts a registry unless it answers: ensure NAME PORT CHECK
ensure() {
    if "$3"; then
        say "the $1 registry answers on 127.0.0.1:$2"
        return
    fi
    if anything_answers "$2"; then
        fail "something else answers on 127.0.0.1:$2, or a registry with another password: stop it, or choose another port (HEARTH_OPEN_PORT, HEARTH_PRIVATE_PORT)"
    fi
    start "$1" "$2"
    if ! wait_for 20 "$3"; then
        say "the $1 registry does not answer on 127.0.0.1:$2; the end of its log:"
        tail -n 15 "$parts/registry/$1/log" >&2
        exit 1
    fi
    say "the $1 registry runs on 127.0.0.1:$2"
}

for command in docker-registry htpasswd busybox; do
    have "$command" || fail "there is no $command: run tests/parts/install.sh first"
done
ensure open "$open_port" open_answers
ensure private "$private_port" private_answers
