"""The transform of `transform.rs` by hand in polars: lazy, one query to fit and one to apply."""

import argparse
import json
import math
import time

import polars as pl

from columns import BUCKETS, N_BUCKETS, N_VALUES, TEXTS, Z_SCORES

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--output")
arguments = parser.parse_args()


def filled(column, how):
    number = pl.col(column).fill_nan(None) if column != "seconds" else pl.col(column)
    return number.fill_null(how(number))


def text(column):
    return pl.col(column).fill_null("missing")


start, start_cpu = time.perf_counter(), time.process_time()
rows = pl.scan_parquet(arguments.file)
n_rows = rows.select(pl.len()).collect().item()  # from the metadata
ranks = [math.ceil(n_rows * i / N_BUCKETS) - 1 for i in range(1, N_BUCKETS)]
fitted = (
    rows.select(
        *(filled(c, pl.Expr.mean).mean().alias(f"{c} mean") for c in Z_SCORES),
        *(filled(c, pl.Expr.mean).std(ddof=0).alias(f"{c} std") for c in Z_SCORES),
        *(pl.col(c).median().alias(f"{c} median") for c in BUCKETS),
        *(
            filled(c, pl.Expr.median)
            .sort()
            .gather(ranks)
            .implode()
            .alias(f"{c} boundaries")
            for c in BUCKETS
        ),
        *(
            text(c).value_counts(sort=True).head(N_VALUES).struct.field(c).implode().alias(f"{c} values")
            for c in TEXTS
        ),
    )
    .collect()
    .row(0, named=True)
)
fitted_at = time.perf_counter()

features = []
for c in Z_SCORES:
    number = filled(c, lambda _: pl.lit(fitted[f"{c} mean"]))
    features.append(((number - fitted[f"{c} mean"]) / fitted[f"{c} std"]).cast(pl.Float32))
for c in BUCKETS:
    number = filled(c, lambda _: pl.lit(fitted[f"{c} median"]))
    boundaries = pl.Series(fitted[f"{c} boundaries"]).unique().sort()
    bucket = pl.lit(boundaries).search_sorted(number, side="right")
    features.append(bucket.cast(pl.Float32).alias(c))
codes = []
for c in TEXTS:
    values = fitted[f"{c} values"]
    code = text(c).cast(pl.Enum(values), strict=False).to_physical().fill_null(len(values))
    codes.append(code.alias(f"{c} code"))
    features.extend(
        (pl.col(f"{c} code") == i).cast(pl.Float32).alias(f"{c}={value}")
        for i, value in enumerate([*values, "<other>"])
    )
matrix = rows.with_columns(codes).select(features).collect().to_numpy()
end, cpu = time.perf_counter(), time.process_time() - start_cpu
print(
    json.dumps(
        {
            "rows": len(matrix),
            "seconds": end - start,
            "cpu": cpu,
            "fit_seconds": fitted_at - start,
            "apply_seconds": end - fitted_at,
        }
    )
)

if arguments.output:
    sums = iter(matrix[:, len(Z_SCORES) + len(BUCKETS) :].sum(axis=0, dtype=float).tolist())
    result = {
        "z": {c: [fitted[f"{c} mean"], fitted[f"{c} std"]] for c in Z_SCORES},
        "boundaries": {c: fitted[f"{c} boundaries"] for c in BUCKETS},
        "vocabularies": {
            c: {value: next(sums) for value in [*fitted[f"{c} values"], "<other>"]} for c in TEXTS
        },
    }
    with open(arguments.output, "w") as file:
        json.dump(result, file)
