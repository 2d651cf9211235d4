#!/usr/bin/env bash
# Sets up the virtual environment:  tools/setup.sh demo | dev
#
# demo: what the examples need.  dev: that, and what the tests need.
# A second run with nothing changed takes a fraction of a second. PYTHON names the interpreter,
# VENV the folder (.venv).
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:?usage: tools/setup.sh demo|dev}
venv=${VENV:-.venv}
asked=${PYTHON:-}
python=${PYTHON:-python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

say() { printf '[setup] %s\n' "$*" >&2; }
die() { printf '[setup] %s\n' "$*" >&2; exit 1; }

# Runs a command quietly, up to three times; shows what it printed only when it fails for good.
try() {
    for pause in 2 5 0; do
        if "$@" >"$log" 2>&1 </dev/null; then return 0; fi
        sleep "$pause"
    done
    cat "$log" >&2
    return 1
}

# --- system packages: OpenGL without a screen; for tests PostgreSQL, a browser, a proxy ----------

apt_install() {
    local options=(-y -qq --no-install-recommends -o DPkg::Lock::Timeout=120)
    export DEBIAN_FRONTEND=noninteractive
    # A bare machine has no package lists, an old one has stale ones: fetch them only then.
    if apt-get install "${options[@]}" "$@" >"$log" 2>&1 </dev/null; then return 0; fi
    try apt-get update -qq || return 1
    if apt-get install "${options[@]}" "$@" >"$log" 2>&1 </dev/null; then return 0; fi
    # One name that this release does not have must not keep the others out.
    local failed=0 package
    for package in "$@"; do
        apt-get install "${options[@]}" "$package" >"$log" 2>&1 </dev/null || failed=1
    done
    return "$failed"
}

system_packages() {
    command -v dpkg-query >/dev/null || return 0
    local missing=() package
    for package in libegl1 libgles2 libgl1-mesa-dri libosmesa6; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    if [[ $what == dev ]] && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null &&
        ! command -v initdb >/dev/null; then
        missing+=(postgresql)
    fi
    if [[ $what == dev ]] && ! command -v google-chrome >/dev/null &&
        ! command -v chromedriver >/dev/null; then
        missing+=(chromium chromium-driver)
    fi
    if [[ $what == dev ]] && ! command -v nginx >/dev/null && [[ ! -x /usr/sbin/nginx ]]; then
        missing+=(nginx-light)
    fi
    for package in openssl curl sqlite3; do
        [[ $what == demo ]] || command -v "$package" >/dev/null || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if [[ $(id -u) != 0 ]]; then
        settled && return 0 # said before
        say "rendering and tests may need: sudo apt-get install -y ${missing[*]}"
        return 0
    fi
    say "system packages: ${missing[*]}"
    apt_install "${missing[@]}" || say "could not install all of ${missing[*]}; going on without"
}

# --- the virtual environment ---------------------------------------------------------------------

identity='import sys; print(sys.base_prefix, sys.version)'

make_venv() {
    command -v "$python" >/dev/null || die "$python not found; PYTHON=python3.12 make … names another"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$("$python" --version) is too old: Python 3.11 or newer, e.g. PYTHON=python3.12 make …"
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        [[ -z $asked ]] && return 0
        [[ $("$venv/bin/python" -c "$identity") == "$("$python" -c "$identity")" ]] && return 0
    fi
    if [[ -e $venv && ! -e $venv/.made-by-setup ]]; then
        die "$venv is there, but has no pip or another Python: remove it, or name a folder with VENV="
    fi
    say "virtual environment: $venv ($("$python" --version))"
    rm -rf "$venv"
    mkdir -p "$venv"
    touch "$venv/.made-by-setup" # first: after an interruption the folder is still known as ours
    if ! "$python" -m venv "$venv" >"$log" 2>&1; then
        # Debian keeps the part of venv that installs pip in a package of its own; the pip that is
        # there can do that instead.
        if ! { "$python" -m venv --without-pip "$venv" &&
            "$python" -m pip --python "$venv/bin/python" install --quiet pip; } >>"$log" 2>&1; then
            cat "$log" >&2
            die "no virtual environment: apt-get install python3-venv"
        fi
    fi
}

pip_install() {
    try "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        -c constraints.txt "$@"
}

stamp() {
    { cat pyproject.toml constraints.txt tools/setup.sh; pwd; "$venv/bin/python" -VV; } | cksum
}

# Whether it is these sources that are installed: `pip install ".[torch]"` puts a copy in their place.
editable() {
    grep -qs '"editable": true' "$venv"/lib/python3*/site-packages/ml_dash-*.dist-info/direct_url.json
}

current() { [[ -e $venv/.stamp-$1 && $(<"$venv/.stamp-$1") == "$(stamp)" ]] && editable; }

# Whether the Python packages are there; those of dev include those of demo.
settled() { current "$what" || { [[ $what == demo ]] && current dev; }; }

packages() {
    settled && return 0
    case $what in
    demo)
        say "Python packages for the examples"
        pip_install -e ".[mujoco,gymnasium]"
        ;;
    dev)
        # torch by its pinned name and first: met as somebody's dependency, pip would take the
        # newest build, with gigabytes of CUDA libraries.
        say "torch, for the tests"
        pip_install "$(grep '^torch==' constraints.txt)"
        say "Python packages for the examples and the tests"
        pip_install -e ".[dev]"
        ;;
    *) die "unknown set: $what (demo or dev)" ;;
    esac
    stamp >"$venv/.stamp-$what"
}

make_venv
system_packages
packages
