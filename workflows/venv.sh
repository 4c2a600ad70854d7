# Source me: make_venv FOLDER EXTRAS makes a virtual environment with e2edist from this checkout in it.
# On a bare Debian or Ubuntu machine it installs Python's venv module first, if it may.

retry() {
    local try
    for try in 1 2 3; do
        "$@" && return 0
        echo "try $try of 3 failed: $*" >&2
        sleep $((try * 5))
    done
    return 1
}

find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

need_python() {
    local python
    python=$(find_python) && "$python" -c 'import ensurepip, venv' 2>/dev/null && return 0
    if ! command -v apt-get >/dev/null; then
        echo "Python 3.11 or newer with its venv module is needed, and is not here" >&2
        return 1
    fi
    retry as_root apt-get update -q
    retry as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3 python3-venv
}

make_venv() {
    local folder=$1 extras=$2 root before
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    need_python
    [ -x "$folder/bin/python" ] || "$(find_python)" -m venv "$folder"
    before=$folder/.e2edist-extras # those that were installed here before: then pip has little to do
    grep -qxFs "$extras" "$before" || echo "installing e2edist[$extras] into $folder (a few minutes)" >&2
    retry "$folder/bin/python" -m pip install -q --disable-pip-version-check --retries 5 -e "$root[$extras]" || return
    grep -qxFs "$extras" "$before" || echo "$extras" >>"$before"
}
