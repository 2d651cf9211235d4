#!/usr/bin/env bash
# Type-checks the modules of the pages (their JSDoc) by TypeScript's compiler, strictly.
#
# Needs Node 20 and npm, which nothing else here does: where they are missing, it says so and
# passes. In CI a registry that does not answer fails it.
set -euo pipefail
cd "$(dirname "$0")/.."

version=7.0.2
folder=${VENV:-.venv}/typescript-$version
compiler=$folder/node_modules/.bin/tsc

unchecked() { printf '[types] the modules of the pages are not checked: %s\n' "$*" >&2; }

install() {
    local pause
    for pause in 2 5 0; do
        npm install --silent --no-audit --no-fund --no-save --prefix "$folder" \
            "typescript@$version" </dev/null && return 0
        sleep "$pause"
    done
    return 1
}

if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    unchecked "no Node and npm here"
    exit 0
fi
if (($(node -p 'process.versions.node.split(".")[0]') < 20)); then
    unchecked "Node $(node --version) is older than 20"
    exit 0
fi
if [[ ! -x $compiler ]] && ! install; then
    unchecked "npm could not install typescript@$version"
    [[ ${CI:-} == true ]] && exit 1
    exit 0
fi
"$compiler" --noEmit --allowJs --checkJs --strict --target es2023 --module esnext \
    --moduleResolution bundler --lib es2023,dom,dom.iterable ml_dash/server/pages/static/*.js
echo "the modules of the pages: types are right"
