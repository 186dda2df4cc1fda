#!/usr/bin/env bash
# What the gateway costs: processor time by operation beside the direct client, all on one core.
#
#     examples/gateway/cost.sh [SECONDS]      needs wrk, redis-benchmark and release builds of quoit, quoit-gateway, quoit-load
#
# Three nodes in one process, buffered; 64 connections, 100,000 keys of 100 B. A line has the operations a second and, in
# microseconds by operation, the processor time of the nodes and of what coordinates: the gateway, or the client in quoit-load.
set -euo pipefail

readonly seconds=${1:-8} core=0 http=127.0.0.1:18080 resp_port=16379
bin=$(cd "$(dirname "$0")/../.." && pwd)/target/release
dir=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" && wait "$pid" || true; done
    rm -rf "$dir"
}
trap finish EXIT

# Clock ticks that a process has used.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# Starts a program on the core and waits for its first line.
start() {
    local out=$dir/$1.out
    shift
    HOME=$dir XDG_DATA_HOME=$dir QUOIT_LOG=warn taskset -c $core "$@" >"$out" 2>"$out.err" &
    pids+=($!)
    until grep -qs ready "$out"; do sleep 0.1; done
}

# report NAME OPERATIONS SECONDS NODE-TICKS COORDINATOR-TICKS
report() {
    awk -v name="$1" -v n="$2" -v s="$3" -v a="$4" -v b="$5" 'BEGIN {
        us = 1e6 / 100 / n
        printf "%-28s %8.0f/s  nodes %5.1f  coordinator %5.1f  together %5.1f us\n", name, n / s, a * us, b * us, (a + b) * us }'
}

# through NAME COMMAND...: a load that prints how many operations it made.
through() {
    local name=$1 nodes gateway begin count
    shift
    nodes=$(ticks "${pids[0]}") gateway=$(ticks "${pids[1]}") begin=$EPOCHREALTIME
    count=$("$@")
    local took
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
    report "$name" "$count" "$took" $(($(ticks "${pids[0]}") - nodes)) $(($(ticks "${pids[1]}") - gateway))
}

over_http() {
    taskset -c $core wrk -t1 -c64 -d"${seconds}s" -s "$dir/$1.lua" "http://$http" >"$dir/wrk"
    if grep -q 'Non-2xx' "$dir/wrk"; then cat "$dir/wrk" >&2; exit 1; fi
    awk '/requests in/ { print $1 }' "$dir/wrk"
}

over_resp() {
    local command=$1 deep=$2 count=$3
    taskset -c $core redis-benchmark -p $resp_port -t "$command" -c 64 -P "$deep" -n "$count" -r 100000 -d 100 -q -e >"$dir/bench" 2>&1 # it asks for CONFIG, and warns that there is none
    if grep -q 'Error from server' "$dir/bench"; then sort "$dir/bench" | uniq -c | sort -n | tail -3 >&2; exit 1; fi
    echo "$count"
}

direct() {
    local nodes
    nodes=$(ticks "${pids[0]}")
    taskset -c $core "$bin/quoit-load" --closed --in-flight 64 --seconds "$seconds" --warm-up 0 --no-load \
        --profile "$dir/c/client.toml" --workload "$1" --output json >"$dir/result"
    report "direct client, $1" "$(json operations)" "$seconds" $(($(ticks "${pids[0]}") - nodes)) "$(json ticks)"
}

json() {
    python3 - "$dir/result" "$1" <<'PY'
import json, sys
result = json.load(open(sys.argv[1]))
done = sum(verb["count"] for verb in result["operations"].values())
print(done if sys.argv[2] == "operations" else round(result["cpu"]["client_us_per_op"] * done / 1e4))
PY
}

start nodes "$bin/quoit" dev --nodes 3 --durability buffered --data "$dir/c"
start gateway "$bin/quoit-gateway" --profile "$dir/c/client.toml" --http $http --resp 127.0.0.1:$resp_port
cat >"$dir/get.lua" <<'LUA'
request = function() return wrk.format("GET", string.format("/v1/keys/key:%012d", math.random(0, 99999))) end
LUA
cat >"$dir/put.lua" <<'LUA'
local value = string.rep("v", 100)
request = function() return wrk.format("PUT", string.format("/v1/keys/key:%012d", math.random(0, 99999)), {}, value) end
LUA
# Every key, for RESP and HTTP; and those of quoit-load.
seq 0 99999 | awk '{ printf "SET key:%012d %0100d\r\n", $1, $1 }' | redis-cli -p $resp_port --pipe >/dev/null
"$bin/quoit-load" --closed --in-flight 64 --seconds 1 --profile "$dir/c/client.toml" --workload get >/dev/null

for verb in get put; do
    direct $verb
    through "HTTP, $verb" over_http $verb
    command=${verb/put/set}
    through "RESP, $command" over_resp "$command" 1 $((seconds * 12000))
    through "RESP, $command, 16 pipelined" over_resp "$command" 16 $((seconds * 20000))
done
