#!/usr/bin/env bash
# Runs fuzz targets for a while each, one after the other.
#
#   fuzz/run.sh SECONDS [TARGET...]
#
# Prints executions and coverage of each; the exit code is 1 when one crashed, and the input that
# did it is then in fuzz/artifacts. Inputs that reach new code are kept in the target folder and
# serve the next run; `--keep` before SECONDS makes a minimised choice of them the committed corpus.
set -euo pipefail
cd "$(dirname "$0")"

keep=false
if [[ "${1:-}" == --keep ]]; then
    keep=true
    shift
fi
if [[ ! "${1:-}" =~ ^[0-9]+$ ]]; then
    echo "usage: $0 [--keep] SECONDS [TARGET...]" >&2
    exit 2
fi
seconds=$1
shift

host=x86_64-unknown-linux-gnu
[[ "$(uname -m)" == aarch64 ]] && host=aarch64-unknown-linux-gnu
base=${CARGO_TARGET_DIR:-target}
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags+=" -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"

cargo build --quiet --bin corpus
corpus=$base/debug/corpus
mapfile -t targets < <("$corpus" list)
(($# > 0)) && targets=("$@")

bins=()
for target in "${targets[@]}"; do
    bins+=(--bin "fuzz-$target")
done
# With a target triple, build scripts and procedural macros stay without instrumentation.
RUSTFLAGS="$flags" cargo +nightly build --quiet --profile fuzz --features libfuzzer \
    --target "$host" "${bins[@]}"

mkdir -p artifacts
failed=()
printf '%-14s %12s %10s %8s %8s\n' target executions per-second coverage inputs
for target in "${targets[@]}"; do
    program=$base/$host/fuzz/fuzz-$target
    found=$base/corpus/$target
    seeds=$base/seeds/$target
    log=$base/$target.log
    rm -rf "$seeds"
    mkdir -p "$found"
    "$corpus" expand "$target" "$seeds" >/dev/null
    verdict=""
    # A second over the limit of an input is a bug too, and so is more memory than a small member has.
    nice -n 5 "$program" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=16384 \
        -print_final_stats=1 -artifact_prefix="artifacts/$target-" "$found" "$seeds" \
        >"$log" 2>&1 || verdict="  FAILED: see $log"
    [[ -n "$verdict" ]] && failed+=("$target")
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)
    inputs=$(find "$found" -type f | wc -l)
    printf '%-14s %12s %10s %8s %8s%s\n' \
        "$target" "${executions:-?}" "${rate:-?}" "${coverage:-?}" "$inputs" "$verdict"
    if $keep && [[ -z "$verdict" ]]; then
        rm -rf "$base/least/$target"
        mkdir -p "$base/least/$target"
        "$program" -merge=1 "$base/least/$target" "$found" "$seeds" >>"$log" 2>&1
        "$corpus" collect "$target" "$base/least/$target"
    fi
done

if ((${#failed[@]} > 0)); then
    echo "crashed: ${failed[*]}; the inputs are in fuzz/artifacts" >&2
    exit 1
fi
