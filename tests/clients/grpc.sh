#!/bin/sh
# Asks a running server over gRPC with public Python clients, which are installed into a directory that is removed after.
# HTTP answers with the same models; ADMIN=1 says that the server takes calls that load and unload.
#
#     tests/clients/grpc.sh 127.0.0.1:8001 127.0.0.1:8000 flights [model ..]
set -eu
grpc=${1:?the server\'s host and port for gRPC}
http=${2:?and for HTTP}
: "${3:?the model\'s name}"
shift 2
here=$(cd "$(dirname "$0")" && pwd)
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/grpc-requirements.txt"
for model; do
  "$venv/bin/python" "$here/tritonclient_grpc.py" --url "$grpc" --http "$http" --model "$model" ${ADMIN:+--admin}
  "$venv/bin/python" "$here/grpc_by_reflection.py" --url "$grpc" --model "$model"
done
