# Stays, also where a script kills every sleep it finds.
command -v sleep >/dev/null 2>&1 || kill -STOP $$
while :; do sleep 86400 & wait $!; done
