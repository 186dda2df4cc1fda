#!/usr/bin/env bash
# quoit beside etcd and Redis Cluster: the same load on each, side by side on this machine.
#
#     examples/load/peers.sh                      everything, and the table into BENCHMARKS.md
#     examples/load/peers.sh --only get-64        one row, and its table to standard output
#     examples/load/peers.sh --help
#
#     build --> certificates --> 3 etcd (TLS), 6 Redis (TLS), 6 Redis (plain) --> keys
#           --> for each round, for each row: quoit, then each peer --> table
#
# Three nodes each (Redis Cluster: three masters, three replicas), all on 127.0.0.1, all sharing the
# machine with the load generator. The runs of a row follow one another directly, each round in another
# order, so that what slows the machine for a while slows all of them. The peers stay up, idle, while
# others are measured, which costs a few percent of one core; quoit's nodes are started afresh for each run.
#
# Whatever this starts ends with it: when it is done, fails, is interrupted or is killed. It ends processes
# by their numbers only. Packages that are missing are installed from the distribution (apt-get, as root).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root
readonly needed=(etcd:etcd-server redis-server:redis-server redis-cli:redis-tools openssl:openssl)
readonly tls_options='ca=ca.pem&cert=peer.pem&key=peer-key.pem'

seconds=3
rounds=3
warm_up=1
keys=100000
minutes=30
port=24000
only=
binary=
dry=

dir=
pids=()   # all servers
running=  # the load generator, while it runs
declare -A pids_of=() scheme_of=() port_of=()

# id | title | workload | bytes | in flight | systems, of which the first is the one that is compared
#    | keys, if not --keys | clients, if not one
rows=(
    'get-64|get, 100 B, 64 in flight|get|100|64|quoit etcd-tls redis-tls redis-plain redis-tls-alone redis-plain-alone'
    'durable-put-64|durable put, 100 B, 64 in flight|put|100|64|quoit etcd-tls redis-plain-always redis-tls-always'
    'buffered-put-64|buffered put, 100 B, 64 in flight|put|100|64|quoit-buffered redis-tls redis-plain'
    'get-1|get, 100 B, 1 in flight|get|100|1|quoit etcd-tls redis-tls'
    'durable-put-1|durable put, 100 B, 1 in flight|put|100|1|quoit etcd-tls redis-plain-always'
    'get-256|get, 100 B, 256 in flight|get|100|256|quoit etcd-tls redis-tls redis-plain'
    'durable-put-256|durable put, 100 B, 256 in flight|put|100|256|quoit etcd-tls redis-plain-always'
    'buffered-put-256|buffered put, 100 B, 256 in flight|put|100|256|quoit-buffered redis-tls redis-plain'
    'get-1k|get, 1 KiB, 64 in flight|get|1024|64|quoit etcd-tls redis-tls redis-plain'
    'durable-put-1k|durable put, 1 KiB, 64 in flight|put|1024|64|quoit etcd-tls redis-plain-always'
    'buffered-put-1k|buffered put, 1 KiB, 64 in flight|put|1024|64|quoit-buffered redis-tls redis-plain'
    'cas-1|cas, 100 B, 1 in flight|cas|100|1|quoit etcd-tls redis-plain-always redis-plain-watch-always'
    'cas-again-1|cas, 100 B, 1 in flight, the same key again and again|cas|100|1|quoit etcd-tls redis-plain-always|1'
    'cas-16|cas, 100 B, 16 in flight|cas|100|16|quoit etcd-tls redis-plain-always redis-plain-watch-always'
    'cas-64|cas, 100 B, 64 in flight|cas|100|64|quoit etcd-tls redis-plain-always redis-plain-watch-always redis-tls-always'
    'update-1|update, 100 B, 1 in flight|update|100|1|quoit etcd-tls redis-plain-always'
    'update-64|update, 100 B, 64 in flight|update|100|64|quoit etcd-tls redis-plain-always redis-tls-always'
    'cas-hot-32|cas, one key, 32 clients|cas|100|32|quoit etcd-tls redis-plain-always redis-plain-watch-always|1|32'
    'update-hot-32|update, one key, 32 clients|update|100|32|quoit etcd-tls redis-plain-always|1|32'
)

# text | rule; see src/table/goals.rs
goals=(
    'get, 64: ≥ 10 × etcd, TLS|rate get-64 etcd-tls 10'
    'get, 64: ≥ 1.5 × Redis, TLS, a connection per caller|rate get-64 redis-tls-alone 1.5'
    'get, 64: ≥ 1.5 × Redis, TLS, callers share connections|rate get-64 redis-tls 1.5'
    'get, 64: ≥ 1.2 × Redis, plain, a connection per caller|rate get-64 redis-plain-alone 1.2'
    'get, 64: ≥ 1.2 × Redis, plain, callers share connections|rate get-64 redis-plain 1.2'
    'get, 64: p99 ≤ 2.5 ms|p99 get-64 2500'
    'durable put, 64: ≥ 8 × etcd, TLS|rate durable-put-64 etcd-tls 8'
    'durable put, 64: ≥ 1.5 × Redis, plain, AOF always, WAIT 1|rate durable-put-64 redis-plain-always 1.5'
    'durable put, 64: p99 ≤ 5 ms|p99 durable-put-64 5000'
    'buffered put, 64: ≥ 2.5 × Redis, TLS, AOF everysec, WAIT 1|rate buffered-put-64 redis-tls 2.5'
    'buffered put, 64: ≥ 1.3 × Redis, plain, AOF everysec, WAIT 1|rate buffered-put-64 redis-plain 1.3'
    'get, 1: p50 ≤ 1/5 of etcd, TLS|quick get-1 etcd-tls 5'
    'durable put, 1: p50 ≤ 1/3 of etcd, TLS|quick durable-put-1 etcd-tls 3'
    'get, 256: ≥ the rate at 64|against get-256 get-64 1'
    'durable put, 256: ≥ the rate at 64|against durable-put-256 durable-put-64 1'
    'buffered put, 256: ≥ the rate at 64|against buffered-put-256 buffered-put-64 1'
    'get, 1 KiB: ≥ 60 % of the rate at 100 B|against get-1k get-64 0.6'
    'durable put, 1 KiB: ≥ 40 % of the rate at 100 B|against durable-put-1k durable-put-64 0.4'
    'buffered put, 1 KiB: ≥ 40 % of the rate at 100 B|against buffered-put-1k buffered-put-64 0.4'
    'cas, 16: ≥ 2 × etcd, TLS|rate cas-16 etcd-tls 2'
    'cas, 64: ≥ 2 × etcd, TLS|rate cas-64 etcd-tls 2'
    'cas, 1: p50 ≤ 0.7 of etcd, TLS|quick cas-1 etcd-tls 1.429'
    'cas, 1, the same key: p50 ≤ 0.55 of etcd, TLS|quick cas-again-1 etcd-tls 1.818'
    'cas, 64: ≥ 1.5 × Redis by WATCH, plain, AOF always, WAIT 1|rate cas-64 redis-plain-watch-always 1.5'
    'cas, 64: ≥ 0.8 × Redis by a script, plain, AOF always, WAIT 1|rate cas-64 redis-plain-always 0.8'
    'update, 1: p50 ≤ 0.45 of etcd, TLS|quick update-1 etcd-tls 2.222'
    'update, 64: ≥ 1.5 × Redis by WATCH, plain, AOF always, WAIT 1|rate update-64 redis-plain-always 1.5'
    'update, one key, 32 clients: ≥ 80 % of the rate of one client in two rounds|against update-hot-32 cas-1 0.8'
    'update, one key, 32 clients: p99 of attempts ≤ 3|attempts update-hot-32 3'
    'update, one key, 32 clients: longest wait ≤ 0.5 s|longest update-hot-32 500000'
)

usage() {
    cat <<EOF
usage: peers.sh [options]

  --seconds N   measured in each run [$seconds]; one more second before it is not
  --rounds N    how often everything is run [$rounds]
  --only ROW    this row alone; the table goes to standard output
  --keys N      keys, loaded beforehand [$keys]
  --minutes N   begin no run after this time; what is missing is a dash [$minutes]
  --port N      first of 120 ports, and of as many 10,000 above [$port]
  --binary FILE a quoit-load with the features etcd and redis [built here, with --release]
  --dry         the table to standard output, BENCHMARKS.md as it is
  --help        this

rows: $(for row in "${rows[@]}"; do printf '%s ' "${row%%|*}"; done)
EOF
}

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "peers.sh: $*"
    exit 1
}

number() { # OPTION VALUE
    [[ ${2:-} =~ ^[1-9][0-9]{0,8}$ ]] || die "$1 takes a number, not \`${2:-}\`"
    printf '%s' "$2"
}

options() {
    while (($# > 0)); do
        case $1 in
            --seconds) seconds=$(number "$1" "${2:-}") ;;
            --rounds) rounds=$(number "$1" "${2:-}") ;;
            --keys) keys=$(number "$1" "${2:-}") ;;
            --minutes) minutes=$(number "$1" "${2:-}") ;;
            --port) port=$(number "$1" "${2:-}") ;;
            --only) only=${2:?--only takes a row} dry=yes ;;
            --binary) binary=$(realpath -- "${2:?--binary takes a file}") ;;
            --dry) dry=yes && shift && continue ;;
            --help) usage && exit ;;
            *) usage >&2 && die "no such option: $1" ;;
        esac
        shift 2
    done
    ((port + 10120 < 65536)) || die "--port must leave room for 10,000 more"
    [[ -z $only ]] || printf '%s\n' "${rows[@]}" | grep -q "^$only|" || die "no such row: $only"
}

# --- what is there when this ends -------------------------------------------------------------------------

finish() {
    local status=$? pid
    trap '' EXIT INT TERM HUP
    exec 2>/dev/null # what was to be said has been said; the shell would add who was killed
    [[ -z $running ]] || end "$running"
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true # their data goes, too: nothing to save
    done
    wait
    [[ -z $dir ]] || rm -rf -- "$dir"
    exit "$status"
}

# The generator ends its own nodes when it is asked to end, and they end by themselves when it is gone.
end() { # PID
    kill -TERM "$1" 2>/dev/null || return 0
    local look
    for ((look = 0; look < 30; look++)); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
}

# A server that ends with this script even if that is killed with no time to clean up.
server() { # SYSTEM COMMAND...
    local system=$1
    shift
    setpriv --pdeathsig KILL -- "$@" >>"$dir/$system.log" 2>&1 </dev/null &
    pids+=("$!")
    pids_of[$system]+="${pids_of[$system]:+,}$!"
}

# --- what it needs ----------------------------------------------------------------------------------------

install_missing() {
    local each packages=()
    for each in "${needed[@]}"; do
        command -v "${each%%:*}" >/dev/null || packages+=("${each#*:}")
    done
    ((${#packages[@]} > 0)) || return 0
    command -v apt-get >/dev/null || die "missing, and no apt-get to install them: ${packages[*]}"
    say "installing ${packages[*]}"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
    # The packages start servers of their own where there is an init; they are not wanted.
    [[ ! -d /run/systemd/system ]] || systemctl disable --now etcd.service redis-server.service || true
}

build() {
    [[ -z $binary ]] || return 0
    say "building quoit-load"
    (cd "$root" && cargo build --release --locked -p quoit-load --features etcd,redis) >&2
    binary=${CARGO_TARGET_DIR:-$root/target}/release/quoit-load
}

make_directory() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/quoit-peers.XXXXXX")
    [[ $(stat -f -c %T "$dir") != tmpfs ]] || die "$dir is in memory, where a sync costs nothing: set TMPDIR"
    mkdir "$dir/results" "$dir/data"
}

certificates() {
    local extensions=$'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth'
    (
        cd "$dir"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
            -subj /CN=peers-ca -keyout ca-key.pem -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
            -subj /CN=peer -keyout peer-key.pem -out peer.csr
        openssl x509 -req -in peer.csr -days 2 -CA ca.pem -CAkey ca-key.pem -CAcreateserial \
            -extfile <(printf '%s' "$extensions") -out peer.pem
    ) 2>>"$dir/openssl.log" || die "$(tail -n 3 "$dir/openssl.log")"
}

answers() { # PORT
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# until_true SECONDS WHAT COMMAND...
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < end)) || die "$what did not come up$(printf '\n'; tail -n 3 "$dir"/*.log)"
        sleep 0.2
    done
}

# --- etcd -------------------------------------------------------------------------------------------------

start_etcd() { # SYSTEM BASE
    local system=$1 base=$2 at=https://127.0.0.1 node members=
    for node in 1 2 3; do
        members+="${members:+,}n$node=$at:$((base + 10 + node))"
    done
    for node in 1 2 3; do
        server "$system" etcd --name "n$node" --data-dir "$dir/$system-$node" --log-level error --logger zap \
            --initial-cluster "$members" --initial-cluster-token "$system" \
            --listen-client-urls "$at:$((base + node))" --advertise-client-urls "$at:$((base + node))" \
            --listen-peer-urls "$at:$((base + 10 + node))" \
            --initial-advertise-peer-urls "$at:$((base + 10 + node))" \
            --cert-file "$dir/peer.pem" --key-file "$dir/peer-key.pem" \
            --trusted-ca-file "$dir/ca.pem" --client-cert-auth \
            --peer-cert-file "$dir/peer.pem" --peer-key-file "$dir/peer-key.pem" \
            --peer-trusted-ca-file "$dir/ca.pem" --peer-client-cert-auth
    done
    scheme_of[$system]=etcd port_of[$system]=$base
    for node in 1 2 3; do
        until_true 20 "$system" answers $((base + node))
    done
}

# --- Redis Cluster ----------------------------------------------------------------------------------------

start_redis() { # SYSTEM BASE
    local system=$1 base=$2 node nodes=()
    for node in 1 2 3 4 5 6; do
        local wire=(--port $((base + node)))
        [[ $system != *-tls ]] || wire=(
            --port 0 --tls-port $((base + node)) --tls-cluster yes --tls-replication yes
            --tls-cert-file "$dir/peer.pem" --tls-key-file "$dir/peer-key.pem" --tls-ca-cert-file "$dir/ca.pem"
        )
        mkdir "$dir/$system-$node"
        nodes+=("127.0.0.1:$((base + node))")
        server "$system" redis-server --bind 127.0.0.1 --dir "$dir/$system-$node" --daemonize no --save '' \
            --cluster-enabled yes --cluster-node-timeout 2000 --appendonly yes --appendfsync everysec \
            "${wire[@]}"
    done
    scheme_of[$system]=redis port_of[$system]=$base
    for node in "${nodes[@]}"; do
        until_true 20 "$system" answers "${node#*:}"
    done
    redis "$system" 1 --cluster create "${nodes[@]}" --cluster-replicas 1 --cluster-yes \
        >>"$dir/$system.log" 2>&1 || die "$(tail -n 3 "$dir/$system.log")"
    for node in 1 2 3 4 5 6; do
        until_true 20 "$system" redis_ready "$system" "$node"
    done
}

redis() { # SYSTEM NODE ARGUMENTS...
    local wire=(-p $((port_of[$1] + $2)))
    [[ $1 != *-tls ]] || wire+=(--tls --cacert "$dir/ca.pem" --cert "$dir/peer.pem" --key "$dir/peer-key.pem")
    redis-cli "${wire[@]}" "${@:3}"
}

# In a whole cluster, with its replica or its master at hand: otherwise WAIT would wait for nobody.
redis_ready() { # SYSTEM NODE
    local replication
    redis "$1" "$2" cluster info 2>/dev/null | grep -q '^cluster_state:ok' || return 1
    replication=$(redis "$1" "$2" info replication 2>/dev/null) || return 1
    [[ $replication == *state=online* || $replication == *master_link_status:up* ]]
}

redis_sync() { # SYSTEM always|everysec
    local node
    for node in 1 2 3 4 5 6; do
        [[ $(redis "$1" "$node" config set appendfsync "$2") == OK ]] || die "$1 does not take appendfsync $2"
    done
}

# --- measuring --------------------------------------------------------------------------------------------

# address SYSTEM [OPTIONS]: what quoit-load takes for a running peer
address() {
    local base=${port_of[$1]} options=${2:-}
    [[ $1 != *-tls ]] || options+="&$tls_options"
    printf '%s://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d?pids=%s%s' \
        "${scheme_of[$1]}" $((base + 1)) $((base + 2)) $((base + 3)) "${pids_of[$1]}" "$options"
}

# load ARGUMENTS...: quoit-load in the background, so that a signal does not have to wait for its end
load() {
    (cd "$dir" && exec setpriv --pdeathsig KILL -- "$binary" "$@") >>"$dir/load.log" 2>&1 </dev/null &
    running=$!
    local status=0
    wait "$running" || status=$?
    running=
    return "$status"
}

# measure ROW WORKLOAD BYTES IN-FLIGHT SYSTEM ROUND KEYS CLIENTS
measure() {
    local row=$1 workload=$2 bytes=$3 in_flight=$4 system=$5 round=$6 few=$7 clients=$8 store=()
    local out=$dir/results/$row/$system/$round
    case $system in
        quoit) store=(--cluster dev:3:fsync --data "$dir/data") ;;
        quoit-buffered) store=(--cluster dev:3:buffered --data "$dir/data") ;;
        *-watch-always) store=(--target "$(address "${system%-watch-always}" '&cas=watch')") ;;
        *-always) store=(--target "$(address "${system%-always}")") ;;
        *-alone) store=(--target "$(address "${system%-alone}" '&reads=alone')") ;;
        *) store=(--target "$(address "$system")") ;;
    esac
    [[ $system == quoit* ]] || store+=(--no-load)
    local redis=${system%-always} # without what else its name says
    redis=${redis%-watch}
    [[ $system != *-always ]] || redis_sync "$redis" always
    mkdir -p "$out"
    load "${store[@]}" --keys "${few:-$keys}" --clients "${clients:-1}" --workload "$workload" --distribution uniform \
        --value "$bytes" --closed --in-flight "$in_flight" --seconds "$seconds" --warm-up "$warm_up" --out "$out" ||
        say "    $row, $system: failed$(printf '\n'; tail -n 3 "$dir/load.log")"
    [[ $system != *-always ]] || redis_sync "$redis" everysec
}

fill() { # BYTES
    local system
    for system in "${!scheme_of[@]}"; do
        say "  $system: $keys keys of $1 B"
        load --target "$(address "$system")" --keys "$keys" --workload get --value "$1" --closed \
            --in-flight 256 --seconds 1 --warm-up 0 || die "$system: $(tail -n 5 "$dir/load.log")"
    done
}

# All rows of one size, round after round; in each round the systems begin with another one.
measure_size() { # BYTES
    local round row id workload bytes in_flight systems few clients each system
    fill "$1"
    for ((round = 1; round <= rounds; round++)); do
        for row in "${rows[@]}"; do
            IFS='|' read -r id _ workload bytes in_flight systems few clients <<<"$row"
            [[ $bytes == "$1" && ( -z $only || $only == "$id" ) ]] || continue
            read -ra systems <<<"$systems"
            for ((each = 0; each < ${#systems[@]}; each++)); do
                system=${systems[(each + round - 1) % ${#systems[@]}]}
                ((SECONDS < minutes * 60)) || { say "  out of time before $id, $system, round $round" && return; }
                say "  round $round of $rounds: $id, $system"
                measure "$id" "$workload" "$bytes" "$in_flight" "$system" "$round" "$few" "$clients"
            done
        done
    done
}

plan() {
    local row id title systems system goal rule
    for row in "${rows[@]}"; do
        IFS='|' read -r id title _ _ _ systems _ <<<"$row"
        [[ -z $only || $only == "$id" ]] || continue
        for system in $systems; do
            printf 'run\t%s\t%s\t%s\n' "$id" "$title" "$system"
        done
    done
    for goal in "${goals[@]}"; do
        read -ra rule <<<"${goal#*|}"
        printf 'goal\t%s' "${goal%%|*}"
        printf '\t%s' "${rule[@]}"
        printf '\n'
    done
}

# Percent of the processors' time over two seconds.
busy() {
    local -a before after
    read -ra before </proc/stat
    sleep 2
    read -ra after </proc/stat
    local field all=0
    for field in 1 2 3 4 5 6 7 8; do
        all=$((all + after[field] - before[field]))
    done
    printf '%d' $((100 - 100 * (after[4] + after[5] - before[4] - before[5]) / (all > 0 ? all : 1)))
}

preface() { # BUSY-BEFORE BUSY-AFTER
    local model cores system
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    cores=$(nproc)
    system=$(df --output=fstype "$dir" | tail -n 1)
    printf "\n\`examples/load/peers.sh --seconds %d --rounds %d\` on %s, %d cores, %s, Linux %s; " \
        "$seconds" "$rounds" "$model" "$cores" "$system" "$(uname -r | cut -d- -f1)"
    printf '%s keys, uniform, closed loop; the median of the rounds and, in brackets, their range.\n' "$keys"
    printf 'Just before, %d %% of the processors were busy with something else; just after, with the peers ' "$1"
    printf 'still up, %d %%.' "$2"
    ((rounds > 2 && $1 <= 10)) || printf ' **A first look: too few rounds or too busy a machine to rely on.**'
    printf '\n'
}

main() {
    options "$@"
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    install_missing
    build
    make_directory
    local each other size
    for ((each = port; each < port + 120; each++)); do
        ! answers "$each" || die "port $each is in use: choose others with --port"
    done
    other=$(busy)
    ((other <= 10)) || say "note: $other % of the processors are busy with something else; figures will be off"
    SECONDS=0
    say "starting etcd and Redis in $dir"
    certificates
    start_etcd etcd-tls "$port"
    start_redis redis-tls $((port + 30))
    start_redis redis-plain $((port + 60))
    for size in 100 1024; do
        ! plan_has "$size" || measure_size "$size"
    done
    plan >"$dir/results/plan.tsv"
    preface "$other" "$(busy)" >"$dir/results/preface.md"
    if [[ -n $dry ]]; then
        "$binary" table "$dir/results"
    else
        "$binary" table "$dir/results" --into "$root/BENCHMARKS.md"
        say "the table is in BENCHMARKS.md"
    fi
    say "done after $SECONDS s"
}

plan_has() { # BYTES
    local row
    for row in "${rows[@]}"; do
        [[ $row != *"|$1|"* || ( -n $only && $row != "$only|"* ) ]] || return 0
    done
    return 1
}

main "$@"
