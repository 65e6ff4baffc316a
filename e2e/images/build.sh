#!/bin/sh
# Builds the images of the tour and of the tests from Debian packages; nothing is pulled:
#   kapi-test/busybox   a shell and its tools
#   kapi-test/web:v1 and :v2   a small HTTP server that answers its version and host name
# An image whose sources have not changed is left alone, so a second run takes no time.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
label=kapi.test.sources
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
    echo "images: $*" >&2
    exit 1
}

docker version > /dev/null 2>&1 || die "no Docker engine answers; run e2e/install-system.sh as root"

# The static busybox of the distribution: the installed one, or the package taken apart.
if [ "$(dpkg-query -W -f '${db:Status-Status}' busybox-static 2> /dev/null)" = installed ]; then
    busybox=$(command -v busybox)
else
    (cd "$work" && apt-get -qq download busybox-static) > /dev/null 2>&1 ||
        die "cannot download the package busybox-static; is 'apt-get update' needed?"
    dpkg -x "$work"/busybox-static_*.deb "$work/package"
    busybox=$work/package/bin/busybox
    [ -x "$busybox" ] || busybox=$work/package/usr/bin/busybox
fi

digest=$(cat "$0" "$here"/web/* "$busybox" | sha256sum | cut -d' ' -f1)

built() {
    found=$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$1" 2> /dev/null) || return 1
    [ "$found" = "$digest" ]
}

base_tree() {
    mkdir -p "$1/bin" "$1/etc" "$1/root" "$1/proc" "$1/sys" "$1/dev" "$1/var" "$1/tmp"
    chmod 1777 "$1/tmp"
    cp "$busybox" "$1/bin/busybox"
    "$busybox" --list | while read -r applet; do
        [ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' > "$1/etc/passwd"
    echo 'nobody:x:65534:65534:nobody:/:/bin/false' >> "$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' > "$1/etc/group"
}

import() {
    tree=$1
    name=$2
    shift 2
    tar -C "$tree" --numeric-owner --owner=0 --group=0 -c . |
        docker import --change "LABEL $label=$digest" --change 'ENV PATH=/bin' "$@" - "$name" \
            > /dev/null
    echo "images: built $name"
}

if ! built kapi-test/busybox; then
    base_tree "$work/busybox"
    import "$work/busybox" kapi-test/busybox --change 'CMD ["sh"]'
fi

for version in v1 v2; do
    built "kapi-test/web:$version" && continue
    tree=$work/web-$version
    base_tree "$tree"
    mkdir -p "$tree/www/cgi-bin"
    install -m 755 "$here/web/web.sh" "$tree/bin/web"
    install -m 755 "$here/web/whoami.sh" "$tree/www/cgi-bin/whoami"
    echo "$version" > "$tree/version"
    import "$tree" "kapi-test/web:$version" --change 'EXPOSE 8080' --change 'ENTRYPOINT ["/bin/web"]'
done
