"""Trains the peers' models with scikit-learn: a logistic regression and a forest of 100 trees behind the usual
transform; saves each as a pickle and as ONNX.

    python train.py trips.csv models/
"""

import pickle
import sys
from pathlib import Path

import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from data import CATEGORIES, NUMBERS

data, out = sys.argv[1], Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
frame = pd.read_csv(data)
frame[NUMBERS] = frame[NUMBERS].astype("float32")
test = frame.index % 10 == 0
for name, model in {
    "logistic": LogisticRegression(max_iter=300),
    "forest": RandomForestClassifier(100, max_depth=8, min_samples_leaf=20, random_state=1, n_jobs=1),
}.items():
    pipeline = make_pipeline(
        ColumnTransformer([
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
            ("categories", OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        ]),
        model,
    )
    pipeline.fit(frame.loc[~test, NUMBERS + CATEGORIES], frame.loc[~test, "late"])
    right = pipeline.score(frame.loc[test, NUMBERS + CATEGORIES], frame.loc[test, "late"])
    print(f"{name}: accuracy {right:.3f}")
    (out / f"{name}.pickle").write_bytes(pickle.dumps(pipeline))
    types = [(c, FloatTensorType([None, 1])) for c in NUMBERS] + [(c, StringTensorType([None, 1])) for c in CATEGORIES]
    onnx = to_onnx(pipeline, initial_types=types, options={id(model): {"zipmap": False}}, target_opset=17)
    (out / f"{name}.onnx").write_bytes(onnx.SerializeToString())
