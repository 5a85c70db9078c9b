"""Writes scikit-learn's models as ours: the same weights and trees, behind the same transform, so that every server
that is compared answers the same.

    python export.py peers/ models/ [--heavy N]

`--heavy` adds a model `heavy`, of N times the forest's trees: large, and slow to load. A servable is a directory of JSON files and a list of their digests.
"""

import argparse
import hashlib
import json
import pickle
from pathlib import Path

import numpy as np

from data import CATEGORIES, NUMBERS

INTEGERS = {"hour", "weekday", "passengers"}


def field_type(name):
    """The type of a column."""
    return "text" if name in CATEGORIES else "integer" if name in INTEGERS else "float"


def schema():
    """The schema of the raw rows."""
    fields = [{"name": name, "type": field_type(name)} for name in NUMBERS + CATEGORIES]
    for field in fields:
        if field["name"] not in ("tip", "temperature"):
            field["min_fraction"] = 1.0
    return {"format_version": 2, "fields": fields}


def transform(columns):
    """Imputation, z-scores and one-hot categories, as the pipeline has learned them; and where its features are."""
    numbers, one_hot = columns.named_transformers_["numbers"], columns.named_transformers_["categories"]
    imputer, scaler = numbers[0], numbers[1]
    steps, features, places = [], [], []
    for at, name in enumerate(NUMBERS):
        steps.append({"input": name, "output": name, "op": "impute_number", "value": float(imputer.statistics_[at])})
        steps.append({"input": name, "output": name, "op": "linear", "offset": float(scaler.mean_[at]), "scale": 1.0 / float(scaler.scale_[at])})
        places.append(len(features))
        features.append(name)
    for name, values in zip(CATEGORIES, one_hot.categories_):
        steps.append({"input": name, "output": name, "op": "one_hot", "values": [str(value) for value in values]})
        places += range(len(features), len(features) + len(values))
        features += [f"{name}={value}" for value in values] + [f"{name}=<other>"]
    inputs = [{"name": name, "field_type": field_type(name)} for name in NUMBERS + CATEGORIES]
    return {"format_version": 1, "inputs": inputs, "steps": steps, "features": features}, places


def below(threshold):
    """The largest single-precision number that is not above a threshold: `x <= threshold` is the same for such x."""
    single = np.float32(threshold)
    return float(single if single <= threshold else np.nextafter(single, np.float32(-np.inf)))


def tree(fitted, places):
    """A tree's table of nodes."""
    splits = [node for node in range(fitted.node_count) if fitted.children_left[node] != -1]
    leaves = [node for node in range(fitted.node_count) if fitted.children_left[node] == -1]
    return {
        "features": [int(places[f]) if f >= 0 else -1 for f in fitted.feature],
        "thresholds": [below(fitted.threshold[node]) for node in splits],
        "children": [[int(fitted.children_left[node]), int(fitted.children_right[node])] for node in splits],
        "outputs": [float(fitted.value[node][0][1] / fitted.value[node][0].sum()) for node in leaves],
    }


def logistic(model, places, n_features):
    """Weights where our features are."""
    weights = np.zeros(n_features)
    weights[places] = model.coef_[0]
    return "fourfold.linear.v1", "linear.json", {
        "link": "logistic", "n_features": n_features, "intercepts": [float(model.intercept_[0])], "weights": [weights.tolist()],
    }


def forest(model, places, n_features):
    """The mean of the trees."""
    trees = [tree(one.tree_, places) for one in model.estimators_]
    return "fourfold.forest.v1", "forest.json", {"n_features": n_features, "n_outputs": 1, "combine": "mean", "trees": trees}


def write(folder, files):
    """Writes files and their digests."""
    sums = []
    for name, content in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content)
        path.write_text(text)
        sums.append(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(sums))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("--heavy", type=int, default=0)
    arguments = parser.parse_args()
    peers, models = arguments.peers, arguments.models
    for name, export in {"logistic": logistic, "forest": forest}.items():
        pipeline = pickle.loads((peers / f"{name}.pickle").read_bytes())
        fitted, places = transform(pipeline[0])
        model_format, file, model = export(pipeline[-1], places, len(fitted["features"]))
        manifest = {
            "format_version": 1,
            "name": name,
            "model_format": model_format,
            "target": {"task": "binary", "label": "late", "classes": ["no", "yes"]},
        }
        write(models / name / "1", {
            "manifest.json": manifest, "schema.json": schema(), "transform.json": fitted, f"model/{file}": model,
        })
    if arguments.heavy:
        manifest["name"] = "heavy"
        model["trees"] *= arguments.heavy
        write(models / "heavy" / "1", {
            "manifest.json": manifest, "schema.json": schema(), "transform.json": fitted, "model/forest.json": model,
        })


main()
