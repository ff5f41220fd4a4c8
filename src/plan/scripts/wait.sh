# Waits until services accept connections. $1 seconds; then for each service: index host port[,port…]
hearth_seconds=$1
shift
hearth_try() {
  if command -v gitlab-runner-helper >/dev/null 2>&1; then
    # It takes every *_TCP_ADDR and *_TCP_PORT of its environment: the job's own variables must not be there.
    env -i "PATH=$PATH" WAIT_FOR_SERVICE_TCP_ADDR="$1" WAIT_FOR_SERVICE_TCP_PORT="$2" \
      timeout 2 gitlab-runner-helper health-check >/dev/null 2>&1 && return 0
  fi
  if [ -n "$BASH_VERSION" ] || command -v bash >/dev/null 2>&1; then
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" >/dev/null 2>&1
  else
    timeout 2 nc -z "$1" "$2" >/dev/null 2>&1 || nc -w 2 "$1" "$2" </dev/null >/dev/null 2>&1
  fi
}
hearth_wait() {
  while :; do
    for hearth_port in $(IFS=,; echo $3); do
      if hearth_try "$2" "$hearth_port"; then echo "ready $1"; return; fi
    done
    sleep 0.2 2>/dev/null || sleep 1
  done
}
while [ $# -ge 3 ]; do
  hearth_wait "$1" "$2" "$3" &
  hearth_jobs="$hearth_jobs $!"
  shift 3
done
(sleep "$hearth_seconds"; kill $hearth_jobs 2>/dev/null) >/dev/null 2>&1 &
hearth_timer=$!
wait $hearth_jobs 2>/dev/null
kill $hearth_timer 2>/dev/null
exit 0
