#!/bin/sh
# install.sh -- what the tests of faults need and this machine does not have: says so, and installs it (tests/need.sh).
set -eu
. "$(dirname "$0")/../need.sh"

need gcc command -v "${CC:-cc}"
need libc6-dev test -e /usr/include/stdio.h
need python3 test -x /usr/bin/python3
need python3-redis /usr/bin/python3 -c 'import redis'
need redis-tools command -v redis-benchmark
need strace command -v strace
need libfaketime sh -c 'ls /usr/lib/*/faketime/libfaketimeMT.so.1'
need iptables command -v iptables
need iproute2 command -v ss
need util-linux command -v prlimit
install_missing "The tests of faults"
