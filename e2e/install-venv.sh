#!/bin/sh
# Debian keeps Python's venv module in a package of its own; a fresh machine lacks it.
set -eu

if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
    echo "system: installing python3-venv" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends python3-venv > /dev/null
else
    echo "system: this Python has no venv module; run 'sudo apt-get install python3-venv'" >&2
    exit 1
fi
