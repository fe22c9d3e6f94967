#!/usr/bin/env bash
# Runs the tests of d2l under a sanitizer.
#
#   d2l-lib/tests/sanitize.sh address|thread [ARGUMENTS OF CARGO TEST]
#
# `address` stops at reads and writes outside of a block or after it was freed, and at memory that
# nobody holds in the end; `thread` at memory that two threads use without order. The stable
# compiler brings both but hides the option. A target is named so that macros and build scripts,
# which run in the compiler, are built without.
set -euo pipefail
cd "$(dirname "$0")/../.."
kind=$1
shift
case $kind in
address) flags="--cfg exact_blocks" ;;
# The standard library comes without: what it orders in its own code alone, the sanitizer misses.
thread) flags="-Cunsafe-allow-abi-mismatch=sanitizer" ;;
esac
# With the checks that the standard library makes of what unsafe code passes to it.
profile=(--config=profile.dev.package.d2l.{opt-level=1,debug-assertions=true,overflow-checks=true})
host=$(rustc -vV | sed -n 's/^host: //p')
# Pools of threads are kept for ever, since another thread may hold the address of an old one; so
# are the GPUs that tests make for themselves, with the memory they keep.
mkdir -p target
printf 'leak:%s\n' d2l::device::threads::start d2l::device::cuda >target/leaks.txt
# What orders these is inside of the standard library, where the sanitizer does not see it; so it
# is with a `Mutex` for which two threads wait. One test at a time leaves our own threads.
[ "$kind" = address ] || export RUST_TEST_THREADS=1
printf 'race:%s\n' std::sync::mpmc std::sync::once::Once std::thread::lifecycle::JoinInner '^test::run_test$' >target/races.txt
# One test asks for more memory than there can be, one for threads in a child of a process with
# threads.
export ASAN_OPTIONS="allocator_may_return_null=1"
export LSAN_OPTIONS="suppressions=$PWD/target/leaks.txt:print_suppressions=0"
export TSAN_OPTIONS="suppressions=$PWD/target/races.txt:die_after_fork=0:allocator_may_return_null=1"
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$kind $flags" \
    cargo test "${profile[@]}" -p d2l --lib --tests --target "$host" \
    --target-dir "target/sanitize-$kind" "$@"
