#!/bin/sh
# install.sh -- what the tests need and this machine does not have: says so, and installs it (tests/need.sh).
set -eu
. "$(dirname "$0")/need.sh"

need gcc command -v gcc
need libc6-dev test -e /usr/include/stdio.h
need python3 test -x /usr/bin/python3
need redis-server command -v redis-server
need redis-tools command -v redis-cli
need libhiredis-dev test -e /usr/include/hiredis/hiredis.h
need python3-locust /usr/bin/python3 -c 'import locust'
need stunnel4 command -v stunnel4
need haproxy command -v haproxy
need openssl command -v openssl
need iproute2 command -v ip
[ -z "${CI:-}" ] || need clang command -v clang
install_missing "The tests"
