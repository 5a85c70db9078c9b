#!/bin/sh
# Asks a running server over HTTP with the public Python client, which is installed into a directory that is removed
# after, and as clients of TensorFlow Serving do. ADMIN=1 says that the server lets models be loaded and unloaded.
#
#     tests/clients/run.sh 127.0.0.1:8000 flights [model ..]
set -eu
url=${1:?the server\'s host and port}
: "${2:?the model\'s name}"
shift
here=$(cd "$(dirname "$0")" && pwd)
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
for model; do
  "$venv/bin/python" "$here/tritonclient_http.py" --url "$url" --model "$model" ${ADMIN:+--admin}
  "$venv/bin/python" "$here/tf_serving_rest.py" --url "$url" --model "$model"
done
