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

# The lock file is copied last, so that an installation that broke off is begun anew.
modules=$here/../../build/tools
if ! cmp -s "$here/package-lock.json" "$modules/installed.json"; then
    line="npm ci --prefix build/tools --no-audit --no-fund --ignore-scripts --loglevel=error"
    if [ -n "${NO_INSTALL:-}" ]; then
        echo "The tests of tools need npm modules. Install them with: $line" >&2
        exit 1
    fi
    echo "The tests of tools need npm modules. Installing: $line"
    mkdir -p "$modules"
    cp "$here/package.json" "$here/package-lock.json" "$modules"
    (cd "$here/../.." && $line >/dev/null)
    cp "$here/package-lock.json" "$modules/installed.json"
fi
