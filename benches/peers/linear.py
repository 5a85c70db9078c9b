#!/usr/bin/env python3
"""Linear models beside scikit-learn: the same rows, the same penalty; AUC or loss, CPU and wall seconds of training.

    pip install scikit-learn
    benches/peers/linear.py [--rows 800000] [--threads 2] [--cases taxi,classes,squared,lasso,poisson] [--check]

Numbers are scaled to mean 0 and deviation 1 for both, missing ones are 0. scikit-learn gets a sparse one-hot matrix of
the categories, which is made before its clock starts. `--check` fails where ours is worse by more than 0.001 (AUC) or
0.1 % (loss).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from boosting import case, loss, write

ROOT = Path(__file__).resolve().parents[2]


def rows(name, n, rng):
    data = {"lasso": "squared"}.get(name, name)
    numbers, codes, labels, _, objective, _ = case(data, n, rng)
    scaled = {}
    for column, values in numbers.items():
        values = np.asarray(values, float)
        values = (values - np.nanmean(values)) / np.nanstd(values)
        scaled[column] = np.nan_to_num(values).astype(np.float32)
    return scaled, codes, labels, objective


def matrix(numbers, codes):
    from scipy import sparse

    n = len(next(iter(numbers.values())))
    parts = [sparse.csr_matrix(np.stack(list(numbers.values()), 1).astype(float))]
    for values, width in codes.values():
        parts.append(sparse.csr_matrix((np.ones(n), (np.arange(n), values)), (n, width)))
    return sparse.hstack(parts, "csr")


def peer(name, features, labels, n_train):
    """scikit-learn's model of the same minimum."""
    from sklearn.linear_model import ElasticNet, LogisticRegression, PoissonRegressor, Ridge

    models = {
        "taxi": lambda: LogisticRegression(C=1.0, max_iter=200),
        "classes": lambda: LogisticRegression(C=1.0, max_iter=200),
        "squared": lambda: Ridge(alpha=1.0),
        "lasso": lambda: ElasticNet(alpha=0.01, l1_ratio=1.0, max_iter=1_000, tol=1e-6),
        "poisson": lambda: PoissonRegressor(alpha=1 / n_train, max_iter=200),
    }
    model = models[name]()
    started = time.time(), time.process_time()
    model.fit(features[:n_train], labels[:n_train])
    wall, cpu = time.time() - started[0], time.process_time() - started[1]
    print(f"    scikit-learn train {cpu:.2f} CPU s, {wall:.2f} s, {getattr(model, 'n_iter_', '')} iterations", flush=True)
    test = features[n_train:]
    if hasattr(model, "decision_function"):
        return model.decision_function(test), wall, cpu
    scores = model.predict(test)
    return np.log(scores) if name == "poisson" else scores, wall, cpu


OURS = {
    "taxi": lambda n: ("logistic", 1 / n, 0),
    "classes": lambda n: ("classes:5", 1 / n, 0),
    "squared": lambda n: ("gram", 1 / n, 0),
    "lasso": lambda n: ("gram", 0, 0.01),
    "poisson": lambda n: ("poisson", 1 / n, 0),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=800_000)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--cases", default="taxi,classes,squared,lasso,poisson")
    arguments.add_argument("--check", action="store_true")
    given = arguments.parse_args()
    build = ["cargo", "build", "-q", "-p", "fourfold-kernels", "--example", "fit_columns"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    failed, table = [], []
    for name in given.cases.split(","):
        n_train = given.rows
        numbers, codes, labels, objective = rows(name, n_train + n_train // 4, np.random.default_rng(7))
        truth = labels[n_train:]
        print(f"{name}: {n_train} rows, {len(numbers)} numbers, {len(codes)} categories, {given.threads} threads")
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            write(folder, numbers, codes, labels, None, n_train)
            what = [str(value) for value in OURS[name](n_train)]
            command = [target / "debug/examples/fit_columns", folder, *what, str(given.threads)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(told, end="", flush=True)
            cpu, wall = map(float, re.search(r"ours train ([\d.]+) CPU s, ([\d.]+) s", told).groups())
            ours = loss(objective, np.fromfile(folder / "test.scores", "<f8"), truth)
        table.append((name, "fourfold", ours, wall, cpu))
        scores, wall, cpu = peer(name, matrix(numbers, codes), labels, n_train)
        theirs = loss(objective, scores, truth)
        table.append((name, "scikit-learn", theirs, wall, cpu))
        is_auc = objective == "binary"
        if (theirs - ours > 0.001) if is_auc else (ours > theirs * 1.001):
            failed.append(name)
    print(f"\n| linear, {given.rows:,} rows, {given.threads} threads | | AUC, or loss | train s | CPU s |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name, who, found, wall, cpu in table:
        print(f"| {name} | {who} | {found:.5f} | {wall:.2f} | {cpu:.2f} |")
    if given.check and failed:
        sys.exit(f"worse than scikit-learn: {', '.join(failed)}")


if __name__ == "__main__":
    main()
