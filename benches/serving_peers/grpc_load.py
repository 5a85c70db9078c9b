"""The same row over gRPC and over HTTP, by h2load: requests a second and the 99th percentile.

    python grpc_load.py --ours target/release/examples/serve --models DIR

Both with one request at a time on each of 32 connections; gRPC over HTTP/2, with raw tensors as the public clients send
them, HTTP over HTTP/1.1 with JSON. That each answer was a prediction is seen in the server's own statistics.
"""

import argparse
import json
import re
import struct
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc._utils import _get_inference_request

from servers import all_servers

DTYPES = {"BYTES": np.object_, "INT64": np.int64, "FP64": np.float64}


def message(model, body):
    """The request as a gRPC message with its prefix of five bytes."""
    inputs = []
    for tensor in body["inputs"]:
        values = np.array([v.encode() if isinstance(v, str) else v for v in tensor["data"]], dtype=DTYPES[tensor["datatype"]])
        one = InferInput(tensor["name"], [1], tensor["datatype"])
        one.set_data_from_numpy(values)
        inputs.append(one)
    request = _get_inference_request(
        inputs=inputs, model_name=model, model_version="", request_id="", sequence_id=0, sequence_start=False, sequence_end=False,
        priority=0, timeout=None, parameters=None, outputs=[InferRequestedOutput("class"), InferRequestedOutput("probability")],
    ).SerializeToString()
    return struct.pack(">BI", 0, len(request)) + request


def h2load(options, body, url, seconds):
    """Requests a second, the 50th and the 99th percentile in ms, and how many failed."""
    with tempfile.NamedTemporaryFile("wb") as data, tempfile.NamedTemporaryFile("r") as log:
        data.write(body)
        data.flush()
        command = ["taskset", "-c", "1", "h2load", "-t1", "-c32", "-m1", f"-D{seconds}", "--warm-up-time=2", "-d", data.name,
                   f"--log-file={log.name}", *options, url]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        lines = [line.split() for line in log]
    times = sorted(int(line[2]) / 1000 for line in lines)
    failed = sum(line[1] != "200" for line in lines)
    rate = float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", out)[1])
    return rate, times[len(times) // 2], times[len(times) * 99 // 100], failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    for model, servers in all_servers(arguments.ours.resolve(), arguments.models.resolve(), Path("."), Path(".")).items():
        server = servers[0]
        server.command += ["--grpc", "127.0.0.1:15001"]
        running = server.start(15_000, core=0)
        try:
            for number in range(arguments.rounds):
                as_json = ["--h1", "-H", "content-type: application/json"]
                rate, p50, p99, failed = h2load(as_json, json.dumps(server.body).encode(), running.url, arguments.seconds)
                print(f"{model} round {number + 1}: HTTP {rate:,.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms, {failed} failed", end="; ")
                as_grpc = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
                url = "http://127.0.0.1:15001/inference.GRPCInferenceService/ModelInfer"
                rate, p50, p99, failed = h2load(as_grpc, message(model, server.body), url, arguments.seconds)
                print(f"gRPC {rate:,.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms, {failed} failed", flush=True)
            with urllib.request.urlopen(f"http://127.0.0.1:15000/v2/models/{model}/stats") as answer:
                counts = json.load(answer)["model_stats"][0]["inference_stats"]
            print(f"{model}: {counts['success']['count']:,} predictions, {counts['fail']['count']} failures")
        finally:
            running.stop()


main()
