"""MLServer with a scikit-learn pipeline, rows as a data frame: run with `mlserver start <folder>`.

    python mlserver_app.py FOLDER MODEL.pickle PORT

writes the folder's settings.
"""

import json
import pickle
import sys
from pathlib import Path

import joblib

folder, model, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
with open(model, "rb") as file:
    joblib.dump(pickle.load(file), folder / "model.joblib")
(folder / "settings.json").write_text(json.dumps({
    "http_port": port,
    "grpc_port": port + 1,
    "metrics_port": port + 2,
    "parallel_workers": 0,
    "debug": False,
}))
(folder / "model-settings.json").write_text(json.dumps({
    "name": "trips",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": "./model.joblib", "content_type": "pd"},
}))
