#!/usr/bin/env bash
# All checks and tests: makes a virtual environment and installs what they need.
# Arguments go to pytest: bash tests/run.sh -m "not slow"
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${E2EDIST_VENV:-$PWD/.venv}
. workflows/venv.sh
make_venv "$venv" cpu,test
export PATH="$venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
lint-imports --no-cache
python -m pytest "$@"
