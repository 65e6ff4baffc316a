#!/bin/sh
# A small HTTP server on $PORT (8080): / answers "<version> <hostname>", /healthz answers "ok",
# /cgi-bin/whoami adds the client's address. As process 1 it has to handle SIGTERM itself: it goes
# on serving for $LAME_DUCK seconds, while Services forget it, then stops listening, lets running
# requests end, and exits with 0.
set -u

port=${PORT:-8080}
root=/www
mkdir -p "$root"
echo "$(cat /version) $(hostname)" > "$root/index.html"
echo ok > "$root/healthz"

httpd -f -p "$port" -h "$root" &
listener=$!

stop() {
    trap '' TERM INT
    sleep "${LAME_DUCK:-2}"
    kill "$listener" 2> /dev/null
    wait "$listener" 2> /dev/null
    # httpd forks a child for each connection; they have become children of process 1.
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        pidof httpd > /dev/null || break
        sleep 0.2
    done
    exit 0
}
trap stop TERM INT

wait "$listener"
code=$?
echo "httpd ended by itself with code $code" >&2
exit "$code"
