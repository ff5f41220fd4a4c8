# hearth_scan: sets hearth_all to " pid:ppid:start " of every live process. Builtins only: images have no ps.
hearth_scan() {
  hearth_all=' '
  for hearth_d in /proc/[0-9]*; do
    { read -r hearth_l <"$hearth_d/stat"; } 2>/dev/null || continue
    hearth_p=${hearth_l%% *}
    set -- ${hearth_l##*) }
    case $1 in Z|X|x|'') continue ;; esac
    hearth_all="$hearth_all$hearth_p:$2:${20} "
  done
}
