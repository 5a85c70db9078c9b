#!/usr/bin/env python3
"""What `benches/evaluation.rs` measures, with scikit-learn and pandas: CPU seconds of 33 slices with 20 bootstraps.

    pip install scikit-learn pandas
    benches/peers/evaluation.py [--rows 1000000] [--bootstraps 20]

Area under the curve, log loss, calibration and confusion, over all rows and by slice; each bootstrap resamples all rows.
"""

import argparse
import time

import numpy as np
import pandas as pd
from sklearn import metrics


def scores(frame):
    y, p = frame.y.to_numpy(), frame.p.to_numpy()
    return (
        metrics.roc_auc_score(y, p),
        metrics.log_loss(y, p),
        p.mean() / y.mean(),
        metrics.confusion_matrix(y, p > 0.5),
    )


def evaluate(frame):
    return scores(frame), frame.groupby("s")[["y", "p"]].apply(scores)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--bootstraps", type=int, default=20)
    options = options.parse_args()
    rng = np.random.default_rng(0)
    p = 0.02 + 0.96 * rng.random(options.rows) ** 2
    frame = pd.DataFrame(
        {"p": p, "y": (rng.random(options.rows) < p).astype(int), "s": rng.integers(0, 33, options.rows)}
    )
    started = time.process_time()
    found, _ = evaluate(frame)
    once = time.process_time() - started
    for _ in range(options.bootstraps):
        evaluate(frame.iloc[rng.integers(0, options.rows, options.rows)])
    whole = time.process_time() - started
    print(f"{options.rows} rows, 33 slices: {once:.2f} CPU s, {whole:.2f} with {options.bootstraps} bootstraps; auc {found[0]:.6f}")


if __name__ == "__main__":
    main()
