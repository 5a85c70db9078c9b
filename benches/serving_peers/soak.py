"""Full load for some minutes: memory and errors, minute by minute.

    python soak.py --ours target/release/examples/serve --models DIR [--minutes 10]
"""

import argparse
from pathlib import Path

import load
from servers import all_servers


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--minutes", type=int, default=10)
    arguments = parser.parse_args()
    server = next(s for s in all_servers(arguments.ours.resolve(), arguments.models.resolve(), Path("."), Path("."))["logistic"] if s.name == "fourfold OIP")
    running = server.start(16_000, core=0)
    try:
        print(f"at the start: {running.memory():.1f} MB")
        for minute in range(1, arguments.minutes + 1):
            result = load.run(running.url, server.body, 60)
            print(f"minute {minute}: {result.per_second:,.0f}/s, p99 {result.p99:.2f} ms, {result.n_errors} errors, {running.memory():.1f} MB", flush=True)
    finally:
        running.stop()


main()
