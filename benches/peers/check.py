"""Whether the transforms of ours and of the peers are the same: means and standard deviations to 1e-9, the same
vocabularies in the same rows, quantile boundaries within the bound of the sketch."""

import json
import sys

import polars as pl

from columns import BUCKETS, N_BUCKETS, TEXTS, Z_SCORES

# By how much the rank of a boundary may be off: half a percent.
BOUND = 0.005


def ours(document):
    """What was fitted, in the layout of the peers."""
    result = {"z": {}, "fills": {}, "boundaries": {}, "vocabularies": {}}
    sums = dict(zip(document["features"], document["sums"]))
    for step in document["fitted"]["steps"]:
        column = step["output"]
        if step["op"] == "linear":
            result["z"][column] = [step["offset"], 1 / step["scale"]]
        elif step["op"] == "impute_number":
            result["fills"][column] = step["value"]
        elif step["op"] == "bucketize":
            result["boundaries"][column] = step["boundaries"]
        elif step["op"] == "one_hot":
            values = [*step["values"], "<other>"]
            result["vocabularies"][column] = {value: sums[f"{column}={value}"] for value in values}
    return result


def close(a, b):
    return abs(a - b) <= 1e-9 * max(1.0, abs(b))


def within(values, value, rank):
    return (values < value).mean() - BOUND <= rank <= (values <= value).mean() + BOUND


def used(vocabulary):
    return {value: total for value, total in vocabulary.items() if total > 0}


file, our_file, *peer_files = sys.argv[1:]
with open(our_file) as opened:
    mine = ours(json.load(opened))
rows = pl.read_parquet(file, columns=BUCKETS)
wrong = []
results = {"fourfold": mine}
for peer in peer_files:
    with open(peer) as opened:
        results[peer] = json.load(opened)

for name, result in results.items():
    for column in Z_SCORES:
        if not all(map(close, result["z"][column], mine["z"][column])):
            wrong.append(f"{name}: z-score of {column}: {result['z'][column]}, {mine['z'][column]}")
    for column in TEXTS:
        if used(result["vocabularies"][column]) != used(mine["vocabularies"][column]):
            wrong.append(f"{name}: vocabulary of {column}")
    for column in BUCKETS:
        fill = result.get("fills", {}).get(column, rows[column].median())
        if not within(rows[column].drop_nulls(), fill, 0.5):
            wrong.append(f"{name}: {fill} is not the median of {column}")
        values = rows[column].fill_null(fill)
        boundaries = result["boundaries"][column]
        if len(boundaries) != N_BUCKETS - 1:
            wrong.append(f"{name}: {len(boundaries)} boundaries of {column}")
        for i, boundary in enumerate(boundaries, 1):
            if not within(values, boundary, i / N_BUCKETS):
                wrong.append(f"{name}: boundary {i} of {column}, {boundary}")

if wrong:
    sys.exit("the transforms differ:\n" + "\n".join(wrong))
