#!/usr/bin/env bash
# Checks and tests, in a virtual environment that it makes:
#   bash tests/run.sh            style, types, imports, and the quick tests: about 5 minutes on two cores
#   bash tests/run.sh --quick    style and the unit tests, for editing: about a minute
#   bash tests/run.sh --all      everything: about an hour
# All other arguments go to pytest: bash tests/run.sh -k resume -x
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${E2EDIST_VENV:-$PWD/.venv}
. workflows/venv.sh
set_of_tests=default
case ${1-} in
    --quick | --all)
        set_of_tests=${1#--}
        shift
        ;;
esac
[ $set_of_tests = quick ] && [ -x "$venv/bin/pytest" ] || make_venv "$venv" cpu,test
export PATH="$venv/bin:$PATH"

# One test process a core, not more than 8: many tests are campaigns of several processes.
parallel=(-n logical --maxprocesses 8)

ruff check .
ruff format --check .
case $set_of_tests in
    quick) exec python -m pytest "${parallel[@]}" -m "not slow" tests/unit tests/conformance tests/golden "$@" ;;
    all) filter=() ;;
    default) filter=(-m "not slow") ;;
esac
mypy
lint-imports --no-cache
code=0
python -m pytest "${parallel[@]}" "${filter[@]}" "$@" || code=$?
if [ $set_of_tests = default ]; then
    echo "These were the quick tests. The others start whole campaigns, stop them and break their workers:"
    echo "    bash tests/run.sh --all    # about an hour; what a test lacks is listed above under 'skipped'"
fi
exit $code
