# Shared by the scripts beside this file; sourced, never run.
#
# A "node" is a bash process that is PID 1 of its own PID, UTS and mount namespaces, with the node's name
# as hostname. Whatever the node runs is its descendant, however often it forks, so a power failure is one
# kill, a freeze is a SIGSTOP of one tree, and nothing can outlive the cluster or leave a mount behind.
# shellcheck shell=bash

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }

retry() { # COMMAND...: three tries, as package mirrors stumble
    local try
    for try in 1 2 3; do
        "$@" && return 0
        say "try $try of 3 failed: $*"
        sleep $((try * 3))
    done
    return 1
}

wait_for() { # SECONDS WHAT COMMAND...
    local limit=$1 what=$2 end
    shift 2
    end=$((SECONDS + limit))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { say "waited $limit s in vain: $what; see: ${0##*/} logs"; return 1; }
        sleep 0.1
    done
}

# ---- packages ------------------------------------------------------------------------------------------

apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >&2; }

need() { # COMMAND:PACKAGE...: installs the packages whose command is missing
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} = 0 ] && return 0
    command -v apt-get >/dev/null || die "missing: ${missing[*]}; only Debian and Ubuntu are installed by this script"
    is_root || die "missing: ${missing[*]}; run as root, or: sudo apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]}"
    retry apt update || true # a stale list may do; a missing package is told below
    retry apt install -y --no-install-recommends "${missing[@]}" || die "apt-get could not install ${missing[*]}"
}

mirror() { # the Debian mirror that this machine's own sources name
    local found
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\).*/\2/p' |
        grep -E '/debian/?$' | head -n1) || true
    echo "${found:-http://deb.debian.org/debian}"
}

other_suite() { # SUITE apt-get-arguments...: apt with its own state, so nothing of this machine's changes
    local state=$cache/apt-$1 suite=$1 keys=/usr/share/keyrings/debian-archive-keyring.gpg
    shift
    [ -e "$keys" ] || need none:debian-archive-keyring
    mkdir -p "$state"/{lists/partial,cache/archives/partial}
    echo "deb [signed-by=$keys] $(mirror) $suite main" >"$state/sources.list"
    : >"$state/status"
    retry apt-get -qq -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User=root "$@" >&2
}

private_libc() { # LIBS PROGRAM...: programs of a newer suite load its libraries from LIBS (A:B), its loader from B
    local libs=$1 loader=${1##*:} file
    shift
    for file in "$@"; do
        patchelf --print-interpreter "$file" >/dev/null 2>&1 || continue
        patchelf --force-rpath --set-interpreter "$loader/ld-linux-x86-64.so.2" --set-rpath "$libs" "$file"
    done
}

# ---- base folder ---------------------------------------------------------------------------------------

open_base() { # makes $base, and refuses one that somebody else may have prepared
    mkdir -p "$base"
    [ -O "$base" ] && [ ! -L "$base" ] || die "$base belongs to somebody else; choose another with --base"
    mkdir -p "$base"/{etc,log,run,spool}
    chmod 755 "$base"
}

free_port() { # prints a port that nobody listens on, below the ephemeral ones
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        [ -n "$(ss -tlnH "sport = :$port")" ] || break
    done
    echo "$port"
}

show_logs() { # [NAME]: the ends of all logs, or of the one named
    local file
    [ -d "$base/log" ] || die "no cluster at $base"
    find "$base/log" -type f -size +0 -path "$base/log/*${1-}*" | sort | while IFS= read -r file; do
        echo "==> $file"
        tail -n "${LOG_LINES:-60}" "$file"
    done
}

# ---- nodes ---------------------------------------------------------------------------------------------

pid_of() { cat "$base/run/$1.pid" 2>/dev/null; }

alive() { # NAME: a zombie counts as gone, and so does a process that took over an old number
    local pid state
    pid=$(pid_of "$1") && [ -n "$pid" ] || return 1
    state=$(ps -o stat= -p "$pid") && [ "${state:0:1}" != Z ] || return 1
    tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxF "E2EDIST_TEST_NODE=$base:$1"
}

start_node() { # NAME COMMAND...: runs COMMAND in the node; its PID 1 lives until the node is killed
    local name=$1 enter=() as_root=()
    shift
    alive "$name" && return 0
    [ ! -e "/run/netns/$(net_name "$name")" ] || enter=(nsenter "--net=/run/netns/$(net_name "$name")")
    is_root || as_root=(--user --map-root-user)
    # shellcheck disable=SC2016  # the inner shell expands
    E2EDIST_TEST_NODE=$base:$name setsid "${enter[@]}" unshare "${as_root[@]}" --pid --fork --kill-child --uts \
        --mount-proc --propagation slave bash -c '
            hostname "$1"
            for file in hosts resolv.conf; do [ ! -e "$0/etc/$file" ] || mount --bind "$0/etc/$file" "/etc/$file"; done
            "${@:2}" & while :; do wait; sleep 1; done' "$base" "$name" "$@" \
        </dev/null >>"$base/log/$name.out" 2>&1 &
    echo $! >"$base/run/$name.pid"
}

tree() { # PID: its descendants and itself, as ps lists them
    ps -eo pid=,ppid= | awk -v root="$1" '{ parent[$1] = $2 }
        END { for (p in parent) for (q = p; q > 1; q = parent[q]) if (q == root) { print p; break } }'
}

signal_node() { # SIGNAL NAME: to all that runs in the node; twice, as processes may fork meanwhile
    local pid round
    pid=$(pid_of "$2") || return 0
    for round in 1 2; do
        # shellcheck disable=SC2046  # one word a process
        kill "-$1" $(tree "$pid") 2>/dev/null || true
        [ "$round" = 2 ] || sleep 0.05
    done
}

kill_node() { # NAME...: the kernel ends all that is in the namespace with its PID 1
    local name pids=()
    for name in "$@"; do
        alive "$name" && mapfile -t -O "${#pids[@]}" pids < <(tree "$(pid_of "$name")")
        rm -f "$base/run/$name.pid" "$base/run/$name.frozen"
    done
    [ ${#pids[@]} = 0 ] && return 0
    kill -KILL "${pids[@]}" 2>/dev/null || true
    wait_for 10 "processes to end" gone "${pids[@]}" || true
}

gone() { ! ps -o stat= -p "$(IFS=,; echo "$*")" | grep -qv '^Z'; }

nodes_here() { # names of all nodes that were started
    local file
    for file in "$base/run/"*.pid; do
        [ -e "$file" ] && basename "$file" .pid
    done
    return 0
}

# shellcheck disable=SC2154  # set by the scripts
each_node() { # COMMAND...: called with NAME and INDEX
    local n
    for n in $(seq 1 "$nodes"); do "$@" "cpu$n" "$n"; done
    for n in $(seq 1 "$gpu_nodes"); do "$@" "gpu$n" $((nodes + n)); done
}

# ---- networks: one bridge per cluster, one namespace and address per node ----------------------------------

net_name() { echo "e2e$(cat "$base/run/subnet" 2>/dev/null || echo none)-$1"; }
head_ip() { [ -e "$base/run/subnet" ] && echo "10.77.$(cat "$base/run/subnet").1" || echo 127.0.0.1; }
node_ip() { [ -e "$base/run/subnet" ] && echo "10.77.$(cat "$base/run/subnet").$((10 + $1))" || echo 127.0.0.1; }

make_bridge() {
    local number
    [ -e "$base/run/subnet" ] && return 0
    for number in $(seq 1 200); do
        ip -o addr | grep -qF " 10.77.$number." && continue
        ip link add "e2e${number}br" type bridge 2>/dev/null || continue
        echo "$number" >"$base/run/subnet"
        ip addr add "10.77.$number.1/24" dev "e2e${number}br"
        ip link set "e2e${number}br" up
        return 0
    done
    die "no free network 10.77.x.0/24"
}

make_net() { # NAME INDEX
    local name
    name=$(net_name "$1")
    [ -e "/run/netns/$name" ] && return 0
    ip netns add "$name"
    ip link add "$name" type veth peer name eth0 netns "$name"
    ip link set "$name" master "${name%%-*}br" up
    ip -n "$name" link set lo up
    ip -n "$name" addr add "$(node_ip "$2")/24" dev eth0
    ip -n "$name" link set eth0 up
    ip -n "$name" route add default via "$(head_ip)"
}

host_line() { echo "$(node_ip "$2") $1"; }

write_hosts() { # the nodes see these in place of this machine's files; a lost network has no name server either
    mkdir -p "$base/etc"
    { echo "$(head_ip) head head-dbd munged mariadb"; each_node host_line; cat /etc/hosts; } >"$base/etc/hosts"
    if [ -e "$base/run/subnet" ]; then : >"$base/etc/resolv.conf"; fi
}

remove_nets() {
    local prefix file
    [ -e "$base/run/subnet" ] || return 0
    prefix=e2e$(cat "$base/run/subnet")
    for file in "/run/netns/$prefix-"*; do
        [ -e "$file" ] || continue
        ip link del "${file##*/}" 2>/dev/null || true
        ip netns del "${file##*/}"
    done
    ip link del "${prefix}br" 2>/dev/null || true
    # iproute2 leaves /run/netns mounted over itself, and mounts it again when it needs to
    if [ -z "$(ls /run/netns)" ]; then umount /run/netns 2>/dev/null || true; fi
    rm -f "$base/run/subnet"
}

# ---- verbs that all clusters share -------------------------------------------------------------------------

break_node() { # NAME freeze|cut|kill
    [ -e "$base/run/$1.pid" ] || [ "$2" = heal ] || die "no node $1; there are: $(nodes_here | xargs)"
    case $2 in
        kill) kill_node "$1" ;;
        freeze) signal_node STOP "$1"; : >"$base/run/$1.frozen" ;;
        cut)
            [ -e "$base/run/subnet" ] || die "cut needs a cluster started with: up --netns"
            ip link set "$(net_name "$1")" down ;;
        *) die "break NODE kill|freeze|cut|heal, not $2" ;;
    esac
}

mend_node() { # NAME: undoes freeze and cut
    if [ -e "$base/run/$1.frozen" ]; then signal_node CONT "$1"; rm -f "$base/run/$1.frozen"; fi
    if [ -e "$base/run/subnet" ]; then ip link set "$(net_name "$1")" up; fi
}

give_up() { # the logs stay, for: logs
    mapfile -t names < <(nodes_here)
    [ ${#names[@]} = 0 ] || kill_node "${names[@]}"
    LOG_LINES=8 show_logs >&2
    die "$base did not come up"
}

take_down() {
    [ -d "$base/run" ] || return 0
    mapfile -t names < <(nodes_here)
    [ ${#names[@]} = 0 ] || kill_node "${names[@]}"
    remove_nets
    rm -rf "$base"
}
