# need.sh -- sourced by the install.sh of each kind of test: what is needed and missing is said, and installed.
#
#   need gcc command -v gcc       the package gcc is missing unless the command succeeds
#   install_missing "The tests"   names all that are missing, and the line that installs them, and does it
#
# NO_INSTALL=1: names the line, and returns 1.

missing=""
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

install_missing() {
    [ -n "$missing" ] || return 0
    line="apt-get install -y --no-install-recommends$missing"
    if [ -n "${NO_INSTALL:-}" ]; then
        echo "$1 need:$missing. Install them with: $line" >&2
        return 1
    fi
    echo "$1 need:$missing. Installing: $line"
    [ "$(id -u)" = 0 ] || sudo=sudo
    ${sudo:-} apt-get update -qq
    ${sudo:-} env DEBIAN_FRONTEND=noninteractive $line >/dev/null
}
