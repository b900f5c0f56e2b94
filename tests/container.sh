#!/bin/bash
# tests/container.sh -- builds the image of the Dockerfile with a Docker daemon of its own and tests it; TAP on stdout.
#
#   sudo tests/container.sh                  installs what is missing (it says what), takes one to two minutes
#   NO_INSTALL=1 tests/container.sh          names the apt line instead and stops
#   CONTAINER_CACHE=DIR tests/container.sh   where the base image is kept; default ${TMPDIR:-/tmp}/sponson-container
#
# Needs root on a Debian whose apt sources have bookworm: the base image debian:bookworm-slim is made from them with
# mmdebstrap, no registry is asked. Daemon, containers, mounts and network namespace are the test's own and go with it
# at the end, whichever way it ends. The system's own Docker is not touched. For a minute, caches without a password
# listen on random ports of every address of the machine.
#
#   the machine ---- veth, 10.x.y.1 / .2 ---- namespace of the clients ---- veth, 10.x.y.5 / .6 ---- container "plain"
#   containers with --network host                  redis-cli                                        with --network none
set -u -o pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
image=sponson:test
size_limit=1000000 # bytes
hardened=(--read-only --cap-drop ALL --security-opt no-new-privileges)
cpus=$(nproc)
[ "$cpus" -le 2 ] || cpus=2 # Docker refuses more than the machine has
beside_flags=(--cpus "$cpus" --memory 2g --ulimit nofile=20000:20000)

work='' daemon_pid='' namespace='' veth=''
test_count=0 failures=0

# ---- TAP, waiting, comparing ----

bail_out() {
    echo "Bail out! $1"
    [ $# -lt 2 ] || tail -n 30 "$2" | sed 's/^/# /'
    exit 1
}

# tap_test NAME FUNCTION: runs it in this shell; what it prints becomes the notes below its line.
tap_test() {
    test_count=$((test_count + 1))
    if "$2" >"$work/notes" 2>&1; then
        echo "ok $test_count - $1"
    else
        failures=$((failures + 1))
        echo "not ok $test_count - $1"
    fi
    sed 's/^/# /' "$work/notes"
}

# wait_for SECONDS COMMAND...: polls until it succeeds; false when the time is over.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

now_ms() {
    local t=${EPOCHREALTIME/[.,]/}
    echo $((t / 1000))
}

# equal WHAT GOT WANTED
equal() {
    [ "$2" = "$3" ] && return
    echo "$1 is '$2', not '$3'"
    return 1
}

# at_most WHAT GOT LIMIT, all whole numbers
at_most() {
    [[ $2 =~ ^[0-9]+$ ]] && [ "$2" -le "$3" ] && return
    echo "$1 is '$2', more than $3"
    return 1
}

# ---- what must be there ----

install_missing() {
    local command package missing=()
    while read -r command package; do
        command -v "$command" >/dev/null || missing+=("$package")
    done <<'END'
mmdebstrap mmdebstrap
dockerd docker.io
ip iproute2
redis-cli redis-tools
redis-benchmark redis-tools
END
    [ ${#missing[@]} -gt 0 ] || return 0
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if [ -n "${NO_INSTALL:-}" ]; then
        echo "Missing. Install with: apt-get install -y --no-install-recommends ${missing[*]}"
        exit 1
    fi
    [ "$(id -u)" = 0 ] || bail_out "must be root to install ${missing[*]}"
    echo "# installing ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1 ||
        bail_out "apt-get could not install ${missing[*]}" "$work/apt.log"
}

# ---- the end ----

process_is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

stop_process() {
    kill "$1" 2>/dev/null
    wait_for 15 process_is_gone "$1" || kill -9 "$1" 2>/dev/null
}

stop_daemon() {
    local containers containerd
    mapfile -t containers < <(timeout 10 docker ps -aq)
    [ ${#containers[@]} -eq 0 ] || timeout 30 docker rm -f "${containers[@]}" >/dev/null
    containerd=$(cat "$work/exec/containerd/containerd.pid" 2>/dev/null)
    stop_process "$daemon_pid"
    wait "$daemon_pid" 2>/dev/null
    # Its own containerd goes with it, unless it had to be killed.
    if [ -n "$containerd" ] && grep -qs "$work" "/proc/$containerd/cmdline"; then
        stop_process "$containerd"
    fi
}

clean_up() {
    local code=$? mount
    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "$daemon_pid" ]; then
        stop_daemon
        find /sys/fs/cgroup -depth -type d -path "*/sponson-test-$$*" -exec rmdir {} \;
    fi
    [ -z "$veth" ] || ip link delete "${veth}a" 2>/dev/null
    [ -z "$namespace" ] || ip netns delete "$namespace"
    if [ -n "$work" ]; then
        while read -r mount; do
            umount "$mount" || umount -l "$mount"
        done < <(awk -v below="$work/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts | sort -r)
        rm -rf --one-file-system "$work"
    fi
    exit "$code"
}

# ---- daemon, base image, image ----

start_daemon() {
    export DOCKER_HOST="unix://$work/docker.sock" DOCKER_CONFIG="$work/config"
    export DOCKER_BUILDKIT="${DOCKER_BUILDKIT:-0}"
    unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
    # Nothing of the machine's network is changed: no bridge, no firewall rules, no forwarding. The namespace keeps
    # it apart from a system's Docker where both use one containerd.
    # A session of its own keeps a Ctrl-C from it: clean_up stops it, after its containers.
    setsid dockerd --ip-forward=false --iptables=false --ip6tables=false --bridge=none --storage-driver=overlay2 \
        --containerd-namespace="sponson-test-$$" --containerd-plugins-namespace="sponson-test-$$-plugins" \
        --data-root "$work/data" --exec-root "$work/exec" -p "$work/dockerd.pid" -H "$DOCKER_HOST" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent="/sponson-test-$$" \
        --default-ulimit nofile=20000:20000 >"$work/dockerd.log" 2>&1 &
    daemon_pid=$!
    wait_for 120 docker version || bail_out "dockerd does not answer" "$work/dockerd.log"
}

# Makes the base image once and keeps it as a file.
import_base() {
    local cache=${CONTAINER_CACHE:-${TMPDIR:-/tmp}/sponson-container} tar started=$SECONDS
    tar=$cache/bookworm-slim.tar
    (umask 077 && mkdir -p "$cache")
    [ -O "$cache" ] || bail_out "$cache belongs to somebody else; give another CONTAINER_CACHE"
    if [ ! -s "$tar" ]; then
        echo "# making the base image from this machine's apt sources"
        mmdebstrap --variant=minbase --dpkgopt='path-exclude=/usr/share/doc/*' \
            --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$work/base.tar" >"$work/base.log" 2>&1 ||
            bail_out "mmdebstrap failed" "$work/base.log"
        mv "$work/base.tar" "$tar.$$" || bail_out "cannot write $tar"
        mv "$tar.$$" "$tar"
    fi
    docker import "$tar" debian:bookworm-slim >"$work/import.log" 2>&1 || bail_out "docker import failed" "$work/import.log"
    echo "# base image ready after $((SECONDS - started)) s"
}

version_of_source() {
    sed -n 's/^#define SPONSON_VERSION "\(.*\)"$/\1/p' "$root/config.h"
}

build_image() {
    local name arguments=() started=$SECONDS
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!name:-}" ] || arguments+=(--build-arg "$name")
    done
    docker build --network host --build-arg "VERSION=$(version_of_source)" "${arguments[@]}" -t "$image" "$root" \
        >"$work/build.log" 2>&1 || bail_out "docker build failed" "$work/build.log"
    echo "# image built after $((SECONDS - started)) s"
}

# ---- the network of the clients ----

in_namespace() {
    ip netns exec "$namespace" "$@"
}

# Sets `net` to the first three numbers of private addresses that this machine neither has nor routes.
choose_net() {
    local n
    for n in {0..255}; do
        net=10.237.$((($$ + n) % 256))
        { ip -4 -o address show && ip -4 route show; } | grep -F "$net." >/dev/null || return 0
    done
    return 1
}

make_network() {
    choose_net || bail_out "no unused private addresses"
    namespace=sponson-test-$$ veth=spn$$
    if ! {
        ip netns add "$namespace" && in_namespace ip link set lo up &&
            ip link add "${veth}a" type veth peer name "${veth}b" netns "$namespace" &&
            ip address add "$net.1/30" dev "${veth}a" && ip link set "${veth}a" up &&
            in_namespace ip address add "$net.2/30" dev "${veth}b" && in_namespace ip link set "${veth}b" up
    }; then
        bail_out "cannot make a network namespace with a veth pair"
    fi
}

# Gives a container with --network none the address .6, and the clients .5 to reach it from.
connect_container() {
    local pid
    pid=$(state "$1" Pid) &&
        in_namespace ip link add "${veth}c" type veth peer name "${veth}d" netns "$pid" &&
        in_namespace ip address add "$net.5/30" dev "${veth}c" && in_namespace ip link set "${veth}c" up &&
        nsenter -t "$pid" -n ip address add "$net.6/30" dev "${veth}d" &&
        nsenter -t "$pid" -n ip link set "${veth}d" up
}

# Sets `port` to one that nobody listens on.
choose_port() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        port=$((20000 + RANDOM % 10000)) # below the range of outgoing connections
        [ -n "$(ss -Hltn "sport = :$port")" ] || return 0
    done
    bail_out "no free port"
}

# ---- containers ----

state() {
    docker inspect -f "{{.State.$2}}" "$1"
}

# logged NAME WORDS: reads all of the log; grep -q would leave before docker logs has ended, whose SIGPIPE then counts.
logged() {
    docker logs "$1" 2>&1 | grep -F "$2" >/dev/null
}

is_ready() {
    logged "$1" ' ready on '
}

is_healthy() {
    [ "$(state "$1" Health.Status)" = healthy ]
}

# start NAME [FLAG...] -- [ARGUMENT...]: runs a hardened container until it says that it is ready. Who holds up its end
# does so for ten minutes.
start() {
    local name=$1 flags=()
    shift
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    shift
    flags+=(-e SPONSON_SHUTDOWN_TIMEOUT=600)
    # On the host's network port 9171 may be taken, by another of these for one.
    [[ "${flags[*]}" != *"--network host"* ]] || flags+=(-e SPONSON_ADMIN_PORT=0)
    docker run -d --name "$name" "${hardened[@]}" "${flags[@]}" "$image" "$@" >/dev/null &&
        wait_for 60 is_ready "$name" && return
    docker logs "$name"
    return 1
}

# stop_in_time NAME: the server must have gone by its own will, before docker stop kills it.
stop_in_time() {
    local from took
    from=$(now_ms)
    docker stop -t 60 "$1" >/dev/null || return 1
    took=$(($(now_ms) - from))
    echo "docker stop took $took ms"
    equal "exit code" "$(state "$1" ExitCode)" 0
}

# field_of_process NAME FIELD: from the status of the container's process.
field_of_process() {
    awk -v field="$2:" '$1 == field { print $2 }' "/proc/$(state "$1" Pid)/status"
}

# start_line_number NAME WORD: the number behind the first such word of the start-up line.
start_line_number() {
    docker logs "$1" 2>&1 | grep ' ready on ' | grep -oE "[ ,]$2 [0-9]+" | head -n 1 | grep -oE '[0-9]+$'
}

# ---- the tests: the image ----

test_size() {
    local bytes
    bytes=$(docker image inspect -f '{{.Size}}' "$image")
    echo "image size: $bytes bytes"
    at_most "size" "$bytes" $((size_limit - 1))
}

test_content() {
    local files
    mkdir "$work/image"
    docker save "$image" | tar -x -C "$work/image" || return 1
    equal "layers" "$(docker image inspect -f '{{len .RootFS.Layers}}' "$image")" 1 || return 1
    # A layer is the only tar file of the archive, whatever its name.
    files=$(find "$work/image" -type f -exec sh -c 'tar -t -f "$1" 2>/dev/null' sh {} \;)
    equal "content" "$files" sponson
}

test_metadata() {
    local version
    version=$(version_of_source)
    image_field() {
        docker image inspect -f "{{$1}}" "$image"
    }
    equal user "$(image_field .Config.User)" 65532:65532 &&
        equal ports "$(image_field 'json .Config.ExposedPorts')" '{"7171/tcp":{},"9171/tcp":{}}' &&
        equal entrypoint "$(image_field 'json .Config.Entrypoint')" '["/sponson"]' &&
        equal "health check" "$(image_field 'json .Config.Healthcheck.Test')" '["CMD","/sponson","--ping"]' &&
        equal "stop signal" "$(image_field .Config.StopSignal)" SIGTERM &&
        equal title "$(image_field 'index .Config.Labels "org.opencontainers.image.title"')" sponson &&
        equal licence "$(image_field 'index .Config.Labels "org.opencontainers.image.licenses"')" MIT &&
        equal "version label" "$(image_field 'index .Config.Labels "org.opencontainers.image.version"')" "$version" &&
        equal "--version" "$(docker run --rm "${hardened[@]}" --network none "$image" --version)" "sponson $version"
}

# ---- beside an application: "beside", with --network host ----

test_start_beside() {
    choose_port
    beside_port=$port
    start beside --network host "${beside_flags[@]}" -- --port "$beside_port" || return 1
    docker logs beside 2>&1
    equal maxclients "$(start_line_number beside maxclients)" 10000 &&
        equal threads "$(start_line_number beside threads)" "$cpus" &&
        at_most "maxmemory in MB" "$(start_line_number beside maxmemory)" 1536
}

test_warning_once() {
    equal "number of warnings about the password" "$(docker logs beside 2>&1 | grep -c requirepass)" 1
}

test_unprivileged() {
    equal uid "$(field_of_process beside Uid)" 65532 &&
        equal gid "$(field_of_process beside Gid)" 65532 &&
        equal capabilities "$(field_of_process beside CapEff)" 0000000000000000 &&
        equal NoNewPrivs "$(field_of_process beside NoNewPrivs)" 1
}

test_outside() {
    equal PUT "$(in_namespace redis-cli -h "$net.1" -p "$beside_port" PUT greeting hello)" OK &&
        equal GET "$(in_namespace redis-cli -h "$net.1" -p "$beside_port" GET greeting)" hello &&
        in_namespace redis-cli -h "$net.1" -p "$beside_port" CLIENT LIST | grep -F "addr=$net.2:"
}

test_loopback() {
    equal GET "$(redis-cli -p "$beside_port" GET greeting)" hello
}

test_loopback_v6() {
    equal GET "$(redis-cli -h ::1 -p "$beside_port" GET greeting)" hello
}

test_healthy() {
    local from=$SECONDS
    wait_for 120 is_healthy "$1" || {
        docker inspect -f '{{json .State.Health}}' "$1"
        return 1
    }
    echo "healthy $((SECONDS - from)) s after the wait began"
}

test_healthy_beside() {
    test_healthy beside
}

test_probe_fails() {
    local output code free
    choose_port
    free=$port
    output=$(docker exec beside /sponson --ping --port "$free" 2>&1)
    code=$?
    echo "$output"
    equal "exit code" "$code" 1 && grep -q "port $free" <<<"$output"
}

test_port_in_use() {
    local output code
    output=$(docker run --rm --network host "${hardened[@]}" "$image" --port "$beside_port" 2>&1)
    code=$?
    echo "$output"
    equal "exit code" "$code" 1 && grep -q "cannot listen on .*port $beside_port" <<<"$output"
}

test_stop_with_idle_client() {
    local client line code
    exec {client}<>"/dev/tcp/127.0.0.1/$beside_port" || return 1
    printf 'PING\r\n' >&"$client"
    read -r -t 60 -u "$client" line && equal "answer to PING" "$line" $'+PONG\r' && stop_in_time beside || return 1
    read -r -t 60 -u "$client" line
    code=$? # 1: end of stream; above 128: time over
    exec {client}>&-
    docker logs --tail 2 beside 2>&1
    equal "the client's read after the stop" "$code" 1
}

# ---- a network of its own, nothing set: "plain" ----

test_plain() {
    start plain --network none -- && connect_container plain || return 1
    equal PUT "$(in_namespace redis-cli -h "$net.6" -p 7171 PUT greeting hello)" OK &&
        equal GET "$(in_namespace redis-cli -h "$net.6" -p 7171 GET greeting)" hello
}

# http PATH: what the admin endpoint of "plain" answers, its head without carriage returns first.
http() {
    in_namespace bash -c "exec 3<>/dev/tcp/$net.6/9171 && printf 'GET $1 HTTP/1.0\r\n\r\n' >&3 && cat <&3" | tr -d '\r'
}

test_admin() {
    equal /readyz "$(http /readyz | tail -n 1)" ok && equal status "$(http /metrics | head -n 1)" "HTTP/1.1 200 OK" &&
        equal entries "$(http /metrics | grep '^sponson_entries ')" "sponson_entries 1"
}

test_healthy_plain() {
    test_healthy plain
}

test_stop_plain() {
    stop_in_time plain
}

# ---- arguments, users, passwords ----

test_arguments() {
    choose_port
    start arguments --network host -- --port "$port" --maxmemory 64mb --maxclients=50 || return 1
    equal maxmemory "$(redis-cli -p "$port" CONFIG GET maxmemory | tail -n 1)" 67108864 &&
        equal maxclients "$(redis-cli -p "$port" CONFIG GET maxclients | tail -n 1)" 50 &&
        stop_in_time arguments
}

test_user() {
    choose_port
    start user --network host --user 12345:0 -- --port "$port" --maxmemory 64mb || return 1
    equal uid "$(field_of_process user Uid)" 12345 && equal PING "$(redis-cli -p "$port" PING)" PONG &&
        docker exec user /sponson --ping --port "$port" && stop_in_time user
}

test_password() {
    start password --network none -e SPONSON_REQUIREPASS=secret -- || return 1
    docker exec password /sponson --ping || return 1 # NOAUTH is an answer
    ! docker logs password 2>&1 | grep -E 'requirepass|secret' || return 1
    stop_in_time password
}

test_bad_argument() {
    local output code
    output=$(docker run --rm --network none "${hardened[@]}" "$image" --maxmemory plenty 2>&1)
    code=$?
    echo "$output"
    equal "exit code" "$code" 1 && grep -q 'maxmemory.*plenty' <<<"$output" || return 1
    output=$(docker run --rm --network none "${hardened[@]}" "$image" --no-such-option 1 2>&1)
    code=$?
    echo "$output"
    equal "exit code" "$code" 1 && grep -q 'no-such-option' <<<"$output"
}

# ---- little memory: "small" ----

test_small() {
    choose_port
    small_port=$port
    start small --network host --cpus 1 --memory 256m --memory-swap 256m -- --port "$small_port" || return 1
    docker logs small 2>&1 | grep ' ready on '
    logged small 'cgroup limit of 256 MB' &&
        equal threads "$(start_line_number small threads)" 1 &&
        at_most "maxmemory in MB" "$(start_line_number small maxmemory)" 192
}

# Sizes change on the way: memory freed in pieces of one size must serve another.
test_fill() {
    local n size
    while read -r n size; do
        redis-benchmark -p "$small_port" -t set -n "$n" -d "$size" -r 100000000 -P 32 -c 20 -q >"$work/fill" 2>&1 ||
            return 1
        echo "$n values of $size bytes: $(tr '\r' '\n' <"$work/fill" | tail -n 2 | tr -d '\n')"
    done <<'END'
300000 1000
1000000 100
30000 10000
300000 1000
END
    equal "killed for memory" "$(state small OOMKilled)" false && equal running "$(state small Running)" true &&
        equal PUT "$(redis-cli -p "$small_port" PUT greeting hello)" OK &&
        equal GET "$(redis-cli -p "$small_port" GET greeting)" hello || return 1
    echo "most resident memory: $(field_of_process small VmHWM) KB; entries: $(redis-cli -p "$small_port" DBSIZE)"
    redis-cli -p "$small_port" INFO stats | tr -d '\r' | grep '^evicted_keys:[1-9]'
}

test_stop_small() {
    stop_in_time small
}

# ---- all of it ----

main() {
    local started=$SECONDS
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    work=$(mktemp -d "${TMPDIR:-/tmp}/sponson.XXXXXX") || exit 1
    install_missing
    [ "$(id -u)" = 0 ] || bail_out "must be root to run dockerd"
    start_daemon
    import_base
    build_image
    make_network

    tap_test "the image is smaller than 1 MB" test_size
    tap_test "the image holds the binary and nothing else" test_content
    tap_test "the image says user, port, probe, signal and labels" test_metadata
    tap_test "starts with --cpus $cpus --memory 2g --ulimit nofile=20000:20000, read-only, without capabilities" \
        test_start_beside
    tap_test "warns once that there is no password" test_warning_once
    tap_test "runs as 65532:65532 without privileges" test_unprivileged
    tap_test "redis-cli PUT and GET from an address that is not loopback" test_outside
    tap_test "answers on loopback" test_loopback
    if [ -n "$(ip -6 address show dev lo 2>/dev/null)" ]; then
        tap_test "answers on loopback over IPv6" test_loopback_v6
    fi
    tap_test "becomes healthy" test_healthy_beside
    tap_test "the probe exits 1 with the reason where nobody listens" test_probe_fails
    tap_test "a port in use: exit 1 with the reason" test_port_in_use
    tap_test "docker stop returns at once with exit code 0 though a client is idle" test_stop_with_idle_client
    tap_test "listens on every address of a network of its own, port 7171" test_plain
    tap_test "and on port 9171 /metrics and /readyz" test_admin
    tap_test "becomes healthy there" test_healthy_plain
    tap_test "and stops at once" test_stop_plain
    tap_test "arguments after the image's name go to the server" test_arguments
    tap_test "runs under an arbitrary UID" test_user
    tap_test "with a password: the probe is content, no warning" test_password
    tap_test "a bad argument: exit 1 with a sentence" test_bad_argument
    tap_test "--memory 256m: maxmemory is at most three quarters of it" test_small
    tap_test "more than --memory 256m holds: evicts, answers, is not OOM-killed" test_fill
    tap_test "and stops at once while full" test_stop_small

    echo "1..$test_count"
    echo "# $((test_count - failures)) of $test_count passed in $((SECONDS - started)) s"
    [ "$failures" -eq 0 ]
}

main
