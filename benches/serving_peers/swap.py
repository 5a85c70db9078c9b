"""A new version each second under full load, beside the same load without: failed requests and the 99th percentile.

    python swap.py --ours target/release/examples/serve --models DIR [--seconds 60] [--heavy MODEL]

A version is pushed as any process may push one: a copy is written aside and renamed to its number. With `--heavy`
another model that is slow and heavy to load is pushed each second, too.
"""

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path

import load
from servers import all_servers


def versions(model):
    """The versions in a model's directory, rising."""
    return sorted(int(path.name) for path in model.iterdir() if path.name.isdigit())


def push(model):
    """Publishes the newest version once more, under the next number, and removes those before the last three."""
    there = versions(model)
    aside = model / ".writing-copy"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(model / str(there[-1]), aside)
    aside.rename(model / str(there[-1] + 1))
    for old in there[:-3]:
        shutil.rmtree(model / str(old))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--model", default="logistic")
    parser.add_argument("--heavy", help="another model, pushed each second, too")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as copy:
        models = Path(copy) / "models"
        shutil.copytree(arguments.models, models)
        server = next(s for s in all_servers(arguments.ours.resolve(), models, Path("."), Path("."))[arguments.model] if s.name == "fourfold OIP")
        running = server.start(17_000, core=0)
        try:
            load.run(running.url, server.body, 3)
            for _ in range(arguments.rounds):
                calm = load.run(running.url, server.body, arguments.seconds)
                print(f"without: {calm.per_second:,.0f}/s, p50 {calm.p50:.2f} ms, p99 {calm.p99:.2f} ms, worst {calm.worst:.1f} ms, {calm.n_errors} errors")
                stop = threading.Event()
                pushed = []

                def pushing():
                    while not stop.wait(1.0):
                        push(models / arguments.model)
                        if arguments.heavy:
                            push(models / arguments.heavy)
                        pushed.append(time.time())

                pusher = threading.Thread(target=pushing)
                pusher.start()
                swapped = load.run(running.url, server.body, arguments.seconds)
                stop.set()
                pusher.join()
                print(f"swapping: {swapped.per_second:,.0f}/s, p50 {swapped.p50:.2f} ms, p99 {swapped.p99:.2f} ms, worst {swapped.worst:.1f} ms, "
                      f"{swapped.n_errors} errors of {swapped.n_requests}; {len(pushed)} versions; p99 {swapped.p99 / calm.p99:.2f}x; memory {running.memory():.0f} MB", flush=True)
        finally:
            running.stop()


main()
