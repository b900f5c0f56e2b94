# need.sh -- sourced by the install.sh of each kind of test: what is needed and missing is said, and installed.
#
#   need gcc command -v gcc       the package gcc is missing unless the command succeeds
#   install_missing "The tests"   names all that are missing, and the line that installs them, and does it
#   install_modules "The tests" FOLDER NAME   the same of the npm modules that FOLDER's package-lock.json names, in build/NAME
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

install_modules() {
    modules=$2/../../build/$3
    # The lock file is copied last, so that an installation that broke off is begun anew.
    ! cmp -s "$2/package-lock.json" "$modules/installed.json" || return 0
    line="npm ci --prefix build/$3 --no-audit --no-fund --ignore-scripts --loglevel=error"
    if [ -n "${NO_INSTALL:-}" ]; then
        echo "$1 need npm modules. Install them with: $line" >&2
        return 1
    fi
    echo "$1 need npm modules. Installing: $line"
    mkdir -p "$modules"
    cp "$2/package.json" "$2/package-lock.json" "$modules"
    (cd "$2/../.." && $line >/dev/null)
    cp "$2/package-lock.json" "$modules/installed.json"
}
