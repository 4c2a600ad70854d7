#!/usr/bin/env bash
# The main job on this machine: makes a virtual environment, demo events, and runs a tagger on them.
# Arguments go to submit: bash workflows/demo.sh --tagger top
# Commands that it prints begin with .venv/bin/python, and work without activating that environment.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
venv=${E2EDIST_VENV:-$root/.venv}
. "$root/workflows/venv.sh"
make_venv "$venv" cpu
exec "$venv/bin/python" -m e2edist.submit --site local --demo "$@"
