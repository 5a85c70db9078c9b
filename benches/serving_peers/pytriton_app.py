"""Triton, through PyTriton, in front of ONNX Runtime: `MODEL=logistic.onnx PORT=8000 python pytriton_app.py`."""

import os

import numpy as np
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from data import CATEGORIES, NUMBERS
from onnx_model import OnnxModel

model = OnnxModel()


def infer(requests):
    """Answers requests one by one, as they come."""
    answers = []
    for request in requests:
        feeds = {name: request[name].astype(np.float32) for name in NUMBERS}
        feeds |= {name: np.char.decode(request[name].astype(bytes), "utf-8").astype(object) for name in CATEGORIES}
        rows = model.run(feeds)
        answers.append({"probability": np.array([[row["probability"]] for row in rows], dtype=np.float32)})
    return answers


port = int(os.environ["PORT"])
with Triton(config=TritonConfig(http_port=port, grpc_port=port + 1, metrics_port=port + 2)) as triton:
    triton.bind(
        model_name="trips",
        infer_func=infer,
        inputs=[Tensor(name=name, dtype=np.float32, shape=(1,)) for name in NUMBERS]
        + [Tensor(name=name, dtype=bytes, shape=(1,)) for name in CATEGORIES],
        outputs=[Tensor(name="probability", dtype=np.float32, shape=(1,))],
        config=ModelConfig(batching=True, max_batch_size=64),
    )
    triton.serve()
