"""What the Python servers share: a model in ONNX Runtime, one thread, rows as dictionaries in, probabilities out."""

import os

import numpy as np
import onnxruntime

from data import CATEGORIES, NUMBERS


class OnnxModel:
    """A model of a file."""

    def __init__(self, path=None):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path or os.environ["MODEL"], options)

    def predict(self, rows):
        """Class and probability of each row."""
        feeds = {name: np.array([[row[name]] for row in rows], dtype=np.float32) for name in NUMBERS}
        feeds |= {name: np.array([[row[name]] for row in rows], dtype=object) for name in CATEGORIES}
        return self.run(feeds)

    def run(self, feeds):
        """Class and probability for columns."""
        labels, probabilities = self.session.run(None, feeds)
        return [{"class": str(c), "probability": float(p[1])} for c, p in zip(labels, probabilities)]
