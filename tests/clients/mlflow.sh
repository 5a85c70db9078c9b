#!/bin/sh
# Logs runs to a real MLflow server, which keeps them in SQLite, and reads them back with its client; both are installed into
# a directory that is removed after, or are those of the virtual environment VENV.
#
#     tests/clients/mlflow.sh QUICKSTART RUNS
#
# The built examples, RUNS with the feature `mlflow`.
set -eu
quickstart=${1:?the built example quickstart}
runs=${2:?the built example runs}
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-$(mktemp -d)}
[ -n "${VENV:-}" ] || trap 'rm -rf "$venv"' EXIT
if [ -z "${VENV:-}" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/mlflow-requirements.txt"
fi
PATH="$venv/bin:$PATH" "$venv/bin/python" "$here/mlflow_tracking.py" "$quickstart" "$runs"
