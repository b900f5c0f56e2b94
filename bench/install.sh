#!/bin/sh
# install.sh -- what the comparison needs and this machine does not have: says so, and installs it (tests/need.sh).
#
# Debian starts redis-server and memcached as services when it installs them; the comparison uses neither of the two
# but starts its own. With NO_INSTALL=1 a server that is missing keeps its row in the tables, with the reason; without
# the compiler nothing is measured.
set -eu
. "$(dirname "$0")/../tests/need.sh"

need gcc command -v "${CC:-cc}"
need libc6-dev test -e /usr/include/stdio.h
need python3 test -x /usr/bin/python3
need util-linux command -v taskset
need redis-server command -v "${REDIS_SERVER:-redis-server}"
need redis-tools command -v redis-benchmark
need memcached command -v "${MEMCACHED:-memcached}"
install_missing "The comparison's servers" || exit 0
