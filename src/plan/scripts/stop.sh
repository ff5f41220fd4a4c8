# Ends a stage: TERM to all that its wrapper started, KILL after $1 tenths of a second. $2: what the wrapper goes by.
hearth_tenths=$1 hearth_name=$2
# hearth_find: sets hearth_top to the stage's wrapper, hearth_kids to what descends from it, and to what was
# orphaned since it began. Another stage, which may begin as soon as this one has ended, goes by another name.
hearth_find() {
  hearth_scan
  hearth_top=' ' hearth_since=
  for hearth_l in $hearth_all; do
    hearth_p=${hearth_l%%:*} hearth_k=${hearth_l#*:} hearth_s=${hearth_l##*:}
    [ "${hearth_k%%:*}" = 0 ] && [ "$hearth_p" != $$ ] || continue
    { read -r hearth_l <"/proc/$hearth_p/cmdline"; } 2>/dev/null
    case $hearth_l in *"$hearth_name"*) hearth_top="$hearth_top$hearth_p " hearth_since=$hearth_s ;; esac
  done
  hearth_kids=' '
  [ -n "$hearth_since" ] && for hearth_l in $hearth_all; do
    hearth_p=${hearth_l%%:*} hearth_k=${hearth_l#*:} hearth_s=${hearth_l##*:}
    [ "${hearth_k%%:*}" = 1 ] && [ "$hearth_s" -gt "$hearth_since" ] && hearth_kids="$hearth_kids$hearth_p "
  done
  hearth_more=1
  while [ $hearth_more = 1 ]; do
    hearth_more=0
    for hearth_l in $hearth_all; do
      hearth_p=${hearth_l%%:*} hearth_k=${hearth_l#*:} hearth_k=${hearth_k%%:*}
      case $hearth_kids in *" $hearth_p "*) continue ;; esac
      case "$hearth_top$hearth_kids" in *" $hearth_k "*) hearth_kids="$hearth_kids$hearth_p "; hearth_more=1 ;; esac
    done
  done
}
# hearth_pause: a tenth of a second, or whole ones where sleep knows no other; sets hearth_tenths to what is left.
hearth_pause() {
  hearth_tenths=$((hearth_tenths - 1))
  sleep 0.1 2>/dev/null || { sleep 1; hearth_tenths=$((hearth_tenths - 9)); } 2>/dev/null || hearth_tenths=0
}
hearth_find
# A busy engine may have yet to start it.
hearth_round=0
while [ "$hearth_top" = ' ' ] && [ $hearth_round -lt 20 ] && [ $hearth_tenths -gt 0 ]; do
  hearth_round=$((hearth_round + 1))
  hearth_pause
  hearth_find
done
kill -TERM $hearth_top $hearth_kids 2>/dev/null
while [ "$hearth_top" != ' ' ] && [ $hearth_tenths -gt 0 ]; do hearth_pause; hearth_find; done
hearth_round=0
while [ "$hearth_top" != ' ' ] && [ $hearth_round -lt 50 ]; do
  hearth_round=$((hearth_round + 1))
  [ "$hearth_kids" != ' ' ] && kill -KILL $hearth_kids 2>/dev/null
  sleep 0.05 2>/dev/null
  hearth_find
done
