#!/bin/sh
# install.sh -- what the comparison needs and this machine does not have: says so, and installs it.
#
# Debian starts redis-server and memcached as services when it installs them; the comparison uses neither of the two
# but starts its own. NO_INSTALL=1: names the line that would do it. A server that is missing then keeps its row in the
# tables, with the reason; without the compiler nothing is measured.
set -eu

missing=""
need() { # need PACKAGE COMMAND...: the package is missing unless the command succeeds
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need gcc command -v "${CC:-cc}"
need libc6-dev test -e /usr/include/stdio.h
need python3 test -x /usr/bin/python3
need util-linux command -v taskset
need redis-server command -v "${REDIS_SERVER:-redis-server}"
need redis-tools command -v redis-benchmark
need memcached command -v "${MEMCACHED:-memcached}"

[ -n "$missing" ] || exit 0
line="apt-get install -y --no-install-recommends$missing"
if [ -n "${NO_INSTALL:-}" ]; then
    echo "The comparison wants:$missing. Install them with: $line" >&2
    exit 0
fi
echo "The comparison wants:$missing. Installing: $line"
[ "$(id -u)" = 0 ] || sudo=sudo
${sudo:-} apt-get update -qq
${sudo:-} env DEBIAN_FRONTEND=noninteractive $line >/dev/null
