#!/usr/bin/env python3
"""Boosting beside LightGBM and XGBoost: the same rows, the same settings, a process each; AUC or loss, CPU and wall
seconds, memory.

    pip install lightgbm xgboost-cpu scikit-learn pandas
    benches/peers/boosting.py [--rows 800000] [--threads 1] [--cases taxi,weights,..] [--peers LightGBM,XGBoost] [--check]

All have the same floors of rows and Hessians, learning rate and no penalty. `--check` fails where ours is worse than one
of them by more than 0.002 (AUC) or 1 % (loss).
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def taxi(n, rng):
    """Numbers with ties, skew and NaN, an hour, zones in two columns, and a tip that depends on several of them."""
    distance = rng.lognormal(0.6, 0.9, n).round(2)
    hour = rng.integers(0, 24, n)
    pickup, dropoff = rng.zipf(1.3, n) % 263, rng.zipf(1.25, n) % 263
    fare = (2.5 + 2.6 * distance + rng.normal(0, 2, n).clip(-2, 9)).round(1)
    numbers = {
        "distance": distance,
        "fare": fare,
        "hour": hour,
        "weekday": rng.integers(0, 7, n),
        "passengers": rng.choice([1, 1, 1, 1, 2, 2, 3, 5, 6], n),
        "minutes": (distance * rng.gamma(6, 0.7, n)).round(1),
        "tolls": np.where(rng.random(n) < 0.06, 5.76, 0),
        "extra": rng.choice([0, 0.5, 1, 4.5], n),
        "latitude": rng.normal(40.75, 0.03, n),
        "longitude": rng.normal(-73.98, 0.04, n),
        "speed": rng.gamma(5, 2.4, n),
    }
    numbers["minutes"] = np.where(rng.random(n) < 0.1, np.nan, numbers["minutes"])
    numbers["speed"] = np.where(rng.random(n) < 0.3, np.nan, numbers["speed"])
    codes = {
        "pickup": (pickup, 263),
        "dropoff": (dropoff, 263),
        "vendor": (rng.integers(0, 3, n), 3),
        "rate": (rng.choice([0, 0, 0, 0, 0, 1, 2, 3, 4, 5], n), 6),
    }
    taste = np.random.default_rng(5).normal(0, 0.9, (2, 263))
    score = (
        0.25 * np.sqrt(fare)
        + taste[0][pickup]
        + 0.7 * taste[1][dropoff]
        + 0.6 * np.sin(hour / 24 * 2 * np.pi) * (numbers["weekday"] < 5)
        - 0.8 * np.isnan(numbers["speed"])
        + np.where(numbers["passengers"] > 4, -0.6, 0)
        + 3 * (numbers["latitude"] - 40.75) / 0.03 * (numbers["longitude"] > -73.98) / 3
        - 1.0
    )
    return numbers, codes, score


def case(name, n, rng):
    """Columns, labels, weights, the objective by our name and by LightGBM's parameters."""
    numbers, codes, score = taxi(n, rng)
    weights = None
    chance = 1 / (1 + np.exp(-1.5 * score))
    labels = (rng.random(n) < chance).astype(float)
    objective, theirs = "binary", {"objective": "binary"}
    if name == "numbers":
        codes = {}
    elif name == "weights":
        weights = rng.gamma(1, 1, n)
    elif name == "squared":
        labels, objective, theirs = score + rng.normal(0, 1, n), "squared", {"objective": "regression"}
    elif name == "absolute":
        labels, objective, theirs = score + rng.standard_t(2, n), "absolute", {"objective": "l1"}
    elif name == "quantile":
        labels = score + rng.normal(0, 1, n)
        objective, theirs = "quantile:0.9", {"objective": "quantile", "alpha": 0.9}
    elif name == "poisson":
        labels, objective, theirs = rng.poisson(np.exp(score / 2)).astype(float), "poisson", {"objective": "poisson"}
    elif name == "tweedie":
        labels = rng.poisson(np.exp(score / 2)) * rng.gamma(2, 1, n)
        objective, theirs = "tweedie:1.5", {"objective": "tweedie", "tweedie_variance_power": 1.5}
    elif name == "classes":
        labels = np.digitize(score + rng.logistic(0, 0.6, n), [-1.5, -0.5, 0.5, 1.5]).astype(float)
        objective, theirs = "classes:5", {"objective": "multiclass", "num_class": 5}
    elif name != "taxi":
        raise SystemExit(f"no case `{name}`")
    return numbers, codes, labels, weights, objective, theirs


def loss(objective, scores, labels):
    """AUC for binary labels, else the mean loss; and whether higher is better."""
    kind, _, value = objective.partition(":")
    if kind == "binary":
        from sklearn.metrics import roc_auc_score

        return roc_auc_score(labels, scores)
    if kind == "squared":
        return np.mean((scores - labels) ** 2)
    if kind == "absolute":
        return np.mean(np.abs(scores - labels))
    if kind == "quantile":
        off = labels - scores
        return np.mean(np.where(off >= 0, float(value) * off, (float(value) - 1) * off))
    if kind == "poisson":
        return np.mean(np.exp(scores) - labels * scores)
    if kind == "tweedie":
        p = float(value)
        return np.mean(np.exp((2 - p) * scores) / (2 - p) - labels * np.exp((1 - p) * scores) / (1 - p))
    scores = scores.reshape(len(labels), -1)
    totals = np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1)) + scores.max(1)
    return np.mean(totals - scores[np.arange(len(labels)), labels.astype(int)])


def used(run):
    """The scores of `run` in a process of its own, its CPU and wall seconds of training, and peak memory in MB."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with os.fdopen(write, "wb") as out:
            scores, cpu, wall = run()
            out.write(np.concatenate([[cpu, wall], scores]).astype("<f8").tobytes())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        scores = np.frombuffer(pipe.read(), "<f8")
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"a process ended with {status}")
    return scores[2:], scores[0], scores[1], usage.ru_maxrss / 1024


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def theirs(numbers, codes, labels, weights, parameters, n_train, rounds, leaves, threads):
    import lightgbm

    columns = [np.asarray(values, np.float32) for values in numbers.values()]
    columns += [values.astype(np.float32) for values, _ in codes.values()]
    features = np.stack(columns, 1)
    at = list(range(len(numbers), len(columns)))
    del columns
    data = lightgbm.Dataset(features[:n_train], labels[:n_train], weight=None if weights is None else weights[:n_train], categorical_feature=at)
    parameters = parameters | {"num_leaves": leaves, "num_threads": threads, "verbose": -1, "deterministic": True}
    held = peak()
    started = time.time(), time.process_time()
    model = lightgbm.train(parameters, data, rounds)
    trained = time.process_time() - started[1], time.time() - started[0]
    cpu, wall = trained
    print(f"    LightGBM train {cpu:.2f} CPU s, {wall:.2f} s, {peak() - held:.0f} MB more than its input", flush=True)
    started = time.time(), time.process_time()
    scores = model.predict(features[n_train:], raw_score=True, num_threads=threads)
    wall, cpu = time.time() - started[0], time.process_time() - started[1]
    print(f"    LightGBM predict {cpu:.2f} CPU s, {wall:.2f} s", flush=True)
    return scores.ravel(), *trained


XGBOOST = {
    "binary": {"objective": "binary:logistic"},
    "squared": {"objective": "reg:squarederror"},
    "poisson": {"objective": "count:poisson", "max_delta_step": 0.7},
    "tweedie": {"objective": "reg:tweedie", "tweedie_variance_power": 1.5},
    "classes": {"objective": "multi:softprob", "num_class": 5},
}


def xgboost(numbers, codes, labels, weights, objective, n_train, rounds, leaves, threads):
    import pandas
    import xgboost

    columns = {name: np.asarray(values, np.float32) for name, values in numbers.items()}
    columns |= {name: pandas.Categorical.from_codes(values, range(width)) for name, (values, width) in codes.items()}
    features = pandas.DataFrame(columns)
    weight = None if weights is None else weights[:n_train]
    train = xgboost.QuantileDMatrix(features[:n_train], labels[:n_train], weight=weight, enable_categorical=True, max_bin=254, nthread=threads)
    # A leaf of 20 rows has at least this Hessian where it is 1 a row; elsewhere XGBoost has no floor of rows.
    parameters = {"tree_method": "hist", "grow_policy": "lossguide", "max_leaves": leaves, "max_depth": 0, "eta": 0.1}
    parameters |= {"lambda": 0, "min_child_weight": 20 if objective in ("squared",) else 1e-3, "max_bin": 254, "nthread": threads}
    parameters |= XGBOOST[objective.partition(":")[0]]
    started = time.time(), time.process_time()
    model = xgboost.train(parameters, train, rounds)
    wall, cpu = time.time() - started[0], time.process_time() - started[1]
    print(f"    XGBoost train {cpu:.2f} CPU s, {wall:.2f} s", flush=True)
    test = xgboost.DMatrix(features[n_train:], enable_categorical=True)
    return model.predict(test, output_margin=True).ravel(), cpu, wall


def write(folder, numbers, codes, labels, weights, n_train):
    parts = {"train": slice(0, n_train), "test": slice(n_train, None)}
    kinds = ["numbers"] * len(numbers) + [f"codes {n}" for _, n in codes.values()]
    (folder / "columns.txt").write_text("\n".join(kinds))
    columns = [np.asarray(values, "<f4") for values in numbers.values()] + [values.astype("<u4") for values, _ in codes.values()]
    for part, rows in parts.items():
        for at, values in enumerate(columns):
            values[rows].tofile(folder / f"{part}.{at}")
    labels[:n_train].astype("<f8").tofile(folder / "train.labels")
    if weights is not None:
        weights[:n_train].astype("<f8").tofile(folder / "train.weights")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=800_000)
    arguments.add_argument("--rounds", type=int, default=100)
    arguments.add_argument("--leaves", type=int, default=31)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--cases", default="taxi,numbers,weights,squared,absolute,quantile,poisson,tweedie,classes")
    arguments.add_argument("--peers", default="LightGBM,XGBoost")
    arguments.add_argument("--check", action="store_true")
    given = arguments.parse_args()
    subprocess.run(["cargo", "build", "-q", "-p", "fourfold-kernels", "--example", "boost_columns"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    failed, table = [], []
    for name in given.cases.split(","):
        n_train = given.rows
        numbers, codes, labels, weights, objective, parameters = case(name, n_train + n_train // 4, np.random.default_rng(7))
        truth = labels[n_train:]
        print(f"{name}: {n_train} rows, {len(numbers)} numbers, {len(codes)} categories, {given.threads} threads")
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            write(folder, numbers, codes, labels, weights, n_train)
            command = [target / "debug/examples/boost_columns", folder, objective]
            command += [str(given.rounds), str(given.leaves), str(given.threads)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(told, end="", flush=True)
            cpu, wall = map(float, re.search(r"ours train ([\d.]+) CPU s, ([\d.]+) s", told).groups())
            memory = float(re.search(r"ours peak ([\d.]+) MB", told)[1])
            ours = loss(objective, np.fromfile(folder / "test.scores", "<f8"), truth)
            table.append((name, "fourfold", ours, wall, cpu, memory))
        rest = given.rounds, given.leaves, given.threads
        runs = {
            "LightGBM": lambda: theirs(numbers, codes, labels, weights, parameters, n_train, *rest),
            "XGBoost": lambda: xgboost(numbers, codes, labels, weights, objective, n_train, *rest),
        }
        for peer in given.peers.split(","):
            if peer == "XGBoost" and objective.partition(":")[0] not in XGBOOST:
                continue
            scores, cpu, wall, memory = used(runs[peer])
            found = loss(objective, scores, truth)
            table.append((name, peer, found, wall, cpu, memory))
            if (found - ours > 0.002) if objective == "binary" else (ours > found * 1.01):
                failed.append(f"{name} ({peer})")
    kinds = "AUC, or loss"
    print(f"\n| boosting, {given.rows:,} rows, {given.threads} threads | | {kinds} | train s | CPU s | peak MB |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, who, found, wall, cpu, memory in table:
        print(f"| {name} | {who} | {found:.5f} | {wall:.2f} | {cpu:.2f} | {memory:.0f} |")
    if given.check and failed:
        sys.exit(f"worse than a peer: {', '.join(failed)}")


if __name__ == "__main__":
    main()
