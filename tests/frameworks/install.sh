#!/bin/sh
# install.sh -- the cache frameworks that are missing here: says so, and installs them (../need.sh). What Debian does not
# have comes by npm, in the versions of node/package-lock.json, and goes to build/frameworks.
#
# Each is the smallest set of packages that has the framework's public API: of Laravel the cache and what it needs,
# of Rails ActiveSupport.
set -eu
modules=$(realpath -m "${BUILD:-$(dirname "$0")/../../build}")/frameworks
cd "$(dirname "$0")"
. ../need.sh

has_python() { # has_python MODULE: Debian's Python finds it
    /usr/bin/python3 -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"
}

has_php() { # has_php FOLDER: Debian's PHP libraries have its autoloader
    test -e "/usr/share/php/$1/autoload.php"
}

need python3 test -x /usr/bin/python3
need python3-redis has_python redis
need python3-django has_python django
need python3-django-redis has_python django_redis
need python3-flask-caching has_python flask_caching
need python3-dogpile.cache has_python dogpile.cache
need php-cli command -v php
need php-redis php -r 'exit(extension_loaded("redis") ? 0 : 1);'
need php-predis has_php Predis
need php-psr-simple-cache has_php Psr/SimpleCache
need php-psr-log has_php Psr/Log
need php-symfony-cache has_php Symfony/Component/Cache
need php-symfony-lock has_php Symfony/Component/Lock
need php-illuminate-container has_php Illuminate/Container
need php-illuminate-redis has_php Illuminate/Redis
need php-illuminate-cache has_php Illuminate/Cache
need ruby command -v ruby
need ruby-redis ruby -e 'gem "redis"'
need ruby-activesupport ruby -e 'gem "activesupport"'
need ruby-moneta ruby -e 'gem "moneta"'
need perl command -v perl
need libchi-driver-redis-perl perl -e 'use CHI; use CHI::Driver::Redis'
need nodejs command -v node
need npm command -v npm
install_missing "The frameworks' tests"

if ! cmp -s node/package-lock.json "$modules/package-lock.json" || ! [ -d "$modules/node_modules" ]; then
    if [ -n "${NO_INSTALL:-}" ]; then
        echo "The frameworks' tests need what node/package.json names. Install it with: tests/frameworks/install.sh" >&2
        exit 1
    fi
    echo "The frameworks' tests need what node/package.json names. Installing it in build/frameworks"
    rm -rf "$modules"
    mkdir -p "$modules"
    cp node/package.json "$modules"
    # npm looks for the lock beside package.json. It is the mark of success, too, so it is copied under its name last.
    cp node/package-lock.json "$modules/npm-shrinkwrap.json"
    npm ci --prefix "$modules" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp node/package-lock.json "$modules"
fi
