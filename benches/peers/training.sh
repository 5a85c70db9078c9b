#!/usr/bin/env bash
# Training beside peers: `benches/peers/training.sh`, from anywhere. Installs LightGBM, XGBoost and scikit-learn from PyPI
# into a virtual environment and prints Markdown tables: boosting, linear models, and defaults on small public tables.
#
#   --rows N     rows to train on (800,000)
#   --cores N    threads of each (2)
#   --dir DIR    where the environment is kept (target/peers)
#   --quick      60,000 rows
#
# The kernels are optimized in the dev profile, so nothing is built in release. On an idle machine: each has it alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
rows=800000 cores=2 dir=$root/target/peers
while [ $# -gt 0 ]; do
    case $1 in
        --rows) rows=$2; shift ;;
        --cores) cores=$2; shift ;;
        --dir) dir=$2; shift ;;
        --quick) rows=60000 ;;
        *) sed -n '2,/^set/{/^#/p}' "$0" >&2; exit 2 ;;
    esac
    shift
done
place=$dir/training
if ! cmp -s "$here/requirements-training.txt" "$place/installed.txt"; then
    rm -rf "$place"
    "${PYTHON:-python3}" -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements-training.txt"
    # Its tables are what is wanted of it, and not what it depends on.
    "$place/bin/pip" install --quiet --disable-pip-version-check --no-deps ISLP
    cp "$here/requirements-training.txt" "$place/installed.txt"
fi
python=$place/bin/python
"$python" "$here/boosting.py" --rows "$rows" --threads "$cores" --cases taxi,numbers,squared,classes
"$python" "$here/linear.py" --rows "$rows" --threads "$cores"
"$python" "$here/quality.py"
