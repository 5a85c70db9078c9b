"""Runs a command beside an S3 server that has a bucket `fourfold` of what tests/it/s3.rs reads.

    python s3.py COMMAND [ARGUMENT ..]
"""

import gzip
import logging
import os
import pathlib
import subprocess
import sys

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "fourfold"
FLIGHTS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "data" / "flights"


def rows(start, end):
    """CSV of `id`, `kilograms`, `road` and `late`; heavy parcels by road are late."""
    lines = ["id,kilograms,road,late"]
    for i in range(start, end):
        kilograms, road = i * 7 % 100, "air" if i % 3 == 0 else "road"
        late = "yes" if kilograms > 60 and road == "road" else "no"
        lines.append(f"{i},{'NA' if i % 50 == 0 else kilograms},{road},{late}")
    return ("\n".join(lines) + "\n").encode()


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
    }
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=BUCKET)

    def put(key, body):
        client.put_object(Bucket=BUCKET, Key=key, Body=body)

    put("parcels.csv", rows(0, 600))
    put("packed/parcels.csv.gz", gzip.compress(rows(0, 600)))
    put("packed/", b"")  # as consoles mark a folder
    for month in (1, 2, 3):
        put(f"flights/part={month:02}/flights.parquet", (FLIGHTS / f"2013-{month:02}.parquet").read_bytes())
    for day in (1, 2, 10):
        put(f"days/2017-01-{day:02}/v1/parcels.csv", rows(day * 10, day * 10 + 10))
    put("days/2017-01-02/v2/parcels.csv", rows(900, 910))
    try:
        return subprocess.run(sys.argv[1:], env={**os.environ, **environment}).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
