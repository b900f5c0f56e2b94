#!/bin/bash
# run.sh -- runs groups of tests, shows their TAP lines, and closes with "N passed, N failed".
#
#   run.sh GROUP... -- TEST_PROGRAM...     groups: unit integration layers docs loadtest bench clients frameworks tools
#                                          differential deploy stress fuzz coverage faults soak
#
# SERVER is the binary under test. A program that ends badly without having said "not ok" counts as a failure.
set -u

passed=0
failed=0
report=$(mktemp)
trap 'rm -f "$report"' EXIT

run() { # run NAME COMMAND...: runs one program that writes TAP
    local name=$1 code bad
    shift
    echo "# $name"
    "$@" 2>&1 | tee "$report"
    code=${PIPESTATUS[0]}
    bad=$(grep -c '^not ok ' "$report")
    if [ "$(grep -c -E '^(not )?ok ' "$report")" != "$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$report")" ]; then
        echo "not ok - $name did not run all the tests that it announced"
        bad=$((bad + 1))
    fi
    passed=$((passed + $(grep -c '^ok ' "$report")))
    failed=$((failed + bad))
    if [ "$code" != 0 ] && [ "$bad" = 0 ]; then
        echo "not ok - $name ended with $code"
        failed=$((failed + 1))
    fi
}

check() { # check NAME COMMAND...: one command that succeeds or fails
    local name=$1
    shift
    echo "# $name"
    if "$@" 2>&1; then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        failed=$((failed + 1))
    fi
}

groups=()
while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
    groups+=("$1")
    shift
done
shift

for group in "${groups[@]}"; do
    case $group in
    unit)
        for program in "$@"; do
            run "$(basename "$program")" "$program"
        done
        ;;
    integration | clients | frameworks | tools | differential | deploy | stress | fuzz | faults)
        run "$group" /usr/bin/python3 "tests/$group/run.py"
        ;;
    soak) run soak /usr/bin/python3 tests/faults/soak.py ;;
    coverage) run coverage tests/coverage.sh ;;
    layers)
        check "every include points downward" make -s check-layers
        check "the server is small: under 8,000 lines of code, headers included, in at most 14 .c files" make -s check-size
        ;;
    docs) check "the man page and conf/sponson.conf are what the tables say" make -s check-docs ;;
    loadtest)
        check "the load test's own checker catches wrong replies" \
            env -C loadtest /usr/bin/python3 -m unittest -q test_locustfile
        check "200 Locust users for 15 s: over 10,000 requests, no failure" \
            env USERS=200 SPAWN_RATE=200 RUN_TIME=15s WAIT=0.05-0.15 MIN_REQUESTS=10000 REPORT=build/report KEYS=10000 \
            loadtest/run.sh
        ;;
    bench) run bench /usr/bin/python3 bench/test_bench.py ;;
    *)
        echo "run.sh: unknown group $group" >&2
        exit 2
        ;;
    esac
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
