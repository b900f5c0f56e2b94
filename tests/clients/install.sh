#!/bin/sh
# install.sh -- what the tests of client libraries need and this machine does not have: says so, and installs it
# (tests/need.sh). The clients for Node come from npm, in the versions of package-lock.json, into build/clients.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../need.sh"

need gcc command -v "${CC:-cc}"
need libc6-dev test -e /usr/include/stdio.h
need libhiredis-dev test -e /usr/include/hiredis/hiredis.h
need python3 test -x /usr/bin/python3
need python3-redis /usr/bin/python3 -c 'import redis'
need nodejs command -v node
need npm command -v npm
need php-cli command -v php
need php-redis php -r 'exit(extension_loaded("redis") ? 0 : 1);'
need php-predis test -e /usr/share/php/Predis/autoload.php
need ruby command -v ruby
need ruby-redis ruby -e 'require "redis"'
need libredis-perl perl -MRedis -e 1
need libredis-fast-perl perl -MRedis::Fast -e 1
need golang-go command -v go
need golang-github-gomodule-redigo-dev test -d /usr/share/gocode/src/github.com/gomodule/redigo
need golang-gopkg-redis.v5-dev test -d /usr/share/gocode/src/gopkg.in/redis.v5
install_missing "The tests of client libraries"

# The lock file is copied last, so that an installation that broke off is begun anew.
modules=$here/../../build/clients
if ! cmp -s "$here/package-lock.json" "$modules/installed.json"; then
    line="npm ci --prefix build/clients --no-audit --no-fund --ignore-scripts --loglevel=error"
    if [ -n "${NO_INSTALL:-}" ]; then
        echo "The tests of client libraries need npm modules. Install them with: $line" >&2
        exit 1
    fi
    echo "The tests of client libraries need npm modules. Installing: $line"
    mkdir -p "$modules"
    cp "$here/package.json" "$here/package-lock.json" "$modules"
    (cd "$here/../.." && $line >/dev/null)
    cp "$here/package-lock.json" "$modules/installed.json"
fi
