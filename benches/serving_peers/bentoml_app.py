"""BentoML in front of ONNX Runtime: `MODEL=logistic.onnx bentoml serve bentoml_app:Trips --port 8000`."""

import bentoml

from onnx_model import OnnxModel


@bentoml.service(workers=1)
class Trips:
    """The model."""

    def __init__(self):
        self.model = OnnxModel()

    @bentoml.api
    def predict(self, instances: list[dict]) -> dict:
        """Answers."""
        return {"predictions": self.model.predict(instances)}
