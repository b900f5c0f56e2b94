#!/bin/sh
# install.sh -- what the fuzzers need and this machine does not have: says so, and installs it (tests/need.sh).
set -eu
. "$(dirname "$0")/../need.sh"

fuzzer() { # whether the compiler comes with libFuzzer and AddressSanitizer
    folder=$(clang -print-resource-dir)/lib/linux
    ls "$folder"/libclang_rt.fuzzer-*.a "$folder"/libclang_rt.asan-*.a
}

need gcc command -v gcc # the fuzzers link against what it installs
need libc6-dev test -e /usr/include/stdio.h
need python3 test -x /usr/bin/python3
need clang command -v clang
need libclang-rt-14-dev fuzzer
install_missing "The fuzzers"
