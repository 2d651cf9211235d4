#!/usr/bin/env bash
# Everything that has to hold before a version is published:  tools/check_release.sh [EXTRA ...]
#
# Builds into dist, checks the packages as CI does, then installs the wheel with each extra alone
# and uses that. Names of extras check these only. Takes minutes and a few gigabytes for a while.
# Left out unless it is named: tensorflow, for its size.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
python=$(cd "${VENV:-.venv}" && pwd)/bin/python
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

all=(arrow gymnasium hdf5 keyring lerobot lightning mcap mujoco pandas plot polars server torch video)
# With these comes torch: by its pinned name and first, as in setup.sh. As somebody's dependency
# pip would take the newest build, with gigabytes of CUDA libraries.
torch=" lightning torch "

pip_install() {
    "$python" -m pip --python "$place/venv/bin/python" install --quiet --no-input \
        --disable-pip-version-check -c constraints.txt "$@" >"$place/log" 2>&1 </dev/null ||
        { cat "$place/log" >&2; exit 1; }
}

"$python" tools/check_version.py
tools/check_package.sh dist
wheel=$(echo dist/*.whl)

for extra in "${@:-${all[@]}}"; do
    rm -rf "$place/venv"
    "$python" -m venv --without-pip "$place/venv"
    [[ $torch != *" $extra "* ]] || pip_install "$(grep '^torch==' constraints.txt)"
    pip_install "$wheel[$extra]"
    (cd "$place" && PATH=$place/venv/bin:$PATH python "$root/tools/extras.py" use "$extra" 2>log) ||
        { cat "$place/log" >&2; exit 1; }
done
echo "checked: $(echo dist/*)"
[[ -z $(git status --porcelain 2>/dev/null) ]] ||
    echo "not to be published yet: the tree has changes that are not committed"
