#!/bin/sh
# A node on a disk that takes SYNC_US microseconds longer for each sync: on a fast disk, a store with so little
# capacity that a generator on the same machine can offer ten times as much.
#
#   quoit-load --node-binary examples/load/slow-disk.sh --cluster dev:3 ...
#
# strace (tried: 6.1, Linux) delays fsync and fdatasync, and stops at no other system call. The node stays the child of
# who starts it, so its memory and processor time are found; what strace itself takes counts nowhere.
set -eu
load=${QUOIT_LOAD:-$(dirname "$0")/../../target/release/quoit-load}
exec strace -D -f --seccomp-bpf -qq -o /dev/null -e trace=fsync,fdatasync \
    -e inject=fsync,fdatasync:delay_exit="${SYNC_US:-40000}" "$load" node --while-stdin-is-open "$@"
