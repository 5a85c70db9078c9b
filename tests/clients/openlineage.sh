#!/bin/sh
# Checks the events of OpenLineage of runs, printed and posted, against the published schemas, with jsonschema, which is
# installed into a directory that is removed after, or is that of the virtual environment VENV.
#
#     tests/clients/openlineage.sh QUICKSTART RUNS [SPEC]
#
# The built examples, RUNS with the feature `openlineage`. SPEC is a directory with the published `OpenLineage.json` and
# `facets/*.json`; without one, they are fetched from where the events say that they are.
set -eu
quickstart=${1:?the built example quickstart}
runs=${2:?the built example runs}
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-$(mktemp -d)}
[ -n "${VENV:-}" ] || trap 'rm -rf "$venv"' EXIT
if [ -z "${VENV:-}" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/openlineage-requirements.txt"
fi
"$venv/bin/python" "$here/openlineage_events.py" "$quickstart" "$runs" ${3:+"$3"}
