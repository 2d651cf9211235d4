#!/usr/bin/env bash
# Builds the sdist and the wheel, checks what is in them and what they say, installs the wheel
# alone in a fresh environment, and uses it there. A folder as argument keeps what was built.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
python=$(cd "${VENV:-.venv}" && pwd)/bin/python
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

quietly() { "$@" >"$place/log" 2>&1 </dev/null || { cat "$place/log" >&2; exit 1; }; }

# From a copy, which nobody edits meanwhile. It has no .git, as an sdist has none.
mkdir "$place/sources"
sed 's:/$::' .gitignore >"$place/ignored"
tar -c --exclude-from="$place/ignored" --exclude=./.git . | tar -x -C "$place/sources"

# sdist first, then the wheel from the sdist: a file missing from the sdist shows here.
# Beside it the wheel from the sources, which must be the same, byte for byte.
"$python" -m build --outdir "$place/dist" "$place/sources" >"$place/built" 2>&1 </dev/null &
first=$!
quietly "$python" -m build --wheel --outdir "$place/direct" "$place/sources"
wait "$first" || { cat "$place/built" >&2; exit 1; }
cmp "$place"/dist/*.whl "$place"/direct/*.whl
"$python" "$place/sources/tools/check_contents.py" "$place/dist"
quietly "$python" -m twine check --strict "$place"/dist/*

# Without pip of its own: Debian's Python cannot install one, ours can install from outside.
quietly "$python" -m venv --without-pip "$place/venv"
quietly "$python" -m pip --python "$place/venv/bin/python" install --quiet --no-input \
    --disable-pip-version-check -c constraints.txt "$place"/dist/*.whl
# Outside the repository, or `import ml_dash` would find the sources instead.
cd "$place"
export PATH=$place/venv/bin:$PATH
python "$root/tools/smoke.py"
python "$root/tools/extras.py" lacking

if [[ -n ${1:-} ]]; then
    mkdir -p "$root/$1"
    rm -f "$root/$1"/ml_dash-*
    cp "$place"/dist/* "$root/$1"
fi
