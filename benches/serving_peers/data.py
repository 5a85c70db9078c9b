"""Makes the data set that every server's model is trained on: 15 columns, a label that follows from them.

    python data.py trips.csv --rows 50000

Nine numbers (two with missing values), six categories, and `late`: yes or no. Fixed seed.
"""

import argparse

import numpy as np
import pandas as pd

NUMBERS = ["miles", "minutes", "fare", "tip", "tolls", "hour", "weekday", "passengers", "temperature"]
CATEGORIES = ["payment", "company", "pickup", "dropoff", "weather", "service"]


def make(rows, seed=20130101):
    """A data frame with the columns and the label."""
    r = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "miles": r.lognormal(1.0, 0.8, rows).round(2),
        "minutes": r.lognormal(2.5, 0.6, rows).round(1),
        "fare": r.lognormal(2.6, 0.5, rows).round(2),
        "tip": r.gamma(1.2, 2.0, rows).round(2),
        "tolls": (r.random(rows) < 0.1) * 5.25,
        "hour": r.integers(0, 24, rows),
        "weekday": r.integers(0, 7, rows),
        "passengers": r.integers(1, 7, rows),
        "temperature": r.normal(12.0, 9.0, rows).round(1),
        "payment": r.choice(["card", "cash", "mobile", "voucher"], rows, p=[0.5, 0.35, 0.1, 0.05]),
        "company": r.choice([f"company {i:02}" for i in range(20)], rows),
        "pickup": r.choice([f"zone {i:02}" for i in range(40)], rows),
        "dropoff": r.choice([f"zone {i:02}" for i in range(40)], rows),
        "weather": r.choice(["dry", "rain", "snow", "fog"], rows, p=[0.7, 0.2, 0.05, 0.05]),
        "service": r.choice(["shared", "single", "van"], rows, p=[0.2, 0.7, 0.1]),
    })
    busy = np.where(frame["hour"].between(7, 9) | frame["hour"].between(16, 19), 1.2, -0.4)
    score = (
        busy
        + 0.05 * (frame["minutes"] - 14.0)
        - 0.08 * (frame["miles"] - 3.5)
        + frame["weather"].map({"dry": -0.3, "rain": 0.5, "snow": 1.5, "fog": 0.8})
        + 0.4 * (frame["service"] == "shared")
        - 1.0
    )
    frame["late"] = np.where(r.random(rows) < 1.0 / (1.0 + np.exp(-score)), "yes", "no")
    for name, share in (("temperature", 0.05), ("tip", 0.1)):
        frame.loc[r.random(rows) < share, name] = np.nan
    return frame


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--rows", type=int, default=50_000)
    arguments = parser.parse_args()
    make(arguments.rows).to_csv(arguments.output, index=False)
