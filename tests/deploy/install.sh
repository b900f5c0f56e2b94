#!/bin/sh
# install.sh -- what the tests of conf/ and examples/ need and this machine does not have: says so, and installs it
# (tests/need.sh). The types of Kubernetes and Grafana come from npm, in the versions of package-lock.json,
# into build/deploy.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../need.sh"

need gcc command -v "${CC:-cc}"
need libc6-dev test -e /usr/include/stdio.h
need python3 test -x /usr/bin/python3
need python3-yaml /usr/bin/python3 -c 'import yaml'
need redis-tools command -v redis-cli
need man-db command -v man
need groff-base command -v groff
need mandoc command -v mandoc
need systemd test -x /lib/systemd/systemd
need strace command -v strace
need util-linux command -v nsenter
need prometheus command -v promtool
need docker.io command -v dockerd
need docker-compose command -v docker-compose
need iproute2 command -v ip
need iptables command -v iptables
need busybox-static test -x /usr/bin/busybox
need nodejs command -v node
need npm command -v npm
install_missing "The tests of conf/ and examples/"
install_modules "The tests of conf/ and examples/" "$here" deploy
