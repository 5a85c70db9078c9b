"""Asks a server with the public Triton client over gRPC, for any model: what to send is taken from its configuration.

    python tritonclient_grpc.py --url 127.0.0.1:8001 --model flights [--http 127.0.0.1:8000] [--admin]

With `--http`, the answers are held against those over HTTP; with `--admin`, the model is unloaded and loaded.
"""

import argparse
import json
import queue
import time
import urllib.request

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

N_ROWS = 4
LIMIT_S = 30
SERVICE = "inference.GRPCInferenceService"
DATATYPES = {"b": "BOOL", "i": "INT64", "f": "FP64", "O": "BYTES"}
CONTENTS = {"BOOL": "bool_contents", "INT64": "int64_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}


def texts(*values):
    return np.array(values, dtype=np.object_)


def example(datatype, form):
    """Rows for an input: values of its datatype."""
    if datatype == "BOOL":
        return np.array([True, False, True, False])
    if datatype == "INT64":
        return np.arange(1, N_ROWS + 1, dtype=np.int64)
    if datatype == "FP64":
        return np.array([0.1, 1.5, 2.25, 1 / 3])
    assert datatype == "BYTES", datatype
    if form == "date":
        return texts("2013-01-31", "2013-02-28", "2013-07-04", "2013-12-31")
    if form == "timestamp":
        return texts("2013-01-31T05:00:00Z", "2013-02-28T23:59:59Z", "2013-07-04T12:00:00.5Z", "2013-12-31T00:00:00+01:00")
    assert form is None, f"unknown format {form}"
    return texts("UA", "Zürich", "", "never seen before")


def as_inputs(columns):
    inputs = []
    for name, values in columns.items():
        tensor = InferInput(name, list(values.shape), DATATYPES[values.dtype.kind])
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    return inputs


def as_typed(model, columns, **fields):
    """A request with typed contents, which the client's own calls do not send."""
    request = service_pb2.ModelInferRequest(model_name=model, **fields)
    for name, values in columns.items():
        tensor = request.inputs.add()
        tensor.name = name
        tensor.shape.extend(values.shape)
        tensor.datatype = DATATYPES[values.dtype.kind]
        flat = values.flatten()
        flat = [v.encode() for v in flat] if tensor.datatype == "BYTES" else flat.tolist()
        getattr(tensor.contents, CONTENTS[tensor.datatype]).extend(flat)
    return request


def typed_answers(response):
    assert not response.raw_output_contents, "typed requests are answered with typed contents"
    answers = {}
    for output in response.outputs:
        flat = list(getattr(output.contents, CONTENTS[output.datatype]))
        kind = np.object_ if output.datatype == "BYTES" else np.float64
        answers[output.name] = np.array(flat, dtype=kind).reshape(list(output.shape))
    return answers


def same(a, b):
    """That answers are the same, bit for bit."""
    assert a.keys() == b.keys(), (a, b)
    for name in a:
        if a[name].dtype == np.float64:
            assert (a[name].view(np.uint64) == b[name].view(np.uint64)).all(), (name, a[name], b[name])
        else:
            text = [[v.decode() if isinstance(v, bytes) else v for v in side[name].flatten()] for side in (a, b)]
            assert text[0] == text[1], (name, text)


def refuses(code, named, call):
    try:
        call()
    except InferenceServerException as error:
        message, status = error.message(), error.status()
    except grpc.RpcError as error:
        message, status = error.details(), str(error.code())
    else:
        raise AssertionError(f"{named}: was answered")
    assert named in message, f"`{named}` is not in: {message}"
    assert status == f"StatusCode.{code}", (status, message)
    print(f"  refused: [{code}] {message}")


class Asked:
    """A model, asked with one client."""

    def __init__(self, client, model):
        self.client = client
        self.model = model
        self.metadata = client.get_model_metadata(model)
        self.config = client.get_model_config(model).config
        self.outputs = [output.name for output in self.metadata.outputs]
        formats = {name: value.string_value for name, value in self.config.parameters.items()}
        self.columns = {
            tensor.name: example(tensor.datatype, formats.get(f"format.{tensor.name}")) for tensor in self.metadata.inputs
        }

    def infer(self, columns=None, **options):
        inputs = as_inputs(columns or self.columns)
        result = self.client.infer(self.model, inputs, request_id="r1", **options)
        response = result.get_response()
        assert response.model_name == self.model and response.id == "r1", response
        assert response.model_version in self.metadata.versions, response
        assert len(response.raw_output_contents) == len(response.outputs), "raw requests are answered with raw contents"
        return {output.name: result.as_numpy(output.name) for output in response.outputs}


def check_metadata(client, model):
    assert client.is_server_live() and client.is_server_ready()
    about = client.get_server_metadata()
    assert about.name and about.version and "statistics" in about.extensions, about
    assert client.is_model_ready(model)
    assert not client.is_model_ready("no_such_model")
    metadata = client.get_model_metadata(model)
    assert metadata.name == model and metadata.platform and metadata.inputs and metadata.outputs, metadata
    version = metadata.versions[-1]
    assert client.is_model_ready(model, version)
    assert client.get_model_metadata(model, version) == metadata
    config = client.get_model_config(model).config
    assert [t.name for t in config.input] == [t.name for t in metadata.inputs], config
    assert [t.name for t in config.output] == [t.name for t in metadata.outputs], config
    index = client.get_model_repository_index().models
    assert [m.state for m in index if (m.name, m.version) == (model, version)] == ["READY"], index
    print(f"metadata of {model} version {version}: {len(metadata.inputs)} inputs")


def check_answers(asked, stub, http):
    raw = asked.infer()
    columns = asked.columns
    same(raw, asked.infer({name: values.reshape(-1, 1) for name, values in columns.items()}))
    same(raw, asked.infer(model_version=asked.metadata.versions[-1]))
    same(raw, asked.infer(outputs=[InferRequestedOutput(name) for name in reversed(asked.outputs)]))
    same(raw, asked.infer(headers={"x-request-id": "r2", "x-routing-key": "a"}, client_timeout=LIMIT_S))
    response, call = stub.ModelInfer.with_call(as_typed(asked.model, columns, id="r1"))
    same(raw, typed_answers(response))
    assert response.id == "r1"
    assert dict(call.initial_metadata())["fourfold-model-version"] == response.model_version
    # One row after the other are the rows together.
    for row in range(N_ROWS):
        one = asked.infer({name: values[row : row + 1] for name, values in columns.items()})
        same(one, {name: values[row : row + 1] for name, values in raw.items()})
    # Asynchronously.
    answers = queue.Queue()
    for _ in range(8):
        asked.client.async_infer(asked.model, as_inputs(columns), lambda result, error: answers.put((result, error)))
    for _ in range(8):
        result, error = answers.get(timeout=LIMIT_S)
        assert error is None, error
        same(raw, {name: result.as_numpy(name) for name in asked.outputs})
    if http:
        same(raw, over_http(http, asked))
    print(f"raw, typed and asynchronous requests answer the same: {', '.join(asked.outputs)}")


def over_http(url, asked):
    inputs = [
        {"name": name, "shape": list(v.shape), "datatype": DATATYPES[v.dtype.kind], "data": v.tolist()}
        for name, v in asked.columns.items()
    ]
    request = urllib.request.Request(
        f"http://{url}/v2/models/{asked.model}/infer", json.dumps({"inputs": inputs}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
        outputs = json.load(response)["outputs"]
    kind = {"BYTES": np.object_, "FP64": np.float64}
    return {o["name"]: np.array(o["data"], dtype=kind[o["datatype"]]).reshape(o["shape"]) for o in outputs}


def check_streams(asked):
    expected = asked.infer()
    answers = queue.Queue()
    client, model = asked.client, asked.model
    client.start_stream(lambda result, error: answers.put((result, error)))
    n = 50
    for at in range(n):
        # Every tenth asks for a model that is not there.
        name = "no_such_model" if at % 10 == 9 else model
        client.async_stream_infer(name, as_inputs(asked.columns), request_id=str(at), enable_empty_final_response=True)
    for at in range(n):
        result, error = answers.get(timeout=LIMIT_S)
        if at % 10 == 9:
            assert "no_such_model" in error.message(), error
            continue
        assert error is None, error
        response = result.get_response()
        assert response.id == str(at), (response.id, at)
        assert response.parameters["triton_final_response"].bool_param
        same(expected, {name: result.as_numpy(name) for name in asked.outputs})
    client.stop_stream()
    print(f"{n} requests on a stream are answered in order, the failed ones with their errors")


def check_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=LIMIT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=LIMIT_S)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
    refuses("NOT_FOUND", SERVICE, lambda: stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=LIMIT_S))
    print("health: serving")


def check_refusals(asked, stub):
    client, columns, model = asked.client, asked.columns, asked.model
    good = as_inputs(columns)
    name, values = next(iter(columns.items()))

    def refused(code, named, inputs, **options):
        refuses(code, named, lambda: client.infer(options.pop("model", model), inputs, **options))

    def typed(code, named, change):
        request = as_typed(model, columns)
        change(request)
        refuses(code, named, lambda: stub.ModelInfer(request))

    bad = "INVALID_ARGUMENT"
    refused("NOT_FOUND", "no_such_model", good, model="no_such_model")
    refused("NOT_FOUND", "999", good, model_version="999")
    refused("NOT_FOUND", "no_such_label", good, model_version="no_such_label")
    refused(bad, "no_such_input", as_inputs({**columns, "no_such_input": values}))
    refused(bad, "no_such_output", good, outputs=[InferRequestedOutput("no_such_output")])
    refused(bad, name, as_inputs({**columns, name: np.stack([values] * 2, axis=1)}))
    refused(bad, name, good + as_inputs({name: values}))
    typed(bad, "`inputs` is empty", lambda r: r.ClearField("inputs"))
    typed(bad, name, lambda r: r.inputs[0].ClearField("contents"))
    typed(bad, name, lambda r: r.inputs[0].shape.__setitem__(0, N_ROWS + 1))
    typed(bad, name, lambda r: r.inputs[0].shape.__setitem__(0, 2**62))
    typed(bad, name, lambda r: r.inputs[0].shape.__setitem__(0, -1))
    typed(bad, "INT65", lambda r: setattr(r.inputs[0], "datatype", "INT65"))
    typed(bad, name, lambda r: r.inputs[0].contents.uint_contents.append(1))
    typed(bad, "raw_input_contents", lambda r: r.raw_input_contents.append(b"a") or r.inputs.add())
    if len(columns) > 1:
        refused(bad, "rows", as_inputs({**columns, name: values[:2]}))
    for tensor, input in zip(asked.metadata.inputs, asked.config.input):
        if not input.optional and len(columns) > 1:
            refused(bad, tensor.name, as_inputs({o: v for o, v in columns.items() if o != tensor.name}))
            break
    refuses("UNIMPLEMENTED", "SystemSharedMemoryStatus", lambda: client.get_system_shared_memory_status())
    refuses("UNIMPLEMENTED", "TraceSetting", lambda: client.get_trace_settings())
    refuses("UNIMPLEMENTED", "LogSettings", lambda: client.get_log_settings())
    # Megabytes are not sent, let alone answered, in a millisecond.
    many = as_inputs({name: np.tile(values, 20_000) for name, values in columns.items()})
    refuses("DEADLINE_EXCEEDED", "", lambda: client.infer(model, many, client_timeout=1e-3))
    result = client.infer(model, many, client_timeout=LIMIT_S)
    assert all(result.as_numpy(name).shape[0] == 20_000 * N_ROWS for name in asked.outputs)


def check_statistics(asked):
    def successes():
        stats = asked.client.get_inference_statistics(asked.model).model_stats
        assert stats and all(s.name == asked.model and s.version for s in stats), stats
        return sum(s.inference_stats.success.count for s in stats), sum(s.inference_count for s in stats)

    before = successes()
    asked.infer()
    after = successes()
    assert (after[0] - before[0], after[1] - before[1]) == (1, N_ROWS), (before, after)
    everything = asked.client.get_inference_statistics().model_stats
    assert asked.model in {s.name for s in everything}, everything
    refuses("NOT_FOUND", "no_such_model", lambda: asked.client.get_inference_statistics("no_such_model"))
    print(f"statistics: {after[0]} requests of {after[1]} rows")


def check_admin(asked):
    client, model = asked.client, asked.model
    before = asked.infer()
    client.unload_model(model)
    wait_for(lambda: not is_ready(client, model), "the model to be unloaded")
    # Somebody wanted that: the server is as ready as before.
    assert client.is_server_ready()
    refuses_any = {"StatusCode.NOT_FOUND", "StatusCode.UNAVAILABLE"}
    try:
        client.infer(model, as_inputs(asked.columns))
        raise AssertionError("an unloaded model answered")
    except InferenceServerException as error:
        assert error.status() in refuses_any and model in error.message(), error
    client.load_model(model)
    wait_for(lambda: is_ready(client, model), "the model to be loaded")
    same(before, asked.infer())
    refuses("NOT_FOUND", "no_such_model", lambda: client.load_model("no_such_model"))
    print("unloaded and loaded")


def is_ready(client, model):
    try:
        return client.is_model_ready(model)
    except InferenceServerException:
        return False


def wait_for(condition, what):
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit, f"waited for {what}"
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="host:port")
    parser.add_argument("--model", required=True)
    parser.add_argument("--http", help="host:port of the same models over HTTP")
    parser.add_argument("--admin", action="store_true", help="the server takes admin calls")
    arguments = parser.parse_args()
    with InferenceServerClient(arguments.url) as client, grpc.insecure_channel(arguments.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        check_metadata(client, arguments.model)
        asked = Asked(client, arguments.model)
        check_answers(asked, stub, arguments.http)
        check_streams(asked)
        check_health(channel)
        check_refusals(asked, stub)
        check_statistics(asked)
        if arguments.admin:
            check_admin(asked)
        else:
            refuses("PERMISSION_DENIED", "admin", lambda: client.load_model(arguments.model))
            refuses("PERMISSION_DENIED", "admin", lambda: client.unload_model(arguments.model))
        assert client.is_server_ready()
    print("all well")


if __name__ == "__main__":
    main()
