"""scikit-learn's ColumnTransformer for the transform of `transform.rs`."""

import argparse
import json
import time

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler

from columns import BUCKETS, N_BUCKETS, N_VALUES, TEXTS, Z_SCORES

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--output")
arguments = parser.parse_args()

start, start_cpu = time.perf_counter(), time.process_time()
rows = pd.read_parquet(arguments.file, columns=Z_SCORES + BUCKETS + TEXTS)
# `max_categories` counts the feature of all other values.
one_hot = OneHotEncoder(
    max_categories=N_VALUES + 1,
    handle_unknown="infrequent_if_exist",
    sparse_output=False,
    dtype=np.float32,
)
transform = ColumnTransformer(
    [
        ("z", make_pipeline(SimpleImputer(), StandardScaler()), Z_SCORES),
        (
            "bucket",
            make_pipeline(
                SimpleImputer(strategy="median"),
                KBinsDiscretizer(N_BUCKETS, encode="ordinal", strategy="quantile"),
            ),
            BUCKETS,
        ),
        (
            "text",
            make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), one_hot),
            TEXTS,
        ),
    ]
)
transform.fit(rows)
fitted = time.perf_counter()
matrix = transform.transform(rows)
end, cpu = time.perf_counter(), time.process_time() - start_cpu
print(
    json.dumps(
        {
            "rows": len(matrix),
            "seconds": end - start,
            "cpu": cpu,
            "fit_seconds": fitted - start,
            "apply_seconds": end - fitted,
        }
    )
)

if arguments.output:
    scaler = transform.named_transformers_["z"][-1]
    buckets = transform.named_transformers_["bucket"][-1]
    one_hot = transform.named_transformers_["text"][-1]
    sums = matrix.sum(axis=0)[len(Z_SCORES) + len(BUCKETS) :]
    names = one_hot.get_feature_names_out(TEXTS)
    vocabularies = {column: {} for column in TEXTS}
    for name, total in zip(names, sums):
        column = next(column for column in TEXTS if name.startswith(column + "_"))
        value = name[len(column) + 1 :].replace("infrequent_sklearn", "<other>")
        vocabularies[column][value] = total
    result = {
        "z": {
            column: [mean, scale]
            for column, mean, scale in zip(Z_SCORES, scaler.mean_.tolist(), scaler.scale_.tolist())
        },
        "boundaries": {
            column: edges[1:-1].tolist() for column, edges in zip(BUCKETS, buckets.bin_edges_)
        },
        "vocabularies": vocabularies,
    }
    with open(arguments.output, "w") as file:
        json.dump(result, file)
