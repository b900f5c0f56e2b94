#!/bin/sh
# coverage.sh -- which share of each file's lines the tests ran: TAP, a test for each file that has a bound.
#
# COVERAGE is the folder of what was built with --coverage: every program that ended in order has added its counts
# there. A module that tests link with its checks is built twice: gcov adds up both. SHOW=1 prints the lines that none
# of them ran.
set -eu
bound=90 # percent
bounded="resp lru shard command keyspace info admin"
folder=${COVERAGE:-build/coverage}
n=0
echo 1..7
for file in *.c; do
    name=${file%.c}
    [ "$name" != worker ] || echo "# (worker.c in the server alone; fuzz_connection.c runs its lines, too)"
    built=$file
    [ ! -e "tests/check_$file" ] || built="$file check_$file"
    line=$(gcov -n -o "$folder" $built 2>/dev/null | grep -A 1 "^File '$file'" | sed -n 's/^Lines executed://p')
    share=${line%%%*}
    case " $bounded " in
    *" $name "*)
        n=$((n + 1))
        awk "BEGIN { exit !(${share:-0} >= $bound) }" && ok=ok || ok="not ok"
        echo "$ok $n - $file: ${line:-no counts}"
        ;;
    *) echo "# $file: ${line:-no counts}" ;;
    esac
    [ -z "${SHOW:-}" ] || gcov -t -o "$folder" $built 2>/dev/null | awk -v file="$file" -F: '
        $2 ~ /^ *0$/ && $3 == "Source" { own = $4 == file } own && $1 ~ /[0-9]/ { ran[$2] }
        own && $1 ~ /#####/ && !($2 in missed) { missed[$2] = $0; line[++n] = $2 } # once for each time it was built
        END { for (i = 1; i <= n; i++) if (!(line[i] in ran)) print "#   " file ":" missed[line[i]] }'
done
