#!/usr/bin/env python3
"""Optuna's TPE on the objectives of src/search/tpe/tests.rs: the mean of the least value of 100 trials, over 30 seeds.

    pip install optuna
    benches/peers/tpe.py
    cargo test --lib search::tpe -- --ignored --nocapture      # the same of ours

Both are multivariate and begin with ten random trials; by four, trials that run count among the worse ("constant liar").
"""

import math
import statistics
import sys

import optuna

A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
P = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]


def floats(trial, n, low, high):
    return [trial.suggest_float(f"x{at}", low, high) for at in range(n)]


def branin(trial):
    x, y = floats(trial, 2, 0, 15)
    x -= 5
    b = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return b * b + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def hartmann6(trial):
    x = floats(trial, 6, 0, 1)
    bumps = [math.exp(-sum(a * (x - p) ** 2 for a, x, p in zip(a, x, p))) for a, p in zip(A, P)]
    return 3.32237 - sum(height * bump for height, bump in zip([1, 1.2, 3, 3.2], bumps))


def rosenbrock4(trial):
    x = floats(trial, 4, -2, 2)
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def rastrigin5(trial):
    return sum(x * x - 10 * math.cos(2 * math.pi * x) + 10 for x in floats(trial, 5, -5.12, 5.12))


def mixed(trial):
    rate = trial.suggest_float("rate", 1e-4, 1, log=True)
    leaves = trial.suggest_int("leaves", 2, 256, log=True)
    kind = {"a": 0, "b": 0.5, "c": 1}[trial.suggest_categorical("kind", ["a", "b", "c"])]
    return (math.log10(rate) + 2) ** 2 + (math.log2(leaves) - 5) ** 2 / 4 + kind


def conditional(trial):
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        of_kind = (trial.suggest_float("x", -5, 5) - 2) ** 2 + 0.5
    else:
        of_kind = (math.log10(trial.suggest_float("y", 1e-3, 1e3, log=True)) - 1) ** 2
    return of_kind + (trial.suggest_float("z", 0, 1) - 0.3) ** 2


def alternatives(trial):
    if trial.suggest_categorical("alternative", [0, 1]) == 0:
        return sum((x - 0.7) ** 2 for x in floats(trial, 3, -2, 2))
    return 0.2 + (math.log10(trial.suggest_float("rate", 1e-3, 1e3, log=True)) - 1) ** 2


def least(objective, seed, batch):
    grouped = objective in (conditional, alternatives)
    sampler = optuna.samplers.TPESampler(multivariate=True, group=grouped, constant_liar=batch > 1, seed=seed)
    study = optuna.create_study(sampler=sampler)
    for _ in range(100 // batch):
        trials = [study.ask() for _ in range(batch)]
        values = [objective(trial) for trial in trials]
        for trial, value in zip(trials, values):
            study.tell(trial, value)
    return study.best_value


def main():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    import warnings

    warnings.filterwarnings("ignore")
    print(f"Optuna {optuna.__version__}", file=sys.stderr)
    for objective in [branin, hartmann6, rosenbrock4, rastrigin5, mixed, conditional, alternatives]:
        shown = []
        for batch in (1, 4):
            found = [least(objective, seed, batch) for seed in range(30)]
            shown.append(f"{statistics.mean(found):.4f} (median {statistics.median(found):.4f})")
        print(f"{objective.__name__:12}  one by one {shown[0]}  by four {shown[1]}", flush=True)


main()
