#!/usr/bin/env bash
# Serving beside peers: `benches/serving_peers/run.sh`, from anywhere.
#
# Installs pinned peers from PyPI (FastAPI + ONNX Runtime, LitServe, BentoML, Triton through PyTriton, MLServer), trains a
# logistic regression and a forest of 100 trees with scikit-learn, writes both as ours too, builds our server in release,
# and puts the same row to each in turns: the server on one core, the client (wrk, h2load) on the other.
#
#   --rounds N    how often each runs (3)
#   --seconds N   for how long (10)
#   --dir DIR     where data, models and environments are kept (target/serving_peers)
#   --swap        then: a new version each second for a minute, under full load
#   --soak N      then: N minutes of full load
#   --overload    then: clients that never pause, 32 to 4,000 connections, beside a bare hyper server
#   --ours        without the peers
#
# Needs cargo, wrk, h2load (Debian: `apt-get install wrk nghttp2-client`), taskset, and python3 with venv and pip; $PYTHON names
# another, and $PYTRITON_PYTHON one for PyTriton, whose Triton wants Python 3.11 as Debian has it. Linux, two cores.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
rounds=3 seconds=10 swap=no soak=0 overload=no peers=yes dir=$root/target/serving_peers
while [ $# -gt 0 ]; do
    case $1 in
        --rounds) rounds=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --dir) dir=$2; shift ;;
        --swap) swap=yes ;;
        --soak) soak=$2; shift ;;
        --overload) overload=yes ;;
        --ours) peers=no ;;
        *) sed -n '2,/^set/{/^#/p}' "$0" >&2; exit 2 ;;
    esac
    shift
done
mkdir -p "$dir/venvs"
export PYTHONDONTWRITEBYTECODE=1

# An environment with what a file lists; made again when the list has changed.
environment() { # NAME PYTHON
    local place=$dir/venvs/$1 list=$here/requirements/$1.txt
    if ! cmp -s "$list" "$place/installed.txt"; then
        rm -rf "$place"
        if "$2" -m venv "$place" && "$place/bin/pip" install --quiet --disable-pip-version-check -r "$list"; then
            cp "$list" "$place/installed.txt"
        else
            rm -rf "$place"
            echo "$1 cannot be installed here; the tables are without it" >&2
        fi
    fi
}

environment fastapi "${PYTHON:-python3}"
if [ "$peers" = yes ]; then
    for name in litserve bentoml mlserver; do environment "$name" "${PYTHON:-python3}"; done
    environment pytriton "${PYTRITON_PYTHON:-/usr/bin/python3}"
fi
python=$dir/venvs/fastapi/bin/python

"$python" "$here/data.py" "$dir/trips.csv"
"$python" "$here/train.py" "$dir/trips.csv" "$dir/peers"
"$python" "$here/export.py" "$dir/peers" "$dir/models"
"$python" "$here/export.py" "$dir/peers" "$dir/heavy" --heavy 40
(cd "$root" && cargo build --release --no-default-features --features http,grpc --example serve)
ours=$root/target/release/examples/serve

"$python" "$here/compare.py" --ours "$ours" --models "$dir/models" --peers "$dir/peers" --venvs "$dir/venvs" --rounds "$rounds" --seconds "$seconds"
"$python" "$here/grpc_load.py" --ours "$ours" --models "$dir/models" --rounds "$rounds" --seconds "$seconds"
if [ "$swap" = yes ]; then
    "$python" "$here/swap.py" --ours "$ours" --models "$dir/models"
    "$python" "$here/swap.py" --ours "$ours" --models "$dir/heavy" --heavy heavy
fi
if [ "$overload" = yes ]; then
    bare=$(cd "$root" && cargo bench -p fourfold-benches --no-run --no-default-features --features http --bench bare_hyper --message-format json \
        | "$python" -c 'import json, sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("target", {}).get("name") == "bare_hyper"][-1])')
    ulimit -n 10000
    "$python" "$here/overload.py" --ours "$ours" --models "$dir/models" --bare "$bare" --seconds "$seconds"
fi
if [ "$soak" != 0 ]; then
    "$python" "$here/soak.py" --ours "$ours" --models "$dir/models" --minutes "$soak"
fi

echo
echo "$(rustc --version); $("$python" --version); $(cat "$here"/requirements/*.txt | sort -u | paste -sd' ')"
