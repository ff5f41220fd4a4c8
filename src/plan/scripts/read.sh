# Reads files of a checkout. $1 the checkout, $2 how many bytes of a file. On stdin a mark that no file can know, then a
# path within the checkout a line. For each that is a plain file of the checkout: a line of the mark and the path's number
# from 1, its bytes, a newline. At the end the mark and "end".
# The checkout is whoever's who may push, and may change meanwhile. So a file is opened before it is looked at: what was
# opened decides, not what a name led to a moment ago.
exec 2>/dev/null
cd -P "$1" && [ "$PWD" = "$1" ] || exit 3
IFS= read -r hearth_mark || exit 4
hearth_n=0
while IFS= read -r hearth_path; do
  hearth_n=$((hearth_n + 1))
  # To open a pipe waits for its other end, and to open a device may do anything.
  [ -f "./$hearth_path" ] || continue
  {
    hearth_real=$(readlink "/proc/$$/fd/3")
    case $hearth_real in
      "$1"/*)
        if [ -f "/proc/$$/fd/3" ]; then
          printf '%s %s\n' "$hearth_mark" "$hearth_n"
          head -c "$2" <&3
          echo
        fi
        ;;
    esac
  } 3<"./$hearth_path"
done
echo "$hearth_mark end"
