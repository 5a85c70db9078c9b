#!/usr/bin/env python3
"""What codes save where a one-hot matrix would do: logistic regression on the same rows in both forms.

    pip install numpy; apt-get install time
    benches/peers/one_hot.py [--rows 200000] [--threads 2]

Categories are codes of four bytes a row in the first form, and a column of numbers for each category in the second, as the
matrix of the features has them. Both are trained by the solver that `LogisticRegression` uses; it prints the CPU seconds
and the peak memory of both, and fails where predictions differ by more than 1e-6.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from boosting import write
from linear import ROOT, rows


def measured(command, folder):
    """CPU seconds and peak MB. Of a child of its own, Python would see its own peak."""
    report = folder / "usage"
    subprocess.run(["/usr/bin/time", "-f", "%U %S %M", "-o", report, *command], check=True)
    user, system, peak = report.read_text().split()
    return float(user) + float(system), int(peak) / 1024


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=200_000)
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    build = ["cargo", "build", "-q", "-p", "fourfold-kernels", "--example", "fit_columns"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    n_train = given.rows
    numbers, codes, labels, _ = rows("taxi", n_train + n_train // 4, np.random.default_rng(7))
    matrix = dict(numbers)
    for column, (values, width) in codes.items():
        for code in range(width):
            matrix[f"{column}={code}"] = (np.asarray(values) == code).astype(np.float32)
    scores = {}
    for form, (some, others) in {"codes": (numbers, codes), "one-hot": (matrix, {})}.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            write(folder, some, others, labels, None, n_train)
            program = target / "debug/examples/fit_columns"
            command = [program, folder, "logistic", str(1 / n_train), "0", str(given.threads)]
            seconds, peak = measured(command, folder)
            scores[form] = np.fromfile(folder / "test.scores", "<f8")
        features = len(some) + sum(width for _, width in others.values())
        stored = len(some) + len(others)
        print(
            f"{form}: {n_train} rows, {features} features in {stored} columns, "
            f"whole process {seconds:.2f} CPU s, peak {peak:.0f} MB",
            flush=True,
        )
    probability = {form: 1 / (1 + np.exp(-score)) for form, score in scores.items()}
    furthest = np.abs(probability["codes"] - probability["one-hot"]).max()
    print(f"predictions differ by {furthest:.1e} at most")
    if furthest > 1e-6:
        sys.exit("the two forms are not the same model")


if __name__ == "__main__":
    main()
