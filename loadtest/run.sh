#!/bin/bash
# run.sh -- one load test from start to verdict: server up, users in, users out, server down; exit 0 when all was well.
#
# Owns    the processes it starts (server, Locust, its workers), each known by its PID, and ends them on every way out;
#         the files loadtest/report*.
# Checks  enough requests, no failure, all users reached, the server alive under its first PID and answering after the
#         users have left, their descriptors closed again, exit status 0 on SIGTERM. Locust alone calls it a success
#         when nobody was there to answer.
#
# The variables are listed in README.md beside this file.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

SERVER=${SERVER:-$here/../sponson}
SERVER_ARGS=${SERVER_ARGS:-}
HOST=${HOST:-}
PORT=${PORT:-}
USERS=${USERS:-1000}
SPAWN_RATE=${SPAWN_RATE:-100}
RUN_TIME=${RUN_TIME:-60s}
WORKERS=${WORKERS:-0}
MIN_REQUESTS=${MIN_REQUESTS:-1}
PASSWORD=${PASSWORD:-}
REPORT=${REPORT:-$here/report}
LOCUST=${LOCUST:-locust}
TIMEOUT=${TIMEOUT:-10} # seconds a user waits for a reply

READY_S=30 # for the server to answer its first PING: a debug build may be slow
LEAVE_S=30 # for the server to close what the users left
STOP_S=30  # for the server to exit after SIGTERM, for workers after their master
SPARE_DESCRIPTORS=256

server_pid=
locust_pid=
worker_pids=()
problems=()

say() { printf '%s\n' "$*"; }
die() { printf 'run.sh: %s\n' "$*" >&2; exit 2; }
problem() { problems+=("$*"); }

require_number() { # NAME LEAST
    if ! [[ ${!1} =~ ^(0|[1-9][0-9]{0,8})$ ]] || ((${!1} < $2)); then
        die "$1 is '${!1}', but it must be a whole number, at least $2."
    fi
}

# True while the process runs; a dead child that nobody has waited for does not.
alive() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

# Waits up to $2 seconds until the command that follows succeeds.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

dead() { ! alive "$1"; }

end_process() {
    alive "$1" || return 0
    kill -TERM "$1" 2>/dev/null || true
    wait_until 5 dead "$1" || kill -KILL "$1" 2>/dev/null || true
}

cleanup() {
    local pid
    for pid in $locust_pid ${worker_pids[@]+"${worker_pids[@]}"} $server_pid; do
        end_process "$pid"
    done
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Prints a port that nobody listens on. Below the ports that outgoing connections get (32768 and up on Linux), so that
# the users of another run do not take it before its owner binds it.
free_port() {
    /usr/bin/env python3 -c '
import random, socket
while True:
    port = random.randrange(10000, 32000)
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break'
}

# True when the server answers PING; a demand for the password is an answer, too.
answers_ping() {
    local reply=
    { exec 9<>"/dev/tcp/127.0.0.1/$PORT"; } 2>/dev/null || return 1
    printf 'PING\r\n' >&9 2>/dev/null || true
    read -r -t 2 -u 9 reply 2>/dev/null || true
    exec 9>&-
    [[ $reply == +PONG* || $reply == -NOAUTH* ]]
}

still_answers() { (answers_ping); }
answers_ping_or_is_dead() { (answers_ping) || dead "$server_pid"; }

descriptors() { find "/proc/$1/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }

# Prints "VmRSS-in-KB threads descriptors", or nothing of a dead process.
sample() {
    local figures
    figures=$(awk '/^VmRSS:/ { rss = $2 } /^Threads:/ { threads = $2 } END { if (threads) print rss + 0, threads }' \
        "/proc/$1/status" 2>/dev/null) || return 0
    [[ -z $figures ]] || say "$figures $(descriptors "$1")"
}

show_sample() { # LABEL "RSS THREADS DESCRIPTORS"
    local rss threads fds
    [[ -n $2 ]] || return 0
    read -r rss threads fds <<<"$2"
    printf 'server %-14s %8d KB resident, %3d threads, %6d descriptors\n' "$1" "$rss" "$threads" "$fds"
}

raise_descriptor_limit() {
    local needed=$((USERS + SPARE_DESCRIPTORS)) limit
    limit=$(ulimit -Sn)
    if [[ $limit == unlimited ]] || ((limit >= needed)); then
        return
    fi
    ulimit -Sn "$needed" 2>/dev/null ||
        die "USERS is $USERS, which needs $needed descriptors, but the hard limit (ulimit -Hn) is $(ulimit -Hn)."
}

start_server() {
    local flags=()
    command -v "$SERVER" >/dev/null || die "SERVER is '$SERVER', but there is no such program."
    [[ -n $PORT ]] || PORT=$(free_port)
    ! (answers_ping) || die "PORT is $PORT, but a server answers there already."
    [[ -z $PASSWORD ]] || flags+=(--requirepass "$PASSWORD")
    read -r -a extra <<<"$SERVER_ARGS"
    "$SERVER" --port "$PORT" --bind 127.0.0.1 --maxclients $((USERS + 100)) ${flags[@]+"${flags[@]}"} \
        ${extra[@]+"${extra[@]}"} >"${REPORT}_server.log" 2>&1 </dev/null &
    server_pid=$!
    wait_until $READY_S answers_ping_or_is_dead || die "the server did not answer PING within $READY_S s."
    if dead "$server_pid"; then
        tail -n 20 "${REPORT}_server.log" >&2
        die "the server ended before it answered PING; its output is above."
    fi
    HOST=tcp://127.0.0.1:$PORT
    say "Server $SERVER, PID $server_pid, answers on port $PORT."
}

start_locust() {
    local common=(-f "$here/locustfile.py" --headless) leader=() port i
    if ((WORKERS > 0)); then
        port=$(free_port)
        for ((i = 0; i < WORKERS; i++)); do
            "$LOCUST" "${common[@]}" --worker --master-host 127.0.0.1 --master-port "$port" --loglevel WARNING \
                </dev/null &
            worker_pids+=($!)
        done
        leader=(--master --master-bind-host 127.0.0.1 --master-bind-port "$port" --expect-workers "$WORKERS"
            --expect-workers-max-wait 60)
    fi
    # The users' last requests are waited for: a server that hangs is then a failure, not a request without an end.
    SUMMARY_CSV=${REPORT}_summary.csv "$LOCUST" "${common[@]}" ${leader[@]+"${leader[@]}"} --host "$HOST" \
        --users "$USERS" --spawn-rate "$SPAWN_RATE" --run-time "$RUN_TIME" --stop-timeout $((10#${TIMEOUT%.*} + 2)) \
        --html "$REPORT.html" --csv "$REPORT" --csv-full-history </dev/null &
    locust_pid=$!
}

# Runs until Locust ends. `during` is then the last sample with as many descriptors as the server ever had: users leave
# before Locust writes its reports, and not all at once.
watch_locust() {
    local now fds most=0
    while alive "$locust_pid"; do
        if [[ -n $server_pid ]]; then
            now=$(sample "$server_pid")
            fds=${now##* }
            if [[ -n $now ]] && ((fds >= most)); then
                during=$now
                most=$fds
            fi
        fi
        sleep 1
    done
    wait "$locust_pid" || problem "Locust ended with exit status $?."
    locust_pid=
}

wait_for_workers() {
    local pid
    for pid in ${worker_pids[@]+"${worker_pids[@]}"}; do
        wait_until $STOP_S dead "$pid" || end_process "$pid"
        wait "$pid" || problem "a worker ended with exit status $?."
    done
    worker_pids=()
}

# Sets users, requests, failures, rate, p50, p99 and p999 from the summary that the locustfile wrote, and judges them.
read_summary() {
    users=0 requests=0 failures=0 rate=0 p50=0 p99=0 p999=0
    if [[ ! -s ${REPORT}_summary.csv ]]; then
        problem "Locust wrote no summary."
        return 0
    fi
    IFS=, read -r _ users requests failures rate p50 p99 p999 _ < <(grep '^total,' "${REPORT}_summary.csv")
    ((requests > MIN_REQUESTS)) || problem "$requests requests were made, but more than $MIN_REQUESTS were wanted."
    ((failures == 0)) || problem "$failures failures."
    ((users == USERS)) || problem "$users of $USERS users at the end: is RUN_TIME too short, or did a worker die?"
}

users_have_left() { dead "$server_pid" || (($(descriptors "$server_pid") <= ${before##* } + 4)); }

# A few descriptors more than before are the server's own business: a log, a timer.
check_server() {
    if dead "$server_pid"; then
        wait "$server_pid" || problem "the server died during the test, exit status $?."
        server_pid=
        tail -n 20 "${REPORT}_server.log" >&2
        problem "the server is gone."
        return 0
    fi
    wait_until $LEAVE_S users_have_left || problem "$LEAVE_S s after the users left, their connections are still open."
    wait_until $READY_S still_answers || problem "the server does not answer PING any more."
    after=$(sample "$server_pid")
}

stop_server() {
    [[ -n $server_pid ]] || return 0
    kill -TERM "$server_pid"
    wait_until $STOP_S dead "$server_pid" || {
        problem "the server did not end within $STOP_S s of SIGTERM."
        kill -KILL "$server_pid"
    }
    wait "$server_pid" || problem "the server ended with exit status $? after SIGTERM."
    server_pid=
}

require_number USERS 1
require_number WORKERS 0
require_number MIN_REQUESTS 0
[[ -z $PORT ]] || require_number PORT 1
[[ $TIMEOUT =~ ^[0-9]{1,4}(\.[0-9]+)?$ ]] || die "TIMEOUT is '$TIMEOUT', but it must be a number of seconds."
export TIMEOUT PASSWORD
command -v "$LOCUST" >/dev/null || die "LOCUST is '$LOCUST', but there is no such program (Debian: python3-locust)."

raise_descriptor_limit
rm -f "${REPORT}_summary.csv" "$REPORT.html"
before='' during='' after=''
started_here=no
if [[ -z $HOST ]]; then
    started_here=yes
    start_server
    before=$(sample "$server_pid")
fi
start_locust
watch_locust
wait_for_workers
read_summary
if [[ $started_here == yes ]]; then
    check_server
    stop_server
fi

say
say "users $users, requests $requests, failures $failures, $rate requests/s"
say "latency p50 $p50 us, p99 $p99 us, p99.9 $p999 us, as seen by the users"
if [[ $started_here == yes ]]; then
    show_sample before "$before"
    show_sample 'with users' "$during"
    show_sample after "$after"
fi
if ((${#problems[@]} > 0)); then
    printf 'FAILED: %s\n' "${problems[@]}"
    exit 1
fi
say "PASSED"
