#!/usr/bin/env python3
"""From a CSV file to an evaluated model, beside scripts of pandas, scikit-learn and LightGBM: whole processes, in turns.

    pip install -r benches/peers/requirements-training.txt
    cargo build --example tabular            # its loops over values are optimised in the dev profile, too
    benches/peers/end_to_end.py [--rows 1000000] [--rounds 3] [--cores 2]

The trips are drawn from a seed: two times, areas with gaps, amounts, 120 companies, and whether the tip was big. Ours also
computes statistics, infers and checks a schema, evaluates by gates with intervals, asks the model in its server, and saves it.
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LABEL = "big_tip"


def trips(n, path):
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(3)
    company, payment = draw.zipf(1.4, n) % 120, draw.choice(5, n, p=[0.5, 0.4, 0.05, 0.03, 0.02])
    start = pd.Timestamp("2023-01-01") + pd.to_timedelta(draw.integers(0, 90 * 86400, n), unit="s")
    seconds = np.maximum(60, draw.gamma(2, 400, n)).round(0)
    miles = (seconds / 300 * draw.gamma(4, 0.25, n)).round(2)
    fare = (3.25 + 2.25 * miles + 0.2 * seconds / 36).round(2)
    pickup, dropoff = draw.zipf(1.3, n) % 77 + 1, draw.zipf(1.25, n) % 77 + 1
    of_company = np.random.default_rng(1).normal(0, 0.8, 120)
    of_area = np.random.default_rng(2).normal(0, 0.5, 78)
    score = np.array([-4, 1.2, 0.3, -1, 0])[payment] + of_company[company] + of_area[pickup] + 0.5 * of_area[dropoff]
    score = score + 0.5 * np.sin(start.hour.values / 24 * 2 * np.pi) + 0.3 * np.log(fare) - 0.6
    written = "%Y-%m-%dT%H:%M:%S"
    table = pd.DataFrame({
        "trip_id": np.arange(n) + 30_000_000,
        "started": start.strftime(written),
        "ended": (start + pd.to_timedelta(seconds, unit="s")).strftime(written),
        "seconds": seconds.astype(int),
        "miles": miles,
        "pickup_area": pd.Series(pickup).where(draw.random(n) > 0.08),
        "dropoff_area": pd.Series(dropoff).where(draw.random(n) > 0.1),
        "fare": fare,
        "tolls": np.where(draw.random(n) < 0.02, 2.5, 0.0),
        "extras": draw.choice([0, 1, 2.5], n),
        "payment": np.array(["Cash", "Credit Card", "Mobile", "Unknown", "Prepaid"])[payment],
        "company": np.array([f"Taxi Company {number:03d}" for number in range(120)])[company],
        "latitude": (41.8 + draw.normal(0, 0.06, n)).round(9),
        "longitude": (-87.6 + draw.normal(0, 0.05, n)).round(9),
        LABEL: (draw.random(n) < 1 / (1 + np.exp(-1.3 * score))).astype(int),
    })
    table.to_csv(path, index=False)


def theirs(kind, path):
    """The script that a data scientist writes: read, split, prepare, fit, AUC of the rows held out."""
    import pandas as pd
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split

    table = pd.read_csv(path, parse_dates=["started", "ended"])
    for column in ["started", "ended"]:
        table[column + "_hour"], table[column + "_weekday"] = table[column].dt.hour, table[column].dt.weekday
    labels = table[LABEL]
    rows = table.drop(columns=["trip_id", "started", "ended", LABEL])
    categories = ["payment", "company"]
    if kind == "lightgbm":
        import lightgbm

        rows[categories] = rows[categories].astype("category")
        model = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=CORES, verbose=-1)
    else:
        from sklearn.compose import make_column_transformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        numbers = [column for column in rows if column not in categories]
        prepare = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), categories),
            (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
        )
        model = make_pipeline(prepare, LogisticRegression(max_iter=200))
    train, held, train_labels, held_labels = train_test_split(rows, labels, test_size=0.2, random_state=0)
    model.fit(train, train_labels)
    print(f"auc {roc_auc_score(held_labels, model.predict_proba(held)[:, 1])}")


def run(command):
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = re.search(r"^\s*auc\s+([0-9.]+)", ran.stdout, re.M)
    if not found:
        sys.exit(f"{command}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begin, cpu, float(found[1])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--cores", type=int, default=os.cpu_count())
    arguments.add_argument("--binary", type=Path, default=ROOT / "target/debug/examples/tabular")
    arguments.add_argument("--script", nargs=2, help=argparse.SUPPRESS)
    told = arguments.parse_args()
    global CORES
    CORES = told.cores
    if told.script:
        return theirs(*told.script)
    with tempfile.TemporaryDirectory() as place:
        table = Path(place, "trips.csv")
        trips(told.rows, table)
        ours = [told.binary, "--input", table, "--label", LABEL, "--threads", told.cores]
        script = [sys.executable, __file__, "--cores", told.cores, "--script"]
        jobs = {
            "fourfold, constant": ours + ["--trainer", "constant"],
            "fourfold, logistic": ours + ["--trainer", "logistic"],
            "pandas and scikit-learn, logistic": script + ["sklearn", table],
            "fourfold, boosting": ours + ["--trainer", "boosting"],
            "pandas and LightGBM": script + ["lightgbm", table],
        }
        results = {name: [] for name in jobs}
        for number in range(told.rounds):
            for name, command in jobs.items():
                models = ["--models", Path(place, f"models-{number}-{len(name)}")] if command[0] == told.binary else []
                results[name].append(run(command + models))
        print(f"{told.rows:,} rows, {table.stat().st_size >> 20} MiB of CSV\n")
        print("| | AUC | seconds (min) | (median) | CPU seconds |\n| --- | ---: | ---: | ---: | ---: |")
        for name, runs in results.items():
            seconds = [seconds for seconds, _, _ in runs]
            cpu, auc = min(cpu for _, cpu, _ in runs), runs[0][2]
            print(f"| {name} | {auc:.4f} | {min(seconds):.1f} | {statistics.median(seconds):.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
