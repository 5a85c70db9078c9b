#!/bin/sh
# Reads files from an S3 server on this machine: moto, which is installed into a directory that is removed after, and
# filled with boto3.
#
#     tests/clients/s3.sh [arguments of cargo that choose features]
set -eu
[ $# -gt 0 ] || set -- --features sql,compression,aws
here=$(cd "$(dirname "$0")" && pwd)
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/s3-requirements.txt"
cd "$here/../.."
# Built before the server starts.
cargo test "$@" --test it --no-run
"$venv/bin/python" "$here/s3.py" cargo test "$@" --test it -- --ignored s3::
