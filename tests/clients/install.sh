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
install_modules "The tests of client libraries" "$here" clients
