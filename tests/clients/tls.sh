#!/bin/sh
# Starts the example server with TLS, tokens and admin routes, asks it with curl and with Python's TLS, and stops it with
# SIGTERM while a load balancer would still ask. It has to be built with the feature `tls`.
#
#     tests/clients/tls.sh target/debug/examples/serve models flights
set -eu
serve=${1:?the server}
models=${2:?the directory of the models}
model=${3:?the model\'s name}
here=$(cd "$(dirname "$0")" && pwd)
tls=$here/../fixtures/tls
work=$(mktemp -d)
server=
trap 'rm -rf "$work"; [ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT
printf '# asks\nfor-the-shop\n# changes\nadmin: for-operators\n' >"$work/tokens"

"$serve" --models "$models" --http 127.0.0.1:0 --admin same-port --token-file "$work/tokens" \
  --tls-cert "$tls/server.pem" --tls-key "$tls/server-key.pem" --drain-delay 1000 >"$work/log" 2>&1 &
server=$!
url=
for _ in $(seq 100); do
  url=$(sed -nE 's|^serving on (https://[^,]+),.*|\1|p' "$work/log")
  [ -n "$url" ] && break
  sleep 0.1
done
[ -n "$url" ] || { cat "$work/log"; exit 1; }

# ask STATUS PATH [curl's arguments ..]
ask() {
  expected=$1 path=$2
  shift 2
  status=$(curl --silent --output "$work/answer" --write-out '%{http_code}' --cacert "$tls/ca.pem" "$@" "$url$path")
  [ "$status" = "$expected" ] || { echo "$path: $status, not $expected"; cat "$work/answer"; exit 1; }
}
shop='Authorization: Bearer for-the-shop'
operators='Authorization: Bearer for-operators'
ask 200 /v2/health/ready
ask 401 /v2
ask 401 /v2 --header 'Authorization: Bearer for-the-shops'
ask 200 /v2 --header "$shop"
ask 200 "/v2/models/$model" --header "$shop" --http1.1
ask 401 /metrics
ask 200 /metrics --header "$shop"
ask 403 "/v2/repository/models/$model/unload" --header "$shop" --request POST
ask 200 "/v2/repository/models/$model/unload" --header "$operators" --request POST
ask 503 "/v2/models/$model" --header "$shop"
ask 200 "/v2/repository/models/$model/load" --header "$operators" --request POST
ask 200 "/v2/models/$model/ready" --header "$shop"
if curl --silent "$url/v2/health/live"; then
  echo "an authority that nobody knows was trusted"
  exit 1
fi
python3 "$here/tf_serving_rest.py" --url "$url" --ca "$tls/ca.pem" --token 'for-the-shop' --model "$model"

kill -TERM "$server"
for _ in $(seq 50); do
  status=$(curl --silent --output /dev/null --write-out '%{http_code}' --cacert "$tls/ca.pem" "$url/v2/health/ready" || true)
  [ "$status" = 503 ] && break
  sleep 0.02
done
[ "$status" = 503 ] || { echo "it never said that it stops: $status"; exit 1; }
wait "$server"
server=
grep -q '^stopped$' "$work/log"
! grep -q 'for-the-shop' "$work/log"
echo "TLS, tokens and SIGTERM: all well"
