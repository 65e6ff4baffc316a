#!/bin/sh
# Brings a Debian machine to where `kapi up` and the end-to-end tests can run: installs what is
# missing and sees to it that a Docker engine answers. Does nothing where all is in place. What it
# may not do (it is not root, this is not Debian) it says in one line and leaves to the user: the
# cluster then runs simulated nodes.
set -eu

docker_log=${KAPI_DOCKERD_LOG:-/var/log/kapi-dockerd.log}
docker_wait_s=60
PATH=$PATH:/usr/sbin:/sbin

say() {
    echo "system: $*" >&2
}

engine_answers() {
    docker version > /dev/null 2>&1
}

# command:package
missing=
for pair in dockerd:docker.io nft:nftables iptables:iptables conntrack:conntrack \
    etcd:etcd-server busybox:busybox-static ip:iproute2 curl:curl; do
    command -v "${pair%%:*}" > /dev/null 2>&1 || missing="$missing ${pair#*:}"
done
command -v docker > /dev/null 2>&1 || missing="$missing docker.io"

if [ -z "$missing" ] && engine_answers; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    [ -z "$missing" ] && say "no Docker engine answers: start it as root (service docker start)" ||
        say "not root: run 'sudo apt-get install$missing' for real containers"
    exit 0
fi

if [ -n "$missing" ]; then
    if ! command -v apt-get > /dev/null 2>&1; then
        say "this is not Debian: install the equivalents of$missing for real containers"
        exit 0
    fi
    say "installing$missing"
    # The packages must not start services of their own (etcd would take its default ports).
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    # shellcheck disable=SC2086
    apt-get -qq install -y --no-install-recommends $missing > /dev/null
    # Debian 13 and later have the client in a package of its own.
    command -v docker > /dev/null 2>&1 ||
        apt-get -qq install -y --no-install-recommends docker-cli > /dev/null
fi

engine_answers && exit 0
if [ -d /run/systemd/system ]; then
    systemctl start docker
else
    say "starting dockerd (log: $docker_log)"
    nohup setsid dockerd >> "$docker_log" 2>&1 < /dev/null &
fi
waited=0
until engine_answers; do
    if [ "$waited" -ge "$docker_wait_s" ]; then
        say "the Docker engine did not answer within $docker_wait_s s; see $docker_log"
        exit 1
    fi
    sleep 1
    waited=$((waited + 1))
done
