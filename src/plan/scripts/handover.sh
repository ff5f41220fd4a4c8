hearth_uid= hearth_gid= hearth_groups=
while read -r hearth_k hearth_v hearth_r; do
  case $hearth_k in
    Uid:) hearth_uid=$hearth_v ;;
    Gid:) hearth_gid=$hearth_v ;;
    Groups:) hearth_groups="$hearth_v $hearth_r" ;;
  esac
done </proc/self/status
HEARTH_UMASK=$(umask)
HEARTH_CWD=$(pwd)
HEARTH_IDENTITY="$hearth_uid $hearth_gid $hearth_groups"
export HEARTH_UMASK HEARTH_CWD HEARTH_IDENTITY
for hearth_dir in /dev/shm /tmp /var/tmp "$HOME" .; do
  if (umask 077; export -p >"$hearth_dir/@STATE@") 2>/dev/null; then break; fi
done
printf '\036hearth-handover %s\036' "$HEARTH_IDENTITY"
command -v sleep >/dev/null 2>&1 && exec sleep 2147483647 </dev/null
kill -STOP $$
