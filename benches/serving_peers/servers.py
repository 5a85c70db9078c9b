"""The servers that are compared: how each is started, asked, and known to be right."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from data import CATEGORIES, NUMBERS, make

HERE = Path(__file__).parent
DATATYPES = {"hour": "INT64", "weekday": "INT64", "passengers": "INT64"}


def example():
    """One row, without missing values: not every server takes them."""
    row = make(50).dropna().iloc[0]
    return {name: row[name].item() if hasattr(row[name], "item") else row[name] for name in NUMBERS + CATEGORIES}


def open_inference(row, datatypes):
    """The row as a request of the Open Inference Protocol."""
    inputs = [
        {"name": name, "shape": [1], "datatype": datatypes(name), "data": [value]} for name, value in row.items()
    ]
    return {"inputs": inputs}


def our_datatype(name):
    """As our models have it."""
    return "BYTES" if name in CATEGORIES else DATATYPES.get(name, "FP64")


@dataclass
class Server:
    """A server that can be started."""

    name: str
    command: list
    path: str
    body: dict
    environment: dict = field(default_factory=dict)
    folder: Path = HERE
    probability: object = None

    def start(self, port, core):
        """Starts it on a core, and waits until it answers."""
        environment = os.environ | {"PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1"} | self.environment
        command = ["taskset", "-c", str(core), *(str(part).replace("{port}", str(port)) for part in self.command)]
        log = open(f"/tmp/{self.name.replace(' ', '_')}.log", "wb")
        running = Running(self, port, subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log))
        end = time.time() + 120
        while True:
            try:
                running.probability = running.ask()
                return running
            except OSError as error:
                if time.time() > end or running.process.poll() is not None:
                    running.stop()
                    raise RuntimeError(f"{self.name} does not answer: {error}; see {log.name}") from error
                time.sleep(0.3)


@dataclass
class Running:
    """A server that runs."""

    server: Server
    port: int
    process: subprocess.Popen
    probability: float = 0.0

    @property
    def url(self):
        """Where the row is sent."""
        return f"http://127.0.0.1:{self.port}{self.server.path}"

    def ask(self):
        """The probability it answers."""
        request = urllib.request.Request(
            self.url, json.dumps(self.server.body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return self.server.probability(json.load(response))

    def memory(self):
        """Resident memory of all its processes, in MB; what they share is counted for each."""
        parent = psutil.Process(self.process.pid)
        return sum(p.memory_info().rss for p in [parent, *parent.children(recursive=True)]) / 1e6

    def stop(self):
        """Ends it and its children."""
        try:
            parent = psutil.Process(self.process.pid)
            family = [*parent.children(recursive=True), parent]
        except psutil.NoSuchProcess:
            return
        for process in family:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                pass
        _, alive = psutil.wait_procs(family, timeout=10)
        for process in alive:
            process.kill()
        self.process.wait()


def output(name):
    """The first number of an output tensor, among those of the Open Inference Protocol."""
    return lambda answer: float(next(o for o in answer["outputs"] if o["name"] == name)["data"][0])


def all_servers(ours, models, peers, venvs):
    """Ours and the peers that are installed, for each model."""
    row = example()
    peer_row = {name: row[name] for name in NUMBERS + CATEGORIES}
    servers = {}
    for model in ("logistic", "forest"):
        onnx = {"MODEL": str(peers / f"{model}.onnx")}
        rows = {"instances": [peer_row]}
        ours_command = [ours, "--models", models, "--http", "127.0.0.1:{port}"]
        first = lambda answer: float(answer["predictions"][0]["probability"])
        found = [
            Server("fourfold OIP", ours_command, f"/v2/models/{model}/infer", open_inference(row, our_datatype),
                   probability=output("probability")),
            Server("fourfold TF Serving REST", ours_command, f"/v1/models/{model}:predict", rows, probability=first),
        ]
        python = {name: venvs / name / "bin" / "python" for name in ("fastapi", "litserve", "bentoml", "pytriton", "mlserver")}
        if python["fastapi"].exists():
            found.append(Server("FastAPI + ONNX Runtime", [python["fastapi"], "-m", "uvicorn", "fastapi_app:app", "--port", "{port}",
                                "--no-access-log", "--log-level", "warning"], "/predict", rows, onnx, probability=first))
        if python["litserve"].exists():
            found.append(Server("LitServe + ONNX Runtime", [python["litserve"], "litserve_app.py"], "/predict", rows, onnx, probability=first))
        if python["bentoml"].exists():
            found.append(Server("BentoML + ONNX Runtime", [venvs / "bentoml/bin/bentoml", "serve", "bentoml_app:Trips", "--port", "{port}"],
                                "/predict", rows, onnx | {"BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=false"},
                                probability=first))
        if python["pytriton"].exists():
            tensors = open_inference(row, lambda name: "BYTES" if name in CATEGORIES else "FP32")
            for tensor in tensors["inputs"]:
                tensor["shape"] = [1, 1]
            found.append(Server("Triton (PyTriton) + ONNX Runtime", [python["pytriton"], "pytriton_app.py"],
                                "/v2/models/trips/infer", tensors, onnx, probability=output("probability")))
        if python["mlserver"].exists():
            folder = peers / f"mlserver-{model}"
            tensors = open_inference(row, lambda name: "BYTES" if name in CATEGORIES else "FP64")
            for tensor in tensors["inputs"]:
                if tensor["datatype"] == "BYTES":
                    tensor["parameters"] = {"content_type": "str"}
            tensors["parameters"] = {"content_type": "pd"}
            tensors["outputs"] = [{"name": "predict_proba"}]
            prepare = f"{python['mlserver']} {HERE / 'mlserver_app.py'} {folder} {peers / f'{model}.pickle'} $PORT"
            found.append(Server("MLServer + scikit-learn", ["sh", "-c", f"{prepare} && exec {venvs / 'mlserver/bin/mlserver'} start {folder}"],
                                "/v2/models/trips/infer", tensors,
                                probability=lambda answer: float(answer["outputs"][0]["data"][1])))
        servers[model] = found
    return servers


if __name__ == "__main__":
    print(json.dumps(example()), file=sys.stdout)
