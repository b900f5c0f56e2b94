#!/bin/sh
# install.sh -- what the tests need and this machine does not have: says so, and installs it.
#
# NO_INSTALL=1: names the one line that would do it, and fails.
set -eu

missing=""
need() { # need PACKAGE COMMAND...: the package is missing unless the command succeeds
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need gcc command -v gcc
need libc6-dev test -e /usr/include/stdio.h
need python3 test -x /usr/bin/python3
need redis-server command -v redis-server
need redis-tools command -v redis-cli
need libhiredis-dev test -e /usr/include/hiredis/hiredis.h
need python3-locust /usr/bin/python3 -c 'import locust'
[ -z "${CI:-}" ] || need clang command -v clang

[ -n "$missing" ] || exit 0
line="apt-get install -y --no-install-recommends$missing"
if [ -n "${NO_INSTALL:-}" ]; then
    echo "The tests need:$missing. Install them with: $line" >&2
    exit 1
fi
echo "The tests need:$missing. Installing: $line"
[ "$(id -u)" = 0 ] || sudo=sudo
${sudo:-} apt-get update -qq
${sudo:-} env DEBIAN_FRONTEND=noninteractive $line >/dev/null
