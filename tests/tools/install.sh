#!/bin/sh
# install.sh -- what the tests of tools need and this machine does not have: says so, and installs it (tests/need.sh).
# redis-commander comes from npm, in the versions of package-lock.json, into build/tools.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../need.sh"

need gcc command -v "${CC:-cc}"
need libc6-dev test -e /usr/include/stdio.h
need python3 test -x /usr/bin/python3
need redis-server command -v redis-server
need prometheus-redis-exporter command -v prometheus-redis-exporter
need prometheus command -v promtool
need webdis command -v webdis
need collectd-core command -v collectd
need libhiredis0.14 sh -c 'ls /usr/lib/*/libhiredis.so.0.14'
need nodejs command -v node
need npm command -v npm
need chromium command -v chromium
need chromium-driver command -v chromedriver
install_missing "The tests of tools"
install_modules "The tests of tools" "$here" tools
