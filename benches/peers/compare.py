"""Runs ours and the peers as whole processes, in turns, and prints Markdown tables. `run.sh` calls it.

Only of the standard library, and small: a process starts out with the memory that its parent has.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Job:
    def __init__(self, name, command, ours=False):
        self.name = name
        self.command = command
        self.ours = ours
        self.runs = []

    def run(self):
        # Settings of a linear algebra library for some machine are not those of another one.
        env = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
        read, write = os.pipe()
        start = time.perf_counter()
        child = subprocess.Popen(self.command, env=env, stdout=write)
        os.close(write)
        with os.fdopen(read) as output:
            lines = output.read().split("\n")
        _, status, usage = os.wait4(child.pid, 0)
        elapsed = time.perf_counter() - start
        if status != 0:
            sys.exit(f"{self.name}: status {status}: {self.command}")
        report = json.loads(next(line for line in reversed(lines) if line.strip()))
        report.update(
            elapsed=elapsed,
            peak_mb=usage.ru_maxrss / 1024,
        )
        # Ours has no imports to leave out.
        report.setdefault("cpu", usage.ru_utime + usage.ru_stime)
        self.runs.append(report)
        print(f"{self.name}: {json.dumps(report)}", file=sys.stderr, flush=True)

    def best(self, what):
        return min(run[what] for run in self.runs)

    def median(self, what):
        return statistics.median(run[what] for run in self.runs)

    def per_row(self, what):
        return self.best(what) / self.runs[0]["rows"]


HEAD = """
| job | rows | seconds (min) | (median) | whole process | CPU seconds | peak MB | seconds, ours = 1 | CPU, ours = 1 |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


def table(title, jobs):
    print(f"\n{title}\n{HEAD}")
    ours = next(job for job in jobs if job.ours)
    for job in jobs:
        cells = [
            job.name,
            f"{job.runs[0]['rows']:,}",
            f"{job.best('seconds'):.2f}",
            f"{job.median('seconds'):.2f}",
            f"{job.median('elapsed'):.2f}",
            f"{job.best('cpu'):.2f}",
            f"{max(run['peak_mb'] for run in job.runs):.0f}",
            f"{job.per_row('seconds') / ours.per_row('seconds'):.2f}",
            f"{job.per_row('cpu') / ours.per_row('cpu'):.2f}",
        ]
        print("| " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--tfdv-python")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--transform-rows", type=int, required=True)
    parser.add_argument("--tfdv-rows", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    given = parser.parse_args()

    cores = sorted(os.sched_getaffinity(0))[: given.cores]
    os.sched_setaffinity(0, cores)

    def trips(rows):
        path = os.path.join(given.dir, f"trips-{rows}.parquet")
        if not os.path.exists(path):
            part = path + ".part"
            Job("generate", [given.ours, "generate", "--rows", str(rows), "--output", part]).run()
            os.rename(part, path)
        return path

    def peer(script, *arguments, python=given.python):
        return [python, os.path.join(HERE, script), *arguments]

    rows = trips(given.rows)
    analyses = [
        Job("fourfold: decode only", [given.ours, "decode", rows]),
        Job("fourfold: statistics", [given.ours, "statistics", rows], ours=True),
        Job("DuckDB: `SUMMARIZE`", peer("duckdb_summarize.py", rows)),
        Job("polars: `describe`", peer("polars_describe.py", rows)),
    ]
    if given.tfdv_python:
        n = str(given.tfdv_rows)
        command = peer("tfdv_statistics.py", rows, n, python=given.tfdv_python)
        analyses.append(Job("TFDV", command))

    rows = trips(given.transform_rows)

    def result(name):
        return os.path.join(given.dir, f"transform-{name}.json")

    ours = [given.ours, "transform", rows]
    transforms = [
        Job("fourfold", ours, ours=True),
        Job("polars by hand", peer("polars_transform.py", rows)),
        Job("scikit-learn", peer("sklearn_transform.py", rows)),
    ]
    names = ["fourfold", "polars", "sklearn"]
    for name, job in zip(names, transforms):
        subprocess.run([*job.command, "--output", result(name)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(peer("check.py", rows, *map(result, names)), check=True)

    row = Job("row", [given.ours, "row", rows])
    for _ in range(given.rounds):
        for job in [*analyses, *transforms, row]:
            job.run()

    print(f"\n{len(cores)} cores, {given.rounds} rounds in turns. Seconds, and CPU seconds (user and system, min), are those")
    print("of the work; the whole process adds its start and imports to them. The peak is of resident memory. Ratios are by")
    print("the row.")
    table("Statistics of 18 columns", analyses)
    table("Transform of 11 columns into a matrix (results checked to be the same)", transforms)
    print(f"\nOne row through a fitted transform of 15 steps: {row.best('seconds') * 1e6:.1f} µs.")


main()
