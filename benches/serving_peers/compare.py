"""Measures every server side by side, in turns, and prints a Markdown table.

    python compare.py --ours target/release/examples/serve --models DIR --peers DIR --venvs DIR
"""

import argparse
import statistics
import sys
from pathlib import Path

import load
from servers import all_servers


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--venvs", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", help="part of a server's name")
    arguments = parser.parse_args()
    port = 18_000
    for model, servers in all_servers(arguments.ours.resolve(), arguments.models.resolve(), arguments.peers.resolve(), arguments.venvs.resolve()).items():
        seen = {}
        for _ in range(arguments.rounds):
            for server in servers:
                if arguments.only and arguments.only.lower() not in server.name.lower():
                    continue
                port += 10
                try:
                    running = server.start(port, core=0)
                except RuntimeError as error:
                    print(error, file=sys.stderr)
                    continue
                try:
                    load.run(running.url, server.body, 2, arguments.connections)
                    result = load.run(running.url, server.body, arguments.seconds, arguments.connections)
                    seen.setdefault(server.name, []).append((result, running.memory(), running.probability))
                finally:
                    running.stop()
        print(f"\n{model}, one row, {arguments.connections} connections, server on one core, client on the other\n")
        print("| server | requests/s | p50 ms | p99 ms | errors | memory MB | answer | ours beside it |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        median = lambda name, part: statistics.median(part(run) for run in seen[name])
        ours = median("fourfold OIP", lambda run: run[0].per_second) if "fourfold OIP" in seen else float("nan")
        for name in seen:
            rate = median(name, lambda run: run[0].per_second)
            print(f"| {name} | {rate:,.0f} | {median(name, lambda r: r[0].p50):.2f} | {median(name, lambda r: r[0].p99):.2f} "
                  f"| {sum(r[0].n_errors for r in seen[name])} | {median(name, lambda r: r[1]):.0f} "
                  f"| {seen[name][0][2]:.3f} | {ours / rate:.1f}x |")
        sys.stdout.flush()


main()
