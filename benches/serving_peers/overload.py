"""Goodput from 32 to 4,000 connections, ours beside a bare hyper server in the same run: one row, clients that never pause.

    python overload.py --ours target/release/examples/serve --models DIR --bare BINARY [--seconds 5]

The server has one core and wrk the other. Printed for each number of connections: answers a second with status 200, refusals
a second, the 99th percentile, and ours as a share of what the bare server gives for bodies of the same size; at the end
the share of its best that ours answers at ten times the connections of its best.
"""

import argparse
import json
import subprocess
import time
import urllib.request
from pathlib import Path

import load
from servers import all_servers

CONNECTIONS = (32, 100, 320, 1000, 2000, 4000)


def bare(binary, port, n_bytes, core):
    """A bare server that runs, once it answers."""
    command = ["taskset", "-c", str(core), binary, f"127.0.0.1:{port}", str(n_bytes)]
    process = subprocess.Popen(command)
    end = time.time() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", data=b"{}", timeout=5).read()
            return process
        except OSError:
            if time.time() > end:
                process.kill()
                raise
            time.sleep(0.1)


def answers(url, body):
    """How many bytes one answer has."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return len(response.read())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--bare", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    server = all_servers(arguments.ours.resolve(), arguments.models.resolve(), Path("."), Path("."))["logistic"][0]
    running = server.start(15_000, core=0)
    other = None
    try:
        other = bare(arguments.bare.resolve(), 16_000, answers(running.url, server.body), core=0)
        good = {}
        for n in CONNECTIONS:
            ours = load.run(running.url, server.body, arguments.seconds, connections=n)
            hyper = load.run("http://127.0.0.1:16000/", server.body, arguments.seconds, connections=n)
            refused = ours.n_errors / arguments.seconds
            good[n] = ours.per_second - refused
            print(f"{n:5} connections: {good[n]:9,.0f} answers/s, {refused:8,.0f} refusals/s, p99 {ours.p99:8.2f} ms; "
                  f"{good[n] / hyper.per_second:4.0%} of bare hyper's {hyper.per_second:,.0f}/s", flush=True)
        best = max(good, key=good.get)
        tenfold = min(good, key=lambda n: abs(n - 10 * best))
        print(f"best at {best} connections; at {tenfold}: {good[tenfold] / good[best]:.0%} of it")
    finally:
        running.stop()
        if other:
            other.kill()


main()
