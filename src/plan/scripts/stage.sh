unset HEARTH_STAGE
# Runs the stage's script, which comes on stdin, and ends what it leaves behind.
# $1 ready file to wait for, $2 name of the state an ENTRYPOINT handed over, $3 memory limit for people, $4 umask
hearth_ready=$1 hearth_state=$2 hearth_limit=$3 hearth_umask=$4
if [ -n "$hearth_ready" ]; then
  # A sleep that a signal ended was ended by stop.sh.
  while [ ! -e "$hearth_ready" ]; do sleep 0.02 2>/dev/null || { [ $? -gt 128 ] && exit 143; sleep 1; }; done
fi
if [ -n "$hearth_state" ]; then
  hearth_file=
  for hearth_dir in /dev/shm /tmp /var/tmp "$HOME" .; do
    if [ -r "$hearth_dir/$hearth_state" ]; then hearth_file=$hearth_dir/$hearth_state; break; fi
  done
  # Tried first where it does no harm: without it the environment stays what the container's configuration says.
  if [ -n "$hearth_file" ] && (. "$hearth_file") >/dev/null 2>&1; then
    while IFS= read -r hearth_l; do
      hearth_l=${hearth_l#export }
      hearth_l=${hearth_l#declare -x }
      hearth_l=${hearth_l%%=*}
      # Lines of a value of several lines may look like anything; a name that is none would end the shell.
      case $hearth_l in ''|[0-9]*|*[!A-Za-z0-9_]*|hearth_*) continue ;; esac
      unset "$hearth_l" 2>/dev/null
    done <<HEARTH_EOF
$(export -p)
HEARTH_EOF
    . "$hearth_file"
    cd "$HEARTH_CWD" 2>/dev/null
    umask "$HEARTH_UMASK"
    unset HEARTH_CWD HEARTH_UMASK HEARTH_IDENTITY
  else
    echo "hearth: what the ENTRYPOINT handed over is lost; the stage sees the image's own environment" >&2
  fi
fi
[ -n "$hearth_umask" ] && umask "$hearth_umask"
# hearth_oom: sets hearth_kills to how often the kernel killed in this container for lack of memory (cgroup v2, v1).
hearth_oom() {
  hearth_kills=0
  for hearth_d in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r "$hearth_d" ] || continue
    while read -r hearth_k hearth_l; do
      [ "$hearth_k" = oom_kill ] && hearth_kills=$hearth_l
    done <"$hearth_d"
  done
}
# What is here before the script. Names only: most shells read /proc a character at a time, which on a small board is
# most of what a stage costs.
set -- /proc/[0-9]*
hearth_base=" $* "
hearth_oom
hearth_before=$hearth_kills
for hearth_shell in /usr/local/bin/bash /usr/bin/bash /bin/bash /usr/local/bin/sh /usr/bin/sh /bin/sh /busybox/sh sh; do
  [ -x "$hearth_shell" ] && break
done
# hearth_find: sets hearth_left to what the stage started and left: all but what was here before it, what that started
# since, and execs of others. A number that was here before and is a younger process now (by a second: to be here it
# had to be started already) was given again.
hearth_find() {
  hearth_left=
  set -- /proc/[0-9]*
  [ " $* " = "$hearth_base" ] && return
  hearth_scan
  hearth_since=${hearth_all#*" $$:"} hearth_since=${hearth_since#*:} hearth_since=${hearth_since%% *}
  hearth_keep=' '
  hearth_more=1
  while [ $hearth_more = 1 ]; do
    hearth_more=0
    for hearth_l in $hearth_all; do
      hearth_p=${hearth_l%%:*}
      case $hearth_keep in *" $hearth_p "*) continue ;; esac
      hearth_k=${hearth_l#*:} hearth_k=${hearth_k%%:*}
      hearth_s=${hearth_l##*:}
      if [ "$hearth_p" = $$ ] || [ "$hearth_k" = 0 ]; then
        hearth_keep="$hearth_keep$hearth_p "; hearth_more=1; continue
      fi
      case $hearth_base in
        *" /proc/$hearth_p "*)
          [ "$hearth_s" -le $((hearth_since + 100)) ] && { hearth_keep="$hearth_keep$hearth_p "; hearth_more=1; continue; } ;;
      esac
      [ "$hearth_k" = 1 ] || [ "$hearth_k" = $$ ] && continue
      case $hearth_keep in *" $hearth_k "*) hearth_keep="$hearth_keep$hearth_p "; hearth_more=1 ;; esac
    done
  done
  for hearth_l in $hearth_all; do
    case $hearth_keep in *" ${hearth_l%%:*} "*) ;; *) hearth_left="$hearth_left ${hearth_l%%:*}" ;; esac
  done
}
# A stage that is stopped leaves the killing to the one who stops it: what got TERM may use its grace.
hearth_stopped=
trap hearth_stopped=1 TERM
# One stream, since the order of two would not be kept.
"$hearth_shell" 2>&1
hearth_code=$?
hearth_round=0
while [ -n "$hearth_stopped" ] && [ $hearth_round -lt 6000 ]; do
  hearth_round=$((hearth_round + 1))
  hearth_find
  [ -z "$hearth_left" ] && break
  sleep 0.1 2>/dev/null || break
done
hearth_round=0
while [ $hearth_round -lt 20 ]; do
  hearth_round=$((hearth_round + 1))
  hearth_find
  [ -z "$hearth_left" ] && break
  kill -KILL $hearth_left 2>/dev/null || { [ $hearth_round -gt 3 ] && break; }
done
hearth_oom
if [ "$hearth_kills" -gt "$hearth_before" ]; then
  printf '\n\033[31;1mERROR: out of memory: the kernel killed a process of this stage (memory limit: %s)\033[0;m\n' "$hearth_limit"
fi
exit $hearth_code
