#!/usr/bin/env bash
# Builds the sdist and the wheel, installs the wheel in a fresh environment, and uses it there.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
python=$(cd "${VENV:-.venv}" && pwd)/bin/python
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

quietly() { "$@" >"$place/log" 2>&1 </dev/null || { cat "$place/log" >&2; exit 1; }; }

# sdist first, then the wheel from the sdist: a file missing from the sdist shows here.
quietly "$python" -m build --outdir "$place/dist" .
# Without pip of its own: Debian's Python cannot install one, ours can install from outside.
quietly "$python" -m venv --without-pip "$place/venv"
quietly "$python" -m pip --python "$place/venv/bin/python" install --quiet --no-input \
    --disable-pip-version-check -c constraints.txt "$place"/dist/*.whl
# Outside the repository, or `import ml_dash` would find the sources instead.
cd "$place"
PATH=$place/venv/bin:$PATH "$place/venv/bin/python" "$root/tools/smoke.py"
for built in "$place"/dist/*; do echo "built $(basename "$built"), $(wc -c <"$built") bytes"; done
