"""LitServe in front of ONNX Runtime: `MODEL=logistic.onnx PORT=8000 python litserve_app.py`."""

import os

import litserve

from onnx_model import OnnxModel


class Api(litserve.LitAPI):
    """The model."""

    def setup(self, device):
        self.model = OnnxModel()

    def decode_request(self, request):
        return request["instances"]

    def predict(self, rows):
        return self.model.predict(rows)

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(os.environ["PORT"]), num_api_servers=1, generate_client_file=False, log_level="warning")
