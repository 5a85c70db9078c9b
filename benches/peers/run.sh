#!/usr/bin/env bash
# Speed and memory beside peers: `benches/peers/run.sh`, from anywhere.
#
# Installs pinned peers from PyPI into a virtual environment, builds ours in release, writes the trips, checks that all
# transforms give the same result, runs everything as whole processes in turns, and prints Markdown tables.
#
#   --rows N            rows of the statistics (10,000,000)
#   --transform-rows N  rows of the transform (1,000,000)
#   --tfdv-rows N       rows of TFDV, which is compared by the row (200,000)
#   --rounds N          how often each runs (3)
#   --cores N           on how many cores (2)
#   --dir DIR           where data and environments are kept (target/peers)
#   --no-tfdv           without TFDV: a large install, for Python 3.9 to 3.11 only
#   --quick             a small run: 200,000 rows, one round, no TFDV
#
# Needs cargo, and python3 (or what $PYTHON names; $TFDV_PYTHON for TFDV) with venv and pip. Linux.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
rows=10000000 transform_rows=1000000 tfdv_rows=200000 rounds=3 cores=2 tfdv=yes
dir=$root/target/peers
while [ $# -gt 0 ]; do
    case $1 in
        --rows) rows=$2; shift ;;
        --transform-rows) transform_rows=$2; shift ;;
        --tfdv-rows) tfdv_rows=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        --cores) cores=$2; shift ;;
        --dir) dir=$2; shift ;;
        --no-tfdv) tfdv=no ;;
        --quick) rows=200000 transform_rows=200000 rounds=1 tfdv=no ;;
        *) sed -n '2,/^set/{/^#/p}' "$0" >&2; exit 2 ;;
    esac
    shift
done
mkdir -p "$dir"
export PYTHONDONTWRITEBYTECODE=1

# An environment with what a file lists; made again when the list has changed.
environment() { # NAME PYTHON REQUIREMENTS [OPTIONS OF PIP...]
    local place=$dir/$1
    if ! cmp -s "$3" "$place/installed.txt"; then
        rm -rf "$place"
        "$2" -m venv "$place" &&
            "$place/bin/pip" install --quiet --disable-pip-version-check -r "$3" "${@:4}" &&
            cp "$3" "$place/installed.txt"
    fi
}

environment venv "${PYTHON:-python3}" "$here/requirements.txt"
arguments=()
if [ "$tfdv" = yes ]; then
    if environment tfdv "${TFDV_PYTHON:-${PYTHON:-python3}}" "$here/requirements-tfdv.txt" --no-deps; then
        arguments+=(--tfdv-python "$dir/tfdv/bin/python")
    else
        echo "TFDV cannot be installed here; the tables are without it" >&2
    fi
fi

ours=$(cd "$root" && cargo bench -p fourfold-benches --no-default-features --features datafusion --bench peers --no-run \
    --message-format=json-render-diagnostics | "$dir/venv/bin/python" -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["reason"] == "compiler-artifact" and message["target"]["name"] == "peers":
        print(message["executable"])')

"$dir/venv/bin/python" "$here/compare.py" --ours "$ours" --python "$dir/venv/bin/python" --dir "$dir" \
    --rows "$rows" --transform-rows "$transform_rows" --tfdv-rows "$tfdv_rows" \
    --rounds "$rounds" --cores "$cores" "${arguments[@]}"

echo
echo "$(rustc --version); $("$dir/venv/bin/python" --version); $(paste -sd' ' "$here/requirements.txt")"
